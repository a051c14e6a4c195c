"""Users and their sessions: who met the new version, who was harmed. Expectations over the path of a run.

A session of k requests over a time D is taken to make them evenly. With ``w`` the share of requests that
reach the new version, one whose requests are drawn anew each time meets it with probability
``1 - prod(1 - w)``, that is ``1 - (1 - w)^k`` while w does not change (product over its requests, as the
exponential of ``k / D`` times the integral of ``log(1 - w)``). Sticky sessions keep what they met.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.clients import Sessions, Sticky
from rolloutsim.sim.scenario import Traffic
from rolloutsim.sim.traffic import expected_per_cell

__all__ = ["SessionLedger", "StickyShare", "settled_share"]

Floats = NDArray[np.float64]

_STARTS = 1_500
_SURE = 1e-12


def settled_share(weight: float, sessions: Sessions) -> float:
    """Share of the requests on the new version once a weight has held for long.

    Sessions begin at the weight; where only the canary is remembered, each further request of the others
    is drawn again, so that ``c' = (w - c) / D + (1 - c) w (k - 1) / D`` settles at ``w k / (1 + w (k - 1))``.
    """
    if sessions.sticky is not Sticky.CANARY:
        return weight
    again = weight * (sessions.requests - 1)
    return (weight + again) / (1.0 + again)


class StickyShare:
    """Shares of requests when users keep the version that they met: they follow the weight with a lag.

    Sessions of mean length D begin at the weight and end; a weight of 0 or 1 holds for all at once, since
    the other version is no longer there. Without memory, shares are the weights.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._weight = self._share = 0.0
        self._at_ms = 0
        self.matters = sessions.sticky is not Sticky.NONE and sessions.length_ms > 0
        self.step_ms = max(5_000, sessions.length_ms // 10)

    def shares(self, now_ms: int, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        """The shares that these weights have come to by now."""
        stable, canary, new = weights
        served, weight = stable + canary + new, canary + new
        self._share = self._now(now_ms)
        self._weight, self._at_ms = weight, now_ms
        if weight <= 0.0 or stable <= 0.0:
            self._share = weight
            return weights
        factor = self._share / weight
        return served - self._share, canary * factor, new * factor

    def _now(self, now_ms: int) -> float:
        sessions, weight = self._sessions, self._weight
        per_ms = 1.0 / sessions.length_ms
        if sessions.sticky is Sticky.CANARY:
            per_ms *= 1.0 + weight * (sessions.requests - 1)
        end = settled_share(weight, sessions)
        return end + (self._share - end) * math.exp(-per_ms * (now_ms - self._at_ms))


@dataclass(slots=True)
class _Path:
    at_ms: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    worse: list[float] = field(default_factory=list)
    nowhere: list[float] = field(default_factory=list)


class SessionLedger:
    """The path of one run, and from it the users that met the new version and those that it harmed.

    A user is harmed when a request fails, is wrong or is too slow that would not have been so on the
    stable version.
    """

    def __init__(self, sessions: Sessions, traffic: Traffic) -> None:
        self._sessions = sessions
        self._traffic = traffic
        self._path = _Path()

    def see(self, now_ms: int, weight: float, worse: float, nowhere: float) -> None:
        """From now on: the nominal share of the new version, by how much a request there is more often
        bad, and the share of all requests that find no pod."""
        path = self._path
        path.at_ms.append(now_ms)
        path.weight.append(weight)
        path.worse.append(max(0.0, worse))
        path.nowhere.append(max(0.0, nowhere))

    def users(self, until_ms: int, exposed_until_ms: int) -> tuple[float, float]:
        """Expected users that met the new version (until a time) and that were harmed, of all sessions."""
        at = np.array([*self._path.at_ms, max(until_ms, self._path.at_ms[-1] + 1)], dtype=np.float64)
        weight, worse = np.array(self._path.weight), np.array(self._path.worse)
        nowhere = np.array(self._path.nowhere)
        length = max(float(self._sessions.length_ms), 1.0)
        starts = _starts(at, length, until_ms)
        begun = expected_per_cell(self._traffic, starts.astype(np.int64)) / self._sessions.requests
        middle = 0.5 * (starts[:-1] + starts[1:])
        seen = np.where(at[:-1] < exposed_until_ms, weight, 0.0)
        reach = _Reach(at, length, self._sessions)
        match self._sessions.sticky:
            case Sticky.BOTH:
                met, hurt = reach.kept(middle, seen), reach.kept_hurt(middle, weight, worse, nowhere)
            case Sticky.CANARY:
                met, hurt = reach.drawn(middle, seen), reach.caught_hurt(middle, weight, worse, nowhere)
            case _:
                met, hurt = reach.drawn(middle, seen), reach.drawn(middle, weight * worse + nowhere)
        return float(begun @ met), float(begun @ hurt)


def _starts(at: Floats, length: float, until_ms: int) -> Floats:
    """When sessions begin: a grid that is fine around each change."""
    even = np.linspace(at[0] - length, float(until_ms), _STARTS)
    near = [at[:-1], at[:-1] - length, at[:-1] + 1.0]
    edges = np.unique(np.rint(np.concatenate([even, *near])))
    return np.asarray(edges[(edges >= at[0] - length) & (edges <= until_ms)])


@dataclass(frozen=True, slots=True)
class _Reach:
    """Probabilities of what happens to a session that begins at a time."""

    at: Floats
    length: float
    sessions: Sessions

    def drawn(self, start: Floats, chance: Floats) -> Floats:
        """That at least one request meets what each meets with this chance."""
        total = self._integral(np.log(np.maximum(1.0 - chance, _SURE)))
        passed = self._until(total, start + self.length) - self._until(total, start)
        return np.asarray(-np.expm1(self.sessions.requests / self.length * passed))

    def kept(self, start: Floats, chance: Floats) -> Floats:
        """That the first request meets it, or that everybody is moved there later."""
        moved = self._largest(start, np.where(chance >= 1.0, 1.0, 0.0))
        return np.asarray(np.maximum(self._value(start, chance), moved))

    def kept_hurt(self, start: Floats, weight: Floats, worse: Floats, nowhere: Floats) -> Floats:
        """The new version's users bear all its faults, the others none."""
        there = np.where(weight > 0.0, worse, 0.0)
        first = self._value(start, weight)
        lost = self.drawn(start, nowhere)
        moved = self.drawn(start, np.where(weight >= 1.0, worse, 0.0))
        hurt = first * self.drawn(start, there) + (1.0 - first) * moved
        return np.asarray(hurt + lost - hurt * lost)

    def caught_hurt(self, start: Floats, weight: Floats, worse: Floats, nowhere: Floats) -> Floats:
        """Once caught, all further requests go to the new version."""
        slices = 32
        step = self.length / slices
        hurt, free = np.zeros_like(start), np.ones_like(start)
        there = np.where(weight > 0.0, worse, 0.0)
        drawn = self._integral(np.log(np.maximum(1.0 - weight, _SURE)))
        bad = self._integral(np.log(np.maximum(1.0 - there, _SURE)))
        rate = self.sessions.requests / self.length
        for number in range(slices):
            a, b = start + number * step, start + (number + 1) * step
            stays = np.exp(rate * (self._until(drawn, b) - self._until(drawn, a)))
            harm = -np.expm1(rate * (self._until(bad, start + self.length) - self._until(bad, a)))
            hurt += free * (1.0 - stays) * harm
            free = free * stays
        lost = self.drawn(start, nowhere)
        return np.asarray(hurt + lost - hurt * lost)

    def _integral(self, values: Floats) -> Floats:
        """The integral up to each change."""
        return np.concatenate(([0.0], np.cumsum(values * np.diff(self.at))))

    def _until(self, integral: Floats, times: Floats) -> Floats:
        return np.asarray(np.interp(times, self.at, integral))

    def _value(self, times: Floats, values: Floats) -> Floats:
        index = np.searchsorted(self.at, times, side="right") - 1
        inside = (index >= 0) & (index < len(values))
        return np.where(inside, values[np.clip(index, 0, len(values) - 1)], 0.0)

    def _largest(self, start: Floats, values: Floats) -> Floats:
        """Whether the value is 1 at some time of the session (values are 0 or 1)."""
        total = self._integral(values)
        return np.asarray(self._until(total, start + self.length) - self._until(total, start) > 0.0).astype(
            np.float64
        )
