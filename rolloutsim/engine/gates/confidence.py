"""Confidence sequences: intervals that hold at all times at once, for reports and for verdicts.

Sources: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 49, 2021 (normal and beta-binomial mixtures); S. R. Howard and
A. Ramdas, "Sequential estimation of quantiles", Bernoulli 28, 2022 (order statistics).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import lgamma

from rolloutsim.engine.gates.samples import Arm

__all__ = [
    "concentration_of",
    "difference_sequence",
    "mean_sequence",
    "normal_mixture_bound",
    "normal_mixture_log_e",
    "normal_mixture_rho",
    "quantile_half_widths",
    "quantile_ranks",
    "rate_lower",
    "rate_sequence",
    "rate_upper",
    "requests_for_width",
    "requests_until_below",
    "surely_below",
]

REQUESTS_OPT = 1000
"""Requests at which the sequence of a rate is tightest, unless told otherwise; never chosen from the data."""

Point = tuple[float, float]
"""A place, and the value there."""

_STEPS = 100
_CLOSE = 1e-5
"""In natural logarithms of an e-value, or their root."""


def normal_mixture_rho(variance_opt: float, alpha: float) -> float:
    """The mixture's parameter that makes the boundary tightest at intrinsic time ``variance_opt``."""
    return variance_opt / _spread(alpha)


def normal_mixture_bound(variance: float, rho: float, alpha: float) -> float:
    """A sum of centred increments leaves +- this, at any time, with probability at most ``alpha``."""
    total = variance + rho
    return math.sqrt(total * (math.log(total / rho) + 2.0 * math.log(1.0 / alpha)))


def normal_mixture_log_e(total: float, variance: float, rho: float) -> float:
    """Natural logarithm of the two-sided e-value of a sum of centred increments (mixture SPRT)."""
    return 0.5 * math.log(rho / (variance + rho)) + total**2 / (2.0 * (variance + rho))


def rate_sequence(
    bad: int, requests: int, alpha: float, requests_opt: int = REQUESTS_OPT
) -> tuple[float, float]:
    """Interval of a rate, from the two-sided beta-binomial mixture: the rates that it does not refute."""
    return (
        rate_lower(bad, requests, alpha, requests_opt),
        rate_upper(bad, requests, alpha, requests_opt),
    )


def rate_lower(bad: int, requests: int, alpha: float, requests_opt: int = REQUESTS_OPT) -> float:
    """Lower end of `rate_sequence`."""
    return _end(bad, requests, alpha, requests_opt, -1.0) if bad else 0.0


def rate_upper(bad: int, requests: int, alpha: float, requests_opt: int = REQUESTS_OPT) -> float:
    """Upper end of `rate_sequence`."""
    return _end(bad, requests, alpha, requests_opt, 1.0) if bad < requests else 1.0


def surely_below(bad: int, requests: int, rate: float, alpha: float) -> bool:
    """Whether `rate_upper` is below ``rate``, at a fraction of its cost."""
    if bad >= rate * requests:
        return False
    return _log_mixture(bad, requests, rate, concentration_of(alpha, REQUESTS_OPT)) > math.log(1.0 / alpha)


def requests_until_below(rate: float, alpha: float, requests_opt: int = REQUESTS_OPT) -> int:
    """Requests, none of them bad, after which `rate_upper` is about ``rate``."""
    concentration = concentration_of(alpha, requests_opt)
    requests = least = math.log(1.0 / alpha) / rate
    for _ in range(_STEPS):
        requests = least + concentration * math.log1p(requests / concentration)
    return math.ceil(requests)


def difference_sequence(
    canary: Arm, stable: Arm, alpha: float, requests_opt: int = REQUESTS_OPT
) -> tuple[float, float]:
    """Interval of canary rate minus stable rate: half of ``alpha`` for each arm, so crude but exact."""
    if not (canary.requests and stable.requests):
        return -1.0, 1.0
    low_c, high_c = rate_sequence(canary.bad, canary.requests, alpha / 2.0, requests_opt)
    low_s, high_s = rate_sequence(stable.bad, stable.requests, alpha / 2.0, requests_opt)
    return low_c - high_s, high_c - low_s


def requests_for_width(canary: Arm, stable: Arm, width: float, alpha: float) -> int:
    """Canary requests after which two arms alike differ by less than ``width`` in `difference_sequence`.

    About: normal mixtures at the pooled rate (one bad request added), arms in the ratio they have now.
    """
    rate = (canary.bad + stable.bad + 1.0) / (canary.requests + stable.requests + 2.0)
    ratio = stable.requests / canary.requests
    variance = rate * (1.0 - rate)
    rho = normal_mixture_rho(REQUESTS_OPT * variance, alpha / 2.0)
    requests = 2.0 * math.log(2.0 / alpha) * variance * (1.0 + 1.0 / math.sqrt(ratio)) ** 2 / width**2
    # Half-widths fall a little slower than the root of the requests: a few steps reach the fixed point.
    for _ in range(4):
        half_c = normal_mixture_bound(requests * variance, rho, alpha / 2.0) / requests
        half_s = normal_mixture_bound(requests * ratio * variance, rho, alpha / 2.0) / (requests * ratio)
        requests *= math.pow((half_c + half_s) / width, 1.8)
    return math.ceil(requests)


def mean_sequence(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Interval of the mean of values in 0..1 in their order: predictable plug-in empirical Bernstein.

    I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", J. R. Statist.
    Soc. B 86, 2024. For rare bad requests `rate_sequence` is tighter.
    """
    if not values:
        return 0.0, 1.0
    return _mean_lower(values, alpha / 2.0), 1.0 - _mean_lower([1.0 - value for value in values], alpha / 2.0)


def quantile_ranks(quantile: float, requests: int, alpha: float, requests_opt: int) -> tuple[int, int]:
    """Ranks (from 1) of the order statistics between which a quantile lies at all times.

    A lower rank below 1, or an upper rank above ``requests``, means that this side is not bounded yet.
    """
    below, above = quantile_half_widths(quantile, requests, alpha, requests_opt)
    return math.floor(requests * (quantile - below)), math.ceil(requests * (quantile + above))


def quantile_half_widths(
    quantile: float, requests: int, alpha: float, requests_opt: int
) -> tuple[float, float]:
    """How far below and above ``quantile`` the probabilities lie whose sample quantiles bound it.

    Where the requests are too few to bound a side, its half-width reaches past probability 0 or 1.
    """
    return (
        _quantile_half_width(1.0 - quantile, requests, alpha, requests_opt),
        _quantile_half_width(quantile, requests, alpha, requests_opt),
    )


def _quantile_half_width(p: float, requests: int, alpha: float, requests_opt: int) -> float:
    """How far the share below the ``p`` quantile may rise above ``p``."""
    limit = math.log(1.0 / alpha)
    concentration = concentration_of(alpha, requests_opt)
    top = requests * (1.0 - p)

    def excess(rise: float) -> float:
        return _log_mixture(requests * p + rise, requests, p, concentration) - limit

    at_top = excess(top)
    if at_top < 0.0:
        return 1.0 - p + 1.0 / requests
    return _root(excess, (0.0, excess(0.0)), (top, at_top)) / requests


def _mean_lower(values: Sequence[float], alpha: float) -> float:
    level = math.log(1.0 / alpha)
    bets = gained = total = squares = mean = 0.0
    variance = 0.25
    for count, value in enumerate(values, start=1):
        bet = min(0.5, math.sqrt(2.0 * level / (count * math.log1p(count) * variance)))
        bets += bet
        gained += bet * value + (value - mean) ** 2 * (math.log1p(-bet) + bet)
        total += value
        mean = total / count
        squares += (value - (0.5 + total) / (count + 1)) ** 2
        variance = (0.25 + squares) / (count + 1)
    return (gained - level) / bets


def _spread(alpha: float) -> float:
    return 2.0 * math.log(1.0 / alpha) + math.log(1.0 + 2.0 * math.log(1.0 / alpha))


@lru_cache(maxsize=256)
def concentration_of(alpha: float, requests_opt: int) -> float:
    """Weight in requests of the Beta prior centred on the tested rate."""
    return max(requests_opt / _spread(alpha) - 1.0, 1e-3)


def _end(bad: int, requests: int, alpha: float, requests_opt: int, side: float) -> float:
    """The rate above or below the observed one at which the mixture's e-value reaches ``1 / alpha``.

    In the angle ``asin(sqrt(rate))`` the root of what the e-value has gained is nearly a straight line.
    """
    concentration = concentration_of(alpha, requests_opt)
    centre = math.asin(math.sqrt(bad / requests))
    good = requests - bad
    least = _varying(bad, good, bad / requests, concentration)
    most_likely = min(_log_mixture(bad, requests, bad / requests, concentration), 0.0)
    wanted = math.sqrt(-math.log(alpha) - most_likely)
    most = math.pi / 2.0 - centre if side > 0.0 else centre
    # A single bad (good) request never refutes a rate of 0 (1): the e-value stays finite there.
    at_most = -wanted if (good if side > 0.0 else bad) == 1 else math.inf

    def excess(away: float) -> float:
        rate = math.sin(centre + side * away) ** 2
        if away >= most or not 0.0 < rate < 1.0:
            return at_most
        return math.sqrt(max(_varying(bad, good, rate, concentration) - least, 0.0)) - wanted

    reach = min(1.1 * wanted / math.sqrt(2.0 * requests), most)
    at_reach = excess(reach)
    while reach < most and at_reach < 0.0:
        reach = min(1.3 * reach, most)
        at_reach = excess(reach)
    if at_reach >= 0.0:
        reach = _root(excess, (0.0, -wanted), (reach, at_reach))
    return math.sin(centre + side * reach) ** 2


def _log_mixture(bad: float, requests: float, rate: float, concentration: float) -> float:
    """Natural logarithm of the beta-binomial mixture's e-value against ``rate``."""
    constant = lgamma(concentration) - lgamma(concentration + requests)
    return constant + _varying(bad, requests - bad, rate, concentration)


def _varying(bad: float, good: float, rate: float, concentration: float) -> float:
    """The part of `_log_mixture` that depends on the rate."""
    total = 0.0
    if bad:
        a = concentration * rate
        total = lgamma(a + bad) - lgamma(a) - bad * math.log(rate)
    if good:
        b = concentration * (1.0 - rate)
        total += lgamma(b + good) - lgamma(b) - good * math.log1p(-rate)
    return total


def _root(rising: Callable[[float], float], below: Point, above: Point) -> float:
    """Where a function vanishes between two points of either sign: secants, kept inside by bisection."""
    low, high = below[0], above[0]
    old, new = below, above
    for _ in range(_STEPS):
        gain = new[1] - old[1]
        middle = new[0] - new[1] * (new[0] - old[0]) / gain if gain and math.isfinite(gain) else low
        if not low < middle < high:
            middle = (low + high) / 2.0
        value = rising(middle)
        if abs(value) < _CLOSE or high - low <= 1e-9 * high:
            return middle
        if value > 0.0:
            high = middle
        else:
            low = middle
        old, new = new, (middle, value)
    return (low + high) / 2.0
