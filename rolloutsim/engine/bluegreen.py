"""One reconcile of a blue-green rollout (``rollout/bluegreen.go`` of Argo Rollouts)."""

from __future__ import annotations

from rolloutsim.engine import progress, runs
from rolloutsim.engine.draft import Draft
from rolloutsim.engine.events import Role, RunPhase
from rolloutsim.engine.pauses import blue_green_pause_over, needs_blue_green_pause
from rolloutsim.engine.scaling import blue_green_count, remove_old_revisions, scale_blue_green
from rolloutsim.engine.state import BLUE_GREEN_PAUSE, Revision, RunSeen, Waiting
from rolloutsim.engine.work import Work

__all__ = ["act", "write_status"]


def act(work: Work) -> Waiting | None:
    """The action half: what the status half will need.

    Raises
    ------
    PolicyError : an analysis run cannot be created.
    """
    new = work.new
    if new is None:
        work.create_revision(work.facts.asked)
        return work.wait(created=True)
    if work.blue_green.preview_service and not work.halted:
        _switch(work, Role.PREVIEW, new.id)
    if work.template_changed:
        return work.wait()
    scale_blue_green(work)
    remove_old_revisions(work)
    _reconcile_pause(work, new)
    active = _reconcile_active(work, new)
    runs.reconcile_blue_green(
        work,
        skip=_fast_rollback(work, new),
        pre_ready=_pre_ready(work, new),
        post_ready=active == new.id and work.status.active == new.id and _saturated(work, new),
    )
    return work.wait(fast_rollback=_fast_rollback(work, new))


# --- questions ------------------------------------------------------------------------------------


def _saturated(work: Work, revision: Revision) -> bool:
    replicas = work.facts.replicas
    return revision.desired == revision.available == replicas and revision.wanted == replicas


def _ready_for_pause(work: Work, new: Revision) -> bool:
    count = blue_green_count(work, new)
    return new.desired == count and new.available == count


def _pre_ready(work: Work, new: Revision) -> bool:
    active = work.status.active
    if active in ("", new.id):
        return False
    preview = work.blue_green.preview_replica_count
    if preview is not None:
        return new.desired == preview and new.available == preview
    return _saturated(work, new)


def _fast_rollback(work: Work, new: Revision) -> bool:
    """Back to stable, or to a revision that still waits for its scale-down deadline."""
    waits = new.scale_down_at is not None and work.now < new.scale_down_at
    return waits or new.id == work.status.stable


def _fast_tracked(work: Work, new: Revision) -> bool:
    return (
        _fast_rollback(work, new)
        or work.rollback_in_window()
        or work.status.promote_full
        or work.selects(Role.ACTIVE) in ("", new.id)
    )


def _succeeded(work: Work, seen: RunSeen | None) -> bool:
    run = None if seen is None else work.runs.get(seen.name)
    phase = run.phase if run is not None else (None if seen is None else seen.phase)
    return phase is RunPhase.SUCCESSFUL


def _pre_promotion_done(work: Work) -> bool:
    return work.blue_green.pre_promotion is None or _succeeded(work, work.status.pre_run)


# --- the action half ------------------------------------------------------------------------------


def _switch(work: Work, role: Role, revision: str) -> None:
    service = work.services.get(role)
    if service is None or service.revision != revision:
        work.set_service(role, revision)


def _reconcile_pause(work: Work, new: Revision) -> None:
    """Pause before the switch, or resume; the clock starts when the new revision is ready."""
    if work.status.abort or not _ready_for_pause(work, new) or work.halted:
        return
    managed = not _fast_tracked(work, new) and not work.status.preview_checkpoint
    if not managed or not needs_blue_green_pause(work):
        work.remove_pauses.append(BLUE_GREEN_PAUSE)
        return
    if not _pre_promotion_done(work):
        return
    if work.pause(BLUE_GREEN_PAUSE) is not None:
        if blue_green_pause_over(work):
            work.remove_pauses.append(BLUE_GREEN_PAUSE)
    elif not work.status.controller_pause:
        work.add_pauses.append(BLUE_GREEN_PAUSE)


def _reconcile_active(work: Work, new: Revision) -> str:
    """Switch the active Service; returns what it selects then.

    The controller looks at the saturation of the new revision before it looks at an abort: if one new pod
    is missing, an abort after the switch leaves the Service where it is (argoproj/argo-rollouts#2824).
    """
    selected = work.selects(Role.ACTIVE)
    if work.halted or not _ready_for_pause(work, new) or not _saturated(work, new):
        return selected
    wanted = selected
    if _fast_tracked(work, new) or (blue_green_pause_over(work) and _pre_promotion_done(work)):
        wanted = new.id
    if work.status.abort:
        wanted = work.status.stable
    if wanted and wanted != selected:
        _switch(work, Role.ACTIVE, wanted)
    return wanted


# --- the status half ------------------------------------------------------------------------------


def write_status(work: Work, waiting: Waiting) -> None:
    """The status half: selectors, promotion, the checkpoint of previewReplicaCount."""
    draft = progress.begin(work, waiting)
    draft.step_index = None
    draft.steps_hash = work.facts.steps_hash
    changed = work.template_changed
    if changed:
        progress.reset(work, draft)
    if work.status.promote_full or work.rollback_in_window():
        work.clear_pauses = True
        work.remove_abort = True
    draft.preview = work.selects(Role.PREVIEW)
    draft.active = work.selects(Role.ACTIVE)
    reason = _promotion(work, draft, waiting)
    if reason:
        progress.promote(work, draft, reason)
    else:
        draft.preview_checkpoint = not changed and _checkpoint(work, draft)
    active = work.revision(draft.active)
    if active is not None:
        draft.available = active.available
        draft.ready = active.ready
    progress.judge_conditions(work, draft)
    progress.persist(work, draft)


def _promotion(work: Work, draft: Draft, waiting: Waiting) -> str:
    if work.stable is None or draft.active == "":
        return "Initial deploy"
    if draft.active != draft.current or work.new is None:
        return ""
    if work.status.promote_full:
        return "Full promotion requested"
    if work.rollback_in_window():
        return "Rollback within window"
    if work.aborted:
        return ""
    if waiting.fast_rollback:
        return "Fast rollback"
    if work.blue_green.post_promotion is not None and not (
        draft.post_run is not None and draft.post_run.phase is RunPhase.SUCCESSFUL
    ):
        return ""
    return "Completed blue-green update"


def _checkpoint(work: Work, draft: Draft) -> bool:
    """Whether the preview pods passed: then the new revision is scaled to all replicas."""
    preview = work.blue_green.preview_replica_count
    if preview is None:
        return False
    if work.status.preview_checkpoint:
        return True
    if not _pre_promotion_done(work) or not blue_green_pause_over(work):
        return False
    return work.new is not None and work.new.available == preview
