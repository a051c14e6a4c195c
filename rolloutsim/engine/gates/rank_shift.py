"""The judge of Spinnaker's Kayenta, to compare with: Mann-Whitney with an interval of the shift.

Not a gate: it looks at points of a metric, not at counts, and promises nothing over repeated runs. The rules
are those of Kayenta's NetflixACAJudge, whose interval is that of R's ``wilcox.test`` with the normal
approximation.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["RankShift", "Shift", "rank_shift"]

Points = NDArray[np.float64]


class Shift(StrEnum):
    """Kayenta's classes of a metric."""

    PASS = "Pass"
    HIGH = "High"
    LOW = "Low"


@dataclass(frozen=True, slots=True)
class RankShift:
    """The class, the Hodges-Lehmann estimate of canary minus baseline, its interval, and a p-value.

    ``p`` is one-sided, of the hypothesis that the canary is no higher (normal approximation, continuity
    corrected); the class does not depend on it. 1 where all points are equal.
    """

    shift: Shift
    estimate: float
    low: float
    high: float
    p: float


def rank_shift(
    canary: Sequence[float], baseline: Sequence[float], confidence: float = 0.98, tolerance: float = 0.25
) -> RankShift:
    """High (low) when the interval of the shift lies above (below) ``tolerance`` times the estimate's size.

    Equal samples and samples of one value pass.

    Raises
    ------
    ValueError : an empty sample.
    """
    if not (len(canary) and len(baseline)):
        raise ValueError("a rank test needs points of both the canary and the baseline")
    x, y = np.sort(np.asarray(canary, dtype=float)), np.sort(np.asarray(baseline, dtype=float))
    if np.array_equal(x, y) or len(set(x) | set(y)) == 1:
        return RankShift(Shift.PASS, 0.0, 0.0, 0.0, _p(x, y))
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    low, high, estimate = (_where(x, y, level) for level in (z, -z, 0.0))
    bar = tolerance * abs(estimate)
    shift = Shift.HIGH if low > bar else Shift.LOW if high < -bar else Shift.PASS
    return RankShift(shift, estimate, low, high, _p(x, y))


def _where(x: Points, y: Points, level: float) -> float:
    """The shift at which the rank statistic falls through a level: the middle, where it rests on it.

    The statistic is a step function that falls at the differences of the points.
    """
    falls = np.unique(x[:, None] - y[None, :])
    between = [float(falls[0]) - 1.0, *((falls[1:] + falls[:-1]) / 2.0).tolist(), float(falls[-1]) + 1.0]

    def gone(shift: float) -> float:
        return -_statistic(x, y, shift)

    first = min(max(bisect_left(between, -level, key=gone), 1), len(falls))
    last = min(max(bisect_right(between, -level, key=gone), 1), len(falls))
    return float(falls[first - 1] + falls[last - 1]) / 2.0


def _statistic(x: Points, y: Points, shift: float) -> float:
    """Standardised rank sum of ``x - shift`` against ``y``: mid-ranks, ties and continuity corrected."""
    excess, deviation = _rank_sum(x, y, shift)
    return (excess - math.copysign(min(0.5, abs(excess)), excess)) / deviation


def _p(x: Points, y: Points) -> float:
    excess, deviation = _rank_sum(x, y, 0.0)
    return 0.5 * math.erfc((excess - 0.5) / (deviation * math.sqrt(2.0))) if deviation else 1.0


def _rank_sum(x: Points, y: Points, shift: float) -> tuple[float, float]:
    """How far the rank sum of ``x - shift`` lies above its mean, and its standard deviation."""
    n1, n2 = len(x), len(y)
    joined = np.concatenate([x - shift, y])
    _, places, counts = np.unique(joined, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    excess = float(ranks[places[:n1]].sum()) - n1 * (n1 + 1) / 2.0 - n1 * n2 / 2.0
    total = n1 + n2
    ties = float((counts.astype(float) ** 3 - counts).sum()) / (total * (total - 1.0))
    return excess, math.sqrt(n1 * n2 / 12.0 * (total + 1.0 - ties))
