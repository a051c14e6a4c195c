"""What a course of events shows its measurements: expected bad and good requests, window by window.

A query is understood if it divides and adds sums over the two counters of one version, bad requests and good
ones, all over the same window. What it makes of counts is computed as the kernel computes it, so that both
agree where a share of requests is exactly a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.compiled import layout
from rolloutsim.sim.compiled.formula import (
    ADD,
    DIVIDE,
    FIRST,
    MULTIPLY,
    NEGATE,
    NUMBER,
    SUBTRACT,
    SUM,
    Formula,
    formula,
)
from rolloutsim.sim.compiled.judgement import Judgement
from rolloutsim.sim.compiled.refusal import NotCompiled
from rolloutsim.sim.compiled.rehearsal import Asked, Rehearsal
from rolloutsim.sim.compiled.telemetry import SeriesRead
from rolloutsim.sim.kernels import ERROR, SHARE, SLOPE

__all__ = ["Reading", "Timetable", "Window"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NEVER, ALWAYS = 2**62, -(2**62)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a measurement makes of the counts in its window.

    ``sums`` : for each sum of the query the counters that it adds up, in order, whether they are of bad
    requests; ``seconds`` : of the window.
    """

    query: Formula
    judgement: Judgement
    sums: tuple[tuple[bool, ...], ...]
    seconds: float

    def phases(self, bad: Ints, good: Ints) -> Ints:
        """The number of the phase of the verdict (`layout.SUCCESSFUL` and its neighbours), elementwise."""
        with np.errstate(all="ignore"):
            values = self._value(np.asarray(bad, np.float64), np.asarray(good, np.float64))
        table = self.judgement
        breaks = np.array(table.breaks, dtype=np.float64)
        place = np.searchsorted(breaks, values)
        met = np.isin(values, breaks)
        letters = np.array(table.letters, dtype=np.int64)
        found = letters[4 + 2 * np.minimum(place, breaks.size) + met]
        found = np.where(np.isnan(values), letters[0], found)
        found = np.where(np.isneginf(values), letters[2], np.where(np.isposinf(values), letters[3], found))
        phases: Ints = np.array(table.phases, dtype=np.int64)[found]
        return phases

    def _value(self, bad: Floats, good: Floats) -> Floats:
        stack: list[Floats] = []
        for operation, place in self.query.code:
            if operation == NUMBER:
                stack.append(np.full(np.broadcast(bad, good).shape, self.query.numbers[place]))
            elif operation == SUM:
                stack.append(self._sum(place, bad, good))
            elif operation == NEGATE:
                stack.append(-stack.pop())
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_binary(operation, left, right))
        return stack[0]

    def _sum(self, place: int, bad: Floats, good: Floats) -> Floats:
        factor = 1.0 / self.seconds if self.query.sums[place].per_second else 1.0
        values = [(bad if of_bad else good) * factor for of_bad in self.sums[place]]
        total, error = values[0], np.zeros_like(values[0])
        for value in values[1:]:
            new = total + value
            error = error + np.where(
                np.abs(total) >= np.abs(value), (total - new) + value, (value - new) + total
            )
            total = new
        found: Floats = total + error
        return found


def _binary(operation: int, left: Floats, right: Floats) -> Floats:
    match operation:
        case _ if operation == ADD:
            return left + right
        case _ if operation == SUBTRACT:
            return left - right
        case _ if operation == MULTIPLY:
            return left * right
        case _ if operation == DIVIDE:
            return left / right
        case _ if operation == FIRST:
            return left
    raise AssertionError(operation)


@dataclass(frozen=True, slots=True)
class Window:
    """A measurement: the number it has in its course, of what, and the time that it looks at.

    ``scraped_from_ms`` is since when the pods that it reads about have been scraped.
    """

    ordinal: int
    asked: Asked
    reading: Reading
    pools: frozenset[int]
    begin_ms: int
    end_ms: int
    at_ms: int
    scraped_from_ms: int


class Timetable:
    """Who got which share of the requests and when, on a course, and the windows of its measurements.

    Raises
    ------
    NotCompiled : a query that is not understood.
    """

    def __init__(self, rehearsal: Rehearsal, read: SeriesRead, per_ms: float) -> None:
        self._per_ms = per_ms
        self._conditions = [pools for pools, _ in rehearsal.conditions]
        self._since: list[int] = []
        windows: list[Window] = []
        now, new_from = -rehearsal.scenario.service.telemetry.history_ms, NEVER
        for kind, time, what in rehearsal.events:
            if kind in (layout.ADVANCE, layout.BEGIN):
                now = time
            elif kind == layout.CHANGE:
                self._since.append(now)
            elif kind == layout.ALIVE:
                new_from = min(new_from, time) if what & 2 else NEVER
            elif kind == layout.QUERY:
                windows.append(_window(rehearsal.asked[what], what, time, read, new_from))
        self.windows = tuple(windows)

    def expected(self, pools: frozenset[int], edges_ms: Ints) -> tuple[Floats, Floats]:
        """Bad and good requests that some pools get between successive times; the first may be early."""
        bad, good = np.zeros(edges_ms.size - 1), np.zeros(edges_ms.size - 1)
        ends = [*self._since[1:], int(edges_ms[-1]) + 1]
        for conditions, since, end in zip(self._conditions, self._since, ends, strict=True):
            begins, stops = np.maximum(edges_ms[:-1], since), np.minimum(edges_ms[1:], end)
            lasts = np.maximum(stops - begins, 0)
            middles = 0.5 * (begins + stops) - since
            for pool in pools:
                requests = lasts * self._per_ms * conditions[pool, SHARE]
                failing = np.clip(conditions[pool, ERROR] + conditions[pool, SLOPE] * middles, 0.0, 1.0)
                bad += requests * failing
                good += requests * (1.0 - failing)
        return bad, good

    def steady(self, pools: frozenset[int]) -> bool:
        """Whether errors never rise by and by."""
        return not any(conditions[pool, SLOPE] for conditions in self._conditions for pool in pools)


def _window(asked: Asked, ordinal: int, at_ms: int, read: SeriesRead, scraped_from_ms: int) -> Window:
    query = formula(asked.query)
    selectors = [sum_.selector for sum_ in query.sums]
    spans = {(selector.range_ms, selector.offset_ms) for selector in selectors}
    if len(spans) != 1:
        raise NotCompiled("a query over several windows, or none")
    ((range_ms, offset_ms),) = spans
    assert range_ms is not None
    members = [read.select(selector) for selector in selectors]
    values = read.values
    terms = [[values[series] for series in one] for one in members]
    pools = {frozenset(pool for pool, _, _ in series) for one in terms for series in one}
    if len(pools) != 1 or any(not one for one in members):
        raise NotCompiled("a query about several versions, or none")
    columns = [[{(first, stop) for _, first, stop in series} for series in one] for one in terms]
    known = ({(0, 1)}, {(1, 2)})
    if any(series not in known for one in columns for series in one):
        raise NotCompiled("a query about something else than failing requests")
    sums = tuple(tuple(series == known[1] for series in one) for one in columns)
    if any(len(set(one)) < len(one) for one in sums):
        raise NotCompiled("a sum over several counters of one kind")
    (pool,) = pools
    reading = Reading(query, asked.judgement, sums, range_ms / 1000)
    end_ms = at_ms - offset_ms
    by_new = all(read.owners[series, 1] and not read.owners[series, 0] for one in members for series in one)
    return Window(
        ordinal,
        asked,
        reading,
        pool,
        end_ms - range_ms,
        end_ms,
        at_ms,
        scraped_from_ms if by_new else ALWAYS,
    )
