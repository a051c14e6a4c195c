"""From raw samples of counters to whole numbers of requests: what answers a gate's `Measure` in any world.

`count_arms` asks for the samples of each selector (a range selector, evaluated at one time) and adds up how
far each series rose within each span. Nothing is extrapolated, so the numbers are exact integers:

- A counter that falls was reset and counts from 0 again.
- A series that ends keeps what it had.
- A series that begins was 0 at the sample before of the same target (labels ``instance`` and ``pod``), or at
  the beginning of the first span when its target has no earlier sample. Only when nothing at all is known of
  the stable version from before (a hole in the scrapes), its first samples are where counting begins.
- A rise between two samples belongs to a span when both lie in it. What rose between the last sample before a
  change of the weight and the first one after it belongs to neither span: which weight its requests were
  divided by cannot be known. Leaving it out depends on times only and never on outcomes, so an always-valid
  test stays valid; a look taken just before the weight is set would not do, since the last scrape is older
  than the look, and its remainder would be attributed to the new weight.

Targets are scraped at times of their own, so within a span the arms may differ by a scrape interval at each
end; that matters while a span is only a few scrapes long, and a gate's margin is there for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from rolloutsim.engine.events import Counted, Counts, Measure, MeasureError, Outcome, Span
from rolloutsim.policy.gated import ArmCounters, GatedCounts
from rolloutsim.promql import Matrix, PromQLError, Series

__all__ = ["Ask", "count_arms"]

Ask = Callable[[str, int], Matrix]
"""Evaluates an instant query whose result is a matrix at a time in ms; raises PromQLError."""

REACH_MS = 300_000
"""How far before the first span samples are asked for: a series that is older did not begin in it."""
RANGE_STEP_MS = 600_000


def count_arms(request: Measure, at: int, ask: Ask) -> Outcome:
    """Answer a `Measure` whose provider is `GatedCounts` with the counts of both versions in each span.

    ``at`` (ms) is the time of the measurement; ``ask`` is the world's Prometheus. What it cannot answer is a
    `MeasureError`, never a wrong number.

    Raises
    ------
    TypeError : the provider is another one.
    """
    provider = request.provider
    if not isinstance(provider, GatedCounts):
        raise TypeError(f"count_arms counts for gates, not for a {type(provider).__name__}")
    if not request.spans:
        return Counted(())
    first = request.spans[0].start
    range_ms = _range_ms(at - first + REACH_MS)
    try:
        canary = _arm(provider.canary, request.spans, at, range_ms, ask, new=True)
        stable = _arm(provider.stable, request.spans, at, range_ms, ask, new=False)
    except PromQLError as error:
        return MeasureError(str(error))
    for name, arm in (("canary", canary), ("stable", stable)):
        for requests, bad in arm:
            if not 0 <= bad <= requests:
                return MeasureError(
                    f"the counters of the {name} disagree: {bad} bad of {requests} requests; "
                    "both selectors have to read the same requests"
                )
    return Counted(tuple(Counts(*c, *s) for c, s in zip(canary, stable, strict=True)))


def _range_ms(needed: int) -> int:
    """A range that reaches far enough; one of few, so that few different queries are compiled."""
    return -(-needed // RANGE_STEP_MS) * RANGE_STEP_MS


def _arm(
    counters: ArmCounters | None, spans: Sequence[Span], at: int, range_ms: int, ask: Ask, *, new: bool
) -> list[tuple[int, int]]:
    """Requests and bad requests of one version in each span; ``new``: it cannot be older than the first."""
    if counters is None:
        return [(0, 0)] * len(spans)
    found = [
        [_Counter(_target(series), series.times_ms, series.values) for series in matrix.series]
        for matrix in (
            ask(f"{selector}[{range_ms}ms]", at)
            for selector in (counters.requests, counters.errors or counters.fast)
            if selector
        )
    ]
    scrapes = _scrapes([counter for matrix in found for counter in matrix])
    since = spans[0].start
    known = new or any(times[0] <= since for times in scrapes.values())
    totals = [_rises(matrix, spans, at, scrapes, since if known else None) for matrix in found]
    requests = totals[0]
    if len(totals) == 1:
        return [(n, 0) for n in requests]
    if counters.errors:
        return list(zip(requests, totals[1], strict=True))
    return [(n, n - fast) for n, fast in zip(requests, totals[1], strict=True)]


Target = tuple[str, str]


def _target(series: Series) -> Target:
    return series.labels.get("instance", ""), series.labels.get("pod", "")


class _Counter(NamedTuple):
    """One series: what it was scraped from, and its samples."""

    target: Target
    times: tuple[int, ...]
    values: tuple[float, ...]


def _scrapes(counters: Sequence[_Counter]) -> dict[Target, tuple[int, ...]]:
    """When each target was scraped, as far as its series tell: sorted times in ms."""
    found: dict[Target, tuple[int, ...]] = {}
    for target, times, _ in counters:
        known = found.setdefault(target, times)
        fewer, more = (times, known) if len(times) <= len(known) else (known, times)
        same = more[len(more) - len(fewer) :] == fewer  # most series of a target only differ in their birth
        found[target] = more if same else tuple(sorted({*known, *times}))
    return found


def _rises(
    counters: Sequence[_Counter],
    spans: Sequence[Span],
    at: int,
    scrapes: Mapping[Target, tuple[int, ...]],
    born: int | None,
) -> list[int]:
    """How far counters rose within each span (in order, not overlapping), all series together.

    ``scrapes`` are the times (ms, sorted) at which each target was scraped: a series that begins was 0 at
    the one before, or at ``born`` if there is none; None: then its first sample is where it begins.
    """
    ends = [at if span.end is None else span.end for span in spans]
    totals = [0.0] * len(spans)
    for counter in counters:
        times, values = _finite(counter)
        if not times:
            continue
        if times[0] >= spans[0].start:
            known = scrapes[counter.target]
            index = bisect_left(known, times[0])
            zero = known[index - 1] if index else born
            place = bisect_left(ends, times[0])
            if zero is not None and place < len(spans) and spans[place].start <= min(zero, times[0]):
                totals[place] += values[0]
        grows = sorted(values) == values
        for place, span in enumerate(spans):
            low, high = bisect_left(times, span.start), bisect_right(times, ends[place])
            if high - low > 1:
                totals[place] += values[high - 1] - values[low] if grows else _risen(values[low:high])
    return [round(total) for total in totals]


def _finite(counter: _Counter) -> tuple[Sequence[int], list[float]]:
    """Its samples that are numbers."""
    if isfinite(sum(counter.values)):
        return counter.times, list(counter.values)
    samples = [(t, v) for t, v in zip(counter.times, counter.values, strict=True) if isfinite(v)]
    return [t for t, _ in samples], [v for _, v in samples]


def _risen(values: Sequence[float]) -> float:
    """How far a counter rose that was reset now and then."""
    return sum(now - before if now >= before else now for before, now in pairwise(values))
