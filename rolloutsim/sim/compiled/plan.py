"""From a rehearsed course to arrays for the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.compiled import layout
from rolloutsim.sim.compiled.formula import NUMBER, SUM, Formula, formula
from rolloutsim.sim.compiled.judgement import Judgement
from rolloutsim.sim.compiled.refusal import NotCompiled
from rolloutsim.sim.compiled.rehearsal import Rehearsal
from rolloutsim.sim.compiled.telemetry import SeriesRead
from rolloutsim.sim.kernels import ERROR, SLOPE

__all__ = ["MARKS", "MOST_COUNTERS", "MOST_MEASUREMENTS", "plan"]

MARKS = 4
MOST_COUNTERS = 64
"""Metrics, each analysis run for itself, that a course may have."""
MOST_MEASUREMENTS = 8_192

Ints = NDArray[np.int64]


def plan(rehearsal: Rehearsal, verdicts: Mapping[int, int], read: SeriesRead) -> layout.Plan:
    """The plan of a course whose measurements have these verdicts; ``read`` knows all series."""
    pools = np.stack([pools for pools, _ in rehearsal.conditions])
    slots = np.stack([slots for _, slots in rehearsal.conditions])
    drawn = pools.copy()
    for pool in range(pools.shape[1]):
        if pool not in read.pools:
            drawn[:, pool, ERROR] = drawn[:, pool, SLOPE] = 0.0
    if not read.reads_latency:
        slots = slots[:, :, :0]
    events = np.array(rehearsal.events, dtype=np.int64)
    if np.count_nonzero(events[:, 0] == layout.MARK) > MARKS:
        raise NotCompiled("more marks than one")
    asked = np.flatnonzero(events[:, 0] == layout.QUERY)
    queries, judgements, counters, rows = _asked(rehearsal, verdicts)
    return layout.Plan(
        events=events,
        pools=pools,
        drawn=drawn,
        slots=np.ascontiguousarray(slots),
        last=int(asked[-1]) if len(asked) else -1,
        asked=rows,
        limits=np.array(counters or [(0, 0)], dtype=np.int64),
        **_queries(queries, read),
        **_tables(judgements),
    )


def _asked(
    rehearsal: Rehearsal, verdicts: Mapping[int, int]
) -> tuple[list[Formula], list[Judgement], list[tuple[int, int]], Ints]:
    """Queries, tables and limits that occur, and for each measurement their numbers and its verdict."""
    queries: dict[Formula, int] = {}
    tables: dict[Judgement, int] = {}
    counted: dict[tuple[str, str], int] = {}
    limits: list[tuple[int, int]] = []
    rows = np.empty((len(rehearsal.asked), 4), dtype=np.int64)
    for ordinal, asked in enumerate(rehearsal.asked):
        metric = asked.metric
        key = asked.run, metric.name
        if metric.inconclusive_limit < 0:
            raise NotCompiled("a limit below 0")
        if key not in counted:
            counted[key] = len(counted)
            limits.append((metric.failure_limit, metric.inconclusive_limit))
        rows[ordinal] = (
            queries.setdefault(formula(asked.query), len(queries)),
            counted[key],
            tables.setdefault(asked.judgement, len(tables)),
            verdicts.get(ordinal, -1),
        )
    if len(limits) > MOST_COUNTERS or len(rows) > MOST_MEASUREMENTS:
        raise NotCompiled("many metrics or measurements")
    return list(queries), list(tables), limits, rows


def _queries(queries: list[Formula], read: SeriesRead) -> dict[str, Any]:
    """The programs of all queries one after the other, and what their sums are over."""
    codes, members = [0], [0]
    code: list[tuple[int, int]] = []
    numbers: list[float] = []
    windows: list[tuple[int, int, int]] = []
    member: list[int] = []
    for query in queries:
        first = {NUMBER: len(numbers), SUM: len(windows)}
        code += [(operation, first.get(operation, 0) + place) for operation, place in query.code]
        codes.append(len(code))
        numbers += query.numbers
        for sum_ in query.sums:
            selector = sum_.selector
            windows.append((selector.range_ms or 0, selector.offset_ms, int(sum_.per_second)))
            member += read.select(selector)
            members.append(len(member))
    return {
        "codes": np.array(codes, dtype=np.int64),
        "code": np.array(code, dtype=np.int64).reshape(-1, 2),
        "numbers": np.array(numbers, dtype=np.float64),
        "windows": np.array(windows, dtype=np.int64).reshape(-1, 3),
        "members": np.array(members, dtype=np.int64),
        "member": np.array(member, dtype=np.int64),
    }


def _tables(judgements: list[Judgement]) -> dict[str, Any]:
    """The tables of all conditions one after the other: where each begins, and how many numbers it has."""
    tables: list[tuple[int, int, int]] = []
    breaks: list[float] = []
    letters: list[int] = []
    phases: list[int] = []
    for one in judgements:
        tables.append((len(breaks), len(letters), len(one.breaks)))
        breaks += one.breaks
        letters += one.letters
        phases += one.phases
    return {
        "tables": np.array(tables, dtype=np.int64).reshape(-1, 3),
        "breaks": np.array(breaks, dtype=np.float64),
        "letter": np.array(letters, dtype=np.int64),
        "phase": np.array(phases, dtype=np.int64),
    }
