"""The series that queries read, as sums of what the kernel counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rolloutsim.promql.labels import METRIC_NAME, label_set, without
from rolloutsim.promql.tree import Selector
from rolloutsim.sim.compiled.refusal import NotCompiled
from rolloutsim.sim.exposition import exposition
from rolloutsim.sim.scenario import Service
from rolloutsim.sim.world import POOLS
from rolloutsim.telemetry import PRESETS

__all__ = ["SeriesRead", "Terms", "flat"]

Ints = NDArray[np.int64]
Terms = list[tuple[int, int, int]]
"""Pool, and the columns of its totals, from one to before another, that are added up."""

_NAME = frozenset((METRIC_NAME,))


class SeriesRead:
    """The series of a service that some query reads, in the order in which they were first asked for."""

    def __init__(self, service: Service) -> None:
        telemetry = service.telemetry
        self._preset = PRESETS[telemetry.preset]
        self._shown = exposition(telemetry.preset, service.name, telemetry.labels, POOLS, True)
        self._labels = [label_set(dict(labels)) for labels in self._shown.labels]
        self._buckets = len(self._preset.bounds_s) + 1
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def select(self, selector: Selector) -> list[int]:
        """The places of the series that fit a selector, in the order of the store."""
        fits = selector.tests()
        found = [series for series, labels in enumerate(self._labels) if fits(labels)]
        unnamed = {without(self._labels[series], _NAME) for series in found}
        if len(unnamed) < len(found):
            raise NotCompiled("series that differ in their names alone")
        for series in found:
            self._terms(series)
        return [self._places.setdefault(series, len(self._places)) for series in found]

    @property
    def values(self) -> list[Terms]:
        """Of each series, what it is the sum of."""
        return [self._terms(series) for series in self._places]

    @property
    def births(self) -> list[Terms]:
        """Of each series, the sum that is positive once it exists."""
        return [self._terms(int(self._shown.counts[series])) for series in self._places]

    @property
    def owners(self) -> Ints:
        """(K, 2): whether the pods of the stable and of the new version export each series."""
        owners = [self._shown.owners[series] for series in self._places]
        return np.array([[0 in one, 1 in one] for one in owners], dtype=np.int64).reshape(-1, 2)

    @property
    def pools(self) -> frozenset[int]:
        """Pools that some series counts."""
        return frozenset(pool for terms in (*self.values, *self.births) for pool, _, _ in terms)

    @property
    def reads_latency(self) -> bool:
        """Whether some series counts requests by their latency."""
        return any(stop > 2 for terms in (*self.values, *self.births) for _, _, stop in terms)

    def _terms(self, series: int) -> Terms:
        adds = self._shown.adds[:, series]
        width = len(adds) // len(POOLS)
        found: Terms = []
        for row in np.flatnonzero(adds).tolist():
            if adds[row] != 1.0:
                raise NotCompiled("a series that is no count")
            pool, column = divmod(row, width)
            found.append((pool, *self._columns(column)))
        return found

    def _columns(self, column: int) -> tuple[int, int]:
        """Where in the totals of a pool a column of the exposition is counted."""
        if column < 2:
            return column, column + 1
        outcome, part = divmod(column - 2, self._buckets + 2)
        if part == self._buckets:
            raise NotCompiled("a series of seconds")
        if part > self._buckets:
            return outcome, outcome + 1
        first = 2 + outcome * self._buckets
        return first, first + part + 1


def flat(terms: Sequence[Terms]) -> tuple[Ints, Ints]:
    """Where the terms of each series begin and end (K + 1,), and all terms (T, 3)."""
    starts = np.cumsum([0, *map(len, terms)], dtype=np.int64)
    return starts, np.array(list(_all(terms)), dtype=np.int64).reshape(-1, 3)


def _all(terms: Sequence[Terms]) -> Iterator[tuple[int, int, int]]:
    for one in terms:
        yield from one
