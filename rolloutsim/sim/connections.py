"""Long-lived connections: how many are cut when routes move and pods end. Expectations, no draws.

Connections open at a steady rate and live for a lognormal time, so that ``open`` of them are there at any
moment. They are followed in cohorts: those that were opened in one stretch of time towards one version.
The survivors of a cohort that was opened at ``rate`` during [a, b] are, at t,
``rate * (G(t - a) - G(t - b))`` with ``G(x)`` the integral of the survival function from 0 to x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rolloutsim.sim.clients import Connections, Swap
from rolloutsim.sim.platform import Delay

__all__ = ["ConnectionLedger", "limited_mean_ms", "survival"]

_LONG_AGO_MS = math.inf


@dataclass(slots=True)
class _Cohort:
    """Connections to one version: opened at ``rate`` per ms during [begin, end], or ``mass`` at ``begin``."""

    version: int
    begin: float
    end: float
    rate: float
    mass: float = 0.0
    kept: float = 1.0
    """Share that no cut has taken yet."""


class ConnectionLedger:
    """The connections of one run, and ``cut``: how many did not end by themselves.

    ``shares`` say where new ones go; `deleted` is told when pods end, `moved` when routes no longer lead
    to a version. Times are ms from the release.
    """

    def __init__(self, model: Connections, now_ms: int) -> None:
        self._model = model
        self._mean_ms = _mean_ms(model.lifetime)
        self._rate = model.open / self._mean_ms if self._mean_ms else 0.0
        self._shares = (1.0, 0.0)
        self._since = float(now_ms)
        self._cohorts = [_Cohort(0, -_LONG_AGO_MS, float(now_ms), self._rate)]
        self.cut = 0.0

    def open_at(self, version: int, now_ms: int) -> float:
        """Expected open connections to a version."""
        self._pass(now_ms)
        return sum(self._left(one, now_ms) for one in self._cohorts if one.version == version)

    def see(self, now_ms: int, shares: tuple[float, float]) -> None:
        """New connections go to the versions by these shares from now on."""
        if shares == self._shares:
            return
        self._pass(now_ms)
        before, self._shares = self._shares, shares
        for version in (0, 1):
            if before[version] > 0.0 and shares[version] == 0.0:
                self._moved(version, now_ms)

    def deleted(self, now_ms: int, version: int, share: float) -> None:
        """This share of a version's pods ends now: what is open there ends in the grace time, or is cut."""
        self._pass(now_ms)
        self._take(version, now_ms, share, self._model.grace_ms)

    def _moved(self, version: int, now_ms: int) -> None:
        if self._model.swap is Swap.CUT:
            self._take(version, now_ms, 1.0, 0)
        elif self._model.swap is Swap.DRAIN:
            self._take(version, now_ms, 1.0, self._model.drain_ms)

    def _take(self, version: int, now_ms: int, share: float, grace_ms: int) -> None:
        """End a share of the connections to a version: cut what is left of it after the grace time."""
        at = float(now_ms + grace_ms)
        cut = ended = 0.0
        for one in self._cohorts:
            if one.version == version:
                ended += share * self._left(one, now_ms)
                cut += share * self._left(one, at)
                one.kept *= 1.0 - share
        self.cut += cut
        for other, part in self._destinations(version, share):
            if ended * part > 0.0:
                self._cohorts.append(_Cohort(other, float(now_ms), float(now_ms), 0.0, ended * part))
        self._cohorts = [one for one in self._cohorts if one.kept > 0.0]

    def _destinations(self, version: int, share: float) -> list[tuple[int, float]]:
        """Where connections that lost their pod are opened again: by share, elsewhere if no pod is left."""
        total = sum(self._shares)
        if share >= 1.0 or not total:
            return [(1 - version, 1.0)]
        return [(other, self._shares[other] / total) for other in (0, 1)]

    def _pass(self, now_ms: int) -> None:
        """Connections have been opened by the present shares up to now."""
        if now_ms <= self._since:
            return
        served = sum(self._shares)
        for version in (0, 1):
            if served and self._shares[version]:
                rate = self._rate * self._shares[version] / served
                self._cohorts.append(_Cohort(version, self._since, float(now_ms), rate))
        self._since = float(now_ms)

    def _left(self, one: _Cohort, at: float) -> float:
        lifetime = self._model.lifetime
        if one.mass:
            return one.kept * one.mass * survival(lifetime, at - one.begin)
        older = self._mean_ms if one.begin == -_LONG_AGO_MS else limited_mean_ms(lifetime, at - one.begin)
        return one.kept * one.rate * (older - limited_mean_ms(lifetime, at - one.end))


def survival(lifetime: Delay, age_ms: float) -> float:
    """Probability that a lifetime is longer than this."""
    if age_ms <= 0.0:
        return 1.0
    if lifetime.sigma == 0.0:
        return float(age_ms < lifetime.median_ms)
    return _normal_cdf((math.log(lifetime.median_ms) - math.log(age_ms)) / lifetime.sigma)


def limited_mean_ms(lifetime: Delay, limit_ms: float) -> float:
    """Mean of a lifetime that is stopped at a limit: the integral of its survival function up to there."""
    if limit_ms <= 0.0:
        return 0.0
    if lifetime.sigma == 0.0:
        return min(limit_ms, float(lifetime.median_ms))
    z = (math.log(limit_ms) - math.log(lifetime.median_ms)) / lifetime.sigma
    below = _mean_ms(lifetime) * _normal_cdf(z - lifetime.sigma)
    return below + limit_ms * _normal_cdf(-z)


def _mean_ms(lifetime: Delay) -> float:
    return lifetime.median_ms * math.exp(lifetime.sigma**2 / 2.0)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
