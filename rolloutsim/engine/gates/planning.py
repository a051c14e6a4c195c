"""How many more requests a gate would need: what it says is missing, in numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

from rolloutsim.engine.gates.samples import Sample

__all__ = ["before_any_verdict", "more_requests", "requests_for_difference"]

_NORMAL = NormalDist()


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
    z = _NORMAL.inv_cdf(1.0 - alpha) + _NORMAL.inv_cdf(1.0 - beta)
    return math.ceil(z**2 * (worse * (1.0 - worse) + rate * (1.0 - rate) / ratio) / difference**2)


def more_requests(count: int) -> str:
    """The count in words: "about 1,240 more canary requests"."""
    return "about one more canary request" if count == 1 else f"about {count:,} more canary requests"


def before_any_verdict(least: int, sample: Sample) -> tuple[str, int]:
    """What is missing while the canary has fewer than ``least`` requests, in words and as a number."""
    short = least - sample.canary.requests
    return f"needs {short:,} more canary requests before any verdict", short
