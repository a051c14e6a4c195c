"""One reconcile of a plain Deployment: rolling update, or all at once.

The engine applies the template and watches; how pods are exchanged is the Deployment controller's work,
in the simulated world as in the real one. ``Status.active`` is the revision whose template was applied
last. An abort applies the stable template again, as ``kubectl rollout undo`` does.
"""

from __future__ import annotations

from rolloutsim.engine import progress
from rolloutsim.engine.state import Waiting
from rolloutsim.engine.work import Work

__all__ = ["act", "write_status"]


def act(work: Work) -> Waiting | None:
    """Apply the template that should run, if another one was applied last."""
    wanted = _wanted(work)
    if wanted and work.status.active != wanted and not work.facts.paused:
        work.create_revision(wanted)
        return work.wait(applied=wanted)
    return work.wait()


def _wanted(work: Work) -> str:
    """The revision whose template should be applied now; empty if there is nothing to go back to."""
    if work.aborted and work.status.current == work.facts.asked:
        return work.status.stable
    return work.facts.asked


def write_status(work: Work, waiting: Waiting) -> None:
    """The status half: promoted once all pods are of the new revision and available."""
    draft = progress.begin(work, waiting)
    draft.step_index = None
    draft.steps_hash = work.facts.steps_hash
    if work.template_changed:
        progress.reset(work, draft)
    if waiting.applied:
        draft.active = waiting.applied
    new, replicas = work.new, work.facts.replicas
    arrived = new is not None and draft.active == new.id and new.desired == new.available == replicas
    if arrived and new is not None and draft.replicas == new.created and not work.aborted:
        progress.promote(work, draft, "Completed rolling update")
    progress.judge_conditions(work, draft)
    progress.persist(work, draft)
