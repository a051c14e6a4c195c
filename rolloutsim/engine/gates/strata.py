"""Both arms compared weight by weight: no gap between hours with different error rates looks like a canary's.

While one weight is in force both arms see the same hours; across weights they do not, and pooled counts would
compare the errors of one hour with those of another (N. Mantel and W. Haenszel, J. Natl. Cancer Inst. 22,
1959). Given how many requests each arm had, and how many were bad, at each weight, the number of bad canary
requests of a canary like stable is a sum of hypergeometric ones.

What compares takes numbers or arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rolloutsim.engine.gates.samples import Arm, Sample, compares
from rolloutsim.engine.gates.state import Stratum

__all__ = ["Comparison", "compare_all", "compare_at", "count_by_weight", "tail_of", "tail_z"]

_FARTHEST_Z = 37.0
"""Where double precision ends."""
_LEAST_CHANCE = 1e-12
_ROUNDING = 1e-9
"""Means that differ by less than this share are equal."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Sums over the weights at which both arms had requests; two are added with ``+``.

    canary, stable, bad, canary_bad : requests of each arm, bad ones of both, bad ones of the canary.
    expected, variance : the moments of ``canary_bad``, were the canary like stable.
    information : effective requests ``n_c n_s / (n_c + n_s)``.
    toward_stable : the same times the share of stable, ``n_s / (n_c + n_s)``: what the canary's own variance
        counts for.
    """

    canary: Any = 0.0
    stable: Any = 0.0
    bad: Any = 0.0
    canary_bad: Any = 0.0
    expected: Any = 0.0
    variance: Any = 0.0
    information: Any = 0.0
    toward_stable: Any = 0.0

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def difference(self) -> Any:
        """Canary rate minus stable rate (Mantel and Haenszel); there has to be some information."""
        return (self.canary_bad - self.expected) / self.information

    @property
    def z(self) -> Any:
        """Standardised difference (Mantel and Haenszel); 0 where nothing can be known."""
        known = np.asarray(self.variance) > 0.0
        spread = np.sqrt(np.where(known, self.variance, 1.0))
        return np.where(known, (self.canary_bad - self.expected) / spread, 0.0)

    @property
    def deviation(self) -> Any:
        """Standard deviation of ``difference``.

        One bad and one good request added to each arm keep one without bad requests from looking certain.
        """
        return self._deviation((self.canary_bad + 1.0) / (self.canary + 2.0))

    def rules_out(self, difference: float, z: float) -> Any:
        """Whether the canary is so much worse that what was seen lies ``z`` standard deviations below.

        The deviation is that of such a canary, not of the one seen: few bad requests have a small one.
        """
        spread = self._deviation(np.minimum(self._stable_rate + difference, 1.0))
        return self.difference + z * spread < difference

    @property
    def _stable_rate(self) -> Any:
        return (self.bad - self.canary_bad + 1.0) / (self.stable + 2.0)

    def _deviation(self, canary_rate: Any) -> Any:
        own = self.toward_stable * canary_rate * (1.0 - canary_rate)
        rate = self._stable_rate
        other = (self.information - self.toward_stable) * rate * (1.0 - rate)
        return np.sqrt(own + other) / self.information


def count_by_weight(strata: tuple[Stratum, ...], before: Sample, now: Sample) -> tuple[Stratum, ...]:
    """The strata with what happened since ``before``, at the weight that was in force.

    At a weight of 0 or 100 one arm has no traffic to compare with, and nothing is counted.
    """
    weight = now.weight_percent
    if not compares(weight):
        return strata
    old = next((one for one in strata if one.weight_percent == weight), None)
    stable = _moved(old.stable if old else Arm(), before.stable, now.stable)
    canary = _moved(old.canary if old else Arm(), before.canary, now.canary)
    new = Stratum(weight, stable, canary)
    return (*strata, new) if old is None else tuple(new if one is old else one for one in strata)


def _moved(counted: Arm, before: Arm, now: Arm) -> Arm:
    return Arm(counted.requests + now.requests - before.requests, counted.bad + now.bad - before.bad)


def compare_all(strata: Iterable[Stratum]) -> Comparison:
    """All weights together."""
    found = Comparison()
    for one in strata:
        found += compare_at(one.canary.requests, one.canary.bad, one.stable.requests, one.stable.bad)
    return found


def compare_at(canary_requests: Any, canary_bad: Any, stable_requests: Any, stable_bad: Any) -> Comparison:
    """What one weight contributes: nothing without requests of both arms."""
    both = (np.asarray(canary_requests) > 0) & (np.asarray(stable_requests) > 0)
    n_c, k_c, n_s, k_s = (
        np.where(both, np.asarray(part, dtype=float), 0.0)
        for part in (canary_requests, canary_bad, stable_requests, stable_bad)
    )
    total = np.where(both, n_c + n_s, 2.0)
    information, rate = n_c * n_s / total, (k_c + k_s) / total
    return Comparison(
        canary=n_c,
        stable=n_s,
        bad=k_c + k_s,
        canary_bad=k_c,
        expected=n_c * rate,
        variance=information * rate * (1.0 - rate) * total / (total - 1.0),
        information=information,
        toward_stable=information * n_s / total,
    )


def tail_z(found: Comparison) -> Any:
    """Normal score of the tail, counting what was seen: of so many bad canary requests or more, or or less.

    Unlike a standardised difference it keeps its error rate with few bad requests. 0 where neither tail is
    below one half.
    """
    from scipy.special import ndtri

    worse, better = tail_of(found)
    z = np.maximum(-ndtri(worse), 0.0) + np.minimum(ndtri(better), 0.0)
    return np.clip(z, -_FARTHEST_Z, _FARTHEST_Z)


def tail_of(found: Comparison) -> tuple[Any, Any]:
    """Probabilities of so many bad canary requests or more, and or less, were the canary like stable.

    The rarest of the four kinds of requests (bad or good, of canary or stable) is taken as binomial with its
    mean and variance, since a sum of hypergeometric variables is one of independent trials; while few
    requests are bad that is as good as exact. Of kinds equally rare it is the one of which fewest were seen,
    so that the answer does not hang on which version is called the canary. Both are 1 where nothing can be
    known.
    """
    bad, expected = np.asarray(found.canary_bad, dtype=float), np.asarray(found.expected, dtype=float)
    others = found.bad - found.canary_bad
    seen = np.stack([bad, others, found.canary - bad, found.stable - others])
    means = np.stack(
        [expected, found.bad - expected, found.canary - expected, found.stable - found.bad + expected]
    )
    tied = means <= means.min(axis=0) * (1.0 + _ROUNDING)
    rarest = np.argmin(np.where(tied, seen, np.inf), axis=0)[None]
    count, mean = np.take_along_axis(seen, rarest, 0)[0], np.take_along_axis(means, rarest, 0)[0]
    variance = np.asarray(found.variance, dtype=float)
    known = (variance > 0.0) & (mean > 0.0)
    more, fewer = _tails(count, np.where(known, mean, 1.0), np.where(known, variance, 0.5))
    turned = (rarest[0] == 1) | (rarest[0] == 2)  # these grow as the canary gets better
    worse, better = np.where(turned, fewer, more), np.where(turned, more, fewer)
    return np.where(known, worse, 1.0), np.where(known, better, 1.0)


def _tails(count: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
    """Probabilities of ``count`` or more, and or less, of a binomial variable with this mean and variance."""
    from scipy.special import betainc

    chance = np.clip(1.0 - variance / mean, _LEAST_CHANCE, 1.0)
    trials = np.maximum(mean / chance, count)
    rest = trials - count
    more = np.where(count > 0.0, betainc(np.maximum(count, 1.0), rest + 1.0, chance), 1.0)
    fewer = np.where(rest > 0.0, betainc(np.maximum(rest, 1e-300), count + 1.0, 1.0 - chance), 1.0)
    return more, fewer
