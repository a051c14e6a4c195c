"""What a person's command writes, as ``kubectl argo rollouts`` does (``pkg/kubectl-argo-rollouts/cmd``).

Each command is a pure function of the policy and the state; the `StatusPatched` that it returns is an
observation for the engine like any other. A command that does not apply writes nothing.
"""

from __future__ import annotations

from rolloutsim.engine.events import RunPhase, StatusPatched
from rolloutsim.engine.state import State
from rolloutsim.policy.model import Canary, Policy

__all__ = ["abort", "pause", "promote", "promote_full", "resume", "retry", "skip_all_steps", "skip_step"]


def promote(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Go on: end a pause, or (canary) skip the current step if there is none.

    After an inconclusive step analysis the step is left behind; to clear the pause alone would run the
    same analysis again. A rollout that a person paused is resumed as well.
    """
    unpause = False if state.facts.paused else None
    steps = _steps(policy)
    status = state.status
    index = min((status.step_index or 0) + 1, steps) if steps else None
    if status.pauses:
        run = status.step_run
        inconclusive = run is not None and run.phase is RunPhase.INCONCLUSIVE
        if inconclusive and status.controller_pause and steps:
            return StatusPatched(
                at,
                clear_pauses=True,
                controller_pause=False,
                step_index=index,
                spec_paused=unpause,
                actor=actor,
            )
        return StatusPatched(at, clear_pauses=True, spec_paused=unpause, actor=actor)
    return StatusPatched(at, clear_pauses=bool(steps), step_index=index, spec_paused=unpause, actor=actor)


def promote_full(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Skip pauses, steps and analyses; also an abort. Nothing if the update is stable already."""
    wanted = True if state.status.current != state.status.stable else None
    return StatusPatched(at, promote_full=wanted, actor=actor)


def skip_step(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Leave the current step behind (``promote --skip-current-step``).

    Raises
    ------
    ValueError : the policy has no steps.
    """
    steps = _steps(policy)
    if not steps:
        raise ValueError("cannot skip a step: the strategy has no steps")
    index = min((state.status.step_index or 0) + 1, steps)
    return StatusPatched(at, clear_pauses=True, step_index=index, actor=actor)


def skip_all_steps(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Leave all steps behind (``promote --skip-all-steps``).

    Raises
    ------
    ValueError : the policy has no steps.
    """
    steps = _steps(policy)
    if not steps:
        raise ValueError("cannot skip steps: the strategy has no steps")
    return StatusPatched(at, clear_pauses=True, step_index=steps, actor=actor)


def pause(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Set ``spec.paused``: no step completes and nothing scales until somebody resumes."""
    return StatusPatched(at, spec_paused=True, actor=actor)


def resume(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Unset ``spec.paused``."""
    return StatusPatched(at, spec_paused=False, actor=actor)


def abort(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Roll back to stable, and stay aborted until a retry, a full promotion or a new release."""
    return StatusPatched(at, abort=True, actor=actor)


def retry(policy: Policy, state: State, at: int, actor: str = "") -> StatusPatched:
    """Begin an aborted update again, from its first step and with new analysis runs."""
    return StatusPatched(at, abort=False, actor=actor)


def _steps(policy: Policy) -> int:
    return len(policy.strategy.steps) if isinstance(policy.strategy, Canary) else 0
