"""The commands write what ``kubectl argo rollouts`` writes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rolloutsim.engine import (
    Snapshot,
    State,
    StatusPatched,
    abort,
    pause,
    promote,
    promote_full,
    resume,
    retry,
    skip_all_steps,
    skip_step,
    start,
)
from rolloutsim.engine.events import RunPhase
from rolloutsim.engine.state import INCONCLUSIVE_PAUSE, PauseCondition, RunSeen
from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy, SetWeight

CANARY = Policy("demo", Canary(steps=(SetWeight(20), Pause(), SetWeight(60))))
BLUE_GREEN = Policy("demo", BlueGreen("active"))


def at_step(index: int, **status: object) -> State:
    state = start(CANARY, Snapshot())
    changed = replace(state.status, step_index=index, stable="v1", current="v2", **status)  # type: ignore[arg-type]
    return replace(state, status=changed)


def test_promote_ends_a_pause() -> None:
    state = at_step(1, pauses=(PauseCondition("CanaryPauseStep", 0),), controller_pause=True)
    assert promote(CANARY, state, 5, "ada") == StatusPatched(5, clear_pauses=True, actor="ada")


def test_promote_skips_the_step_if_there_is_no_pause() -> None:
    assert promote(CANARY, at_step(0), 5) == StatusPatched(5, clear_pauses=True, step_index=1)
    assert promote(CANARY, at_step(3), 5) == StatusPatched(5, clear_pauses=True, step_index=3)


def test_promote_leaves_an_inconclusive_analysis_step_behind() -> None:
    state = at_step(
        1,
        pauses=(PauseCondition(INCONCLUSIVE_PAUSE, 0),),
        controller_pause=True,
        step_run=RunSeen("v2-2-1", RunPhase.INCONCLUSIVE),
    )
    expected = StatusPatched(5, clear_pauses=True, controller_pause=False, step_index=2)
    assert promote(CANARY, state, 5) == expected


def test_promote_resumes_what_a_person_paused() -> None:
    state = at_step(0)
    state = replace(state, facts=replace(state.facts, paused=True))
    assert promote(CANARY, state, 5).spec_paused is False


def test_promote_without_a_pause_does_nothing_to_blue_green() -> None:
    assert promote(BLUE_GREEN, start(BLUE_GREEN, Snapshot()), 5) == StatusPatched(5)


def test_promote_full_only_applies_to_an_update_in_flight() -> None:
    assert promote_full(CANARY, at_step(0), 5) == StatusPatched(5, promote_full=True)
    done = at_step(0)
    done = replace(done, status=replace(done.status, current="v1"))
    assert promote_full(CANARY, done, 5) == StatusPatched(5)


def test_steps_can_be_skipped_where_there_are_any() -> None:
    assert skip_step(CANARY, at_step(1), 5).step_index == 2
    assert skip_all_steps(CANARY, at_step(1), 5).step_index == 3
    for command in (skip_step, skip_all_steps):
        with pytest.raises(ValueError, match="no steps"):
            command(BLUE_GREEN, start(BLUE_GREEN, Snapshot()), 5)


def test_the_plain_commands() -> None:
    state = at_step(0)
    assert pause(CANARY, state, 5) == StatusPatched(5, spec_paused=True)
    assert resume(CANARY, state, 5) == StatusPatched(5, spec_paused=False)
    assert abort(CANARY, state, 5) == StatusPatched(5, abort=True)
    assert retry(CANARY, state, 5) == StatusPatched(5, abort=False)
