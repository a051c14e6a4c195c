"""The exact law of a threshold gate on Poisson counts: a dynamic programme over its windows.

The state after a look is how many looks have failed, and the bad and good requests in that part of the window
which the next one shares. Windows that overlap by up to a half (``[2m]`` every minute) need no more than
that. Where they share with more than the next one the state would be too large, and
`rolloutsim.evidence.rare` has to sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.stream import Look, Rule, Stream

__all__ = ["NotExact", "kill_chances"]

Floats = NDArray[np.float64]

MOST_WORK = 100_000_000
"""Entries of tables that are looked at: about a second."""
_NEVER = 1e-18
"""Counts at the ends that are less likely than this are left out."""
_NO_MATTER = 1e-15
"""All looks together fail more seldom than this: then none does."""
_GONE = 1e-13
"""Below this chance of being still under way the rest does not matter."""


class NotExact(ValueError):
    """There is no exact law: the windows overlap too much, or hold too many requests."""


def kill_chances(stream: Stream) -> Floats:
    """The chance that each look is the one that kills the release, (looks,); all 0 if below 1e-15 in all.

    Raises
    ------
    NotExact : the state would be too large.
    """
    looks = stream.looks
    found = np.zeros(len(looks))
    if sum(_fails(stream, look) for look in looks) < _NO_MATTER:
        return found
    alive = _Alive.at_first()
    work = 0
    for at, (look, part) in enumerate(zip(looks, _parts(looks), strict=True)):
        if at and look.run != looks[at - 1].run:
            alive = alive.counting_anew()
        alive = alive.with_more(_Counts.of(stream, part.begin, part.shared))
        shared = _Counts.of(stream, part.shared, look.end)
        work += alive.table.size // alive.table.shape[2] * shared.bad.size * shared.good.size
        if work > MOST_WORK:
            raise NotExact("windows with too many requests")
        alive, found[at] = _look(alive, shared, stream.rule, look.limit)
        if alive.table.sum() < _GONE:
            break
    return found


def _fails(stream: Stream, look: Look) -> float:
    """The chance that a look fails, whatever the others do."""
    window = _Counts.of(stream, look.first, look.end)
    most = stream.rule.most_good(np.arange(window.bad.size, dtype=np.int64))
    up_to = np.concatenate([[0.0], np.cumsum(window.good)])
    place = np.clip(most - window.first_good, -1, window.good.size - 1) + 1
    return float(window.bad @ up_to[place])


@dataclass(frozen=True, slots=True)
class _Part:
    """Of a window: where the part begins that the one before did not have, and that which the next shares."""

    begin: int
    shared: int


def _parts(looks: tuple[Look, ...]) -> list[_Part]:
    begins = [look.first for look in looks[:1]]
    begins += [max(one.end, other.first) for one, other in pairwise(looks)]
    shared = [min(one.end, other.first) for one, other in pairwise(looks)]
    shared += [look.end for look in looks[-1:]]
    if any(begin > until for begin, until in zip(begins, shared, strict=True)):
        raise NotExact("windows that overlap by more than a half")
    return [_Part(begin, until) for begin, until in zip(begins, shared, strict=True)]


@dataclass(frozen=True, slots=True)
class _Counts:
    """The chances of numbers of bad requests from 0 on, and of good ones from ``first_good`` on."""

    bad: Floats
    good: Floats
    first_good: int

    @staticmethod
    def of(stream: Stream, begin: int, end: int) -> _Counts:
        """Those of some slices."""
        good, first = _poisson(float(stream.good[begin:end].sum()))
        bad, none = _poisson(float(stream.bad[begin:end].sum()))
        return _Counts(np.concatenate([np.zeros(none), bad]), good, first)


@dataclass(frozen=True, slots=True)
class _Alive:
    """Releases that are not killed: chances by failed looks, bad and good requests, (F, B, G).

    The requests are those in the window so far; the good ones count from ``first_good``.
    """

    table: Floats
    first_good: int

    @staticmethod
    def at_first() -> _Alive:
        return _Alive(np.ones((1, 1, 1)), 0)

    def counting_anew(self) -> _Alive:
        """Another analysis run begins: no look of it has failed."""
        return replace(self, table=self.table.sum(axis=0, keepdims=True))

    def with_more(self, more: _Counts) -> _Alive:
        """With the requests of further slices in the window."""
        table = _convolved(_convolved(self.table, more.good).swapaxes(1, 2), more.bad).swapaxes(1, 2)
        return _Alive(table, self.first_good + more.first_good)


def _look(alive: _Alive, shared: _Counts, rule: Rule, limit: int) -> tuple[_Alive, float]:
    """What is left after a look at the window, and the chance that the look killed.

    ``shared`` is the rest of the window, all that the next one shares. A limit below 0 is none.
    """
    failures, bads, goods = alive.table.shape
    # up_to[f, b, g + 1]: chance of g good requests or fewer; and of more than that
    up_to = np.concatenate([np.zeros((failures, bads, 1)), np.cumsum(alive.table, axis=2)], axis=2)
    more = np.concatenate(
        [np.cumsum(alive.table[:, :, ::-1], axis=2)[:, :, ::-1], np.zeros((failures, bads, 1))], axis=2
    )
    most = rule.most_good(np.arange(bads + shared.bad.size, dtype=np.int64))
    later = np.arange(shared.good.size) + shared.first_good
    failed = np.zeros((failures, shared.bad.size, shared.good.size))
    passed = np.zeros_like(failed)
    for bad in range(bads):
        room = most[bad : bad + shared.bad.size, None] - later - alive.first_good
        place = np.clip(room, -1, goods - 1) + 1
        failed += up_to[:, bad][:, place]
        passed += more[:, bad][:, place]
    drawn = shared.bad[:, None] * shared.good
    failed *= drawn
    passed *= drawn
    if limit < 0:
        return _Alive(failed + passed, shared.first_good), 0.0
    table = np.zeros((min(failures, limit) + 1, shared.bad.size, shared.good.size))
    table[:failures] += passed
    kept = failed[:limit]
    table[1 : len(kept) + 1] += kept
    return _Alive(table, shared.first_good), float(failed[limit:].sum())


def _convolved(table: Floats, chances: Floats) -> Floats:
    """Sums along the last axis; by products and sums alone, so that small chances stay exact."""
    size = table.shape[-1]
    shifted = np.zeros((size, size + chances.size - 1))
    for row in range(size):
        shifted[row, row : row + chances.size] = chances
    found: Floats = table @ shifted
    return found


def _poisson(mean: float) -> tuple[Floats, int]:
    """Chances of a Poisson count, from the first that is not negligible on."""
    if mean <= 0.0:
        return np.ones(1), 0
    from scipy.special import gammaln

    spread = 12.0 * math.sqrt(mean)
    counts = np.arange(max(0, math.floor(mean - spread)), math.ceil(mean + spread) + 40)
    chances: Floats = np.exp(counts * math.log(mean) - mean - gammaln(counts + 1.0))
    kept = np.flatnonzero(chances > _NEVER)
    return chances[kept[0] : kept[-1] + 1], int(counts[kept[0]])
