"""How long requests take: lognormal times, of which some requests may take a factor longer.

`Paces` say what a pool does to the service's own latency: shares of its requests, which sum up to 1, and the
factor by which each of them is slower. What is asked of such a mixture is the sum over its parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.scenario import Latency

__all__ = ["PLAIN", "Paces", "Tail", "bucket_shares", "mean_factor", "paces", "residual_s", "slower_than"]

Floats = NDArray[np.float64]

Paces = tuple[tuple[float, float], ...]
"""Shares of the requests, and the factors of their times."""

PLAIN: Paces = ((1.0, 1.0),)
"""All requests take the time that the service says."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A ``share`` of the requests takes ``factor`` times as long as the others."""

    share: float
    factor: float


def paces(factor: float, tails: tuple[Tail, ...]) -> Paces:
    """The paces of requests that all are ``factor`` times slower, and some of them hit by a tail besides."""
    others = max(0.0, 1.0 - sum(tail.share for tail in tails))
    return ((others, factor), *((tail.share, factor * tail.factor) for tail in tails))


def mean_factor(paces: Paces) -> float:
    """By what the mean time is multiplied."""
    return sum(share * factor for share, factor in paces)


def slower_than(latency: Latency, paces: Paces, seconds: float) -> float:
    """Probability that a request takes longer than this."""
    bound, sigma = math.log(seconds), latency.sigma
    return sum(
        share * _normal_cdf((math.log(latency.median_s * factor) - bound) / sigma) for share, factor in paces
    )


@lru_cache(maxsize=1024)
def bucket_shares(latency: Latency, paces: Paces, bounds_s: tuple[float, ...]) -> Floats:
    """Probability of each bucket (previous bound, bound], and of what is above the last bound."""
    return np.asarray(sum(share * _lognormal_shares(latency, factor, bounds_s) for share, factor in paces))


def _lognormal_shares(latency: Latency, factor: float, bounds_s: tuple[float, ...]) -> Floats:
    centre = math.log(latency.median_s * factor)
    below = [_normal_cdf((math.log(bound) - centre) / latency.sigma) for bound in bounds_s]
    return np.diff(np.array([0.0, *below, 1.0]))


def residual_s(latency: Latency, paces: Paces, grace_s: float) -> float:
    """Mean time by which a request outlasts a grace time, ``E[(S - g)+]``.

    So many requests per request per second are in flight at a pod and will still be so after the grace
    (stationary load): those are cut.
    """
    return sum(
        share * _lognormal_residual_s(latency.median_s * factor, latency.sigma, grace_s)
        for share, factor in paces
    )


def _lognormal_residual_s(median_s: float, sigma: float, grace_s: float) -> float:
    mean_s = median_s * math.exp(sigma**2 / 2.0)
    if grace_s <= 0.0:
        return mean_s
    d = (math.log(median_s / grace_s) + sigma**2) / sigma
    return max(0.0, mean_s * _normal_cdf(d) - grace_s * _normal_cdf(d - sigma))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
