"""Functions of the samples in a window, one series at a time.

Each takes the times (ms) and values of one series, oldest first, never empty, and the `Window`; it returns
the value or None where the series has none. Prometheus 3.5, promql/functions.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from rolloutsim.promql import sums

__all__ = ["WINDOW_FUNCTIONS", "Window", "WindowFunction", "extrapolated"]


class Window:
    """A range: its bounds, its length and the evaluation time (ms), and a function's scalar arguments."""

    __slots__ = ("arguments", "at_ms", "end", "range_ms", "start")

    def __init__(self, start: int, end: int, at_ms: int, arguments: tuple[float, ...]) -> None:
        self.start = start
        self.end = end
        self.range_ms = end - start
        self.at_ms = at_ms
        self.arguments = arguments


Times = Sequence[int]
Samples = Sequence[float]
WindowFunction = Callable[[Times, Samples, Window], float | None]


def extrapolated(
    times: Times, values: Samples, window: Window, *, counter: bool, per_second: bool
) -> float | None:
    """``rate``, ``increase`` and ``delta``: the change, extended to the window's edges within limits.

    An edge that is 1.1 mean sample distances away or more is reached for half a distance only, and a
    counter is not extended to before it was zero.
    """
    last = len(values) - 1
    if last < 1:
        return None
    change = values[last] - values[0]
    if counter:
        previous = values[0]
        for value in values:
            if value < previous:
                change += previous
            previous = value
    before = (times[0] - window.start) / 1000
    after = (window.end - times[last]) / 1000
    sampled = (times[last] - times[0]) / 1000
    distance = sampled / last
    if before >= distance * 1.1:
        before = distance / 2
    if counter and change > 0 and values[0] >= 0:
        before = min(before, sampled * (values[0] / change))
    if after >= distance * 1.1:
        after = distance / 2
    factor = (sampled + before + after) / sampled
    if per_second:
        factor /= window.range_ms / 1000
    return change * factor


def _rate(times: Times, values: Samples, window: Window) -> float | None:
    return extrapolated(times, values, window, counter=True, per_second=True)


def _increase(times: Times, values: Samples, window: Window) -> float | None:
    return extrapolated(times, values, window, counter=True, per_second=False)


def _delta(times: Times, values: Samples, window: Window) -> float | None:
    return extrapolated(times, values, window, counter=False, per_second=False)


def _irate(times: Times, values: Samples, window: Window) -> float | None:
    if len(values) < 2:
        return None
    change = values[-1] if values[-1] < values[-2] else values[-1] - values[-2]
    return change / ((times[-1] - times[-2]) / 1000)


def _idelta(times: Times, values: Samples, window: Window) -> float | None:
    return values[-1] - values[-2] if len(values) > 1 else None


def _deriv(times: Times, values: Samples, window: Window) -> float | None:
    return sums.line(times, values, times[0])[0] if len(values) > 1 else None


def _predict_linear(times: Times, values: Samples, window: Window) -> float | None:
    if len(values) < 2:
        return None
    slope, now = sums.line(times, values, window.at_ms)
    return slope * window.arguments[0] + now


def _changes(times: Times, values: Samples, window: Window) -> float:
    return float(sum(a != b and not (a != a and b != b) for a, b in pairwise(values)))


def _resets(times: Times, values: Samples, window: Window) -> float:
    return float(sum(b < a for a, b in pairwise(values)))


def _greatest(times: Times, values: Samples, window: Window) -> float:
    return max((value for value in values if value == value), default=math.nan)


def _least(times: Times, values: Samples, window: Window) -> float:
    return min((value for value in values if value == value), default=math.nan)


WINDOW_FUNCTIONS: dict[str, WindowFunction] = {
    "avg_over_time": lambda times, values, window: sums.mean(values),
    "changes": _changes,
    "count_over_time": lambda times, values, window: float(len(values)),
    "delta": _delta,
    "deriv": _deriv,
    "idelta": _idelta,
    "increase": _increase,
    "irate": _irate,
    "last_over_time": lambda times, values, window: values[-1],
    "max_over_time": _greatest,
    "min_over_time": _least,
    "predict_linear": _predict_linear,
    "present_over_time": lambda times, values, window: 1.0,
    "quantile_over_time": lambda times, values, window: sums.quantile(window.arguments[0], values),
    "rate": _rate,
    "resets": _resets,
    "stddev_over_time": lambda times, values, window: sums.deviation(values),
    "stdvar_over_time": lambda times, values, window: sums.variance(values),
    "sum_over_time": lambda times, values, window: sums.total(values) + 0.0,
}
"""Functions of a range vector by name; scalar arguments are in the window."""
