"""A journal entry as people read it: one decision, its numbers, and whether it is bad news.

One reading serves the log, the Kubernetes Events, the live view and ``explain``. An entry that decided
nothing, or only asked for a measurement, is no decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Action,
    CreateRevision,
    Event,
    ExperimentChanged,
    MeasurementTaken,
    Observation,
    Paused,
    Phase,
    PhaseChanged,
    Promoted,
    RemoveRevision,
    RemoveRoutes,
    Resumed,
    RunChanged,
    RunPhase,
    Scale,
    SetRoute,
    SetService,
    SetWeight,
    StatusPatched,
    StepCompleted,
    StepsSkipped,
    from_json,
)
from rolloutsim.live.prediction import Band, Prediction, band_text, number_in
from rolloutsim.live.warnings import analyses
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import Metric, Policy
from rolloutsim.session import Entry

__all__ = ["Decided", "Judged", "decided", "entries_of", "threshold", "words_of"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One measurement and its verdict. ``n`` counts the measurements of this metric in its run.

    ``band`` is what simulations predicted for its time, None if nobody asked them.
    """

    gate: str
    run: str
    n: int
    value: str
    verdict: str
    threshold: str
    message: str = ""
    band: Band | None = None

    @property
    def hint(self) -> str:
        """What an answer that says nothing may come from, and a way out; "" for one that says something."""
        if self.verdict == MeasurementPhase.SUCCESSFUL:
            return ""
        if self.message.startswith("no answer within"):
            return "is the query too wide, or the metrics server too busy?"
        if self.value == "[]":
            return (
                "the query found no series: look at its labels, begin later with initialDelay, or allow it "
                "with len(result) == 0"
            )
        if "NaN" in self.value:
            return (
                "NaN is 0 divided by 0, so nothing was counted: begin later with initialDelay, take a wider "
                "window, or allow it with isNaN(result[0])"
            )
        return ""

    @property
    def predicted(self) -> str:
        """Its band in words, and whether the value lies outside of it; "" if there is none."""
        return band_text(self.band, number_in(self.value))

    def __str__(self) -> str:
        said = "; ".join(part for part in (self.message, self.hint) if part)
        said = f" ({said})" if said else ""
        asked = f", wanted {self.threshold}" if self.threshold else ""
        asked += f", {self.predicted}" if self.predicted else ""
        shown = f"{self.value} " if self.value else ""
        return f"{self.gate} #{self.n}: {shown}{self.verdict}{asked}{said}"


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision. ``reason`` is one word in CamelCase, ``sentence`` says all of it.

    ``step``, ``weight`` and ``phase`` are None where the decision does not touch them. ``step`` counts the
    steps that are complete.
    """

    at: int
    seq: int
    reason: str
    sentence: str
    warning: bool
    judged: tuple[Judged, ...] = ()
    step: int | None = None
    weight: int | None = None
    phase: Phase | None = None


def decided(
    policy: Policy, entry: Entry, prediction: Prediction | None = None, released_ms: int = 0
) -> Decided | None:
    """The decision in a journal entry; None if there is none.

    ``prediction`` is of the revision that was released at ``released_ms``.
    """
    t_s = (entry.seen.at - released_ms) / 1000

    def judge(event: MeasurementTaken) -> Judged:
        band = None if prediction is None else prediction.of_gate(event.metric, t_s)
        return replace(_judged(policy, event), band=band)

    judged = tuple(judge(event) for event in entry.events if isinstance(event, MeasurementTaken))
    said = [
        *_asked(entry.seen),
        *(_of_event(event, judge) for event in entry.events),
        *(told for action in entry.actions for told in _of_action(action)),
    ]
    if not said:
        return None
    _, reason, _ = min(said, key=lambda one: one[0])
    return Decided(
        entry.seen.at,
        entry.seq,
        reason,
        "; ".join(dict.fromkeys(text for _, _, text in said)),
        _bad(entry.events),
        judged,
        next((event.step_index for event in reversed(entry.events) if isinstance(event, PhaseChanged)), None),
        next((action.weight for action in reversed(entry.actions) if isinstance(action, SetWeight)), None),
        next((event.phase for event in reversed(entry.events) if isinstance(event, PhaseChanged)), None),
    )


def words_of(action: Action) -> str:
    """An action in words; "" for a measurement."""
    return "; ".join(text for _, _, text in _of_action(action))


def threshold(metric: Metric) -> str:
    """What a metric wants of a measurement, as the policy spells it."""
    if isinstance(metric.provider, GatedCounts):
        return f"gate {type(metric.provider.gate).__name__}"
    if metric.success_condition:
        return metric.success_condition
    return f"not ({metric.failure_condition})" if metric.failure_condition else ""


def entries_of(records: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    """The journal entries in the records of a trace, in their order.

    Raises
    ------
    ValueError : a record is not one of this version.
    """
    seen: Observation | None = None
    seq = 0
    actions: list[Action] = []
    events: list[Event] = []
    for record in records:
        kind = record["kind"]
        if kind == "seen":
            if seen is not None:
                yield Entry(seq, seen, tuple(actions), tuple(events))
            seen, seq, actions, events = from_json(Observation, record["value"]), record["seq"], [], []
        elif kind == "did":
            actions.append(from_json(Action, record["value"]))
        elif kind == "event":
            events.append(from_json(Event, record["value"]))
    if seen is not None:
        yield Entry(seq, seen, tuple(actions), tuple(events))


# --- words ----------------------------------------------------------------------------------------

Told = tuple[int, str, str]
"""Rank (the lowest gives the decision its reason), reason, words."""


def _asked(seen: Any) -> Iterator[Told]:
    if not isinstance(seen, StatusPatched):
        return
    who = f" by {seen.actor}" if seen.actor else ""
    wishes = (
        (seen.abort is True, "AbortAsked", "abort"),
        (seen.abort is False, "RetryAsked", "retry"),
        (seen.promote_full is True, "FullPromotionAsked", "full promotion"),
        (seen.spec_paused is True, "PauseAsked", "pause"),
    )
    for wish, reason, words in wishes:
        if wish:
            yield 1, reason, f"{words} asked{who}"
            return
    yield 1, "PromotionAsked", f"promotion asked{who}"


def _of_event(event: Event, judge: Callable[[MeasurementTaken], Judged]) -> Told:
    match event:
        case Aborted(revision=revision, message=message):
            return 0, "Aborted", f"aborted {revision}: {message}"
        case Promoted(revision=revision, reason=reason):
            return 0, "Promoted", f"promoted {revision}: {reason}"
        case StepCompleted(index=index, total=total, step=step):
            return 2, "StepCompleted", f"step {index} of {total} is complete ({step})"
        case Paused(reason=reason):
            return 3, "Paused", f"paused: {reason}"
        case Resumed():
            return 3, "Resumed", "goes on"
        case StepsSkipped(reason=reason):
            return 3, "StepsSkipped", f"steps skipped: {reason}"
        case RunChanged(run=run, phase=phase, message=message):
            said = f": {message}" if message else ""
            return 4, f"Analysis{phase.value or 'Created'}", f"analysis {run} is {phase.value or 'new'}{said}"
        case ExperimentChanged(experiment=name, phase=phase, message=message):
            return (
                4,
                f"Experiment{phase}",
                f"experiment {name} is {phase}" + (f": {message}" if message else ""),
            )
        case MeasurementTaken():
            return 5, "Measured", str(judge(event))
        case PhaseChanged(phase=phase, message=message):
            return 7, phase.value, f"{phase.value}" + (f": {message}" if message else "")


def _of_action(action: Action) -> Iterator[Told]:
    match action:
        case CreateRevision(revision=revision, number=number):
            yield 6, "RevisionCreated", f"revision {number} ({revision}) goes into the idle slot"
        case Scale(revision=revision, replicas=replicas):
            yield 6, "Scaled", f"{revision} gets {replicas} pod{'' if replicas == 1 else 's'}"
        case RemoveRevision(revision=revision):
            yield 6, "RevisionRemoved", f"{revision} gets no pods any more"
        case SetWeight(weight=weight):
            yield 5, "WeightSet", f"the canary gets weight {weight}"
        case SetService(role=role, revision=revision):
            yield 5, "ServiceSwitched", f"the {role} Service selects {revision or 'nothing'}"
        case SetRoute(name=name):
            yield 6, "RouteSet", f"route {name} is set"
        case RemoveRoutes():
            yield 6, "RoutesRemoved", "its routes are removed"


def _judged(policy: Policy, event: MeasurementTaken) -> Judged:
    metrics = {metric.name: metric for one in analyses(policy) for metric in one.metrics}
    metric = metrics.get(event.metric)
    wanted = threshold(metric) if metric is not None else ""
    return Judged(
        event.metric, event.run, event.attempt, event.value, event.phase.value, wanted, event.message
    )


def _bad(events: Iterable[Event]) -> bool:
    for event in events:
        match event:
            case Aborted() | PhaseChanged(phase=Phase.DEGRADED):
                return True
            case MeasurementTaken(phase=phase) if phase is not MeasurementPhase.SUCCESSFUL:
                return True
            case RunChanged(phase=phase) | ExperimentChanged(phase=phase) if phase in (
                RunPhase.FAILED,
                RunPhase.ERROR,
                RunPhase.INCONCLUSIVE,
            ):
                return True
    return False
