"""Our engine in the shadow agrees with a controller that does the same, and finds out one that does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from rolloutsim.live.argo.shadow import Difference, Shadow
from rolloutsim.live.argo.view import view_of
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import Canary, ExperimentStep, ExperimentTemplate, Policy
from rolloutsim.session import Entry, replay
from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.scenario_file import load_scenario
from tests.live.argo.controller import Controller, Objects, played

POLICIES = {
    "canary": "scenarios/article/canary.yaml",
    "guarded": "scenarios/policies/canary-guarded.yaml",
    "checked": "scenarios/policies/blue-green-checked.yaml",
}
WORLDS = "scenarios/article/worlds"
Spoil = Callable[[int, Objects], None]


def followed(
    policy: Policy, world: str, spoil: Spoil = lambda at, objects: None
) -> tuple[Shadow, list[Entry]]:
    """The shadow of a controller that played ``world``; ``spoil`` changes what it writes."""
    controller = Controller(policy, played(policy, load_scenario(f"{WORLDS}/{world}.yaml")))
    journal: list[Entry] = []
    shadow: Shadow | None = None
    for at, written in controller.seconds():
        objects = copy.deepcopy(written)
        spoil(at - ORIGIN_MS, objects)
        view = view_of(*objects)
        shadow = shadow or Shadow(policy, view, at, journal.append)
        shadow.look(view, at)
    assert shadow is not None
    return shadow, journal


@pytest.mark.parametrize("name", ["canary", "guarded"])
@pytest.mark.parametrize("world", ["good", "error-20pp", "crash"])
def test_a_controller_that_does_the_same_makes_no_difference(name: str, world: str) -> None:
    policy = load_policy(POLICIES[name])
    shadow, journal = followed(policy, world)
    assert shadow.first is None
    assert shadow.session.state.status.abort is (world == "error-20pp")
    assert len(journal) > 10


@pytest.mark.parametrize("first", [True, False])
def test_an_experiment_ends_the_comparison_and_is_no_difference(first: bool) -> None:
    policy = load_policy(POLICIES["guarded"])
    assert isinstance(policy.strategy, Canary)
    step = ExperimentStep((ExperimentTemplate("trial", canary=True),), duration_ms=120_000)
    steps = (step, *policy.strategy.steps) if first else (*policy.strategy.steps[:2], step)
    policy = replace(policy, strategy=replace(policy.strategy, steps=steps))
    shadow, journal = followed(policy, "good")
    assert shadow.first is None
    assert "from its experiment on the rollout is not compared" in shadow.blind
    assert len(journal) > 5


def test_the_shadow_s_journal_replays() -> None:
    policy = load_policy(POLICIES["guarded"])
    controller = Controller(policy, played(policy, load_scenario(f"{WORLDS}/error-20pp.yaml")))
    journal: list[Entry] = []
    shadow: Shadow | None = None
    for at, objects in controller.seconds():
        view = view_of(*objects)
        if shadow is None:
            shadow = Shadow(policy, view, at, journal.append)
            beginning = shadow.session.state
        shadow.look(view, at)
    assert shadow is not None
    assert replay(policy, beginning, journal) == shadow.session.state


def first_difference(spoil: Spoil, world: str = "error-20pp") -> Difference:
    shadow, _ = followed(load_policy(POLICIES["canary"]), world, spoil)
    assert shadow.first is not None
    return shadow.first


def test_a_controller_that_goes_on_too_early_is_found_out() -> None:
    def spoil(at: int, objects: Objects) -> None:
        if at > 120_000:
            objects[0]["status"]["currentStepIndex"] = 4

    found = first_difference(spoil)
    assert (found.what, found.theirs) == ("step", "4")
    assert "step: the controller has 4, our engine" in str(found)


def test_a_controller_that_does_not_abort_is_found_out() -> None:
    def spoil(at: int, objects: Objects) -> None:
        objects[0]["status"]["abort"] = False
        objects[0]["status"]["phase"] = "Progressing"

    found = first_difference(spoil)
    assert (found.what, found.ours, found.theirs) == ("aborted", "True", "False")


def test_a_verdict_that_our_conditions_do_not_give_is_found_out() -> None:
    def spoil(at: int, objects: Objects) -> None:
        for run in objects[3]:
            for result in run["status"]["metricResults"]:
                for one in result["measurements"]:
                    if one["phase"] == "Failed":
                        one["phase"] = "Successful"

    found = first_difference(spoil)
    assert found.what.startswith("measurement ")
    assert (found.ours, found.theirs) == ("Failed", "Successful")


def test_an_abort_without_a_reason_is_somebody_s_command() -> None:
    def spoil(at: int, objects: Objects) -> None:
        status = objects[0]["status"]
        if at > 60_000:
            status.update(abort=True, pauseConditions=[], currentStepIndex=0, phase="Degraded")
            status["message"] = "RolloutAborted: Rollout aborted update to revision 2"

    shadow, journal = followed(load_policy(POLICIES["canary"]), "good", spoil)
    assert shadow.session.state.status.abort
    assert any(getattr(entry.seen, "actor", "") == "somebody" for entry in journal)


def test_a_difference_that_passes_is_none() -> None:
    def spoil(at: int, objects: Objects) -> None:
        if 200_000 <= at < 205_000:
            objects[0]["status"]["currentStepIndex"] = 0

    shadow, _ = followed(load_policy(POLICIES["canary"]), "good", spoil)
    assert shadow.first is None


def test_a_retry_is_somebody_s_command() -> None:
    def spoil(at: int, objects: Objects) -> None:
        if at > 640_000:
            objects[0]["status"].update(abort=False, phase="Progressing", message="")

    shadow, journal = followed(load_policy(POLICIES["canary"]), "error-20pp", spoil)
    retries = [entry.seen for entry in journal if getattr(entry.seen, "abort", None) is False]
    assert [getattr(seen, "actor", "") for seen in retries] == ["somebody"]
    assert not shadow.session.state.status.abort
