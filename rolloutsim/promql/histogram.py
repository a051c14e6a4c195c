"""Quantiles and fractions of classic histograms. Prometheus 3.5, promql/quantile.go.

Native histograms are not kept here; the functions that read only those find nothing, as on a server without
any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from rolloutsim.promql.context import Context, NumberPlan, VectorPlan
from rolloutsim.promql.labels import METRIC_NAME, LabelSet, value_of, without
from rolloutsim.promql.shape import Frame, Shape, checked

__all__ = ["bucket_fraction", "bucket_quantile", "of_buckets"]

_TOLERANCE = 1e-12
_SMALLEST_NORMAL = 2.2250738585072014e-308
_BOUND = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.I
)

Buckets = list[tuple[float, float]]
"""Upper bound and cumulative count."""


def bucket_quantile(q: float, given: Buckets) -> float:
    """The value below which a share q of the observations lies, interpolated inside one bucket."""
    if math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    buckets = _coalesced(given)
    if buckets[-1][0] != math.inf:
        return math.nan
    buckets = _monotonic(buckets)
    if len(buckets) < 2 or not buckets[-1][1]:
        return math.nan
    rank = q * buckets[-1][1]
    place = _first_reaching(buckets, rank)
    if place == len(buckets) - 1:
        return buckets[-2][0]
    upper, count = buckets[place]
    if place == 0 and upper <= 0:
        return upper
    lower, below = buckets[place - 1] if place else (0.0, 0.0)
    count -= below
    rank -= below
    share = rank / count if count else math.nan if not rank or rank != rank else math.inf
    return lower + (upper - lower) * share


def _first_reaching(buckets: Buckets, rank: float) -> int:
    """The first bucket but the last whose count is at least ``rank``, found by bisection as in Go."""
    low, high = 0, len(buckets) - 1
    while low < high:
        middle = (low + high) // 2
        if buckets[middle][1] >= rank:
            high = middle
        else:
            low = middle + 1
    return low


def bucket_fraction(lower: float, upper: float, given: Buckets) -> float:
    """The share of the observations between two bounds, interpolated inside buckets."""
    buckets = _coalesced(given)
    if buckets[-1][0] != math.inf:
        return math.nan
    count = buckets[-1][1]
    if count == 0 or math.isnan(lower) or math.isnan(upper):
        return math.nan
    if lower >= upper:
        return 0.0
    return (_rank_of(upper, buckets) - _rank_of(lower, buckets)) / count


def _rank_of(bound: float, buckets: Buckets) -> float:
    """How many observations lie below a bound; a first bucket that ends at or below 0 is not divided."""
    rank, start = 0.0, -math.inf
    for number, (end, count) in enumerate(buckets):
        if number == 0 and end > 0:
            start = 0.0
        if start >= bound:
            return min(rank, buckets[-1][1])
        if start < bound < end:
            inside = rank + (count - rank) * (bound - start) / (end - start)
            return min(inside if start > -math.inf else count, buckets[-1][1])
        rank, start = count, end
    return buckets[-1][1]


def _coalesced(given: Buckets) -> Buckets:
    """Sorted by bound, buckets of the same bound added up."""
    result: Buckets = []
    for bound, count in sorted(given, key=lambda bucket: bucket[0]):
        if result and result[-1][0] == bound:
            result[-1] = bound, result[-1][1] + count
        else:
            result.append((bound, count))
    return result


def _monotonic(buckets: Buckets) -> Buckets:
    """Counts that never fall: dips are raised, differences that are only rounding are levelled."""
    result = buckets[:1]
    previous = buckets[0][1]
    for bound, count in buckets[1:]:
        if count == previous or _nearly_equal(previous, count) or count < previous:
            result.append((bound, previous))
        else:
            result.append((bound, count))
            previous = count
    return result


def _nearly_equal(a: float, b: float) -> bool:
    """util/almost of Prometheus: a relative difference below the tolerance; NaN equals NaN."""
    if a == b or (a != a and b != b):
        return True
    size, distance = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or size < _SMALLEST_NORMAL:
        return distance < _TOLERANCE * _SMALLEST_NORMAL
    return distance / min(size, 1.7976931348623157e308) < _TOLERANCE


def _bound(text: str) -> float | None:
    """The number a ``le`` label holds, None if it holds none."""
    return float(text) if _BOUND.fullmatch(text) else None


class _Histograms:
    """The histograms among the elements of a shape: their labels, and per element bound and histogram."""

    __slots__ = ("members", "shape")

    def __init__(self, shape: Shape) -> None:
        numbers: dict[LabelSet, int] = {}
        self.members: list[tuple[int, int, float]] = []
        for place, labels in enumerate(shape.labels):
            bound = _bound(value_of(labels, "le"))
            if bound is not None:
                number = numbers.setdefault(without(labels, ("le",)), len(numbers))
                self.members.append((place, number, bound))
        self.shape = Shape([without(labels, (METRIC_NAME,)) for labels in numbers])


def of_buckets(
    inner: VectorPlan, scalars: tuple[NumberPlan, ...], function: Callable[..., float]
) -> VectorPlan:
    """A function of scalars and the buckets of a histogram, for every histogram of a vector."""
    key = object()

    def plan(context: Context) -> Frame:
        given = [scalar(context) for scalar in scalars]
        shape, values = inner(context)
        histograms: _Histograms | None = shape.derived.get(key)
        if histograms is None:
            histograms = shape.derived[key] = _Histograms(shape)
        buckets: list[Buckets] = [[] for _ in range(len(histograms.shape))]
        for place, number, bound in histograms.members:
            value = values[place]
            if value is not None:
                buckets[number].append((bound, value))
        return checked(histograms.shape, [function(*given, found) if found else None for found in buckets])

    return plan
