"""From rows of runs to numbers with intervals.

Rates carry Wilson's score interval, or the exact bound of Clopper and Pearson where every run agrees.
Skewed totals (requests, seconds, pod-hours) carry Hall's interval: the t interval of a cubic transform
of the studentised mean that removes its skewness (P. Hall, "On the removal of skewness by
transformation", J. R. Statist. Soc. B 54, 1992, 221-228). Differences are paired run by run: Tango's
score interval for rates (T. Tango, Statistics in Medicine 17, 1998, 891-908), Hall's interval of the
run-by-run differences for totals.

Where runs are added until a question is decided, the interval has to hold at every look: `plan_looks` says
when to look and what each look may cost, `repeated_rate` and `repeated_mean` give the interval of one look
(repeated confidence intervals: C. Jennison, B. W. Turnbull, J. R. Statist. Soc. B 51, 1989, 305-361). The
chance of error is spent look by look (`rolloutsim.engine.gates.boundaries`), since the runs are independent.

Nothing here is random: the same data give the same interval. No interval of a mean can see what no run
has shown: where one run in a thousand costs a thousand times more, a few hundred runs are too few.

Runs that are all equal have no spread to make an interval of, and whatever the mean is, some distribution
that has it is likely to show so few equal runs (R. R. Bahadur, L. J. Savage, Ann. Math. Statist. 27, 1956,
1115-1122). So there is none until they show by their number that hardly a run is different
(`equal_runs_needed`); from then on both its ends are the value itself, and its method is "constant".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Estimate",
    "Looks",
    "clopper_pearson",
    "equal_runs_needed",
    "mean_interval",
    "paired_mean_difference",
    "paired_rate_difference",
    "plan_looks",
    "rate",
    "repeated_mean",
    "repeated_rate",
    "runs_needed",
    "wilson",
]

CONFIDENCE = 0.95

_LOOKS_PER_DOUBLING = 3
_SPENDING = 2.0
"""After a share t of the runs t to this power of the error is spent: most is left for the later looks."""
_TAIL_DIGITS = 7
"""Decimal places of a tail: the last bits of an integral are not the same everywhere."""
_BISECTIONS = 60
_ALIKE = 1e-12
"""Values whose spread is below this share of their size count as all alike."""
_DIFFERENT = 0.05
"""So large a share of all runs may be different from equal ones and still count as hardly any."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its interval, and the number of runs behind it.

    ``value`` is None when no run tells anything, ``low`` and ``high`` are None when the runs are too
    few for an interval. ``method`` names how the interval was made.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str


def wilson(k: int, n: int, conf: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a rate of ``k`` in ``n`` (E. B. Wilson, JASA 22, 1927, 209-212)."""
    _check_count(k, n)
    z2 = _z(conf) ** 2
    centre = (k + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def clopper_pearson(k: int, n: int, conf: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a rate (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934, 404-413)."""
    _check_count(k, n)
    from scipy.special import betaincinv

    tail = (1.0 - conf) / 2.0
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1.0 - tail))
    return low, high


def rate(k: int, n: int, conf: float = CONFIDENCE) -> Estimate:
    """The share ``k / n``: Wilson's interval, or Clopper and Pearson's where all runs agree."""
    if n == 0:
        return Estimate(None, None, None, 0, "none")
    if k in (0, n):
        return Estimate(k / n, *clopper_pearson(k, n, conf), n, "clopper-pearson")
    return Estimate(k / n, *wilson(k, n, conf), n, "wilson")


def runs_needed(p: float, half_width: float, conf: float = CONFIDENCE) -> int:
    """Runs after which a rate near ``p`` is known to within ``half_width``: ``z^2 p (1-p) / h^2``."""
    if not 0.0 < p < 1.0 or half_width <= 0.0:
        raise ValueError("runs_needed wants 0 < p < 1 and half_width > 0")
    return math.ceil(_z(conf) ** 2 * p * (1.0 - p) / half_width**2)


def equal_runs_needed(conf: float = CONFIDENCE) -> int:
    """Equal runs that surely stand for 95 in 100 of all: the fewest ``n`` with ``0.95^n <= 1 - conf``.

    The sample size of a tolerance limit without a distribution (S. S. Wilks, Ann. Math. Statist. 12, 1941,
    91-96): 59 at 95 %.
    """
    return math.ceil(math.log(1.0 - conf) / math.log1p(-_DIFFERENT))


def mean_interval(values: ArrayLike, conf: float = CONFIDENCE) -> Estimate:
    """The mean of a skewed total over runs; NaN means that a run has no such value and is left out.

    The interval of a total that is never negative does not reach below zero. Fewer equal runs than
    `equal_runs_needed` have a mean and no interval.
    """
    x = _known(values)
    n = len(x)
    if n == 0:
        return Estimate(None, None, None, 0, "none")
    mean = float(x.mean())
    if n == 1:
        return Estimate(mean, None, None, 1, "none")
    centred = x - mean
    deviation = math.sqrt(float(centred @ centred) / n)
    if deviation <= _ALIKE * float(np.abs(x).max()):
        if n < equal_runs_needed(conf):
            return Estimate(mean, None, None, n, "none")
        return Estimate(mean, mean, mean, n, "constant")
    low, high = _hall(mean, deviation, float((centred**3).mean()) / deviation**3, n, conf)
    if float(x.min()) >= 0.0:
        low = max(low, 0.0)
    return Estimate(mean, low, high, n, "hall")


def paired_mean_difference(a: ArrayLike, b: ArrayLike, conf: float = CONFIDENCE) -> Estimate:
    """Mean of ``b - a`` over runs that met the same world; a pair with a NaN is left out."""
    return mean_interval(_pairs(b) - _pairs(a), conf)


def paired_rate_difference(a: ArrayLike, b: ArrayLike, conf: float = CONFIDENCE) -> Estimate:
    """Rate of ``b`` minus rate of ``a`` over runs that met the same world (booleans, same length)."""
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape:
        raise ValueError("paired runs come in pairs: both sides need the same runs")
    n = int(first.size)
    if n == 0:
        return Estimate(None, None, None, 0, "none")
    gained = int(np.count_nonzero(second & ~first))
    lost = int(np.count_nonzero(first & ~second))
    return Estimate((gained - lost) / n, *_tango(gained, lost, n, conf), n, "tango")


@dataclass(frozen=True, slots=True)
class Looks:
    """After how many runs to look, and the chance of error that either end of one look's interval has.

    They are such that each end of the interval is on the right side with the stated confidence at whatever
    look one stops.
    """

    runs: tuple[int, ...]
    tails: tuple[float, ...]


def plan_looks(cap: int, first: int = 100, error: float = 1.0 - CONFIDENCE) -> Looks:
    """Looks after ``cap`` runs and before, three for each doubling, down to ``first`` at least.

    ``error`` is the chance that an end of the interval is wrong at any look. With one look for each doubling
    a share at half its bar takes a quarter more runs to be decided; with more looks hardly fewer.
    """
    if not 1 <= first <= cap or not 0.0 < error < 0.5:
        raise ValueError("plan_looks wants 1 <= first <= cap and 0 < error < 0.5")
    from rolloutsim.engine.gates.boundaries import power_bounds

    earlier = range(1 + math.floor(_LOOKS_PER_DOUBLING * math.log2(cap / first)))
    runs = sorted({round(cap * 0.5 ** (look / _LOOKS_PER_DOUBLING)) for look in earlier})
    bounds = power_bounds([n / cap for n in runs], error, _SPENDING)
    tails = (round(NormalDist().cdf(-bound), _TAIL_DIGITS) for bound in bounds)
    return Looks(tuple(runs), tuple(tails))


def repeated_rate(k: int, n: int, tail: float) -> Estimate:
    """The share ``k / n`` at one look, whose ends are wrong with a chance of at most ``tail`` each."""
    return Estimate(k / n, *clopper_pearson(k, n, 1.0 - 2.0 * tail), n, "repeated clopper-pearson")


def repeated_mean(values: ArrayLike, tail: float) -> Estimate:
    """The mean of a skewed total at one look; each end is wrong with a chance of about ``tail``."""
    found = mean_interval(values, 1.0 - 2.0 * tail)
    return replace(found, method="repeated hall") if found.method == "hall" else found


def _hall(mean: float, deviation: float, skewness: float, n: int, conf: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    error = deviation / math.sqrt(n - 1)
    t = float(stdtrit(n - 1, 0.5 + conf / 2.0))
    return mean - _untransformed(t, skewness, n) * error, mean - _untransformed(-t, skewness, n) * error


def _untransformed(t: float, skewness: float, n: int) -> float:
    """Inverse of Hall's transform ``u + g u^2 / 3 + g^2 u^3 / 27 + g / (6 n)`` of ``u = t / sqrt n``."""
    root = math.sqrt(n)
    if abs(skewness) < 1e-6:
        return t
    cubed = 1.0 + skewness * (t / root - skewness / (6.0 * n))
    return 3.0 * root / skewness * (math.cbrt(cubed) - 1.0)


def _tango(gained: int, lost: int, n: int, conf: float) -> tuple[float, float]:
    """The differences whose score test does not reject: the ends are found by bisection."""
    z = _z(conf)
    middle = (gained - lost) / n

    def score(difference: float) -> float:
        return _tango_score(gained, lost, n, difference)

    return (
        _where_it_falls_below(score, z, -1.0, middle),
        _where_it_falls_below(score, -z, middle, 1.0),
    )


def _tango_score(gained: int, lost: int, n: int, difference: float) -> float:
    linear = (2 * n - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1.0 - difference)
    lost_rate = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2.0 * lost_rate + difference * (1.0 - difference))
    distance = gained - lost - n * difference
    if variance <= 0.0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _where_it_falls_below(
    falling: Callable[[float], float], level: float, left: float, right: float
) -> float:
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2.0
        if falling(middle) > level:
            left = middle
        else:
            right = middle
    return (left + right) / 2.0


def _known(values: ArrayLike) -> NDArray[np.float64]:
    x = _pairs(values)
    return x[~np.isnan(x)]


def _pairs(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _check_count(k: int, n: int) -> None:
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"a rate needs 0 <= k <= n and n > 0, not {k} of {n}")


def _z(conf: float) -> float:
    return NormalDist().inv_cdf(0.5 + conf / 2.0)
