"""What people are told while something is wrong: one sentence, once, with a way out.

Each fault is played to a run that waits at weight 20 or goes on from there. What the run does about it is
tested beside its parts; here is what is said.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live.ground import NEW
from tests.live.verbs.stage import Stage

STEPS = ("setWeight: 20", "pause: {duration: 3s}", "setWeight: 50", "pause: {}")


@dataclass(frozen=True)
class Fault:
    """``begin`` and ``end`` it; ``told`` and ``way_out`` stand in one sentence; ``after`` ends it."""

    name: str
    begin: Callable[[Stage], Any]
    told: str
    way_out: str
    end: Callable[[Stage], Any] = lambda shop: None
    after: str = ""


def weights(code: int) -> Callable[[Stage], Any]:
    return lambda shop: shop.server.faults.answer(code, 1000, method="PATCH", path="/httproutes/")


def saves(code: int) -> Callable[[Stage], Any]:
    return lambda shop: shop.server.faults.answer(code, 1000, method="PATCH", path="/configmaps/")


def late(shop: Stage) -> None:
    shop.server.faults.slow(6.0, 1, method="PATCH", path="/httproutes/")


def clear(shop: Stage) -> None:
    shop.server.faults.clear()


def measured(value: float | None) -> Callable[[Stage], Any]:
    return lambda shop: setattr(shop.metrics, "value", value)


def slow(shop: Stage) -> None:
    shop.metrics.delay_s = 3.0


def edited(shop: Stage) -> None:
    """Somebody else sets the weight to 77."""
    rules = shop.ground.get("HTTPRoute", "api")["spec"]["rules"]
    rules[0]["backendRefs"][0]["weight"], rules[0]["backendRefs"][1]["weight"] = 23, 77
    shop.ground.patch("HTTPRoute", "api", {"spec": {"rules": rules}})


def switched(shop: Stage) -> None:
    shop.ground.patch("Service", "api-stable", {"spec": {"selector": {"slot": "b"}}})


DONE = "done now: the canary gets weight 50"
AGAIN = "it is tried again, or rolloutsim abort api"
HEARD = "the cluster can be heard again"
RATHER = "promote, pause or abort"
SAVED = "the state is saved in the cluster again"
FAULTS = [
    Fault("server is down", lambda s: s.server.stop(), "cluster cannot be heard", "see that the cluster",
          lambda s: s.server.start(), HEARD),
    Fault("server is slow", late, "did not answer in 5 s", AGAIN, clear, DONE),
    Fault("409", weights(409), "answered 409", AGAIN, clear, DONE),
    Fault("429", weights(429), "answered 429", AGAIN, clear, DONE),
    Fault("500", weights(500), "answered 500", AGAIN, clear, DONE),
    Fault("403", weights(403), "answered 403", "rolloutsim rbac prints the rights", clear, DONE),
    Fault("429 for the state", saves(429), "the state cannot be saved", "it is tried again", clear, SAVED),
    Fault("500 for the state", saves(500), "the state cannot be saved", "it is tried again", clear, SAVED),
    Fault("foreign weight", edited, "somebody changed the canary's weight from 20 to 77", RATHER),
    Fault("foreign switch", switched, "somebody let the stable Service select", RATHER),
    Fault("Prometheus is down", lambda s: s.metrics.close(), "cannot be reached", "is it up, and the"),
    Fault("Prometheus is slow", slow, "within 2000 ms", "is the query too wide"),
    Fault("Prometheus finds nothing", measured(None), "no data returned", "begin later with initialDelay"),
    Fault("Prometheus finds NaN", measured(float("nan")), "[NaN] Failed", "begin later with initialDelay"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_told(shop: Stage, fault: Fault) -> None:
    process = shop.run(steps=STEPS)
    shop.until(lambda: shop.weight() == 20 and shop.metrics.asked, "the first step is done")
    fault.begin(shop)

    def said() -> list[str]:
        return [one for one in shop.told(process) if fault.told in one]

    shop.until(lambda: bool(said()), f"the fault is told: {fault.told}")
    time.sleep(1.0)
    sentence = said()[0]
    assert fault.way_out in sentence
    measured_again = "wanted result" in sentence
    assert len(said()) == 1 or measured_again, "it is said once, however often it is met"
    assert "Traceback" not in shop.errors(process)
    fault.end(shop)
    if fault.after:
        shop.until(lambda: fault.after in shop.told(process), f"it is said to be over: {fault.after}")
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    shop.finish(process)


@pytest.mark.slow
def test_what_somebody_else_did_is_set_back(shop: Stage) -> None:
    process = shop.run(steps=("setWeight: 20", "pause: {}"))
    shop.waits_at(20)
    edited(shop)
    shop.until(lambda: shop.weight() == 20, "the weight is set back")
    switched(shop)
    shop.until(lambda: shop.ground.selected() == "a", "the Service is switched back")
    process.send_signal(signal.SIGINT)
    shop.finish(process)


@pytest.mark.slow
@pytest.mark.parametrize("expired", [False, True], ids=["cut", "410"])
def test_a_watch_that_ends_is_not_worth_a_word(shop: Stage, expired: bool) -> None:
    """It is opened again at once, and whatever was missed is read."""
    process = shop.run(steps=STEPS)
    shop.until(lambda: shop.weight() == 20, "the first step is done")
    shop.server.cut_watches()
    if expired:
        shop.server.expire_history()
    shop.waits_at(50)
    assert shop.told(process) == []
    process.send_signal(signal.SIGINT)
    shop.finish(process)


def test_every_line_of_a_log_is_json_and_says_which_rollout(shop: Stage) -> None:
    log = shop.folder / "log.jsonl"
    policy = shop.canary(("setWeight: 20", "pause: {}"))
    ran = shop.verb("run", policy, "--image", NEW, "--unvetted", "a test", "--no-wait", "--log", log)
    assert ran.exit_code == 6, ran.output
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["rollout"] for line in lines} == {"api"}
    assert all(line["policy_hash"].startswith("sha256:") and line["run_id"] for line in lines)
