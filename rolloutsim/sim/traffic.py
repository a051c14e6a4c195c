"""How many requests come: rates and their exact integrals over time.

Times are milliseconds from the release and may be negative. Everything here is the mean; the randomness
around it (Poisson counts, a gamma factor per minute when traffic is over-dispersed) is drawn elsewhere.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.scenario import ConstantRate, DiurnalRate, RecordedRate, Traffic

__all__ = ["expected_per_cell", "expected_requests", "mean_rps", "minute_shape", "rate_rps"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


def rate_rps(traffic: Traffic, t_ms: int) -> float:
    """Requests per second at a time, without the random factor of the minute."""
    match traffic.rate:
        case ConstantRate(rate_rps=rate):
            return rate
        case DiurnalRate() as day:
            angle = 2.0 * math.pi * ((t_ms + day.phase_ms) % day.period_ms) / day.period_ms
            return day.mean_rps * (1.0 + day.amplitude * math.sin(angle))
        case RecordedRate() as record:
            step = bisect_right(record.times_ms, t_ms % record.period_ms) - 1
            return record.rates_rps[step]


def expected_requests(traffic: Traffic, start_ms: int, end_ms: int) -> float:
    """Expected requests in [start, end).

    Raises
    ------
    ValueError : the end is before the start.
    """
    if end_ms < start_ms:
        raise ValueError(f"the interval ends at {end_ms} ms, before it starts at {start_ms} ms")
    return float(expected_per_cell(traffic, np.array([start_ms, end_ms], dtype=np.int64))[0])


def expected_per_cell(traffic: Traffic, edges_ms: Times) -> Floats:
    """Expected requests between successive edges.

    Parameters
    ----------
    edges_ms : rising times, shape (N + 1,).

    Returns
    -------
    Expected counts, shape (N,): rate times length for a constant rate, the closed form
    ``mean ((t2 - t1) - A / w (cos w t2 - cos w t1))`` for a diurnal one, the sum of the steps for a
    recorded one.
    """
    match traffic.rate:
        case ConstantRate(rate_rps=rate):
            return np.asarray((edges_ms[1:] - edges_ms[:-1]) * (rate / 1000.0), dtype=np.float64)
        case DiurnalRate() as day:
            return _diurnal(day, edges_ms)
        case RecordedRate() as record:
            return _recorded(record, edges_ms)


def mean_rps(traffic: Traffic) -> float:
    """Requests per second, averaged over a period."""
    match traffic.rate:
        case ConstantRate(rate_rps=rate):
            return rate
        case DiurnalRate(mean_rps=mean):
            return mean
        case RecordedRate() as record:
            return float(_cumulated(record)[1][-1]) * 1000.0 / record.period_ms


def minute_shape(traffic: Traffic) -> float | None:
    """Shape of the gamma factor (mean 1) of a minute's rate; None when the counts are Poisson.

    A Poisson count with mean ``m`` times a gamma variable of shape ``k`` and mean 1 has variance over
    mean ``1 + m / k`` (negative binomial), so ``k = m / (dispersion - 1)`` with ``m`` the requests per
    minute at the mean rate.
    """
    per_minute = 60.0 * mean_rps(traffic)
    if traffic.dispersion <= 1.0 or per_minute <= 0.0:
        return None
    return per_minute / (traffic.dispersion - 1.0)


def _diurnal(day: DiurnalRate, edges_ms: Times) -> Floats:
    # The difference of cosines as a product of sines: no cancellation in short cells.
    per_ms = 2.0 * math.pi / day.period_ms
    length = np.diff(edges_ms)
    middle = (edges_ms[:-1] + day.phase_ms) % day.period_ms + 0.5 * length
    wave = np.sin(per_ms * middle) * np.sin(0.5 * per_ms * length) * (2.0 / per_ms)
    counts = (length + day.amplitude * wave) * (day.mean_rps / 1000.0)
    return np.asarray(np.maximum(counts, 0.0))


def _recorded(record: RecordedRate, edges_ms: Times) -> Floats:
    times, totals = _cumulated(record)
    periods, within = np.divmod(edges_ms, record.period_ms)
    counts = np.diff(periods) * totals[-1] + np.diff(np.interp(within, times, totals))
    return np.asarray(np.maximum(counts, 0.0))


@lru_cache(maxsize=64)
def _cumulated(record: RecordedRate) -> tuple[Floats, Floats]:
    """Step times with the end of the record, and expected requests up to each."""
    times = np.array([*record.times_ms, record.period_ms], dtype=np.float64)
    steps = np.diff(times) * np.array(record.rates_rps) / 1000.0
    return times, np.concatenate(([0.0], np.cumsum(steps)))
