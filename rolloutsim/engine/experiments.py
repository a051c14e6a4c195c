"""The experiments of a canary: their own passes, and what they do to the rollout.

One pass over an experiment is one reconcile of Argo Rollouts' experiment controller; it comes before the
rollout's, in the same tick. What a rollout does about its experiment is ``rollout/experiment.go``, but for
three points: after an inconclusive experiment it waits for a person, and only then runs the experiment anew;
an experiment goes on while an inconclusive analysis pauses the rollout; and it belongs to the step that
created it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rolloutsim.engine.analysis import RunSeen, create_run, terminate
from rolloutsim.engine.binding import late_values
from rolloutsim.engine.events import ExperimentChanged, RunPhase
from rolloutsim.engine.experiment import (
    ExperimentState,
    TemplateState,
    assess_template,
    judged,
    pod_hash,
    settled,
    terminating,
)
from rolloutsim.engine.state import EXPERIMENT_PAUSE, INCONCLUSIVE_PAUSE
from rolloutsim.engine.steps import current_step
from rolloutsim.engine.work import Work
from rolloutsim.errors import PolicyError
from rolloutsim.policy.experiment_step import AVAILABLE_AT
from rolloutsim.policy.model import Canary, ExperimentAnalysis, ExperimentStep

__all__ = ["additional_weights", "advance_experiments", "reconcile_experiments"]

REASON = "Experiment analysis phase is error/failed"


# --- the experiments' own controller --------------------------------------------------------------


def advance_experiments(work: Work) -> None:
    """One pass over every experiment; those of earlier revisions that have no pods left are forgotten."""
    if not work.experiments:
        return
    if not isinstance(work.policy.strategy, Canary):
        _terminate(work, ())
    kept = []
    for one in work.experiments:
        if settled(one):
            # kept as long as a write of unknown fate may still bring pods
            if one.latest == work.facts.asked:
                kept.append(one)
            continue
        moved = _advance(work, one)
        if moved != one:
            work.changed = True
        if moved.phase is not one.phase:
            work.events.append(ExperimentChanged(moved.name, moved.phase, moved.message))
        kept.append(moved)
    work.experiments = tuple(kept)


def _advance(work: Work, one: ExperimentState) -> ExperimentState:
    ends = terminating(one)
    templates = tuple([_reconcile_template(work, one, template, ends) for template in one.templates])
    runs = tuple(
        [
            _reconcile_run(work, one, spec, run, ends)
            for spec, run in zip(one.step.analyses, one.runs, strict=True)
        ]
    )
    return judged(replace(one, templates=templates, runs=runs), work.now)


def _reconcile_template(
    work: Work, one: ExperimentState, template: TemplateState, ends: bool
) -> TemplateState:
    wanted = 0 if ends or template.phase.completed else template.spec.replicas
    if not template.exists:
        if not ends:
            work.create_template(template)
    elif wanted:
        if template.desired != wanted:
            work.scale_template(template, wanted)
    elif template.desired:
        delay_ms = one.step.scale_down_delay_ms
        if delay_ms and template.scale_down_at is None:
            template = replace(template, scale_down_at=work.now + delay_ms)
        if template.scale_down_at is None or work.now >= template.scale_down_at:
            work.scale_template(template, 0)
    return assess_template(one, template, wanted, work.now)


def _reconcile_run(
    work: Work, one: ExperimentState, spec: ExperimentAnalysis, seen: RunSeen | None, ends: bool
) -> RunSeen | None:
    if one.available_at is None:
        return seen
    if seen is None:
        return None if ends else _start(work, one, spec)
    run = work.runs.get(seen.name)
    if seen.phase.completed or run is None:
        return seen
    stopped = terminate(run) if ends else run
    if stopped is not run:
        work.runs[run.name] = stopped
        work.changed = True
    if (seen.phase, seen.message) == (run.phase, run.message):
        return seen
    return RunSeen(run.name, run.phase, run.message)


def _start(work: Work, one: ExperimentState, spec: ExperimentAnalysis) -> RunSeen:
    """Begin an analysis; one whose arguments have no values is an error of it."""
    assert one.available_at is not None
    try:
        bindings = late_values(
            spec.analysis,
            stable=one.stable,
            latest=one.latest,
            fields=dict(work.facts.fields),
            tags=_tags(one, one.available_at),
        )
    except PolicyError as error:
        message = f"Failed to create AnalysisRun for analysis '{spec.name}': {error.why}"
        return RunSeen("", RunPhase.ERROR, message)
    name = work.free_name(f"{one.name}-{spec.name}")
    work.runs[name] = create_run(name, spec.analysis, bindings, work.now)
    work.changed = True
    return RunSeen(name, RunPhase.PENDING)


def _tags(one: ExperimentState, available_at: int) -> dict[str, str]:
    """What the tags in arguments stand for."""
    moment = datetime.fromtimestamp(available_at // 1000, UTC)
    tags = {AVAILABLE_AT: moment.isoformat().replace("+00:00", "Z")}
    for template in one.templates:
        tags[f"templates.{template.spec.name}.podTemplateHash"] = template.pod_hash
        tags[f"templates.{template.spec.name}.replicaset.name"] = template.revision
    return tags


# --- the rollout's side ---------------------------------------------------------------------------


def reconcile_experiments(work: Work) -> None:
    """Create the experiment of the current step, end all others, and take what it came to."""
    step, index = current_step(work.canary, work.status.step_index)
    if not work.experiments and not isinstance(step, ExperimentStep):
        return
    if work.aborted or work.status.promote_full or work.rollback_in_window():
        _terminate(work, ())
        return
    if work.pause(INCONCLUSIVE_PAUSE) is not None:
        work.current_experiment = work.status.experiment
        return
    current = _current(work, index) if isinstance(step, ExperimentStep) else None
    if isinstance(step, ExperimentStep) and work.status.stable and work.new is not None:
        waits = work.pause(EXPERIMENT_PAUSE) is not None
        if current is None or (current.phase is RunPhase.INCONCLUSIVE and _resumed(work)):
            current = _create(work, step, index or 0)
        elif current.phase is RunPhase.INCONCLUSIVE and not waits:
            work.add_pauses.append(EXPERIMENT_PAUSE)
        elif current.phase in (RunPhase.FAILED, RunPhase.ERROR):
            work.abort_message = f"{REASON}: {current.message}" if current.message else REASON
    if current is not None:
        work.current_experiment = RunSeen(current.name, current.phase, current.message)
    _terminate(work, () if current is None else (current.name,))


def additional_weights(work: Work) -> tuple[tuple[str, int], ...]:
    """Weights of the templates of the current step's experiment, while it runs."""
    step, index = current_step(work.canary, work.status.step_index)
    one = _current(work, index) if isinstance(step, ExperimentStep) else None
    if one is None or one.phase is not RunPhase.RUNNING:
        return ()
    return tuple([(t.revision, t.spec.weight) for t in one.templates if t.spec.weight is not None])


def _base(work: Work, index: int | None) -> str:
    return f"{work.facts.asked}-{work.number}-{index}"


def _current(work: Work, index: int | None) -> ExperimentState | None:
    """The experiment that the status names, if it is that of this step."""
    seen, base = work.status.experiment, _base(work, index)
    if seen is None or not (seen.name == base or seen.name.startswith(base + "-")):
        return None
    return next((one for one in work.experiments if one.name == seen.name), None)


def _resumed(work: Work) -> bool:
    """Whether a person ended the pause after an inconclusive experiment."""
    seen = work.status.experiment
    known = seen is not None and seen.phase is RunPhase.INCONCLUSIVE
    return known and work.pause(EXPERIMENT_PAUSE) is None


def _create(work: Work, step: ExperimentStep, index: int) -> ExperimentState:
    name = work.free_name(_base(work, index), experiment=True)
    stable, latest = work.status.stable, work.facts.asked
    templates = []
    for spec in step.templates:
        like = latest if spec.canary else stable
        templates.append(
            TemplateState(spec, f"{name}-{spec.name}", like, pod_hash(like, spec), moved_at=work.now)
        )
    one = ExperimentState(
        name,
        step,
        work.policy.progress_deadline_ms,
        stable,
        latest,
        tuple(templates),
        (None,) * len(step.analyses),
    )
    work.experiments = (*work.experiments, one)
    work.changed = True
    return one


def _terminate(work: Work, kept: tuple[str, ...]) -> None:
    """Ask for the end of all experiments that are not over, but for those kept."""
    ended = tuple(
        [
            one if one.terminate or one.phase.completed or one.name in kept else replace(one, terminate=True)
            for one in work.experiments
        ]
    )
    if ended != work.experiments:
        work.experiments = ended
        work.changed = True
