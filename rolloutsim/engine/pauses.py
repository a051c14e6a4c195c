"""When a rollout pauses by itself, and when such a pause is over (``rollout/pause.go``).

Time is compared with ``>=``: a pause of 60 s that began at 105 s is over at 165 s. A person resumes by
deleting the pause conditions; that the controller had paused (``controller_pause``) then reads as resumed.
"""

from __future__ import annotations

from rolloutsim.engine.state import BLUE_GREEN_PAUSE, CANARY_PAUSE, State, Status
from rolloutsim.engine.steps import current_step
from rolloutsim.engine.work import Work
from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy

__all__ = [
    "awaits_person",
    "blue_green_pause_over",
    "canary_pause_over",
    "needs_blue_green_pause",
    "pause_at_step",
    "pause_end",
]


def pause_at_step(work: Work) -> None:
    """Begin the pause of a pause step: its timer starts now."""
    step, _ = current_step(work.canary, work.status.step_index)
    if work.facts.paused or work.status.promote_full or not isinstance(step, Pause):
        return
    if work.pause(CANARY_PAUSE) is None and not work.status.controller_pause:
        work.add_pauses.append(CANARY_PAUSE)


def canary_pause_over(work: Work, step: Pause) -> bool:
    condition = work.pause(CANARY_PAUSE)
    if condition is None:
        return work.status.controller_pause
    return step.duration_ms is not None and work.now >= condition.since + step.duration_ms


def needs_blue_green_pause(work: Work) -> bool:
    strategy = work.blue_green
    return not strategy.auto_promotion_enabled or strategy.auto_promotion_ms > 0


def blue_green_pause_over(work: Work) -> bool:
    """Whether nothing (more) holds the switch of the active Service back."""
    if work.add_pauses:
        return False
    if work.status.preview_checkpoint or not needs_blue_green_pause(work):
        return True
    condition = work.pause(BLUE_GREEN_PAUSE)
    strategy = work.blue_green
    if strategy.auto_promotion_enabled:
        return condition is not None and work.now >= condition.since + strategy.auto_promotion_ms
    return work.status.controller_pause and condition is None


def pause_end(policy: Policy, status: Status) -> int | None:
    """When the pause in force ends by itself, in ms; None if it does not, or there is none."""
    strategy = policy.strategy
    for condition in status.pauses:
        if condition.reason == BLUE_GREEN_PAUSE and isinstance(strategy, BlueGreen):
            return condition.since + strategy.auto_promotion_ms if strategy.auto_promotion_enabled else None
        if condition.reason == CANARY_PAUSE and isinstance(strategy, Canary):
            step, _ = current_step(strategy, status.step_index)
            if isinstance(step, Pause) and step.duration_ms is not None:
                return condition.since + step.duration_ms
    return None


def awaits_person(policy: Policy, state: State) -> bool:
    """Whether the rollout goes on only when a person says so: a pause in force has no end of its own."""
    if state.facts.paused:
        return True
    return bool(state.status.pauses) and pause_end(policy, state.status) is None
