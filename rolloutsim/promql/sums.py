"""Sums, means and deviations with the compensation that Prometheus uses (Kahan's, as Neumaier improved it).

Prometheus 3.5, promql/functions.go and promql/engine.go. Operators are not compensated, these are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["add", "deviation", "line", "mean", "quantile", "root", "total", "variance"]


def add(value: float, sum_: float, error: float) -> tuple[float, float]:
    """``value`` added to a compensated sum; the true sum is about the first result plus the second."""
    new = sum_ + value
    if math.isinf(new):
        return new, 0.0
    if abs(sum_) >= abs(value):
        return new, error + ((sum_ - new) + value)
    return new, error + ((value - new) + sum_)


def total(values: Sequence[float]) -> float:
    """The compensated sum of at least one value."""
    sum_, error = values[0], 0.0
    for value in values[1:]:
        new = sum_ + value
        if abs(sum_) >= abs(value):
            error += (sum_ - new) + value
        else:
            error += (value - new) + sum_
        sum_ = new
        if new - new != 0.0:
            return _total_carefully(values)
    return sum_ + error


def _total_carefully(values: Sequence[float]) -> float:
    """The same when infinities or NaN are about, which end a compensation."""
    sum_, error = values[0], 0.0
    for value in values[1:]:
        sum_, error = add(value, sum_, error)
    return sum_ if math.isinf(sum_) else sum_ + error


def mean(values: Sequence[float]) -> float:
    """The compensated mean: of the sum, or step by step from where the sum would overflow."""
    sum_, error = values[0], 0.0
    for index in range(1, len(values)):
        new, new_error = add(values[index], sum_, error)
        if math.isinf(new):
            return _running_mean(values, index, sum_ / index, error / index)
        sum_, error = new, new_error
    return sum_ / len(values) + error / len(values)


def _running_mean(values: Sequence[float], start: int, mean_: float, error: float) -> float:
    for index in range(start, len(values)):
        share = index / (index + 1)
        mean_, error = add(values[index] / (index + 1), share * mean_, share * error)
    return mean_ + error


def variance(values: Sequence[float]) -> float:
    """The population variance over time: compensated, in one pass."""
    mean_ = mean_error = sum_ = error = 0.0
    for count, value in enumerate(values, 1):
        delta = value - (mean_ + mean_error)
        mean_, mean_error = add(delta / count, mean_, mean_error)
        sum_, error = add(delta * (value - (mean_ + mean_error)), sum_, error)
    return (sum_ + error) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The population standard deviation over time."""
    return root(variance(values))


def root(value: float) -> float:
    """The square root; of a negative number, which rounding can make of a variance, NaN."""
    return math.sqrt(value) if value >= 0 else math.nan


def quantile(q: float, values: Sequence[float]) -> float:
    """The value at rank q × (n − 1), linear between neighbours; NaN counts as smaller than any number."""
    if not values or math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    numbers = sorted(value for value in values if value == value)
    ordered = [math.nan] * (len(values) - len(numbers)) + numbers
    rank = q * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def line(times: Sequence[int], values: Sequence[float], origin_ms: int) -> tuple[float, float]:
    """Slope (per second) and value at ``origin_ms`` of the least-squares line (times in ms)."""
    first = values[0]
    if all(value == first for value in values):
        return (math.nan, math.nan) if math.isinf(first) else (0.0, first)
    seconds = [(time - origin_ms) / 1000 for time in times]
    n = float(len(values))
    sum_x, sum_y = _plain(seconds), _plain(values)
    sum_xy = _plain([x * y for x, y in zip(seconds, values, strict=True)])
    sum_xx = _plain([x * x for x in seconds])
    slope = _ratio(sum_xy - sum_x * sum_y / n, sum_xx - sum_x * sum_x / n)
    return slope, sum_y / n - slope * sum_x / n


def _plain(values: Sequence[float]) -> float:
    sum_ = error = 0.0
    for value in values:
        sum_, error = add(value, sum_, error)
    return sum_ + error


def _ratio(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if not a or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
