"""An experiment of a canary step: pods of its own beside the rollout, and what they come to.

The rules are those of Argo Rollouts' experiment controller (``experiments/experiment.go``,
``utils/experiment``). This module holds an experiment's state and judges it; `rolloutsim.engine.experiments`
acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rolloutsim.engine.analysis import RunSeen
from rolloutsim.engine.events import RevisionSeen, RunPhase
from rolloutsim.policy.model import ExperimentStep, ExperimentTemplate

__all__ = [
    "ExperimentState",
    "TemplateState",
    "assess_template",
    "judged",
    "over_at",
    "pod_hash",
    "pods_seen",
    "settled",
    "terminating",
    "timers",
]

WORST_RUN = (
    RunPhase.SUCCESSFUL,
    RunPhase.RUNNING,
    RunPhase.PENDING,
    RunPhase.INCONCLUSIVE,
    RunPhase.ERROR,
    RunPhase.FAILED,
)
"""Phases of analyses, from best to worst; one that has not begun makes nothing worse."""
WORST_TEMPLATE = (RunPhase.SUCCESSFUL, RunPhase.RUNNING, RunPhase.PENDING, RunPhase.FAILED)
"""Phases of templates, from best to worst; PENDING: not all pods are available."""


@dataclass(frozen=True, slots=True)
class TemplateState:
    """The pods of one template. Times in ms.

    ``revision`` is their name, ``like`` the revision whose pod spec they have, ``pod_hash`` their label.
    ``exists``: they have been created, if only 0 of them. ``moved_at``: when their number last changed.
    """

    spec: ExperimentTemplate
    revision: str
    like: str
    pod_hash: str
    moved_at: int
    exists: bool = False
    desired: int = 0
    created: int = 0
    ready: int = 0
    available: int = 0
    scale_down_at: int | None = None
    phase: RunPhase = RunPhase.PENDING
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """One experiment, as its step stood when it was created; ``deadline_ms`` is the rollout's own.

    ``runs`` are its analyses in the order of the step, None until they begin. ``stable`` and ``latest`` are
    the revisions that pod-hash arguments name. ``terminate``: the rollout wants its end.
    """

    name: str
    step: ExperimentStep
    deadline_ms: int
    stable: str
    latest: str
    templates: tuple[TemplateState, ...]
    runs: tuple[RunSeen | None, ...]
    phase: RunPhase = RunPhase.NEW
    message: str = ""
    available_at: int | None = None
    terminate: bool = False


def pod_hash(like: str, spec: ExperimentTemplate) -> str:
    """The hash of a template's pods: of what they are, so that an experiment that runs again has it again."""
    return f"{like}-{spec.name}"


# --- questions ------------------------------------------------------------------------------------


def required_successful(one: ExperimentState) -> bool:
    """Whether there are required analyses, and all of them are successful."""
    required = [run for spec, run in zip(one.step.analyses, one.runs, strict=True) if spec.required]
    return bool(required) and all(run is not None and run.phase is RunPhase.SUCCESSFUL for run in required)


def terminating(one: ExperimentState) -> bool:
    """Whether it only winds up: it is over, or is to be, or something of it decided that."""
    return (
        one.terminate
        or one.phase.completed
        or any(template.phase is RunPhase.FAILED for template in one.templates)
        or any(run is not None and run.phase.bad for run in one.runs)
        or required_successful(one)
    )


def over_at(one: ExperimentState) -> int | None:
    """When its duration is over; None while that is not known."""
    if one.available_at is None or one.step.duration_ms is None:
        return None
    return one.available_at + one.step.duration_ms


def settled(one: ExperimentState) -> bool:
    """Whether it is over and none of its pods is left."""
    return one.phase.completed and all(t.desired == t.created == 0 for t in one.templates)


def timers(one: ExperimentState) -> list[int]:
    """The times at which time alone may change what a pass does to it."""
    times = [t.scale_down_at for t in one.templates if t.scale_down_at is not None and t.desired > 0]
    if terminating(one):
        return times
    end = over_at(one)
    if end is not None:
        times.append(end)
    late = [t for t in one.templates if not t.phase.completed and t.available != t.spec.replicas]
    return times + [t.moved_at + one.deadline_ms for t in late]


# --- what is seen ---------------------------------------------------------------------------------


def pods_seen(
    experiments: tuple[ExperimentState, ...], now: int, seen: RevisionSeen
) -> tuple[ExperimentState, ...]:
    """The experiments with the pods of a template as they are now; the same tuple if nothing changed."""
    for at, one in enumerate(experiments):
        for index, known in enumerate(one.templates):
            if known.revision != seen.revision:
                continue
            counts = (seen.desired, seen.created, seen.ready, seen.available)
            if known.exists and counts == (known.desired, known.created, known.ready, known.available):
                return experiments
            moved = replace(
                known,
                exists=True,
                desired=seen.desired,
                created=seen.created,
                ready=seen.ready,
                available=seen.available,
                moved_at=now,
            )
            templates = (*one.templates[:index], moved, *one.templates[index + 1 :])
            return (*experiments[:at], replace(one, templates=templates), *experiments[at + 1 :])
    return experiments


# --- what it comes to -----------------------------------------------------------------------------


def assess_template(one: ExperimentState, template: TemplateState, wanted: int, now: int) -> TemplateState:
    """A template judged by its pods, of which ``wanted`` should be available; once completed it stays so."""
    if template.phase.completed:
        return template
    end = over_at(one)
    if wanted != template.available and now >= template.moved_at + one.deadline_ms:
        seconds = one.deadline_ms // 1000
        message = f"Template '{template.spec.name}' exceeded its progressDeadlineSeconds ({seconds})"
        return replace(template, phase=RunPhase.FAILED, message=message)
    if terminating(one) or (wanted == template.available and end is not None and now >= end):
        return replace(template, phase=RunPhase.SUCCESSFUL)
    phase = RunPhase.RUNNING if wanted == template.available else RunPhase.PENDING
    return template if phase is template.phase else replace(template, phase=phase)


def judged(one: ExperimentState, now: int) -> ExperimentState:
    """The experiment with its phase: of its templates while they run, of its analyses where those decide."""
    if one.phase is RunPhase.NEW:
        return replace(one, phase=RunPhase.PENDING)
    if one.phase.completed:
        return one
    templates, message = _templates(one)
    analyses, said = _analyses(one)
    available_at = one.available_at
    if templates is RunPhase.RUNNING and available_at is None:
        available_at = now
    if templates.completed:
        required = any(spec.required for spec in one.step.analyses)
        decided = templates is RunPhase.SUCCESSFUL and (analyses.completed or required)
    else:
        decided = analyses.bad or required_successful(one)
    phase, message = (analyses, said) if decided else (templates, message)
    return replace(one, phase=phase, message=message, available_at=available_at)


def _templates(one: ExperimentState) -> tuple[RunPhase, str]:
    """The worst of the templates, and why."""
    worst, message = RunPhase.SUCCESSFUL, ""
    for template in one.templates:
        if WORST_TEMPLATE.index(template.phase) > WORST_TEMPLATE.index(worst):
            worst, message = template.phase, template.message
    return worst, message


def _analyses(one: ExperimentState) -> tuple[RunPhase, str]:
    """The worst of the analyses, and why; one that need not end is no reason to wait."""
    worst, message = RunPhase.SUCCESSFUL, ""
    for run in one.runs:
        if run is None or run.phase is RunPhase.NEW:
            continue
        if WORST_RUN.index(run.phase) > WORST_RUN.index(worst):
            worst, message = run.phase, run.message
    if not worst.bad and required_successful(one):
        return RunPhase.SUCCESSFUL, "Required AnalysisRuns completed"
    return (RunPhase.RUNNING if worst is RunPhase.PENDING else worst), message
