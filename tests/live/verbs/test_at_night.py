"""Whoever is on call, with a kubeconfig and nothing else, on a cluster that is not as it should be.

Each answer is one sentence with a way out and the right exit code; nobody waits for ever, and nothing leaves
a traceback.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.lab import Server, self_signed
from tests.live.ground import NEW, NEXT, available
from tests.live.verbs.stage import Stage
from tests.live.verbs.test_commands import back, begun
from tests.live.verbs.test_kill import SLOW_STEPS, killed_at, shorten

LAST = ("ConfigMap", "rolloutsim-api")


def said(result: Result) -> str:
    """The one line of an answer that is an error."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    (line,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    return line


def gone(shop: Stage, kind: str, name: str) -> None:
    shop.ground.api.delete(shop.ground.ref(kind, name))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort gives up sooner, to save the tests' time."""
    # the module: its package has a function of the same name
    module = sys.modules["rolloutsim.cli.abort"]
    monkeypatch.setattr(module, "BACK_S", 4.0)
    monkeypatch.setattr(module, "INSISTS_S", 2.0)


# --- what somebody paused -------------------------------------------------------------------------


@pytest.mark.cluster
def test_an_abort_ends_a_pause_that_nobody_has_heard(shop: Stage) -> None:
    begun(shop)
    assert shop.verb("pause", "api").exit_code == 6
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    back(shop)
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    assert shop.state()["facts"]["paused"] is False


@pytest.mark.slow
def test_an_abort_ends_a_pause_and_takes_the_pods_away(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    assert shop.verb("pause", "api").exit_code == 0
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    code, _ = shop.finish(process)
    assert code == 1
    back(shop)
    assert shop.replicas() == {"api-a": 2, "api-b": 0}


@pytest.mark.cluster
def test_a_pause_that_nobody_has_heard_can_be_taken_back(shop: Stage) -> None:
    begun(shop)
    assert "promote ends a pause of its policy" in said(shop.verb("unpause", "api"))
    assert shop.verb("pause", "api").exit_code == 6
    assert shop.verb("unpause", "api").exit_code == 6
    resumed = shop.verb("resume", "api", "--no-wait")
    assert resumed.exit_code == 6
    assert shop.state()["facts"]["paused"] is False


# --- what somebody deleted ------------------------------------------------------------------------


def test_without_the_canary_everybody_is_back_at_once(shop: Stage) -> None:
    begun(shop)
    gone(shop, "Deployment", "api-b")
    began = time.monotonic()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    assert time.monotonic() - began < 10
    assert shop.weight() == 0


@pytest.mark.slow
def test_without_the_stable_deployment_it_is_asked_for(shop: Stage, hasty: None) -> None:
    begun(shop)
    before = shop.ground.get("Deployment", "api-a")
    gone(shop, "Deployment", "api-a")
    for key in ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"):
        before["metadata"].pop(key)
    before.pop("status")
    lost = "holds the stable revision"
    assert lost in shop.verb("status", "api").output
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 4, aborted.output
    assert lost in said(aborted)
    assert "apply the one that did as it was; then abort again" in said(aborted)
    assert "by hand" not in aborted.output
    shop.ground.put(before)
    shop.until(lambda: available(shop.ground, "api-a") == 2, "its pods are back")
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    back(shop)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("HTTPRoute", "api"), ("Service", "api-stable")])
def test_without_what_divides_requests_it_is_said(shop: Stage, hasty: None, kind: str, name: str) -> None:
    begun(shop)
    gone(shop, kind, name)
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 4, aborted.output
    assert f"/{name} does not exist; create it; then abort again" in said(aborted)


@pytest.mark.cluster
def test_without_its_state_a_rollout_is_still_known_by_its_marks(shop: Stage) -> None:
    begun(shop)
    gone(shop, *LAST)
    for verb in ("status", "abort", "resume", "promote", "undo"):
        answer = shop.verb(verb, "api")
        assert answer.exit_code == 4
        assert "the state of api" in said(answer)
        assert "deployment.apps/api-a and deployment.apps/api-b still carry its name" in said(answer)
    # the way out that it names
    again = shop.verb("run", shop.canary(), "--image", NEW, "--unvetted", "a test", "--no-wait")
    assert again.exit_code == 6, again.output
    assert shop.verb("abort", "api").exit_code == 0
    back(shop)


@pytest.mark.parametrize("data", [{"state": "{"}, {"state": None, "policyDigest": None}, {"plan": "[]"}])
def test_a_state_that_cannot_be_read(shop: Stage, data: dict[str, Any]) -> None:
    begun(shop)
    shop.ground.patch(*LAST, {"data": data})
    for verb in ("status", "abort", "promote", "resume", "undo", "forget"):
        answer = shop.verb(verb, "api")
        assert answer.exit_code == 4
        assert "the version that wrote it" in said(answer)


# --- a cluster in trouble -------------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """It passes while an abort insists."""

    name: str
    begin: Callable[[Stage], Any]


TROUBLES = [
    Trouble("reads fail", lambda s: s.server.faults.answer(500, 5, method="GET")),
    Trouble(
        "the request fails", lambda s: s.server.faults.answer(500, 2, method="PATCH", path="/configmaps/")
    ),
    Trouble(
        "no answer to the request", lambda s: s.server.faults.lose(1, method="PATCH", path="/configmaps/")
    ),
    Trouble(
        "too many requests", lambda s: s.server.faults.answer(429, 3, method="PATCH", path="/configmaps/")
    ),
    Trouble("the Lease fails", lambda s: s.server.faults.answer(500, 2, method="PUT", path="/leases/")),
    Trouble(
        "no answer to the weight", lambda s: s.server.faults.lose(2, method="PATCH", path="/httproutes/")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_an_abort_insists(shop: Stage, trouble: Trouble) -> None:
    begun(shop)
    trouble.begin(shop)
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    back(shop)
    assert shop.replicas() == {"api-a": 2, "api-b": 0}


@pytest.mark.slow
def test_an_abort_that_nobody_answers(shop: Stage, hasty: None) -> None:
    begun(shop)
    shop.server.faults.answer(500, 10_000, method="PATCH|PUT|POST")
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 4
    assert "abort again, it may be done twice" in said(aborted)
    shop.server.faults.clear()
    shop.server.stop()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 4
    assert "see that the cluster is up and the context is right" in said(aborted)
    assert "look with rolloutsim status" not in aborted.output


@pytest.mark.parametrize(
    ("code", "way"),
    [(500, "kubectl get --raw /readyz"), (401, "log in again"), (403, "rolloutsim rbac prints")],
)
def test_a_cluster_that_refuses(shop: Stage, hasty: None, code: int, way: str) -> None:
    begun(shop)
    shop.server.faults.answer(code, 10_000)
    for verb in ("status", "abort", "promote", "pause", "retry", "undo", "resume"):
        answer = shop.verb(verb, "api")
        assert answer.exit_code == 4
        assert way in said(answer)


def test_a_command_of_unknown_fate(shop: Stage) -> None:
    begun(shop)
    shop.server.faults.answer(500, 1, method="PATCH", path="/configmaps/")
    assert "look with rolloutsim status before you ask again" in said(shop.verb("promote", "api"))


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (("--context", "nope"), "known: rolloutsim-emulator"),
        (("-n", "elsewhere"), "pass -n NAMESPACE"),
        (("--kubeconfig", "/nonexistent/kubeconfig"), "check --kubeconfig"),
    ],
)
@pytest.mark.parametrize("verb", ["abort", "status", "promote", "resume"])
def test_the_wrong_cluster(shop: Stage, verb: str, words: tuple[str, ...], way: str) -> None:
    begun(shop)
    answer = CliRunner().invoke(app, [verb, "api", *shop.flags, *words])
    assert answer.exit_code == 4
    assert way in said(answer)


@pytest.mark.parametrize("name", ["", "API", "a b", "../x", "x" * 300])
@pytest.mark.parametrize("verb", ["abort", "status"])
def test_a_name_that_is_none(shop: Stage, verb: str, name: str) -> None:
    answer = shop.verb(verb, name)
    assert answer.exit_code == 4
    assert "was ever executed in the namespace shop; name another" in said(answer)


@pytest.mark.parametrize("verb", ["abort", "status"])
def test_an_expired_certificate(tmp_path: Any, hasty: None, verb: str) -> None:
    certificate, key = self_signed(tmp_path, days=-1)
    with Server(certificate=certificate, key=key) as server:
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        answer = CliRunner().invoke(app, [verb, "api", "--kubeconfig", str(kubeconfig)])
    assert answer.exit_code == 4
    assert "has expired; renew it there, or check this machine's clock" in said(answer)


# --- dead executors, old plans --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "number"), [("Scale", 1), ("SetService", 1), ("SetWeight", 1), ("Measure", 2)]
)
def test_killed_then_aborted_twice_then_resumed(shop: Stage, kind: str, number: int) -> None:
    killed_at(shop, kind, number, SLOW_STEPS)
    shorten(shop)
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    back(shop)
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    before = shop.ground.versions()
    again = shop.verb("abort", "api")
    assert (again.exit_code, "aborted already" in again.output) == (0, True)
    resumed = shop.verb("resume", "api")
    assert (resumed.exit_code, "rolloutsim retry api tries again" in resumed.output) == (1, True)
    assert shop.ground.versions() == before


@pytest.mark.cluster
def test_plans_that_no_longer_fit(shop: Stage) -> None:
    one, other = shop.folder / "one.json", shop.folder / "other.json"
    for plan, image in ((one, NEW), (other, NEXT + "-x")):
        assert shop.verb("plan", shop.canary(), "--image", image, "-o", plan).exit_code == 0
    run = ("--unvetted", "a test", "--no-wait")
    assert shop.verb("run", one, *run).exit_code == 6
    during = shop.verb("run", other, *run)
    assert (during.exit_code, "promote, abort or resume that one first" in said(during)) == (6, True)
    assert shop.verb("abort", "api").exit_code == 0
    same = shop.verb("run", one, *run)
    assert (same.exit_code, "rolloutsim retry api tries again" in same.output) == (1, True)
    stale = shop.verb("run", other, *run)
    assert (stale.exit_code, "changed since the plan was made" in said(stale)) == (5, True)
    assert said(stale).endswith("plan again")


def test_a_plan_that_was_cut_off(shop: Stage) -> None:
    plan = shop.folder / "plan.json"
    assert shop.verb("plan", shop.canary(), "--image", NEW, "-o", plan).exit_code == 0
    plan.write_text(plan.read_text()[:600])
    cut = shop.verb("run", plan, "--unvetted", "a test")
    assert cut.exit_code == 2
    assert "the plan is not whole; make it again with rolloutsim plan" in cut.output
    assert shop.untouched()
