"""How many pods each revision is asked to have (``rollout/replicaset.go``, ``rollout/canary.go``).

The first group of a canary whose size changes ends the scaling of a pass: stable, then the new revision,
then the others. A blue-green rollout scales all groups in one pass.
"""

from __future__ import annotations

from rolloutsim.engine import replicas
from rolloutsim.engine.state import INCONCLUSIVE_PAUSE, Revision
from rolloutsim.engine.traffic import canary_counts
from rolloutsim.engine.work import Work
from rolloutsim.policy.model import Canary

__all__ = ["blue_green_count", "remove_old_revisions", "scale_blue_green", "scale_canary", "scaling_event"]

DEFAULT_DELAY_MS = 30_000
"""Default of scaleDownDelaySeconds and abortScaleDownDelaySeconds where they apply."""


def scaling_event(work: Work) -> bool:
    """Whether the rollout's replicas changed since the new or the stable revision was scaled."""
    wanted = work.facts.replicas
    for revision in (work.new, work.stable):
        if revision is not None and revision.desired > 0 and revision.wanted not in (None, wanted):
            return True
    return False


def scale_canary(work: Work) -> bool:
    """Move one group of revisions; True if a size changed."""
    if work.halted:
        return False
    delays = _delays_on_abort(work)
    _remove_stale_deadlines(work, delays)
    new, stable = work.new, work.stable
    if stable is not None and (new is None or new.id != stable.id):
        # By the persisted weights: stable shrinks one reconcile after the router moved.
        count = canary_counts(work, work.status.weights).stable
        if work.scale(stable, count, forget_deadline=not delays):
            return True
    if new is None and not work.fully_promoted:
        new = work.revision(work.status.current)
    if new is not None:
        count = canary_counts(work, work.weights).canary
        if _scale_new(work, new, count, delays):
            return True
    return _scale_others_of_canary(work, delays)


def scale_blue_green(work: Work) -> None:
    """Stable to all replicas, the new revision to its target, the others by their deadlines."""
    delays = _delays_on_abort(work)
    _remove_stale_deadlines(work, delays)
    if work.stable is not None:
        work.scale(work.stable, work.facts.replicas, forget_deadline=not delays)
    if work.new is not None and not (work.stable is not None and work.stable.id == work.new.id):
        _scale_new(work, work.new, blue_green_count(work, work.new), delays)
    _scale_others_of_blue_green(work, delays)


def blue_green_count(work: Work, new: Revision) -> int:
    """Pods that the new revision of a blue-green rollout should have: all, or previewReplicaCount."""
    preview = work.blue_green.preview_replica_count
    status = work.status
    if preview is None or status.promote_full or status.active == new.id or not work.revision(status.active):
        return work.facts.replicas
    paused = work.facts.paused or bool(status.pauses)
    if new.id == status.current and not paused and status.preview_checkpoint:
        return work.facts.replicas
    return preview


# --- stable and new -------------------------------------------------------------------------------


def _abort_delay_ms(work: Work) -> int | None:
    """abortScaleDownDelaySeconds; None keeps the pods for ever (an explicit 0)."""
    strategy = work.policy.strategy
    given = getattr(strategy, "abort_scale_down_delay_ms", None)
    if given is None:
        return DEFAULT_DELAY_MS
    return given or None


def _delays_on_abort(work: Work) -> bool:
    """Whether the new revision of an aborted update keeps its pods until a scale-down deadline."""
    if not work.aborted or work.stable is None or _abort_delay_ms(work) is None:
        return False
    strategy = work.policy.strategy
    if not isinstance(strategy, Canary):
        return True
    if strategy.routing is None:
        return False
    return not strategy.dynamic_stable_scale or strategy.abort_scale_down_delay_ms is not None


def _remove_stale_deadlines(work: Work, delays: bool) -> None:
    if work.new is not None and not delays:
        work.set_deadline(work.new, None)
    if work.stable is not None:
        work.set_deadline(work.stable, None)


def _scale_new(work: Work, new: Revision, count: int, delays: bool) -> bool:
    if delays:
        if new.scale_down_at is None:
            # The deadline is written once stable can serve everybody; until then the pods stay.
            assert work.stable is not None
            delay_ms = _abort_delay_ms(work)
            if work.stable.available >= work.facts.replicas and delay_ms is not None:
                work.set_deadline(new, work.now + delay_ms)
            return False
        if work.now < new.scale_down_at:
            return False
        count = 0
    return work.scale(new, count, forget_deadline=not delays)


# --- others ---------------------------------------------------------------------------------------


def _newest_first(revisions: list[Revision]) -> list[Revision]:
    return sorted(revisions, key=lambda r: r.number, reverse=True)


def _referenced(work: Work, revision: Revision) -> bool:
    status = work.status
    named = [status.stable, status.current, status.active, status.preview]
    if status.weights is not None:
        named += [status.weights.canary_revision, status.weights.stable_revision]
    return revision.id in named or any(s.revision == revision.id for s in work.services.values())


def _scale_others_of_canary(work: Work, delays: bool) -> bool:
    others = [r for r in work.others if r.desired > 0]
    if not others:
        return False
    facts, strategy = work.facts, work.canary
    left = {r.id: r.desired for r in others}
    scaled = False
    for revision in sorted(others, key=lambda r: r.created_at):
        if revision.available > revision.desired:
            return False  # the controller gives up here until the pods are gone
        if revision.available < revision.desired:
            left[revision.id] = revision.available
            work.scale(revision, revision.available, forget_deadline=not delays)
            scaled = True
    least = facts.replicas - replicas.limits(strategy, facts.replicas).unavailable
    room = sum(r.available for r in facts.revisions) - least
    if room <= 0:
        return False
    annotated = 0
    for revision in _newest_first(others):
        if strategy.routing is not None and _referenced(work, revision):
            continue
        if room <= 0:
            break
        size = left[revision.id]
        if size == 0:
            continue
        if strategy.routing is None:
            count = max(0, size - room)
        elif strategy.dynamic_stable_scale or not (work.fully_promoted or revision.scale_down_at is not None):
            count = 0
        else:
            annotated, count = _after_delay(work, revision, annotated, size)
        if count != size:
            work.scale(revision, count, forget_deadline=not delays)
            room -= size - count
            scaled = True
    return scaled


def _scale_others_of_blue_green(work: Work, delays: bool) -> None:
    strategy = work.blue_green
    if work.pause(INCONCLUSIVE_PAUSE) is not None:
        return
    if strategy.post_promotion is not None and strategy.scale_down_delay_ms is None and _post_pending(work):
        return
    annotated = 0
    for revision in _newest_first([r for r in work.others if r.desired > 0]):
        if _referenced(work, revision):
            continue
        annotated, count = _after_delay(work, revision, annotated, work.facts.replicas)
        work.scale(revision, count, forget_deadline=not delays)


def _post_pending(work: Work) -> bool:
    """Whether post-promotion analysis is where it may run and has not succeeded."""
    new, run = work.new, work.status.post_run
    if new is None or work.fully_promoted or work.status.active != new.id:
        return False
    known = None if run is None else work.runs.get(run.name)
    return known is None or known.phase.value != "Successful"


def _after_delay(work: Work, revision: Revision, annotated: int, kept: int) -> tuple[int, int]:
    """The scale-down-deadline logic: revisions that wait so far, and the pods of this one.

    An explicit delay of 0 writes no deadline and therefore keeps the pods for ever
    (argoproj/argo-rollouts#1992).
    """
    strategy = work.policy.strategy
    limit = getattr(strategy, "scale_down_delay_revision_limit", None)
    may_wait = limit is None or annotated < limit
    if revision.scale_down_at is None:
        if not may_wait:
            return annotated, 0
        delay_ms = getattr(strategy, "scale_down_delay_ms", None)
        delay_ms = DEFAULT_DELAY_MS if delay_ms is None else delay_ms
        if delay_ms:
            work.set_deadline(revision, work.now + delay_ms)
        return annotated + 1, revision.desired
    if not may_wait or work.now >= revision.scale_down_at:
        return annotated + 1, 0
    return annotated + 1, kept


# --- history --------------------------------------------------------------------------------------


def remove_old_revisions(work: Work) -> None:
    """Remove the oldest empty revisions beyond ``revisionHistoryLimit``."""
    surplus = len(work.others) - work.policy.revision_history_limit
    if surplus <= 0:
        return
    for revision in sorted(work.others, key=lambda r: r.created_at)[:surplus]:
        if revision.desired == 0 and revision.created == 0:
            work.remove_revision(revision)
