"""kill -9 of a run at points that cover every kind of action, and another process that goes on.

In the end the rollout stands where one that was left alone stands, no step was done twice, and no weight was
ever set that the policy does not have. The runs are processes; the journal on disk says when to kill.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rolloutsim.live.clock import elapsed_ms
from rolloutsim.live.journal import joined
from rolloutsim.live.port import HTTP_ROUTE, Object, Ref
from rolloutsim.live.reflector import Reflector
from rolloutsim.trace import read_trace
from tests.live.ground import NEW, OLD
from tests.live.verbs.stage import SMOKE, Stage

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


class Weights:
    """Every weight that the route ever had, repetitions apart: a watch brings each version of it."""

    def __init__(self, shop: Stage) -> None:
        self._shop = shop
        self._found: list[int] = []
        self._version = ""
        self.watch = Reflector(
            shop.ground.api, HTTP_ROUTE, shop.ground.namespace, self._note, now_ms=elapsed_ms
        )

    def _note(self, ref: Ref, body: Object | None) -> None:
        assert body is not None
        weight = body["spec"]["rules"][0]["backendRefs"][1]["weight"]
        if self._found[-1:] != [weight]:
            self._found.append(weight)
        self._version = body["metadata"]["resourceVersion"]

    def seen(self) -> list[int]:
        """All of them, up to now."""

        def caught_up() -> bool:
            return self._version == self._shop.ground.get("HTTPRoute", "api")["metadata"]["resourceVersion"]

        self._shop.until(caught_up, "the watch has brought all there is")
        return self._found


@pytest.fixture
def weights(shop: Stage) -> Iterator[Weights]:
    found = Weights(shop)
    found.watch.start()
    shop.until(lambda: found.seen() == [0], "the watch has begun")
    yield found
    found.watch.stop()


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
    if shop.ground.find("Lease", "rolloutsim-api"):
        long_ago = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"leaseDurationSeconds": 2, "renewTime": long_ago}
        shop.ground.patch("Lease", "rolloutsim-api", {"spec": spec})


def resumed(shop: Stage) -> tuple[int, str]:
    """Go on: by resume, or by the same run again where no decision had reached the cluster."""
    saved = shop.ground.find("ConfigMap", "rolloutsim-api") is not None
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


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), GOOD)
def test_kill_and_resume(shop: Stage, weights: Weights, kind: str, number: int) -> None:
    killed_at(shop, kind, number)
    shorten(shop)
    code, _ = resumed(shop)
    assert code == 0
    assert shop.replicas() == {"api-a": 0, "api-b": 2}
    assert (shop.ground.image("api-a"), shop.ground.image("api-b")) == (OLD, NEW)
    assert shop.ground.selected() == "b"
    assert weights.seen() == WEIGHTS
    assert steps_done(shop) == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), BAD)
def test_kill_while_it_rolls_back(shop: Stage, weights: Weights, kind: str, number: int) -> None:
    shop.metrics.value = 0.5
    killed_at(shop, kind, number, SLOW_STEPS, SMOKE)
    shorten(shop)
    code, out = resumed(shop)
    assert code == 1, out
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    assert set(weights.seen()) <= {0, 20}
    assert weights.seen()[-1] == 0
    assert shop.status()["abort"] is True
    (job,) = shop.ground.list("Job")
    assert job["spec"]["suspend"] is True


@pytest.mark.slow
def test_kill_while_the_oldest_revision_is_forgotten(shop: Stage) -> None:
    """The eleventh release: ten revisions beside the stable one are remembered."""
    policy = shop.canary(("setWeight: 50",))
    for number in range(1, 11):
        ran = shop.verb("run", policy, "--image", f"api:{number}", "--unvetted", "a test")
        assert ran.exit_code == 0, ran.output
    oldest = shop.state()["facts"]["revisions"][0]["id"]
    killed_at(shop, "RemoveRevision", 1, ("setWeight: 50",))
    shorten(shop)
    assert shop.finish(shop.start("resume", "api"))[0] == 0
    assert oldest not in [revision["id"] for revision in shop.state()["facts"]["revisions"]]
    assert shop.replicas() == {"api-a": 0, "api-b": 2}
    assert (shop.ground.image("api-a"), shop.ground.image("api-b")) == ("api:10", NEW)


@pytest.mark.cluster
@pytest.mark.slow
def test_kill_and_resume_with_the_lease_as_it_is(shop: Stage, weights: Weights) -> None:
    """On another machine 15 s have to pass, and do."""
    killed_at(shop, "SetWeight", 1)
    code, _ = resumed(shop)
    assert code == 0
    assert weights.seen() == WEIGHTS
