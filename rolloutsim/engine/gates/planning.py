"""How many more requests a gate would need: what it says is missing, in numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

from rolloutsim.engine.gates.samples import Sample
from rolloutsim.policy.gates import EventShare, Gate, RateRatio, SampleRatio, WaldSprt

__all__ = [
    "before_any_verdict",
    "more_requests",
    "normal_requests_for_objective",
    "requests_for_difference",
    "requests_for_objective",
    "requests_to_compare",
    "smallest_rate",
]

_NORMAL = NormalDist()
_MOST_EXACT = 1_000


def requests_for_difference(sample: Sample, difference: float, alpha: float, beta: float) -> int:
    """Canary requests that one look needs to tell ``difference`` from none (unpooled normal approximation).

    The error rate of stable is estimated from the sample, with one error and one success added; the ratio
    of the arms is the sample's, or the weight's while stable has no requests.
    """
    stable, canary = sample.stable, sample.canary
    rate = (stable.bad + 1.0) / (stable.requests + 2.0)
    worse = min(rate + difference, 1.0)
    if stable.requests and canary.requests:
        ratio = stable.requests / canary.requests
    else:
        share = min(max(sample.weight_percent, 1.0), 99.0) / 100.0
        ratio = (1.0 - share) / share
    return requests_to_compare(rate, worse, ratio, alpha, beta)


def requests_to_compare(rate: float, worse: float, ratio: float, alpha: float, beta: float) -> int:
    """The same for two known rates, and ``ratio`` stable requests for each of the canary's."""
    z = _NORMAL.inv_cdf(1.0 - alpha) + _NORMAL.inv_cdf(1.0 - beta)
    variance = worse * (1.0 - worse) + rate * (1.0 - rate) / ratio
    return math.ceil(z**2 * variance / (worse - rate) ** 2)


def smallest_rate(gate: Gate, rate: float) -> float:
    """The rate of bad requests that the gate is to catch, where stable's is ``rate``; at most 1."""
    match gate:
        case RateRatio(smallest_ratio=ratio) | EventShare(smallest_ratio=ratio):
            return min(rate * ratio, 1.0)
        case WaldSprt(bad_rate=bad_rate):
            return bad_rate
        case SampleRatio():
            return rate
    return min(rate + gate.smallest_difference, 1.0)


def requests_for_objective(good: float, bad: float, alpha: float, beta: float) -> tuple[int, int]:
    """Fewest canary requests that one exact binomial look needs to tell two rates apart, and where it fails.

    The second number is the count of bad requests from which the look fails. Beyond 1,000 of them the normal
    approximation stands for both.
    """
    for fails in range(1, _MOST_EXACT):
        # The look may fail a good canary up to so many requests, and catches a bad one from so many on.
        allowed = _last_requests(fails, good, alpha)
        needed = _last_requests(fails, bad, 1.0 - beta) + 1
        if needed <= allowed:
            return needed, fails
    requests = normal_requests_for_objective(good, bad, alpha, beta)
    limit = good * requests + _NORMAL.inv_cdf(1.0 - alpha) * math.sqrt(requests * good * (1.0 - good))
    return math.ceil(requests), math.ceil(limit)


def normal_requests_for_objective(good: float, bad: float, alpha: float, beta: float) -> float:
    """The same by the normal approximation."""
    false_abort = _NORMAL.inv_cdf(1.0 - alpha) * math.sqrt(good * (1.0 - good))
    miss = _NORMAL.inv_cdf(1.0 - beta) * math.sqrt(bad * (1.0 - bad))
    return ((false_abort + miss) / (bad - good)) ** 2


def _last_requests(fails: int, rate: float, chance: float) -> int:
    """The most requests of which ``fails`` or more are bad with a probability of at most ``chance``."""
    from scipy.special import betainc

    low, high = fails - 1, 2 * fails
    while betainc(fails, high - fails + 1, rate) <= chance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if betainc(fails, middle - fails + 1, rate) <= chance:
            low = middle
        else:
            high = middle
    return low


def more_requests(count: int) -> str:
    """The count in words: "about 1,240 more canary requests"."""
    return "about one more canary request" if count == 1 else f"about {count:,} more canary requests"


def before_any_verdict(least: int, sample: Sample) -> tuple[str, int]:
    """What is missing while the canary has fewer than ``least`` requests, in words and as a number."""
    short = least - sample.canary.requests
    return f"needs {short:,} more canary requests before any verdict", short
