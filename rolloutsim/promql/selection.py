"""The series that a selector reads: found once per store, then only looked up."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from rolloutsim.promql.context import Context, VectorPlan
from rolloutsim.promql.shape import Shape, Values
from rolloutsim.promql.store import Block, Record, SeriesStore, is_stale
from rolloutsim.promql.tree import Selector

__all__ = ["Group", "Selection", "instant", "sample_times", "select"]

_NEVER = -(2**63)


class Group:
    """Selected series whose newest samples share a block.

    ``positions`` are their places in the selection, ``columns`` those in the block, ``index`` the columns
    as numpy wants them (a slice where they are neighbours). The block alone answers for windows that begin
    at or after ``since``; earlier samples of some series lie in older blocks.
    """

    __slots__ = ("block", "columns", "index", "positions", "since")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.positions: list[int] = []
        self.columns: list[int] = []
        self.index: slice | NDArray[np.intp] = slice(0, 0)
        self.since = _NEVER

    def close(self) -> None:
        first, last = self.columns[0], self.columns[-1]
        neighbours = self.columns == list(range(first, last + 1))
        self.index = slice(first, last + 1) if neighbours else np.array(self.columns, dtype=np.intp)


class Selection:
    """The series of a store that fit a selector, kept up to date as the store grows."""

    __slots__ = ("_fits", "_layout", "_seen", "groups", "records", "shape")

    def __init__(self, selector: Selector) -> None:
        self._fits = selector.tests()
        self._seen = 0
        self._layout = -1
        self.records: list[Record] = []
        self.shape = Shape(())
        self.groups: list[Group] = []

    def refresh(self, store: SeriesStore) -> None:
        """Take in series and blocks that the store has got since the last time."""
        records = store.records
        if len(records) != self._seen:
            new = [record for record in records[self._seen :] if self._fits(record.labels)]
            self._seen = len(records)
            if new:
                self.records += new
                self.shape = Shape([record.labels for record in self.records])
                self._layout = -1
        if self._layout != store.layout:
            self._regroup()
            self._layout = store.layout

    def _regroup(self) -> None:
        groups: dict[int, Group] = {}
        for position, record in enumerate(self.records):
            if not record.segments:
                continue
            block, column = record.segments[-1]
            group = groups.get(id(block))
            if group is None:
                group = groups[id(block)] = Group(block)
            group.positions.append(position)
            group.columns.append(column)
            if len(record.segments) > 1:
                group.since = max(group.since, record.segments[-2][0].times[-1])
        self.groups = list(groups.values())
        for group in self.groups:
            group.close()


def select(selector: Selector, key: object, store: SeriesStore) -> Selection:
    """The selection that ``key`` (one per selector of a query) has in this store."""
    found: Selection | None = store.resolved.get(key)
    if found is None:
        found = store.resolved[key] = Selection(selector)
    found.refresh(store)
    return found


def instant(selector: Selector) -> VectorPlan:
    """An instant selector: the newest sample within the lookback, none if that is a stale marker."""
    at, offset = selector.at, selector.offset_ms
    key = object()

    def plan(context: Context) -> tuple[Shape, Values]:
        selection = select(selector, key, context.store)
        until = context.reference(at, offset)
        after = until - context.lookback_ms - context.closed
        values: Values = [None] * len(selection.records)
        for group in selection.groups:
            block = group.block
            row = bisect_right(block.times, until) - 1
            if row < 0 and group.since > _NEVER:
                for position in group.positions:
                    newest = selection.records[position].newest(after, until)
                    if newest is not None and not is_stale(newest[1]):
                        values[position] = newest[1]
            elif row >= 0 and block.times[row] > after:
                for position, value in zip(group.positions, _row(group, row), strict=True):
                    if value == value or not is_stale(value):
                        values[position] = value
        return selection.shape, values

    return plan


def sample_times(selector: Selector) -> VectorPlan:
    """What ``timestamp`` makes of an instant selector: the times (s) of the samples that it finds."""
    at, offset = selector.at, selector.offset_ms
    key = object()

    def plan(context: Context) -> tuple[Shape, Values]:
        selection = select(selector, key, context.store)
        until = context.reference(at, offset)
        after = until - context.lookback_ms - context.closed
        values: Values = [None] * len(selection.records)
        for position, record in enumerate(selection.records):
            newest = record.newest(after, until)
            if newest is not None and not is_stale(newest[1]):
                values[position] = newest[0] / 1000
        return selection.shape, values

    return plan


def _row(group: Group, row: int) -> list[float]:
    values = group.block.values
    if len(group.columns) < 4:
        return [values.item(row, column) for column in group.columns]
    selected: list[float] = values[row, group.index].tolist()
    return selected
