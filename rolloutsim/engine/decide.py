"""The three functions of the engine: `start`, `decide`, `deadline`.

Fold, then tick. Every observation except `Tick` only updates the picture. A `Tick` runs one pass: the
analysis runs that are due, then the status half of a pass whose writes are answered by now, then the
action half of the next pass over facts that do not move meanwhile. A pass that writes nothing gets its
status half at once. While anything changed that a pass reads, the deadline is now, and the caller ticks
again; a tick that only moved measurements on runs no pass.

A tick that asks for measurements leaves the rollout to the next tick: the answers that are known at once
are folded in between, as the controller's own measurements are over when its analysis reconcile ends.
"""

from __future__ import annotations

from rolloutsim.engine import bluegreen, canary, progress, rolling
from rolloutsim.engine.draft import Draft
from rolloutsim.engine.events import Observation, Phase, PolicyChanged, Tick
from rolloutsim.engine.experiment import timers
from rolloutsim.engine.experiments import advance_experiments
from rolloutsim.engine.exposure import followed, has_gates
from rolloutsim.engine.fold import at_time, fold
from rolloutsim.engine.pauses import pause_end
from rolloutsim.engine.runs import advance_runs, ask_again, asked_again_at
from rolloutsim.engine.scaling import scale_blue_green, scale_canary, scaling_event
from rolloutsim.engine.spans import Exposed
from rolloutsim.engine.state import Decision, Facts, ServiceFact, Snapshot, State, Status, Waiting
from rolloutsim.engine.steps import steps_hash
from rolloutsim.engine.traffic import VERIFY_RETRY_MS
from rolloutsim.engine.work import LOST_ANSWER_MS, RESYNC_MS, Work
from rolloutsim.errors import PolicyError
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = ["deadline", "decide", "start"]

PROGRESS_CHECK_MS = 1_000
"""The controller looks for a missed progress deadline this long after it."""


def start(policy: Policy, world: Snapshot) -> State:
    """The state at the beginning, from the world as found.

    Raises
    ------
    ValueError : the snapshot's stable revision is not among its revisions.
    """
    ids = {revision.id for revision in world.revisions}
    if world.stable and world.stable not in ids:
        raise ValueError(f"the stable revision {world.stable!r} is not among the revisions of the snapshot")
    hashed = steps_hash(policy.strategy)
    services = tuple(ServiceFact(role, revision, revision in ids) for role, revision in world.services)
    facts = Facts(
        revisions=world.revisions,
        services=services,
        weight=world.weight,
        verified=None,
        weight_at=world.at,
        routes=False,
        asked=world.stable,
        fields=(),
        replicas=policy.replicas,
        paused=policy.paused,
        steps_hash=hashed,
        observed=False,
    )
    status = Status()
    if world.stable:
        steps = len(policy.strategy.steps) if isinstance(policy.strategy, Canary) else 0
        status = Status(
            stable=world.stable,
            current=world.stable,
            step_index=steps or None,
            steps_hash=hashed,
            # a canary has no active Service: it would keep the old revision's pods for ever
            active="" if isinstance(policy.strategy, Canary) else world.stable,
        )
    exposed = Exposed(world.stable) if has_gates(policy) else None
    return State(world.at, facts, status, looked_at=world.at, exposed=exposed)


def decide(policy: Policy, state: State, seen: Observation) -> Decision:
    """The next state, what to do, and what to tell people, upon one observation."""
    decision = _ticked(policy, state, seen) if isinstance(seen, Tick) else Decision(fold(policy, state, seen))
    after = decision.state
    if after.exposed is None:
        return decision
    moved = followed(seen.policy if isinstance(seen, PolicyChanged) else policy, after)
    return decision if moved is after else Decision(moved, decision.actions, decision.events)


def _ticked(policy: Policy, state: State, tick: Tick) -> Decision:
    now = max(state.now, tick.at)
    due = _due(policy, state, now)
    if due is None or now < due:
        return Decision(at_time(state, now))
    return _tick(Work(policy, state, now), state)


# --- one tick -------------------------------------------------------------------------------------


def _tick(work: Work, state: State) -> Decision:
    if work.retry_at is not None and work.now >= work.retry_at:
        work.waiting, work.unanswered, work.retry_at = None, (), None
        work.dirty = True
    ask_again(work)
    asked = advance_runs(work)
    if asked or (work.retry_at is not None and (work.unanswered or work.waiting is None)):
        work.dirty = work.dirty or work.changed
        return work.freeze()
    waiting = work.waiting
    if waiting is not None:
        work.waiting, work.retry_at = None, None
        work.resume(waiting)
        _finish(work, waiting)
    elif not (work.dirty or work.changed or _timer_is_over(state, work)):
        work.looked_at = work.now
        return work.freeze()
    # The pass sees all that changed so far; only what it changes itself calls for another one.
    work.changed = False
    work.open(work.facts.revisions)
    _pass(work)
    work.looked_at = work.now
    work.dirty = work.changed
    return work.freeze()


def _pass(work: Work) -> None:
    """The action half of a pass, and its status half if there is nothing to wait for."""
    if not work.facts.asked or (work.facts.observed and progress.check_paused_conditions(work)):
        return
    work.bump_number()
    advance_experiments(work)
    try:
        waiting = _act(work)
    except PolicyError:
        work.back_off()
        return
    if work.unanswered:
        work.waiting = waiting or work.wait()
        work.retry_at = work.now + LOST_ANSWER_MS
    elif waiting is not None:
        _finish(work, waiting)


def _act(work: Work) -> Waiting | None:
    strategy = work.policy.strategy
    if isinstance(strategy, Canary):
        if scaling_event(work):
            scale_canary(work)
            return work.wait(scaling_only=True)
        return canary.act(work)
    if isinstance(strategy, BlueGreen):
        if scaling_event(work):
            scale_blue_green(work)
            return work.wait(scaling_only=True)
        return bluegreen.act(work)
    return rolling.act(work)


def _finish(work: Work, waiting: Waiting) -> None:
    """The status half of a pass whose writes are all answered."""
    work.backoff_ms = 0
    if waiting.created:
        progress.mark_created(work)
    elif waiting.scaling_only:
        _write_scaled(work)
    elif isinstance(work.policy.strategy, Canary):
        canary.write_status(work, waiting)
    elif isinstance(work.policy.strategy, BlueGreen):
        bluegreen.write_status(work, waiting)
    else:
        rolling.write_status(work, waiting)


def _write_scaled(work: Work) -> None:
    """After a change of the replicas only the available pods are counted anew."""
    draft = Draft.of(work.status)
    active = work.revision(work.status.active) if isinstance(work.policy.strategy, BlueGreen) else None
    revisions = work.revisions if active is None else (active,)
    draft.available = sum(revision.available for revision in revisions)
    progress.persist(work, draft)


# --- the deadline ---------------------------------------------------------------------------------


def deadline(policy: Policy, state: State) -> int | None:
    """When the engine wants its next tick, in ms; None: done, or waiting for a person.

    It may be now (``state.now``). The resync of the controller is the deadline of last resort.
    """
    return _due(policy, state, state.now)


def _due(policy: Policy, state: State, now: int) -> int | None:
    if not state.facts.asked:
        return None
    due: int | None = None
    for run in state.runs:
        if run.due is not None and (due is None or run.due < due):
            due = run.due
    if due is not None and due < now:
        due = now
    if state.unanswered or (state.waiting is None and state.retry_at is not None):
        assert state.retry_at is not None
        return state.retry_at if due is None else min(due, state.retry_at)
    if due == now or state.dirty or state.waiting is not None:
        return now
    times = [] if due is None else [due]
    for run in state.runs:
        for metric in run.metrics:
            again = asked_again_at(metric, state.looked_at)
            if again is not None:
                times.append(again)
    timer = _next_timer(policy, state, PROGRESS_CHECK_MS)
    if timer is not None:
        times.append(timer)
    if times:
        return max(now, min(times))
    return None if _at_rest(state) else max(now, state.looked_at + RESYNC_MS)


def _timer_is_over(state: State, work: Work) -> bool:
    """Whether a pass may come to something else than the last one because of the time alone."""
    timer = _next_timer(work.policy, state, 0)
    return (timer is not None and timer <= work.now) or work.now >= state.looked_at + RESYNC_MS


def _next_timer(policy: Policy, state: State, progress_lag_ms: int) -> int | None:
    """The first time after the last pass at which the time alone may change what a pass does."""
    facts, status = state.facts, state.status
    times = [r.scale_down_at for r in facts.revisions if r.scale_down_at is not None and r.desired > 0]
    for one in state.experiments:
        times += timers(one)
    if status.pauses and not facts.paused:
        end = pause_end(policy, status)
        if end is not None:
            times.append(end)
    if facts.verified is False:
        times.append(facts.weight_at + VERIFY_RETRY_MS)
    late = _late(policy, state)
    if late is not None:
        times.append(late + progress_lag_ms)
    first: int | None = None
    for time in times:
        if time > state.looked_at and (first is None or time < first):
            first = time
    return first


def _late(policy: Policy, state: State) -> int | None:
    """When the update counts as stuck; None if it cannot, or does already."""
    facts, status = state.facts, state.status
    timed_out = status.progressing is not None and status.progressing.reason == progress.TIMED_OUT
    if timed_out or status.healthy or status.pauses or facts.paused or status.abort:
        return None
    return progress.progress_deadline(policy, facts, status)


def _at_rest(state: State) -> bool:
    """Done, or a person's turn, with every pod where it should be."""
    if any(not r.desired == r.created == r.available for r in state.facts.revisions):
        return False
    if any(not t.desired == t.created == t.available for one in state.experiments for t in one.templates):
        return False
    status = state.status
    return status.phase in (Phase.HEALTHY, Phase.PAUSED) or status.abort
