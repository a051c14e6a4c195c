"""What a timeline shows, read out of a trace.

Nothing here knows which world wrote the trace: what really was (``truth``) is shown where it is known,
what was scraped (``sample``) where the samples tell the versions apart.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rolloutsim.trace import Trace

__all__ = ["Line", "Mark", "Span", "Timeline", "read_timeline"]

BIN_MS = 60_000
"""Scraped counters are shown as rates over a minute."""

_STATUS_LABELS = ("status", "code", "status_code", "response_code", "envoy_response_code")
_MINUTES = 1.0 / 60_000.0

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Values at times in minutes since the release; of a step line each holds until the next."""

    minutes: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at one moment: a verdict on a metric, or the end of the rollout."""

    minute: float
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    first_minute: float
    last_minute: float
    reason: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that a timeline shows. Weights are percent, rates shares, latencies seconds.

    ``versions`` are (stable, new). ``true_errors`` and ``true_latency`` (median) are step lines by
    version, ``scraped_errors`` and ``scraped_p95`` hold one value a minute.
    """

    title: str
    versions: tuple[str, str]
    wanted: Line
    observed: Line
    true_errors: Mapping[str, Line]
    scraped_errors: Mapping[str, Line]
    true_latency: Mapping[str, Line]
    scraped_p95: Mapping[str, Line]
    verdicts: tuple[Mark, ...]
    pauses: tuple[Span, ...]
    ends: tuple[Mark, ...]
    last_minute: float


def read_timeline(trace: Trace) -> Timeline:
    """Read a trace once; what it does not hold is empty."""
    asked = next((r for r in trace.of("seen") if r["value"]["kind"] == "ReleaseAsked"), None)
    start = asked["at"] if asked else trace.manifest.get("start", _first_time(trace))
    new = asked["value"]["revision"] if asked else ""
    clock = _Clock(start)
    truths = list(trace.of("truth"))
    stable = next((name for name in _revisions(trace) if name != new), "")
    events = [(clock.minute(r), r["value"]) for r in trace.of("event")]
    ends = tuple(_ends(events, new))
    last = _last_minute(trace, clock, ends)
    return Timeline(
        title=_title(trace.manifest),
        versions=(stable, new),
        wanted=_wanted(trace, clock, new),
        observed=_observed(trace, clock, new),
        true_errors=_true(truths, clock, "error_rate"),
        scraped_errors=_scraped(trace, clock, (stable, new), _error_rate),
        true_latency=_true(truths, clock, "latency_median_s"),
        scraped_p95=_scraped(trace, clock, (stable, new), _p95),
        verdicts=tuple(_verdicts(events)),
        pauses=tuple(_pauses(events, last)),
        ends=ends,
        last_minute=last,
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    start_ms: int

    def minute(self, record: Record) -> float:
        return float(record["at"] - self.start_ms) * _MINUTES


def _first_time(trace: Trace) -> int:
    return min((r["at"] for r in trace.records), default=0)


def _revisions(trace: Trace) -> Iterator[str]:
    """Names of versions, in the order in which they appear."""
    for record in trace.records:
        if record["kind"] == "truth":
            yield record["revision"]
        elif record["kind"] == "seen" and record["value"]["kind"] in ("RevisionSeen", "ServiceSeen"):
            yield record["value"]["revision"]


def _title(manifest: Record) -> str:
    known = manifest.get("provenance", {})
    policy = manifest.get("policy", {})
    parts = [policy.get("name", "") if isinstance(policy, Mapping) else str(policy)]
    parts += [", ".join(known.get("scenarios", ()))]
    if "seed" in known:
        parts.append(f"seed {known['seed']}, run {manifest.get('run', 0)}")
    return "  ·  ".join(part for part in parts if part)


def _last_minute(trace: Trace, clock: _Clock, ends: Sequence[Mark]) -> float:
    """A little after the last thing that was decided, but not the quiet hours until the horizon."""
    decided = [clock.minute(r) for kind in ("did", "event") for r in trace.of(kind)]
    recorded = max((clock.minute(r) for r in trace.records), default=0.0)
    last = max(decided, default=recorded)
    return min(recorded, last + max(2.0, 0.08 * last)) if ends or decided else recorded


# --- weights --------------------------------------------------------------------------------------


def _wanted(trace: Trace, clock: _Clock, new: str) -> Line:
    """The weight of the new version that the policy asks for, from its steps, Services and decisions.

    When the old version is released again, to roll back, the steps count for it.
    """
    steps, full = _steps(trace.manifest), _max_weight(trace.manifest)
    forward = True
    points = [(0.0, 0.0)]
    for record in trace.records:
        value = record.get("value")
        if record["kind"] not in ("seen", "did", "event") or not isinstance(value, Mapping):
            continue
        if value["kind"] == "ReleaseAsked":
            forward = value["revision"] == new
        percent = _weight_wanted(value, steps, full)
        if percent is not None:
            to_new = value["revision"] == new if "revision" in value else forward
            percent = percent if to_new else 100.0 - percent
            if percent != points[-1][1]:
                points.append((clock.minute(record), percent))
    return _line(points)


def _weight_wanted(value: Record, steps: Sequence[Record], full: float) -> float | None:
    """Percent of the traffic for the version that ``value`` is about; None: it says nothing of weights."""
    match value["kind"]:
        case "ReleaseAsked":
            return _percent_at(steps, 0, full)
        case "StepCompleted":
            return _percent_at(steps, value["index"], full)
        case "SetService" if value["role"] == "active":
            return 100.0
        case "Promoted":
            return 100.0
        case "Aborted":
            return 0.0
    return None


def _steps(manifest: Record) -> Sequence[Record]:
    strategy = manifest.get("policy", {}).get("strategy", {})
    return strategy.get("steps", ()) if isinstance(strategy, Mapping) else ()


def _max_weight(manifest: Record) -> float:
    strategy = manifest.get("policy", {}).get("strategy", {})
    routing = strategy.get("routing") if isinstance(strategy, Mapping) else None
    return float(routing["max_weight"]) if routing else 100.0


def _percent_at(steps: Sequence[Record], index: int, full: float) -> float:
    """The weight at step ``index`` (from 0): that of the last setWeight up to it; 100 % after the steps."""
    if steps and index >= len(steps):
        return 100.0
    weights = [step["weight"] for step in steps[: index + 1] if step["kind"] == "SetWeight"]
    return 100.0 * weights[-1] / full if weights else 0.0


def _observed(trace: Trace, clock: _Clock, new: str) -> Line:
    """The share of traffic that reached the new version; without truth, what the router said."""
    truths = [(clock.minute(r), 100.0 * r["share"]) for r in trace.of("truth") if r["revision"] == new]
    if truths:
        return _line(truths)
    seen = [r for r in trace.of("seen") if r["value"]["kind"] == "WeightSeen"]
    scale = 100.0 / _max_weight(trace.manifest)
    return _line([(clock.minute(r), scale * r["value"]["weight"]) for r in seen])


# --- what was true and what was scraped -----------------------------------------------------------


def _true(truths: Sequence[Record], clock: _Clock, name: str) -> dict[str, Line]:
    """A step line per version, broken (NaN) while no traffic reaches it."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in truths:
        value = record[name] if record["share"] > 0.0 else math.nan
        lines[record["revision"]].append((clock.minute(record), value))
    return {version: _line(points) for version, points in lines.items()}


Deltas = Mapping[int, float]
"""Increase of one series by bin."""

Reduce = Callable[[Sequence[tuple[Record, Deltas]], int], float]


def _scraped(trace: Trace, clock: _Clock, versions: Sequence[str], reduce: Reduce) -> dict[str, Line]:
    """One value per minute and version, by ``reduce`` from the series' increases in that minute."""
    by_version: dict[str, list[tuple[Record, Deltas]]] = defaultdict(list)
    for labels, samples in _series(trace, clock.start_ms):
        version = next((v for v in versions if v and v in labels.values()), None)
        if version is not None:
            by_version[version].append((labels, _increases(samples)))
    lines = {}
    for version, series in by_version.items():
        bins = sorted({b for _, deltas in series for b in deltas})
        points = [((b + 0.5) * BIN_MS * _MINUTES, reduce(series, b)) for b in bins]
        known = [(minute, value) for minute, value in points if not math.isnan(value)]
        if known:
            lines[version] = _line(known)
    return lines


def _series(trace: Trace, start_ms: int) -> Iterator[tuple[Record, list[tuple[int, float]]]]:
    """Each scraped series: labels, and its finite samples as (ms since the release, value)."""
    points: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = defaultdict(list)
    for record in trace.of("sample"):
        if not isinstance(record["value"], str):
            key = tuple(sorted(record["labels"].items()))
            points[key].append((record["at"] - start_ms, float(record["value"])))
    for labels, samples in points.items():
        yield dict(labels), sorted(samples)


def _increases(points: Sequence[tuple[int, float]]) -> Deltas:
    """Increase of a counter by bin; a fall is a reset, after which it counts from zero."""
    found: dict[int, float] = defaultdict(float)
    for (_, before), (at, after) in pairwise(points):
        found[at // BIN_MS] += after - before if after >= before else after
    return found


def _error_rate(series: Sequence[tuple[Record, Deltas]], number: int) -> float:
    """Share of failed requests of the counters with a status (their name ends in _total or has none else)."""
    failed = total = 0.0
    for labels, deltas in series:
        status = _status(labels)
        if status is None or labels.get("__name__", "").endswith(("_bucket", "_sum", "_count")):
            continue
        total += deltas.get(number, 0.0)
        failed += deltas.get(number, 0.0) if status.startswith("5") else 0.0
    return failed / total if total > 0.0 else math.nan


def _status(labels: Record) -> str | None:
    return next((labels[name] for name in _STATUS_LABELS if name in labels), None)


def _p95(series: Sequence[tuple[Record, Deltas]], number: int) -> float:
    """The 95th percentile in seconds, interpolated in its bucket as Prometheus' histogram_quantile does."""
    counts: dict[float, float] = defaultdict(float)
    for labels, deltas in series:
        name = labels.get("__name__", "")
        if name.endswith("_bucket") and "le" in labels:
            unit_s = 1e-3 if name.endswith(("_milliseconds_bucket", "_ms_bucket", "_rq_time_bucket")) else 1.0
            counts[float(labels["le"]) * unit_s] += deltas.get(number, 0.0)
    bounds = sorted(counts)
    if not bounds or not math.isinf(bounds[-1]) or counts[bounds[-1]] <= 0.0:
        return math.nan
    rank = 0.95 * counts[bounds[-1]]
    below, count_below = 0.0, 0.0
    for bound in bounds[:-1]:
        if counts[bound] >= rank:
            return below + (bound - below) * (rank - count_below) / (counts[bound] - count_below)
        below, count_below = bound, counts[bound]
    return below


# --- what was decided -----------------------------------------------------------------------------


def _verdicts(events: Sequence[tuple[float, Record]]) -> Iterator[Mark]:
    for minute, value in events:
        if value["kind"] == "MeasurementTaken":
            yield Mark(minute, value["metric"], value["phase"])


def _pauses(events: Sequence[tuple[float, Record]], last: float) -> Iterator[Span]:
    paused: tuple[float, str] | None = None
    for minute, value in events:
        if value["kind"] == "Paused" and paused is None:
            paused = (minute, value["reason"])
        elif value["kind"] in ("Resumed", "StepCompleted", "StepsSkipped", "Aborted", "Promoted") and paused:
            yield Span(paused[0], minute, paused[1])
            paused = None
    if paused:
        yield Span(paused[0], last, paused[1])


def _ends(events: Sequence[tuple[float, Record]], new: str) -> Iterator[Mark]:
    for minute, value in events:
        if value["kind"] == "Aborted":
            yield Mark(minute, "aborted", value["message"])
        elif value["kind"] == "Promoted":
            what = "promoted" if value["revision"] == new else f"back to {value['revision']}"
            yield Mark(minute, what, value["reason"])


def _line(points: Sequence[tuple[float, float]]) -> Line:
    return Line(tuple(minute for minute, _ in points), tuple(value for _, value in points))
