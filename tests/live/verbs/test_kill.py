"""kill -9 of a run at points that cover every kind of action, and another process that goes on.

In the end the rollout stands where one that was left alone stands, no step was done twice, and no weight was
ever set that the policy does not have. The runs are processes; the journal on disk says when to kill.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.live.journal import joined
from rolloutsim.trace import read_trace
from tests.live.verbs.stage import NAMESPACE, NEW, OLD, SMOKE, Stage

STEPS = ("setWeight: 20", "pause: {duration: 2s}", "setWeight: 50", "pause: {duration: 1s}")
SLOW_STEPS = ("setWeight: 20", "pause: {duration: 60s}", "setWeight: 50")
WEIGHTS = [0, 20, 50, 100, 0]

GOOD = (
    ("CreateRevision", 1),
    ("Scale", 1),
    ("SetService", 1),
    ("SetWeight", 1),
    ("Measure", 2),
    ("SetWeight", 2),
    ("Scale", 2),
    ("SetWeight", 3),
    ("SetService", 2),
    ("Scale", 3),
)
BAD = (("SetWeight", 2), ("TerminateMeasurement", 1), ("Scale", 2))
"""Of a release that its metrics fail at weight 20: the weight goes to 0, a Job is ended, pods go."""


@pytest.fixture
def weights(shop: Stage) -> list[int]:
    """Every weight that the route ever had, repetitions apart."""
    found = [0]

    def note(kind: str, body: dict[str, Any]) -> None:
        if kind == "HTTPRoute":
            weight = body["spec"]["rules"][0]["backendRefs"][1]["weight"]
            if weight != found[-1]:
                found.append(weight)

    shop.server.after_write(note)
    return found


def actions(journal: Path) -> list[str]:
    """Kinds of the actions in a journal that may still be growing."""
    lines = journal.read_text().splitlines()
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record["value"]["kind"] for record in records if record["kind"] == "did"]


def killed_at(shop: Stage, kind: str, number: int, steps: tuple[str, ...] = STEPS, metrics: str = "") -> None:
    """Run until the journal has an action of this kind for the ``number``-th time, and kill -9."""
    process = shop.run(steps=steps, metrics=metrics)

    def there() -> bool:
        return any(actions(journal).count(kind) >= number for journal in shop.journal_files())

    shop.until(there, f"{kind} {number} is in the journal")
    process.kill()
    process.wait()


def shorten(shop: Stage) -> None:
    """The Lease of the dead: as if taken for two seconds, a minute ago, to save the tests' time."""
    if shop.server.get("Lease", "rolloutsim-api", NAMESPACE):
        long_ago = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"leaseDurationSeconds": 2, "renewTime": long_ago}
        shop.server.patch("Lease", "rolloutsim-api", {"spec": spec}, NAMESPACE)


def resumed(shop: Stage) -> tuple[int, str]:
    """Go on: by resume, or by the same run again where no decision had reached the cluster."""
    saved = shop.server.get("ConfigMap", "rolloutsim-api", NAMESPACE) is not None
    process = shop.start("resume", "api") if saved else shop.run(steps=STEPS)
    code, out = shop.finish(process)
    assert code in (0, 1), shop.errors(process)
    return code, out


def steps_done(shop: Stage) -> list[int]:
    """The steps that the lineage of journals completed, in order."""
    journals = shop.journal_files()
    while read_trace(journals[-1]).manifest["after"] is None and len(journals) > 1:
        journals = journals[-1:]
    records = joined(journals) if len(journals) > 1 else read_trace(journals[0]).records
    return [r["value"]["index"] for r in records if r["value"].get("kind") == "StepCompleted"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), GOOD)
def test_kill_and_resume(shop: Stage, weights: list[int], kind: str, number: int) -> None:
    killed_at(shop, kind, number)
    shorten(shop)
    code, _ = resumed(shop)
    assert code == 0
    assert shop.replicas() == {"api-a": 0, "api-b": 2}
    assert (shop.image("api-a"), shop.image("api-b")) == (OLD, NEW)
    service = shop.server.get("Service", "api-stable", NAMESPACE)
    assert service is not None
    assert service["spec"]["selector"]["slot"] == "b"
    assert weights == WEIGHTS
    assert steps_done(shop) == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), BAD)
def test_kill_while_it_rolls_back(shop: Stage, weights: list[int], kind: str, number: int) -> None:
    shop.metrics.value = 0.5
    killed_at(shop, kind, number, SLOW_STEPS, SMOKE)
    shorten(shop)
    code, out = resumed(shop)
    assert code == 1, out
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    assert set(weights) <= {0, 20}
    assert weights[-1] == 0
    assert shop.status()["abort"] is True
    (job,) = shop.server.list("Job", NAMESPACE)
    assert job["spec"]["suspend"] is True


@pytest.mark.slow
def test_kill_and_resume_with_the_lease_as_it_is(shop: Stage, weights: list[int]) -> None:
    """On another machine 15 s have to pass, and do."""
    killed_at(shop, "SetWeight", 1)
    code, _ = resumed(shop)
    assert code == 0
    assert weights == WEIGHTS
