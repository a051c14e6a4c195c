"""An analysis run: what it measures, when, and what its measurements come to.

The rules are Argo Rollouts' (``analysis/analysis.go``, ``utils/analysis``, docs/features/analysis). One
`advance` is one reconcile of the run's controller. Its reconcile blocks until every query that it sent is
answered, so a run with a query in flight does nothing else; long-running measurements (jobs, Kayenta,
plugins) do not block. Here a reconcile with queries is two calls of `advance`: the first asks, and the
second, when all answers are in, assesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, Protocol

from rolloutsim.conditions import (
    Condition,
    ConditionError,
    Dialect,
    MeasurementPhase,
    Result,
    compile_condition,
)
from rolloutsim.engine.binding import bound_metrics, late_values, refusal
from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.events import (
    Counted,
    Measure,
    Measured,
    MeasureError,
    MeasurementTaken,
    RunChanged,
    RunPhase,
    Span,
    TerminateMeasurement,
)
from rolloutsim.engine.gating import Call, look, together, watch_from
from rolloutsim.engine.measurements import (
    Measurement,
    MetricState,
    answer_timeout_ms,
    assessed,
    begun,
    due_at,
    finished,
    gate_assessed,
    in_flight,
    limit_message,
    value_text,
)
from rolloutsim.engine.spans import Exposed, spans_of
from rolloutsim.errors import PolicyError
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import Analysis, Metric, SecretArgument

__all__ = [
    "Advance",
    "Judge",
    "Measurement",
    "MetricState",
    "RunPhase",
    "RunSeen",
    "RunState",
    "advance",
    "create_run",
    "late_values",
    "next_due",
    "record",
    "terminate",
]


class Judge(Protocol):
    """`rolloutsim.conditions.judge`: phase of a result under two conditions, and the text of an error."""

    def __call__(
        self,
        result: Result,
        success: Condition | ConditionError | None,
        failure: Condition | ConditionError | None,
        *,
        now_ms: int,
    ) -> tuple[MeasurementPhase, str]: ...


Requests = tuple[Measure | TerminateMeasurement, ...]

WORST = (RunPhase.SUCCESSFUL, RunPhase.INCONCLUSIVE, RunPhase.ERROR, RunPhase.FAILED)
"""Phases of completed metrics, from best to worst."""


@built_fast
@dataclass(frozen=True, slots=True)
class RunState:
    """One analysis run. Times in ms.

    ``metrics`` hold what was bound at creation: later edits of the policy do not touch a run. ``refusal``
    is why the run cannot start, empty if it can. ``due`` is what `next_due` returns.
    """

    name: str
    created: int
    metrics: tuple[MetricState, ...]
    secrets: tuple[SecretArgument, ...] = ()
    refusal: str = ""
    started: int | None = None
    completed: int | None = None
    phase: RunPhase = RunPhase.NEW
    message: str = ""
    terminating: bool = False
    """Somebody asked for the end of the run (``spec.terminate``)."""
    asking: bool = False
    """Queries of the present pass have gone out and have not been assessed."""
    due: int | None = None
    counts_from: int = 0
    """Gates count nothing before this time: a run in the place of one that a person answered begins anew."""


@dataclass(frozen=True, slots=True)
class RunSeen:
    """An analysis run, or an experiment, as the rollout last read it."""

    name: str
    phase: RunPhase
    message: str = ""


class Advance(NamedTuple):
    """What one pass over a run gives."""

    run: RunState
    requests: Requests = ()
    events: tuple[RunChanged | MeasurementTaken, ...] = ()


def create_run(
    name: str, analysis: Analysis, bindings: Mapping[str, str], at: int, *, counts_from: int = 0
) -> RunState:
    """A new run with its pod-hash and field arguments filled in; secrets stay ``{{args.NAME}}``.

    ``bindings`` maps argument names to values (`late_values`). A run that cannot start (argument without
    value, invalid metric, a dry-run or retention rule that matches nothing) ends with phase Error and a
    message in its first `advance`, as the controller's first reconcile does.
    """
    secrets = tuple(argument for argument in analysis.late if isinstance(argument, SecretArgument))
    try:
        metrics = bound_metrics(analysis, bindings)
    except PolicyError as error:
        refused = f"Unable to resolve metric arguments: {error.why}"
        return RunState(name, at, (), secrets, refused, due=at)
    problem, states = refusal(analysis, metrics)
    return RunState(name, at, states, secrets, problem, due=at, counts_from=counts_from)


def next_due(run: RunState) -> int | None:
    """When `advance` wants to be called, in ms (may be past).

    None: the run is completed, or only measurements without a time-out are in flight.
    """
    return run.due


def terminate(run: RunState) -> RunState:
    """Ask for the end of the run; a later `advance` ends it, after the queries in flight.

    A completed run stays as it is.
    """
    if run.phase.completed or run.terminating:
        return run
    due = run.due if _answer_deadline(run.metrics) is not None else run.created
    return replace(run, terminating=True, due=due)


def record(run: RunState, seen: Measured, judge: Judge) -> RunState:
    """Fold an answer in. A late, repeated or unknown answer changes nothing."""
    index = _awaited(run, seen)
    if index is None:
        return run
    state = run.metrics[index]
    asked = state.measurements[-1].started
    # An answer cannot be finished before it was asked for, nor after it was heard.
    at = max(asked, min(seen.finished, seen.at))
    if seen.outcome is MeasurementPhase.PENDING or seen.outcome is MeasurementPhase.RUNNING:
        return run
    provider = state.metric.provider
    if isinstance(provider, GatedCounts):
        assert state.watch is not None
        assert state.metric.interval_ms is not None
        seen_by_gate = look(provider, state.watch, seen.outcome, asked, state.metric.interval_ms)
        done = finished(
            state, at, seen_by_gate.phase, seen_by_gate.value, seen_by_gate.message, seen_by_gate.watch
        )
    else:
        done = finished(state, at, *_verdict(seen, state.metric, judge))
    metrics = _with(run.metrics, index, done)
    deadline = _answer_deadline(metrics)
    return _waiting(run, metrics, seen.at if deadline is None else deadline, asking=run.asking)


def _awaited(run: RunState, seen: Measured) -> int | None:
    """Index of the metric whose measurement in flight is answered; None if nobody waits for it."""
    if run.phase.completed or seen.run != run.name:
        return None
    for index, state in enumerate(run.metrics):
        flight = in_flight(state)
        if flight is not None and state.metric.name == seen.metric and flight.attempt == seen.attempt:
            return index
    return None


def _verdict(seen: Measured, metric: Metric, judge: Judge) -> tuple[MeasurementPhase, str, str]:
    """Phase, value and message of an answer; a condition that does not compile is an error of each one."""
    outcome = seen.outcome
    if isinstance(outcome, MeasurementPhase):
        return outcome, "", ""
    if isinstance(outcome, MeasureError):
        return MeasurementPhase.ERROR, "", outcome.message
    if isinstance(outcome, Counted):
        return MeasurementPhase.ERROR, "", "the answer holds counts, and conditions judge a result"
    success = _condition(metric.success_condition, metric.dialect)
    failure = _condition(metric.failure_condition, metric.dialect)
    phase, message = judge(outcome, success, failure, now_ms=seen.finished)
    return phase, value_text(outcome), message


@lru_cache(maxsize=1024)
def _condition(text: str, dialect: Dialect) -> Condition | ConditionError | None:
    """The condition; the error of one that does not parse stands for it; None if there is none."""
    try:
        return compile_condition(text, dialect) if text else None
    except ConditionError as error:
        return error


def advance(run: RunState, at: int, action_id: Callable[[], str], exposed: Exposed | None = None) -> Advance:
    """One reconcile of the run at ``at`` ms; does nothing before `next_due`.

    ``action_id`` gives a fresh id for each request; ``exposed`` are the weights that gates count under. A
    query without an answer in its provider's time is an error. Events come in the pass that assesses:
    measurements in the order of the metrics, then the change of the run.
    """
    if run.due is None or at < run.due:
        return Advance(run)
    if run.refusal:
        ended = replace(run, phase=RunPhase.ERROR, message=run.refusal, completed=at, due=None)
        return Advance(ended, events=(RunChanged(run.name, ended.phase, ended.message),))
    if run.asking:
        metrics = run.metrics
        deadline = _answer_deadline(metrics)
        if deadline is not None and deadline <= at:
            metrics = tuple([_timed_out(state, at) for state in metrics])
            deadline = _answer_deadline(metrics)
        if deadline is not None:
            return Advance(_waiting(run, metrics, deadline, asking=True))
        return _assess(run, metrics, at, terminating=False, requests=())
    terminating = run.terminating or _has_bad_metric(run.metrics)
    if terminating:
        metrics, requests = _ended(run, at, action_id)
    else:
        metrics, requests = _asked(run, at, action_id, exposed)
        deadline = _answer_deadline(metrics)
        if deadline is not None:
            return Advance(_waiting(run, metrics, deadline, asking=True), requests)
    return _assess(run, metrics, at, terminating=terminating, requests=requests)


def _waiting(run: RunState, metrics: tuple[MetricState, ...], due: int, *, asking: bool) -> RunState:
    """The run between the halves of a pass (`dataclasses.replace` would be the costliest call of all)."""
    return RunState(
        run.name,
        run.created,
        metrics,
        run.secrets,
        run.refusal,
        run.started,
        run.completed,
        run.phase,
        run.message,
        run.terminating,
        asking,
        due,
        run.counts_from,
    )


# --- the measuring half of a pass -------------------------------------------------------------------


def _asked(
    run: RunState, at: int, action_id: Callable[[], str], exposed: Exposed | None
) -> tuple[tuple[MetricState, ...], Requests]:
    """Begin every measurement that is due."""
    metrics, requests = list(run.metrics), []
    for index, state in enumerate(metrics):
        due = due_at(state, run.created, run.started)
        if due is not None and due <= at and not state.untold:
            metric, watch = state.metric, None
            spans: tuple[Span, ...] = ()
            if isinstance(metric.provider, GatedCounts):
                spans = spans_of(metric.provider, exposed, run.counts_from)
                watch = watch_from(metric.provider, state.watch, spans)
            metrics[index] = state = begun(state, at, watch)
            requests.append(
                Measure(action_id(), run.name, metric.name, state.attempts, metric.provider, spans)
            )
    return tuple(metrics), tuple(requests)


def _ended(run: RunState, at: int, action_id: Callable[[], str]) -> tuple[tuple[MetricState, ...], Requests]:
    """End every measurement in flight; it counts as inconclusive."""
    metrics, requests = list(run.metrics), []
    for index, state in enumerate(metrics):
        flight = in_flight(state)
        if flight is not None:
            metrics[index] = finished(state, at, MeasurementPhase.INCONCLUSIVE, message="Metric Terminated")
            requests.append(TerminateMeasurement(action_id(), run.name, state.metric.name, flight.attempt))
    return tuple(metrics), tuple(requests)


def _answer_deadline(metrics: tuple[MetricState, ...]) -> int | None:
    """When the first query in flight times out; None if no query is in flight."""
    first: int | None = None
    for state in metrics:
        flight = in_flight(state)
        timeout_ms = None if flight is None else answer_timeout_ms(state.metric.provider)
        if flight is not None and timeout_ms is not None:
            deadline = flight.started + timeout_ms
            first = deadline if first is None else min(first, deadline)
    return first


def _timed_out(state: MetricState, at: int) -> MetricState:
    deadline = _answer_deadline((state,))
    if deadline is None or deadline > at:
        return state
    timeout_ms = answer_timeout_ms(state.metric.provider)
    return finished(state, at, MeasurementPhase.ERROR, message=f"no answer within {timeout_ms} ms")


def _with(metrics: tuple[MetricState, ...], index: int, state: MetricState) -> tuple[MetricState, ...]:
    return (*metrics[:index], state, *metrics[index + 1 :])


# --- the assessing half -----------------------------------------------------------------------------


def _assess(
    run: RunState,
    measured: tuple[MetricState, ...],
    at: int,
    *,
    terminating: bool,
    requests: Requests,
) -> Advance:
    started = at if run.started is None else run.started
    metrics = _assessed(measured, started, at, terminating=terminating)
    # Queries went out before the end was asked for: their pass does not know of it.
    terminated = run.terminating and not run.asking
    phase, message = _summary(metrics, terminating=terminating, terminated=terminated)
    changed = phase is not run.phase
    moved = RunState(
        run.name,
        run.created,
        metrics,
        run.secrets,
        run.refusal,
        started,
        at if phase.completed else None,
        phase,
        message if changed else run.message,
        run.terminating,
        False,
        None if phase.completed else _next(run, metrics, started, at),
        run.counts_from,
    )
    events: list[RunChanged | MeasurementTaken] = [
        _told(run.name, state) for state in measured if state.untold
    ]
    if changed:
        events.append(RunChanged(run.name, phase, message))
    return Advance(moved, requests, tuple(events))


def _assessed(
    measured: tuple[MetricState, ...], started: int, at: int, *, terminating: bool
) -> tuple[MetricState, ...]:
    """Each metric by its own counters; the gates together, but those of a dry run, each for itself."""
    gates = [state for state in measured if state.gated and not state.phase.completed]
    if not gates:
        return tuple([assessed(state, terminating=terminating) for state in measured])
    calls: dict[str, Call | None] = {}
    for group in ([g for g in gates if not g.dry_run], *([g] for g in gates if g.dry_run)):
        fed = [(g.metric.name, g.metric.provider, g.watch) for g in group]
        judged = together([(name, p, watch) for name, p, watch in fed if isinstance(p, GatedCounts)])
        calls.update(zip((name for name, _, _ in fed), judged, strict=True))
    return tuple(
        [
            gate_assessed(
                state,
                calls.get(state.metric.name),
                at,
                _expires_at(state.metric, started),
                terminating=terminating,
            )
            if state.gated
            else assessed(state, terminating=terminating)
            for state in measured
        ]
    )


def _expires_at(metric: Metric, started: int) -> int | None:
    provider = metric.provider
    if not isinstance(provider, GatedCounts) or provider.expires_after_ms is None:
        return None
    return started + provider.expires_after_ms


def _summary(
    metrics: tuple[MetricState, ...], *, terminating: bool, terminated: bool
) -> tuple[RunPhase, str]:
    """Phase and message of the run: its worst completed metric, once all are completed."""
    worst: RunPhase | None = None
    over = True
    message = "Run Terminated" if terminated else ""
    for state in metrics:
        if not state.phase.completed:
            over = False
        elif state.dry_run:
            worst = worst or RunPhase.SUCCESSFUL
        elif worst is None or WORST.index(state.phase) > WORST.index(worst):
            worst = state.phase
            message = _reason(state) or message
    if terminating:
        return worst or RunPhase.SUCCESSFUL, message
    if worst is None or not over:
        return RunPhase.RUNNING, ""
    return worst, message


def _reason(state: MetricState) -> str:
    if state.gated and state.phase.bad:
        parts = [state.message, *(m.value for m in state.measurements[-1:])]
        return f'Metric "{state.metric.name}" assessed {state.phase}: {"; ".join(p for p in parts if p)}'
    exceeded = limit_message(state)
    if not exceeded:
        return ""
    text = f'Metric "{state.metric.name}" assessed {state.phase} due to {exceeded}'
    return f'{text}: "Error Message: {state.message}"' if state.message else text


def _next(run: RunState, metrics: tuple[MetricState, ...], started: int, at: int) -> int | None:
    """When the run of ``metrics`` wants its next pass: now if it is to end."""
    if run.terminating or _has_bad_metric(metrics):
        return at
    first: int | None = None
    for state in metrics:
        due = due_at(state, run.created, started)
        expires = _expires_at(state.metric, started) if state.lacks_evidence else None
        if expires is not None and not state.phase.completed:
            due = expires if due is None else min(due, expires)
        if due is not None and (first is None or due < first):
            first = due
    return first


def _has_bad_metric(metrics: tuple[MetricState, ...]) -> bool:
    return any(state.phase.bad and not state.dry_run for state in metrics)


def _told(run: str, state: MetricState) -> MeasurementTaken:
    last = state.measurements[-1]
    return MeasurementTaken(run, state.metric.name, last.attempt, last.phase, last.value, last.message)
