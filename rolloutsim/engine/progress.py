"""The status half of a pass: counts, pauses, conditions, phase (``rollout/sync.go`` of Argo Rollouts).

The status is computed anew from the facts and from what the action half decided, and written only if
anything differs; events tell people what changed.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter

from rolloutsim.engine.draft import Draft
from rolloutsim.engine.events import Aborted, Paused, Phase, PhaseChanged, Promoted, Resumed
from rolloutsim.engine.state import Facts, PauseCondition, Progressing, Status, Waiting
from rolloutsim.engine.steps import current_step, indefinite
from rolloutsim.engine.work import Work
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = [
    "begin",
    "check_paused_conditions",
    "judge_conditions",
    "mark_created",
    "persist",
    "progress_deadline",
    "promote",
    "reset",
]

ABORTED = "RolloutAborted"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "RolloutPaused"
RESUMED = "RolloutResumed"
RETRIED = "RolloutRetry"
AVAILABLE = "NewReplicaSetAvailable"
UPDATED = "ReplicaSetUpdated"
NOT_AVAILABLE = "ReplicaSetNotAvailable"
CREATED = "NewReplicaSetCreated"

_NOT_READ = frozenset({"replicas", "updated", "ready", "available", "progressing", "phase", "message"})
"""Fields of a status that no pass reads but to compare them with their own next values."""


# --- the beginning of a status --------------------------------------------------------------------


def begin(work: Work, waiting: Waiting) -> Draft:
    """The status rebuilt from the facts: what is not set again below does not survive."""
    draft = Draft.of(work.status)
    revisions = work.revisions
    draft.current = work.facts.asked
    draft.updated = 0 if work.new is None else work.new.created
    draft.replicas = draft.ready = draft.available = 0
    for revision in revisions:
        draft.replicas += revision.created
        draft.ready += revision.ready
        draft.available += revision.available
    draft.promote_full = draft.promote_full and draft.current != draft.stable
    draft.weights = waiting.weights
    if draft.weights is not None and draft.weights.verified != work.facts.verified:
        draft.weights = replace(draft.weights, verified=work.facts.verified)
    draft.step_run, draft.background_run, draft.pre_run, draft.post_run = waiting.runs
    draft.experiment = waiting.experiment
    return draft


def reset(work: Work, draft: Draft) -> None:
    """Begin an update anew: a new template, or other steps."""
    work.clear_pauses = True
    work.remove_abort = True
    draft.promote_full = False
    draft.step_run = draft.background_run = draft.pre_run = draft.post_run = draft.experiment = None
    draft.preview_checkpoint = False
    strategy = work.policy.strategy
    draft.step_index = 0 if isinstance(strategy, Canary) and strategy.steps else None


def promote(work: Work, draft: Draft, reason: str) -> None:
    """Mark the revision that is asked for as stable."""
    work.clear_pauses = True
    work.remove_abort = True
    draft.promote_full = False
    draft.preview_checkpoint = False
    strategy = work.policy.strategy
    if isinstance(strategy, Canary):
        draft.step_index = len(strategy.steps) or None
    if draft.stable != draft.current:
        if isinstance(strategy, Canary) and strategy.ping_pong is not None:
            draft.ping_pong = "pong" if draft.ping_pong == "ping" else "ping"
        draft.stable = draft.current
        work.events.append(Promoted(draft.current, work.number, reason))


def mark_created(work: Work) -> None:
    """The new revision was created: progress, and nothing else in this pass."""
    work.status = replace(work.status, progressing=Progressing(True, CREATED, "", work.now))
    work.changed = True


# --- conditions -----------------------------------------------------------------------------------


def judge_conditions(work: Work, draft: Draft) -> None:
    """Healthy and Progressing, and the abort that a missed progress deadline may bring."""
    old = work.status
    healthy = _is_healthy(work, draft)
    is_paused = bool(old.pauses) or work.facts.paused
    became_unhealthy = False
    if healthy and not is_paused:
        draft.healthy = True
    elif old.healthy is not None:
        became_unhealthy = old.healthy
        draft.healthy = False
    progressed = became_unhealthy or (not healthy and _progressed(work, draft))
    late = not healthy and not progressed and not work.aborted and _timed_out(work)
    if late and work.policy.progress_deadline_abort and draft.stable != draft.current:
        work.abort_message = _time_out_message(work)
    if work.aborted:
        _set_aborted(work, draft)
    elif healthy:
        if not is_paused:
            _set_progressing(work, draft, True, AVAILABLE, "")
    elif progressed:
        unhealthy = draft.stable == draft.current and became_unhealthy
        reason = NOT_AVAILABLE if unhealthy else UPDATED
        draft.progressing = Progressing(True, reason, "", work.now)
    elif late:
        _set_progressing(work, draft, False, TIMED_OUT, _time_out_message(work))


def _set_aborted(work: Work, draft: Draft) -> None:
    message = f"Rollout aborted update to revision {work.number}"
    if work.abort_message:
        message = f"{message}: {work.abort_message}"
    if _set_progressing(work, draft, False, ABORTED, message):
        work.events.append(Aborted(draft.current, work.number, message))


def _set_progressing(work: Work, draft: Draft, status: bool | None, reason: str, message: str) -> bool:
    # A condition that keeps its status and reason keeps its message and its clock.
    old = draft.progressing
    if old is not None and old.status is status and old.reason == reason:
        return False
    draft.progressing = Progressing(status, reason, message, work.now)
    return True


def _time_out_message(work: Work) -> str:
    return f'ReplicaSet "{work.facts.asked}" has timed out progressing.'


def _is_healthy(work: Work, draft: Draft) -> bool:
    replicas = work.facts.replicas
    if not (draft.updated == draft.available == replicas and work.facts.observed):
        return False
    strategy = work.policy.strategy
    if isinstance(strategy, BlueGreen):
        return draft.active == draft.current and (
            not strategy.preview_service or draft.preview == draft.current
        )
    steps = len(strategy.steps) if isinstance(strategy, Canary) else 0
    executed = not steps or draft.step_index in (None, steps)
    return executed and draft.stable == draft.current and draft.replicas == replicas


def _progressed(work: Work, draft: Draft) -> bool:
    old = work.status
    if isinstance(work.policy.strategy, BlueGreen):
        moved = draft.active != old.active or draft.preview != old.preview
    else:
        both = draft.step_index is not None and old.step_index is not None
        moved = (
            draft.stable != old.stable
            or (both and draft.step_index != old.step_index)
            or draft.steps_hash != old.steps_hash
        )
    return (
        moved
        or draft.updated != old.updated
        or draft.replicas - draft.updated < old.replicas - old.updated
        or draft.ready > old.ready
        or draft.available > old.available
    )


def progress_deadline(policy: Policy, facts: Facts, status: Status) -> int | None:
    """When the update counts as stuck, in ms; None while the progress clock does not run.

    It does not run at pause, analysis and experiment steps, while paused or aborted, or while an old
    revision waits for its scale-down deadline.
    """
    progressing = status.progressing
    if progressing is None or progressing.reason in (ABORTED, PAUSED) or status.paused:
        return None
    strategy = policy.strategy
    if isinstance(strategy, Canary) and indefinite(current_step(strategy, status.step_index)[0]):
        return None
    for r in facts.revisions:
        if r.scale_down_at is not None and r.id != facts.asked and r.id != status.stable:
            return None
    return progressing.updated + policy.progress_deadline_ms


def _timed_out(work: Work) -> bool:
    deadline = progress_deadline(work.policy, work.facts, work.status)
    if deadline is None:
        return False
    known = work.status.progressing is not None and work.status.progressing.reason == TIMED_OUT
    return known or work.now >= deadline


# --- pauses ---------------------------------------------------------------------------------------


def check_paused_conditions(work: Work) -> bool:
    """Bring the conditions in line with the pauses (after a person resumed, or asked for a retry).

    True if the status was written, which ends the pass.
    """
    status = work.status
    progressing = status.progressing
    reason = "" if progressing is None else progressing.reason
    is_paused = bool(status.pauses) or work.facts.paused
    paused = status.paused
    if reason == ABORTED:
        if status.abort:
            return False
        moved = RETRIED
    else:
        aligned = is_paused == (reason == PAUSED)
        if aligned and is_paused == (paused is True):
            return False
        moved = "" if aligned else (PAUSED if is_paused else RESUMED)
        paused = paused if is_paused == (paused is True) else is_paused
    draft = Draft.of(status)
    draft.paused = paused
    if moved:
        draft.progressing = Progressing(None, moved, "", work.now)
    _write(work, draft)
    return True


def _write_pauses(work: Work, draft: Draft) -> None:
    old = work.status
    draft.abort = work.aborted
    draft.aborted_at = None
    draft.pauses = ()
    draft.controller_pause = False
    if draft.abort:
        draft.aborted_at = work.now if old.aborted_at is None else old.aborted_at
        return
    if work.clear_pauses or not (old.pauses or work.add_pauses):
        return
    known = {condition.reason for condition in old.pauses}
    kept = [condition for condition in old.pauses if condition.reason not in work.remove_pauses]
    added = [reason for reason in dict.fromkeys(work.add_pauses) if reason not in known]
    kept.extend(PauseCondition(reason, work.now) for reason in added)
    if kept:
        draft.controller_pause = old.controller_pause or bool(added)
        draft.pauses = tuple(kept)


# --- the end --------------------------------------------------------------------------------------


def persist(work: Work, draft: Draft) -> None:
    """Write the status, if anything differs, and tell people."""
    was_paused = bool(work.status.pauses)
    _write_pauses(work, draft)
    if was_paused != bool(draft.pauses):
        if draft.pauses:
            work.events.append(Paused(draft.pauses[0].reason))
        elif draft.aborted_at is None:
            work.events.append(Resumed())
    _write(work, draft)


def _write(work: Work, draft: Draft) -> None:
    old = work.status
    if not work.facts.observed:
        work.set_facts(replace(work.facts, observed=True))
    draft.phase, draft.message = _phase(work, draft)
    if draft.equals(old):
        return
    work.status = draft.freeze()
    work.changed = work.changed or _matters(work.status, old)
    if old.phase is not draft.phase or old.message != draft.message or _reasons(old) != _reasons(draft):
        work.events.append(PhaseChanged(draft.phase, draft.message, draft.step_index))


_READ = attrgetter(*(f.name for f in fields(Status) if f.name not in _NOT_READ))


def _matters(new: Status, old: Status) -> bool:
    """Whether the next pass may come to something else because the status changed from old to new.

    It reads neither the counts nor what people are told, and of the progress only the reason: the clock
    has a timer of its own.
    """
    before = "" if old.progressing is None else old.progressing.reason
    after = "" if new.progressing is None else new.progressing.reason
    return before != after or bool(_READ(new) != _READ(old))


def _reasons(status: Status | Draft) -> list[str]:
    return [condition.reason for condition in status.pauses]


def _phase(work: Work, draft: Draft) -> tuple[Phase, str]:
    """Phase and message, the first that fits (``CalculateRolloutPhase``)."""
    progressing = draft.progressing
    if progressing is not None and progressing.reason in (ABORTED, TIMED_OUT):
        return Phase.DEGRADED, f"{progressing.reason}: {progressing.message}"
    if work.facts.paused:
        return Phase.PAUSED, "manually paused"
    if draft.pauses:
        return Phase.PAUSED, draft.pauses[0].reason
    message = _unfinished(work, draft)
    return (Phase.PROGRESSING, message) if message else (Phase.HEALTHY, "")


def _unfinished(work: Work, draft: Draft) -> str:
    if draft.updated < work.facts.replicas:
        return "more replicas need to be updated"
    if draft.available < draft.updated:
        return "updated replicas are still becoming available"
    promoted = draft.stable != "" and draft.stable == draft.current
    strategy = work.policy.strategy
    if isinstance(strategy, BlueGreen):
        if draft.active == "" or draft.active != draft.current:
            return "active service cutover pending"
        if promoted:
            return ""
        if strategy.post_promotion is not None:
            run = draft.post_run
            if run is None or not run.phase.completed:
                return "waiting for analysis to complete"
        return "waiting for post-promotion verification to complete"
    routed = isinstance(strategy, Canary) and strategy.routing is not None
    if not routed and draft.replicas > draft.updated:
        return "old replicas are pending termination"
    return "" if promoted else "waiting for all steps to complete"
