"""One metric of an analysis run: its measurements, when the next is due, and what they come to.

The rules are Argo Rollouts' (``analysis/analysis.go``, docs/features/analysis). Times are ms.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from decimal import Decimal

from rolloutsim.conditions import (
    FloatPointerResult,
    IntResult,
    JsonResult,
    MeasurementPhase,
    NilResult,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
)
from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.events import RunPhase
from rolloutsim.engine.gating import Call, Watch, passed
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import (
    JobProvider,
    Metric,
    OtherProvider,
    PrometheusProvider,
    Provider,
    WebProvider,
)

__all__ = [
    "Counters",
    "Measurement",
    "MetricState",
    "answer_timeout_ms",
    "assessed",
    "begun",
    "due_at",
    "effective_count",
    "finished",
    "gate_assessed",
    "in_flight",
    "limit_message",
    "value_text",
]

ERROR_RETRY_MS = 10_000
"""Wait after a measurement in error, whatever the interval."""
KEPT_MEASUREMENTS = 10
QUERY_TIMEOUT_MS = 30_000
"""For providers that name no time-out of their own; the default of a Prometheus query."""
LONG_RUNNING = ("kayenta", "plugin")
"""Kinds of providers, besides jobs, whose measurements go on between passes; a plugin's has its name."""
SHOWN_ITEMS = 16
SHOWN_CHARACTERS = 256


@built_fast
@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement; ``finished`` is None while it is in flight. Times in ms."""

    attempt: int
    started: int
    finished: int | None = None
    phase: MeasurementPhase = MeasurementPhase.RUNNING
    value: str = ""
    message: str = ""


@built_fast
@dataclass(frozen=True, slots=True)
class Counters:
    """Finished measurements of a metric. An error does not use up ``count``."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0

    def plus(self, phase: MeasurementPhase) -> Counters:
        """The counters after one more measurement that ended with ``phase``."""
        count, successful, failed, inconclusive = self.count, self.successful, self.failed, self.inconclusive
        if phase is MeasurementPhase.SUCCESSFUL:
            in_a_row = self.consecutive_success + 1
            return Counters(count + 1, successful + 1, failed, inconclusive, self.error, 0, in_a_row)
        if phase is MeasurementPhase.ERROR:
            in_a_row = self.consecutive_error + 1
            return Counters(count, successful, failed, inconclusive, self.error + 1, in_a_row)
        failed += phase is MeasurementPhase.FAILED
        inconclusive += phase is MeasurementPhase.INCONCLUSIVE
        return Counters(count + 1, successful, failed, inconclusive, self.error)


@built_fast
@dataclass(frozen=True, slots=True)
class MetricState:
    """One metric of a run: its definition with arguments filled in, its counters, its last measurements.

    ``attempts`` counts all measurements ever begun. ``untold``: the last measurement is finished and has
    not been assessed and told yet. ``watch`` is what a gate has seen; None before its first look, and for
    metrics that conditions judge.
    """

    metric: Metric
    dry_run: bool = False
    retain: int = KEPT_MEASUREMENTS
    phase: RunPhase = RunPhase.NEW
    message: str = ""
    measurements: tuple[Measurement, ...] = ()
    attempts: int = 0
    counters: Counters = Counters()
    untold: bool = False
    watch: Watch | None = None

    @property
    def gated(self) -> bool:
        """Whether a gate judges, and not conditions."""
        return isinstance(self.metric.provider, GatedCounts)

    @property
    def lacks_evidence(self) -> bool:
        """Whether this is a gate that counts for the rollout and has not passed."""
        provider = self.metric.provider
        if self.dry_run or not isinstance(provider, GatedCounts):
            return False
        return self.phase.bad or not passed(provider, self.watch)


def effective_count(metric: Metric) -> int | None:
    """How many measurements complete the metric: one without an interval, None without end."""
    if metric.count:
        return metric.count
    return 1 if metric.interval_ms is None else None


def answer_timeout_ms(provider: Provider) -> int | None:
    """How long an answer may take; None for measurements that run on by themselves (jobs, Kayenta)."""
    match provider:
        case PrometheusProvider() | WebProvider() | GatedCounts():
            return max(0, provider.timeout_ms)
        case JobProvider():
            return None
        case OtherProvider():
            return None if provider.kind.startswith(LONG_RUNNING) else QUERY_TIMEOUT_MS


def in_flight(state: MetricState) -> Measurement | None:
    """The measurement without an answer, if there is one."""
    if not state.measurements:
        return None
    last = state.measurements[-1]
    return last if last.finished is None else None


def due_at(state: MetricState, created: int, started: int | None) -> int | None:
    """When to measure next; None: completed, in flight, or not before the run's first pass.

    ``created`` and ``started`` are those of the run: an initial delay counts from its start.
    """
    metric = state.metric
    if state.phase.completed:
        return None
    if not state.measurements:
        if metric.initial_delay_ms <= 0:
            return created
        return None if started is None else started + metric.initial_delay_ms
    last = state.measurements[-1]
    if last.finished is None or _count_reached(state):
        return None
    if last.phase is MeasurementPhase.ERROR:
        return last.finished + ERROR_RETRY_MS
    if metric.interval_ms is None:
        return None
    # Time has to pass between measurements, or an instant would never end.
    return last.finished + max(1, metric.interval_ms)


def _count_reached(state: MetricState) -> bool:
    count = effective_count(state.metric)
    return count is not None and state.counters.count >= count


def begun(state: MetricState, at: int, watch: Watch | None = None) -> MetricState:
    """A new measurement in flight; ``watch`` is a gate's memory with the spans that are asked about."""
    attempt = state.attempts + 1
    return MetricState(
        state.metric,
        state.dry_run,
        state.retain,
        RunPhase.RUNNING if state.phase is RunPhase.NEW else state.phase,
        state.message,
        (*state.measurements, Measurement(attempt, at)),
        attempt,
        state.counters,
        False,
        watch,
    )


def finished(
    state: MetricState,
    at: int,
    phase: MeasurementPhase,
    value: str = "",
    message: str = "",
    watch: Watch | None = None,
) -> MetricState:
    """The measurement in flight ended with ``phase``; ``watch`` is what a gate made of it, if it did."""
    flight = state.measurements[-1]
    last = Measurement(flight.attempt, flight.started, at, phase, value, message)
    return MetricState(
        state.metric,
        state.dry_run,
        state.retain,
        state.phase,
        state.message,
        (*state.measurements[:-1], last),
        state.attempts,
        state.counters.plus(phase),
        True,
        state.watch if watch is None else watch,
    )


# --- assessment -------------------------------------------------------------------------------------


def assessed(state: MetricState, *, terminating: bool) -> MetricState:
    """The metric after a pass: its phase and message, and only the measurements that are kept."""
    if not state.measurements or (state.phase.completed and not state.untold):
        return state
    phase = _phase(state, terminating=terminating)
    message = state.message
    if phase is not state.phase:
        message = state.measurements[-1].message
    if state.dry_run and phase.completed:
        exceeded = limit_message(state)
        message = f"Metric assessed {phase} due to {exceeded}" if exceeded else message
    return MetricState(
        state.metric,
        state.dry_run,
        state.retain,
        phase,
        message,
        state.measurements[-state.retain :],
        state.attempts,
        state.counters,
        False,
        state.watch,
    )


def gate_assessed(
    state: MetricState, call: Call | None, at: int, expires_at: int | None, *, terminating: bool
) -> MetricState:
    """A gated metric after a pass. ``call`` is what the gates of the run come to together for this one."""
    if state.phase.completed or in_flight(state) is not None:
        return state if not state.untold else replace(state, untold=False)
    phase, message = _gate_phase(state, call, at, expires_at, terminating=terminating)
    if state.dry_run and phase.completed:
        message = f"Metric assessed {phase}: {message}" if message else ""
    kept = state.measurements[-state.retain :]
    return replace(state, phase=phase, message=message, measurements=kept, untold=False)


def _gate_phase(
    state: MetricState, call: Call | None, at: int, expires_at: int | None, *, terminating: bool
) -> Call:
    counts = state.metric.provider
    assert isinstance(counts, GatedCounts)
    exceeded = _errors_exceeded(state)
    if exceeded:
        return RunPhase.ERROR, exceeded
    if call is not None:
        return call
    if passed(counts, state.watch):
        over = terminating or not counts.watches
        return (RunPhase.SUCCESSFUL if over else RunPhase.RUNNING), ""
    missing = state.watch.missing if state.watch is not None else "it was never answered"
    if expires_at is not None and at >= expires_at:
        return RunPhase.INCONCLUSIVE, f"the gate expired undecided: {missing}"
    if _count_reached(state):
        return RunPhase.INCONCLUSIVE, f"undecided after {state.counters.count} looks: {missing}"
    if terminating:
        return RunPhase.INCONCLUSIVE, f"ended before the gate decided: {missing}"
    return (RunPhase.RUNNING if state.measurements else state.phase), ""


def _phase(state: MetricState, *, terminating: bool) -> RunPhase:
    metric = state.metric
    if state.phase.completed:
        return state.phase
    if in_flight(state) is not None:
        return RunPhase.RUNNING
    exceeded = _exceeded(state)
    if exceeded is not None:
        return exceeded[0]
    wanted = metric.consecutive_success_limit
    if 0 < wanted <= state.counters.consecutive_success:
        return RunPhase.SUCCESSFUL
    if _count_reached(state):
        if wanted <= 0:
            return RunPhase.SUCCESSFUL
        return RunPhase.INCONCLUSIVE if metric.failure_limit >= 0 else RunPhase.FAILED
    return RunPhase.SUCCESSFUL if terminating else RunPhase.RUNNING


def _exceeded(state: MetricState) -> tuple[RunPhase, str] | None:
    """The limit that is exceeded: errors before inconclusive ones before failures."""
    metric, counters = state.metric, state.counters
    errors = _errors_exceeded(state)
    if errors:
        return RunPhase.ERROR, errors
    if counters.inconclusive > metric.inconclusive_limit:
        message = f"inconclusive ({counters.inconclusive}) > inconclusiveLimit ({metric.inconclusive_limit})"
        return RunPhase.INCONCLUSIVE, message
    if 0 <= metric.failure_limit < counters.failed:
        return RunPhase.FAILED, f"failed ({counters.failed}) > failureLimit ({metric.failure_limit})"
    return None


def _errors_exceeded(state: MetricState) -> str:
    """The limit of errors in a row, if it is exceeded."""
    errors, limit = state.counters.consecutive_error, state.metric.consecutive_error_limit
    return "" if errors <= limit else f"consecutiveErrors ({errors}) > consecutiveErrorLimit ({limit})"


def limit_message(state: MetricState) -> str:
    """The limit that the metric exceeded, as ``failed (1) > failureLimit (0)``; empty if none."""
    exceeded = _exceeded(state)
    return "" if exceeded is None else exceeded[1]


# --- values for people ------------------------------------------------------------------------------


def value_text(result: Result) -> str:
    """A result as people read it: ``0.5``, ``[0.1,NaN]``, JSON; long ones are cut."""
    match result:
        case VectorResult(values):
            more = ",…" if len(values) > SHOWN_ITEMS else ""
            return f"[{','.join(map(_number, values[:SHOWN_ITEMS]))}{more}]"
        case ScalarResult(value) | FloatPointerResult(value):
            return _number(value)
        case IntResult(number):
            return str(number)
        case StringResult(text):
            return _cut(text)
        case NilResult():
            return ""
        case JsonResult(data):
            return _cut(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
        case _:
            return _cut(str(result))


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
