"""One reconcile of a canary (``rollout/canary.go`` of Argo Rollouts)."""

from __future__ import annotations

from rolloutsim.engine import progress, runs
from rolloutsim.engine.draft import Draft
from rolloutsim.engine.events import RunPhase, StepCompleted, StepsSkipped
from rolloutsim.engine.experiments import reconcile_experiments
from rolloutsim.engine.pauses import canary_pause_over, pause_at_step
from rolloutsim.engine.replicas import progress_reached
from rolloutsim.engine.scaling import remove_old_revisions, scale_canary
from rolloutsim.engine.state import CANARY_PAUSE, GATE_PAUSE, Waiting
from rolloutsim.engine.steps import current_step, step_text
from rolloutsim.engine.traffic import (
    at_desired_counts,
    end_unverified,
    reconcile_router,
    reconcile_services,
)
from rolloutsim.engine.work import Work
from rolloutsim.policy.model import AnalysisStep, ExperimentStep, Pause, SetCanaryScale, SetWeight, Step

__all__ = ["act", "write_status"]


def act(work: Work) -> Waiting | None:
    """The action half: what the status half will need; None if the pass ends without one.

    Raises
    ------
    PolicyError : an analysis run cannot be created.
    """
    if _changed(work):
        return work.wait()
    if work.new is None:
        work.create_revision(work.facts.asked)
        return work.wait(created=True)
    remove_old_revisions(work)
    reconcile_services(work)
    if not reconcile_router(work):
        runs.keep(work)
        work.current_experiment = work.status.experiment
        return work.wait() if work.actions else None
    reconcile_experiments(work)
    runs.reconcile_canary(work)
    if not work.add_pauses and not scale_canary(work):
        pause_at_step(work)
    return work.wait()


def _changed(work: Work) -> bool:
    """Whether the template or the list of steps is another one than the status knows."""
    return work.template_changed or work.status.steps_hash != work.facts.steps_hash


def write_status(work: Work, waiting: Waiting) -> None:
    """The status half: what moves the step index, and what makes the new revision stable."""
    if end_unverified(work, waiting.weights):
        return
    draft = progress.begin(work, waiting)
    draft.steps_hash = work.facts.steps_hash
    if _changed(work):
        progress.reset(work, draft)
        _skip_steps(work, draft)
    else:
        _advance(work, draft)
    progress.judge_conditions(work, draft)
    progress.persist(work, draft)


def _skip_steps(work: Work, draft: Draft) -> None:
    """Back to stable, or to a revision within the rollback window that still has pods: no steps."""
    count, new = len(work.canary.steps), work.new
    if not count or new is None:
        return
    if new.id == work.status.stable:
        reason = "Rollback to stable ReplicaSets"
    elif work.rollback_in_window() and new.desired > 0:
        reason = "Rollback to active ReplicaSets within RollbackWindow"
    else:
        return
    work.events.append(StepsSkipped(reason))
    draft.step_index = count


def _advance(work: Work, draft: Draft) -> None:
    steps = work.canary.steps
    step, index = current_step(work.canary, work.status.step_index)
    skip_all = work.status.promote_full or work.rollback_in_window()
    if skip_all:
        work.clear_pauses = True
        work.remove_abort = True
        if steps:
            step, index = None, len(steps)
    reason = _promotion(work, index)
    if reason:
        progress.promote(work, draft, reason)
    elif work.aborted:
        if steps:
            draft.step_index = len(steps) if draft.stable == draft.current else 0
    else:
        draft.step_index = index
        if step is not None and index is not None and _completed(work, step, draft):
            work.remove_pauses.append(CANARY_PAUSE)
            if runs.lacks_evidence(work, index):
                work.add_pauses.append(GATE_PAUSE)
                return
            draft.step_index = index + 1
            draft.step_run = draft.experiment = None
            work.events.append(StepCompleted(index + 1, len(steps), step_text(step)))
            work.remove_pauses.append(GATE_PAUSE)


def _promotion(work: Work, index: int | None) -> str:
    """Why the new revision becomes stable now; empty if it does not.

    A first deployment is stable at once, ready or not.
    """
    if work.stable is None:
        return "Initial deploy"
    if work.aborted or work.new is None:
        return ""
    available, replicas = work.new.available, work.facts.replicas
    enough = available >= replicas or progress_reached(work.canary.progress_threshold, available, replicas)
    if not enough:
        return ""
    if work.status.promote_full:
        return "Full promotion requested"
    if work.rollback_in_window():
        return "Rollback within window"
    if work.new.id == work.stable.id:
        return "Fast rollback"
    count = len(work.canary.steps)
    return f"Completed all {count} canary steps" if index is None or index == count else ""


def _completed(work: Work, step: Step, draft: Draft) -> bool:
    if work.facts.paused:
        return False
    match step:
        case Pause():
            return canary_pause_over(work, step)
        case SetCanaryScale():
            return at_desired_counts(work, draft.weights)
        case SetWeight():
            unverified = draft.weights is not None and draft.weights.verified is False
            return not unverified and at_desired_counts(work, draft.weights)
        case AnalysisStep():
            return draft.step_run is not None and draft.step_run.phase is RunPhase.SUCCESSFUL
        case ExperimentStep():
            return draft.experiment is not None and draft.experiment.phase is RunPhase.SUCCESSFUL
        case _:  # header and mirror routes; plugins, which the world does not play
            return True
