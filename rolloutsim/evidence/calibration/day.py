"""The request rate by time of day."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.calibration.counting import Cells

__all__ = ["DayRate", "rate_by_day"]

DAY_MS = 86_400_000
STEP_MS = 1_800_000
STEPS = DAY_MS // STEP_MS
LEAST_P = 1e-3
"""Differences between times of day that chance would show more often than this are none."""
LEAST_STEPS = 0.9
"""Share of the steps of a day that have to be seen; what is missing is drawn in from its neighbours."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DayRate:
    """Requests per second: the mean, and in each half hour of a day (UTC).

    ``rates_rps`` is empty where the rate does not differ by time of day, or less than a day is known
    (``whole`` is False then). ``days`` is how much time is behind it.
    """

    mean_rps: float
    rates_rps: tuple[float, ...]
    whole: bool
    days: float


def rate_by_day(cells: Cells, dispersion: float) -> DayRate | None:
    """The rate over the valid cells; None if there are none.

    Half hours differ if the chi-square test of equal rates says so, its statistic divided by the dispersion
    (P. McCullagh, J. A. Nelder, *Generalized Linear Models*, 1989, section 4.5).
    """
    from scipy.special import chdtrc

    if not cells.valid.any():
        return None
    length_s = cells.length_ms / 1000.0
    step = ((cells.ends_ms - cells.length_ms // 2) % DAY_MS // STEP_MS)[cells.valid]
    requests = cells.requests[cells.valid]
    counts = np.bincount(step, requests, minlength=STEPS)
    seconds = np.bincount(step, minlength=STEPS) * length_s
    days = float(seconds.sum()) * 1000.0 / DAY_MS
    mean = float(counts.sum() / seconds.sum())
    known = seconds > 0.0
    if known.mean() < LEAST_STEPS:
        return DayRate(mean, (), False, days)
    rates = np.interp(np.arange(STEPS), np.flatnonzero(known), counts[known] / seconds[known], period=STEPS)
    expected = mean * seconds[known]
    statistic = float(((counts[known] - expected) ** 2 / expected).sum()) if mean else 0.0
    if float(chdtrc(known.sum() - 1, statistic / max(1.0, dispersion))) > LEAST_P:
        return DayRate(mean, (), True, days)
    # the mean over a day, though some times of it may have been seen more often than others
    return DayRate(float(rates.mean()), tuple(rates.tolist()), True, days)


def shown(rate: float) -> float:
    """Four significant digits."""
    return 0.0 if rate == 0.0 else round(rate, 3 - math.floor(math.log10(abs(rate))))
