"""Boundaries of repeated looks: crossing probabilities by recursive quadrature on independent increments.

Z at look k is a Brownian motion at information fraction t_k over sqrt(t_k) (P. Armitage, C. K. McPherson,
B. C. Rowe, J. R. Statist. Soc. A 132, 1969; K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983).
Gauss-Legendre nodes carry the part of the density that has not crossed yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rolloutsim.policy.gates import Spending

__all__ = [
    "crossing_probabilities",
    "next_bound",
    "peeking_risk",
    "power_bounds",
    "spending_bounds",
    "spent",
]

_NODES = 301
_REACH = 8.5
"""Standard deviations beyond which the density counts as nothing."""
_MOST_LOOKS = 256
_NORMAL = NormalDist()

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Inside:
    """Density of the score that has crossed nothing up to a look, as nodes and probability masses."""

    fraction: float
    score: Array
    mass: Array


def crossing_probabilities(
    fractions: Sequence[float], upper: Sequence[float], lower: Sequence[float], drift: float = 0.0
) -> tuple[tuple[float, float], ...]:
    """Probability of first leaving above, and below, at each look.

    Parameters
    ----------
    fractions : information fractions, increasing, in (0, 1].
    upper, lower : boundaries for z at each look; ``-inf`` for a test with one side.
    drift : expectation of z at fraction 1.
    """
    inside = _start()
    out = []
    for fraction, high, low in zip(fractions, upper, lower, strict=True):
        out.append((_above(inside, fraction, high, drift), _above(inside, fraction, -low, -drift, sign=-1.0)))
        inside = _step(inside, fraction, low, high, drift)
    return tuple(out)


def spent(spending: Spending, alpha: float, fraction: float) -> float:
    """Alpha spent up to an information fraction, one-sided."""
    t = min(fraction, 1.0)
    if t <= 0.0:
        return 0.0
    if spending is Spending.POCOCK:
        return alpha * math.log(1.0 + (math.e - 1.0) * t)
    return 2.0 * _NORMAL.cdf(_NORMAL.inv_cdf(alpha / 2.0) / math.sqrt(t))


def spending_bounds(fractions: Sequence[float], alpha: float, spending: Spending) -> tuple[float, ...]:
    """One-sided boundaries for z at these information fractions."""
    return _bounds(fractions, [spent(spending, alpha, fraction) for fraction in fractions])


def power_bounds(fractions: Sequence[float], alpha: float, power: float) -> tuple[float, ...]:
    """One-sided boundaries for z that have spent ``alpha * t**power`` up to each information fraction t.

    K. Kim, D. L. DeMets, Biometrika 74, 1987, 149-154.
    """
    return _bounds(fractions, [alpha * fraction**power for fraction in fractions])


@lru_cache(maxsize=1024)
def next_bound(
    fractions: tuple[float, ...], bounds: tuple[float, ...], fraction: float, alpha: float, spending: Spending
) -> float:
    """The one-sided boundary of a further look, after looks at ``fractions`` with ``bounds``.

    Infinite where nothing is left to spend.
    """
    before = spent(spending, alpha, fractions[-1]) if fractions else 0.0
    inside = _start()
    for at, bound in zip(fractions, bounds, strict=True):
        inside = _step(inside, at, -math.inf, bound, 0.0)
    return _bound(inside, fraction, spent(spending, alpha, fraction) - before)


@lru_cache(maxsize=4096)
def peeking_risk(looks: int, alpha: float) -> float:
    """Probability that a one-sided z at level ``alpha`` fails at one of so many equally spaced looks.

    Beyond 256 looks the value for 256 stands: a lower bound.
    """
    looks = min(max(looks, 1), _MOST_LOOKS)
    return _peeking_table(1 << (looks - 1).bit_length(), alpha)[looks - 1]


@lru_cache(maxsize=64)
def _peeking_table(most: int, alpha: float) -> tuple[float, ...]:
    # The type I error of k looks is a prefix of the crossings of more: only relative information counts.
    fractions = [look / most for look in range(1, most + 1)]
    bound = _NORMAL.inv_cdf(1.0 - alpha)
    crossed = crossing_probabilities(fractions, [bound] * most, [-math.inf] * most)
    return tuple(float(total) for total in np.cumsum([above for above, _ in crossed]))


def _start() -> _Inside:
    return _Inside(0.0, np.zeros(1), np.ones(1))


def _bounds(fractions: Sequence[float], spent_by: Sequence[float]) -> tuple[float, ...]:
    """One-sided boundaries for z that have spent so much by each information fraction."""
    inside, before = _start(), 0.0
    bounds = []
    for fraction, now in zip(fractions, spent_by, strict=True):
        bounds.append(_bound(inside, fraction, now - before))
        inside, before = _step(inside, fraction, -math.inf, bounds[-1], 0.0), now
    return tuple(bounds)


def _bound(inside: _Inside, fraction: float, share: float) -> float:
    """The boundary at the next look above which so much leaves; infinite if nothing is left to spend."""
    if share <= 0.0:
        return math.inf
    low, high = -_REACH, 40.0
    while high - low > 1e-10:
        middle = (low + high) / 2.0
        if _above(inside, fraction, middle, 0.0) > share:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _above(inside: _Inside, fraction: float, bound: float, drift: float, sign: float = 1.0) -> float:
    """Mass that leaves above ``bound`` at the next look; ``sign`` -1 mirrors the score."""
    if bound == math.inf:
        return 0.0
    from scipy.special import ndtr

    gap = fraction - inside.fraction
    far = sign * inside.score + drift * gap - bound * math.sqrt(fraction)
    return float(inside.mass @ ndtr(far / math.sqrt(gap)))


def _step(inside: _Inside, fraction: float, low: float, high: float, drift: float) -> _Inside:
    root = math.sqrt(fraction)
    left = max(low * root, drift * fraction - _REACH * root)
    right = min(high * root, drift * fraction + _REACH * root)
    if right <= left:
        return _Inside(fraction, np.zeros(1), np.zeros(1))
    nodes, weights = _legendre()
    score = (left + right) / 2.0 + (right - left) / 2.0 * nodes
    gap = fraction - inside.fraction
    away = (score[:, None] - inside.score[None, :] - drift * gap) / math.sqrt(gap)
    density = np.exp(-0.5 * away * away) @ inside.mass / math.sqrt(2.0 * math.pi * gap)
    return _Inside(fraction, score, density * weights * ((right - left) / 2.0))


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
