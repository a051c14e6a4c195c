"""Posterior probability that the canary is worse, from Jeffreys' Beta priors."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.samples import Arm

__all__ = ["posterior_worse"]

Array = NDArray[np.float64]

_NODES = 24
_REACH = 6.5
_RIGHT = math.pi / 2.0


def posterior_worse(canary: Arm, stable: Arm, margin: float) -> float:
    """P(canary rate > stable rate + margin) under independent Beta(k + 1/2, n - k + 1/2) posteriors.

    Gauss-Legendre over the arm with more requests, whose posterior is the narrower, in the angle
    ``asin(sqrt(rate))``: there Jeffreys' posterior is smooth up to both ends and nearly normal with deviation
    ``1 / (2 sqrt(n))``.
    """
    from scipy.special import betainc

    a_c, b_c = canary.bad + 0.5, canary.requests - canary.bad + 0.5
    a_s, b_s = stable.bad + 0.5, stable.requests - stable.bad + 0.5
    edge = math.asin(math.sqrt(margin))
    if stable.requests >= canary.requests:
        rates, masses = _posterior(a_s, b_s, 0.0, _RIGHT - edge)
        return min(1.0, float((1.0 - betainc(a_c, b_c, np.minimum(rates + margin, 1.0))) @ masses))
    rates, masses = _posterior(a_c, b_c, edge, _RIGHT)
    return min(1.0, float(betainc(a_s, b_s, np.maximum(rates - margin, 0.0)) @ masses))


def _posterior(a: float, b: float, least: float, most: float) -> tuple[Array, Array]:
    """Rates and their probability masses under Beta(a, b), between two angles."""
    from scipy.special import betaln

    centre = math.asin(math.sqrt(a / (a + b)))
    reach = _REACH / (2.0 * math.sqrt(a + b))
    low, high = max(centre - reach, least), min(centre + reach, most)
    if high <= low:
        return np.zeros(1), np.zeros(1)
    nodes, weights = _legendre()
    angle = (low + high) / 2.0 + (high - low) / 2.0 * nodes
    sine, cosine = np.sin(angle), np.cos(angle)
    logs = (2.0 * a - 1.0) * np.log(sine) + (2.0 * b - 1.0) * np.log(cosine) - float(betaln(a, b))
    return sine**2, np.exp(logs) * weights * (high - low)


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
