"""E-values from which arm each event fell on.

Given an event (a bad request, or a request), it is the canary's with probability
``s(r, w) = r w / (r w + 1 - w)`` for a rate ratio ``r`` at weight ``w``, whatever the traffic and the common
error rate do (M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022). A
fixed mixture of likelihood ratios against ``r0``, over ratios on one side of it, has expectation at most 1
for every true ratio on the other side, at every time to stop, under every weight path that does not look
ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.state import Tally

__all__ = [
    "EITHER",
    "Mixture",
    "log_ratios",
    "log_weights",
    "ratio_sequence",
    "share_log_e",
    "share_of",
    "share_two_sided",
    "wins",
]

_POINTS = 64
_WIDEST = math.log(16.0)
_FARTHEST = 40.0
"""Natural logarithm of a ratio that stands for infinity in the search for an interval."""
_LAST_STEP = 1e-6
"""Newton's method squares its error: what is left after a step so small is below 1e-10."""

Array = NDArray[np.float64]


class Mixture(NamedTuple):
    """A mixture over ratios ``null * exp(side * u)``: side +1 above the null, -1 below it, 0 both.

    u runs over 64 points up to ln 16, weighted by ``exp(-u^2 / 2)``.
    """

    null: float
    side: int


EITHER = Mixture(1.0, 0)
"""The two-sided mixture behind `ratio_sequence`."""


def share_of(ratio: float, weight_percent: float) -> float:
    """Probability that an event is the canary's, at a rate ratio and a weight."""
    w = weight_percent / 100.0
    return ratio * w / (ratio * w + 1.0 - w)


def wins(mixtures: tuple[Mixture, ...], tallies: Sequence[Tally]) -> list[float]:
    """Natural logarithm of each mixture's e-value."""
    total = _priors(mixtures)
    for tally in tallies:
        canary, stable = _log_ratios(mixtures, tally.weight_percent)
        total = total + (tally.canary * canary + tally.stable * stable)
    largest = total.max(axis=1)
    sums = np.exp(total - largest[:, None]).sum(axis=1)
    return [top + math.log(rest) for top, rest in zip(largest.tolist(), sums.tolist(), strict=True)]


def ratio_sequence(tallies: Sequence[Tally], alpha: float, log_e: float) -> tuple[float, float, float | None]:
    """Confidence sequence of the rate ratio (those not refuted by a two-sided mixture), and the most likely.

    ``log_e`` is what `wins` gives for that mixture, `EITHER`. Without events: 0, infinity, None.
    """
    canary = sum(tally.canary for tally in tallies)
    stable = sum(tally.stable for tally in tallies)
    if not canary + stable:
        return 0.0, math.inf, None
    level = log_e + math.log(alpha)
    terms = tuple([(float(t.canary), float(t.canary + t.stable), *_odds(t.weight_percent)) for t in tallies])
    centre = _most_likely(terms, canary, stable)
    low = math.exp(_crossing(terms, level, centre, -1)) if canary else 0.0
    high = math.exp(_crossing(terms, level, centre, 1)) if stable else math.inf
    estimate = math.exp(centre) if canary and stable else (math.inf if canary else 0.0)
    return low, high, estimate


def share_two_sided(canary: int, stable: int, share: float, a: float, b: float) -> float:
    """Natural logarithm of the Beta(a, b) mixture against one share: the multinomial e-value of two arms."""
    return (
        _log_beta(a + canary, b + stable)
        - _log_beta(a, b)
        - canary * math.log(share)
        - stable * math.log1p(-share)
    )


def share_log_e(canary: int, stable: int, share: float, concentration: float, side: int) -> float:
    """The same with the Beta prior centred on the share and cut to the shares above (+1) or below (-1) it."""
    a, b = concentration * share, concentration * (1.0 - share)
    kept = _tail(a + canary, b + stable, share, side)
    if kept <= 0.0:
        return -math.inf
    return share_two_sided(canary, stable, share, a, b) + math.log(kept / _prior_tail(a, b, share, side))


def _tail(a: float, b: float, share: float, side: int) -> float:
    from scipy.special import betainc

    return float(betainc(b, a, 1.0 - share) if side > 0 else betainc(a, b, share))


_prior_tail = lru_cache(maxsize=1024)(_tail)


def log_weights(mixture: Mixture) -> Array:
    """Natural logarithm of the weight of each of a mixture's points: (64,)."""
    return np.asarray(_priors((mixture,))[0])


def log_ratios(mixture: Mixture, weight_percent: float) -> tuple[Array, Array]:
    """What one canary event, and one stable event, adds at each point of a mixture: (64,) each."""
    canary, stable = _log_ratios((mixture,), weight_percent)
    return np.asarray(canary[0]), np.asarray(stable[0])


@lru_cache(maxsize=64)
def _priors(mixtures: tuple[Mixture, ...]) -> Array:
    logs = np.array([-0.5 * _grid(mixture.side) ** 2 for mixture in mixtures])
    return np.asarray(logs - np.log(np.exp(logs).sum(axis=1))[:, None])


@lru_cache(maxsize=1024)
def _log_ratios(mixtures: tuple[Mixture, ...], weight_percent: float) -> tuple[Array, Array]:
    """What one canary event, and one stable event, adds at each point of each mixture."""
    odds = weight_percent / (100.0 - weight_percent)
    null = np.array([[mixture.null] for mixture in mixtures])
    ratio = null * np.exp(np.array([_grid(mixture.side) for mixture in mixtures]))
    stable = np.log1p(null * odds) - np.log1p(ratio * odds)
    return np.log(ratio / null) + stable, stable


@lru_cache(maxsize=3)
def _grid(side: int) -> Array:
    if side:
        return np.asarray(side * _WIDEST * np.arange(1, _POINTS + 1) / _POINTS)
    return np.linspace(-_WIDEST, _WIDEST, _POINTS)


@lru_cache(maxsize=1024)
def _odds(weight_percent: float) -> tuple[float, float]:
    """Odds of the canary for an event at a ratio of 1, and the natural logarithm of one more than them."""
    odds = weight_percent / (100.0 - weight_percent)
    return odds, math.log1p(odds)


Terms = tuple[tuple[float, float, float, float], ...]
"""Of each weight the canary's events, all events, and `_odds`."""


def _likelihood(terms: Terms, theta: float) -> tuple[float, float, float]:
    """Log likelihood ratio of ``exp(theta)`` against 1, its slope, and its information."""
    value = slope = information = 0.0
    ratio = math.exp(theta)
    for canary, events, odds, log_either in terms:
        here = ratio * odds
        share = here / (1.0 + here)
        value += canary * theta - events * (math.log1p(here) - log_either)
        slope += canary - events * share
        information += events * share * (1.0 - share)
    return value, slope, information


def _most_likely(terms: Terms, canary: int, stable: int) -> float:
    """Natural logarithm of the most likely ratio, by Newton's method from the pooled odds."""
    if not (canary and stable):
        return _FARTHEST if canary else -_FARTHEST
    theta = math.log(canary / stable) - _odds_centre(terms)
    for _ in range(60):
        _, slope, information = _likelihood(terms, theta)
        step = min(max(slope / max(information, 1e-12), -1.0), 1.0)
        theta += step
        if abs(step) < _LAST_STEP:
            break
    return theta


def _crossing(terms: Terms, level: float, centre: float, side: int) -> float:
    """Where the concave log likelihood falls to ``level`` on one side of its top, by Newton's method."""
    if abs(centre) >= _FARTHEST:
        theta = -_odds_centre(terms)
    else:
        top, _, information = _likelihood(terms, centre)
        theta = centre + side * math.sqrt(2.0 * max(top - level, 1e-12) / max(information, 1e-12))
    for _ in range(100):
        theta = min(max(theta, -_FARTHEST), _FARTHEST)
        value, slope, _ = _likelihood(terms, theta)
        if slope == 0.0:
            break
        step = (level - value) / slope
        theta += step
        if abs(step) < _LAST_STEP:
            break
    return min(max(theta, -_FARTHEST), _FARTHEST)


def _odds_centre(terms: Terms) -> float:
    return sum([math.log(odds) for _, _, odds, _ in terms]) / len(terms)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
