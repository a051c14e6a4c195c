"""Which analysis runs a rollout has, and what their phases do to it (``rollout/analysis.go``)."""

from __future__ import annotations

from dataclasses import replace

from rolloutsim.conditions import judge
from rolloutsim.engine.analysis import RunState, advance, create_run, record, terminate
from rolloutsim.engine.binding import late_values
from rolloutsim.engine.events import Measure, Measured, RunPhase
from rolloutsim.engine.holds import background_undecided
from rolloutsim.engine.measurements import MetricState, answer_timeout_ms, in_flight
from rolloutsim.engine.state import (
    BLUE_GREEN_PAUSE,
    CANARY_PAUSE,
    GATE_PAUSE,
    INCONCLUSIVE_PAUSE,
    RunSeen,
    State,
)
from rolloutsim.engine.steps import current_step
from rolloutsim.engine.work import RESYNC_MS, Work
from rolloutsim.policy.gate_steps import evidence_step
from rolloutsim.policy.model import Analysis, AnalysisStep, Policy

__all__ = [
    "BACKGROUND",
    "POST",
    "PRE",
    "STEP",
    "advance_runs",
    "ask_again",
    "asked_again_at",
    "fold_measured",
    "keep",
    "lacks_evidence",
    "reconcile_blue_green",
    "reconcile_canary",
]

STEP, BACKGROUND, PRE, POST = range(4)
"""Places in ``Work.current_runs`` and ``Waiting.runs``."""

_REASONS = (
    "Step-based analysis phase error/failed",
    "Background analysis phase error/failed",
    "Blue/green pre-promotion analysis phase error/failed",
    "Blue/green post-promotion analysis phase error/failed",
)


# --- the runs' own controller ---------------------------------------------------------------------


def advance_runs(work: Work) -> bool:
    """One pass over every run that is due; True if it asked for measurements.

    The rollout reads nothing but the phase and the message of a run, so only they make a change for it.
    """
    asked = False
    for name, run in work.runs.items():
        if run.due is None or run.due > work.now:
            continue
        moved, requests, events = advance(run, work.now, work.measure_id, work.exposed)
        work.runs[name] = moved
        work.events += events
        for request in requests:
            work.actions.append(request)
            asked = asked or isinstance(request, Measure)
        told = moved.phase is not run.phase or moved.message != run.message
        if told or (work.exposed is not None and _ends_hold(work, moved)):
            work.changed = True
    return asked


def _ends_hold(work: Work, run: RunState) -> bool:
    """Whether the evidence that the rollout waits for is there."""
    return work.pause(GATE_PAUSE) is not None and not background_undecided(run)


def asked_again_at(state: MetricState, after: int) -> int | None:
    """When a measurement without a time-out (a job, a plugin) is asked for again, next after ``after`` ms.

    None: no such measurement is in flight.
    """
    flight = in_flight(state)
    if flight is None or answer_timeout_ms(state.metric.provider) is not None:
        return None
    resyncs = max(0, after - flight.started) // RESYNC_MS + 1
    return flight.started + resyncs * RESYNC_MS


def ask_again(work: Work) -> None:
    """Ask for such measurements again at every resync, in case their answer was lost."""
    for run in work.runs.values():
        for state in run.metrics:
            at = asked_again_at(state, work.looked_at)
            if at is not None and at <= work.now:
                metric = state.metric
                again = Measure(work.measure_id(), run.name, metric.name, state.attempts, metric.provider)
                work.actions.append(again)


def fold_measured(policy: Policy, state: State, now: int, seen: Measured) -> State:
    """The state with an answer heard at ``now`` folded in; the same one if nobody waits for that answer."""
    for index, run in enumerate(state.runs):
        if run.name == seen.run:
            recorded = record(run, seen if seen.at == now else replace(seen, at=now), judge)
            if recorded is run:
                return state
            runs = (*state.runs[:index], recorded, *state.runs[index + 1 :])
            return State(
                now,
                state.facts,
                state.status,
                runs,
                state.run_names,
                state.waiting,
                state.unanswered,
                state.retry_at,
                state.backoff_ms,
                state.writes,
                state.dirty,
                state.looked_at,
                state.exposed,
                state.experiments,
            )
    return state


# --- the rollout's side ---------------------------------------------------------------------------


def _current(work: Work, place: int) -> RunSeen | None:
    """The run that the status names, as it stands now."""
    status = work.status
    seen = (status.step_run, status.background_run, status.pre_run, status.post_run)[place]
    run = None if seen is None else work.runs.get(seen.name)
    if run is None or seen is None or (seen.phase is run.phase and seen.message == run.message):
        return seen
    return RunSeen(run.name, run.phase, run.message)


def keep(work: Work) -> None:
    """Carry the current runs over as they are."""
    if not work.runs:
        status = work.status
        work.current_runs = [status.step_run, status.background_run, status.pre_run, status.post_run]
        return
    work.current_runs = [_current(work, place) for place in range(4)]


def _cancel(work: Work, seen: RunSeen | None) -> None:
    run = None if seen is None else work.runs.get(seen.name)
    if run is None:
        return
    ended = terminate(run)
    if ended is not run:
        work.runs[run.name] = ended
        work.changed = True


def _cancel_others(work: Work) -> None:
    """End every run that is not current any more, and forget those that are completed."""
    if not work.runs:
        return
    current = {seen.name for seen in work.current_runs if seen is not None}
    for one in work.experiments:
        if not one.phase.completed:
            current.update(run.name for run in one.runs if run is not None)
    for name, run in list(work.runs.items()):
        if name in current:
            continue
        if run.phase.completed:
            del work.runs[name]
            work.changed = True
        else:
            _cancel(work, RunSeen(name, run.phase))


def _skipped(work: Work) -> bool:
    status = work.status
    return work.aborted or status.promote_full or status.stable == "" or work.rollback_in_window()


def _cancel_all(work: Work) -> None:
    keep(work)
    for seen in work.current_runs:
        _cancel(work, seen)
    _cancel_others(work)


def reconcile_canary(work: Work) -> None:
    """Step analysis first, then background analysis.

    Raises
    ------
    PolicyError : a field argument of a new run names a field that the rollout does not have.
    """
    if _skipped(work) or work.fully_promoted:
        _cancel_all(work)
        return
    work.current_runs = [_step_run(work), _background_run(work), None, None]
    _cancel_others(work)


def reconcile_blue_green(work: Work, *, skip: bool, pre_ready: bool, post_ready: bool) -> None:
    """Pre-promotion, then post-promotion analysis; ``skip`` for a fast-tracked rollback.

    ``pre_ready`` and ``post_ready`` tell whether the new revision is where such a run may start.

    Raises
    ------
    PolicyError : as `reconcile_canary`.
    """
    if _skipped(work) or skip or work.fully_promoted:
        _cancel_all(work)
        return
    strategy = work.blue_green
    pre = _promotion_run(work, PRE, strategy.pre_promotion, "pre", pre_ready)
    post = _promotion_run(work, POST, strategy.post_promotion, "post", post_ready)
    work.current_runs = [None, None, pre, post]
    _cancel_others(work)


def _step_run(work: Work) -> RunSeen | None:
    current = _current(work, STEP)
    if work.status.pauses or work.status.abort:
        return current
    step, index = current_step(work.canary, work.status.step_index)
    infix = str(index)
    if not isinstance(step, AnalysisStep) or not _of_step(work, current, infix):
        _cancel(work, current)
        return None
    if _needs_new(work, current):
        return _create(work, step.analysis, infix)
    return _acted_on(work, STEP, current)


def _of_step(work: Work, current: RunSeen | None, infix: str) -> bool:
    """False for the run of another step, left behind by a promotion from one analysis to the next."""
    if current is None:
        return True
    base = _name(work, infix)
    return current.name == base or current.name.startswith(base + ".")


def _background_run(work: Work) -> RunSeen | None:
    current = _current(work, BACKGROUND)
    strategy = work.canary
    if strategy.background is None:
        _cancel(work, current)
        return None
    _, index = current_step(strategy, work.status.step_index)
    if work.new is None or (index is not None and index < (strategy.starting_step or 0)):
        return None
    if work.pause(INCONCLUSIVE_PAUSE) is not None:
        return current
    if _needs_new(work, current):
        return _create(work, strategy.background, "")
    return _acted_on(work, BACKGROUND, current)


def lacks_evidence(work: Work, index: int) -> bool:
    """Whether step ``index`` may not complete, because everybody is next and a gate has not passed.

    A person who has just resumed the rollout has answered for that.
    """
    if work.exposed is None or index != evidence_step(work.policy.strategy):
        return False
    resumed = work.status.controller_pause and not work.status.pauses
    if resumed or work.status.promote_full:
        return False
    seen = _current(work, BACKGROUND)
    return background_undecided(None if seen is None else work.runs.get(seen.name))


def _promotion_run(
    work: Work, place: int, analysis: Analysis | None, infix: str, ready: bool
) -> RunSeen | None:
    current = _current(work, place)
    if analysis is None:
        _cancel(work, current)
        return None
    if work.pause(INCONCLUSIVE_PAUSE) is None and _needs_new(work, current):
        # What an earlier attempt came to counts no more, even where the next run cannot start yet.
        return _create(work, analysis, infix) if ready else current
    return _acted_on(work, place, current)


def _needs_new(work: Work, current: RunSeen | None) -> bool:
    """A first run, one more after a person resumed an inconclusive one, or after a retry."""
    if current is None:
        return True
    waits = any(work.pause(reason) for reason in (CANARY_PAUSE, BLUE_GREEN_PAUSE, GATE_PAUSE))
    resumed = work.status.controller_pause and not waits
    if resumed:
        return current.phase is RunPhase.INCONCLUSIVE
    return work.status.aborted_at is not None


def _acted_on(work: Work, place: int, current: RunSeen | None) -> RunSeen | None:
    """An inconclusive run pauses the rollout, a failed one aborts it."""
    if current is None:
        return None
    if current.phase is RunPhase.INCONCLUSIVE:
        work.add_pauses.append(INCONCLUSIVE_PAUSE)
    elif current.phase in (RunPhase.ERROR, RunPhase.FAILED):
        reason = _REASONS[place]
        work.abort_message = f"{reason}: {current.message}" if current.message else reason
    return current


def _name(work: Work, infix: str) -> str:
    base = f"{work.facts.asked}-{work.number}"
    return f"{base}-{infix}" if infix else base


def _create(work: Work, analysis: Analysis, infix: str) -> RunSeen:
    bindings = late_values(
        analysis, stable=work.status.stable, latest=work.facts.asked, fields=dict(work.facts.fields)
    )
    base = _name(work, infix)
    name = work.free_name(base)
    counts_from = work.now if name != base else 0
    work.runs[name] = create_run(name, analysis, bindings, work.now, counts_from=counts_from)
    work.changed = True
    return RunSeen(name, RunPhase.NEW)
