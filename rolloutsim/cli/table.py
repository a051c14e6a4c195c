"""Results as text, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rolloutsim.estimates import Estimate, equal_runs_needed
from rolloutsim.tables import Results, Summary

__all__ = ["WIDTH", "render", "without_interval"]

WIDTH = 100
_NAME = 24
_GAP = "  "


@dataclass(frozen=True, slots=True)
class _Column:
    """``keeps`` is the rank by which a column keeps its interval when the line is too long."""

    title: str
    of: Callable[[Summary], Estimate | None]
    text: Callable[[float], str]
    keeps: int


def render(results: Results) -> str:
    """Two tables, of bad and of good releases, grouped by scenario, and the notes."""
    bad = [row for row in results.rows if not row.healthy]
    good = [row for row in results.rows if row.healthy]
    lines: list[str] = []
    if bad:
        lines += _table("Bad releases", bad, _BAD)
    if good:
        lines += _table("Good releases", good, _GOOD)
    lines += [
        "Means and rates over runs (95 % intervals); a bad request is one that stable would not have had.",
        *without_interval(column.of(row) for column in (*_BAD, *_GOOD) for row in results.rows),
        "",
    ]
    lines += [line for note in results.notes for line in _note(note)]
    return "\n".join(lines) + "\n"


def without_interval(estimates: Iterable[Estimate | None]) -> Iterator[str]:
    """A line, if some of these have a value and no interval: why that is so."""
    if any(one is not None and one.value is not None and one.low is None for one in estimates):
        few = equal_runs_needed()
        yield f"A mean of fewer than {few} runs that are all equal has no interval: they show no spread."


def _note(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _table(title: str, rows: Sequence[Summary], columns: Sequence[_Column]) -> Iterator[str]:
    names = [_shortened(row.policy, _NAME) for row in rows]
    first = max(len(name) + 2 for name in (*names, title))
    bare = 0
    while True:
        cells = [[_cell(column, row, bare) for column in columns] for row in rows]
        widths = [
            max(len(c) for c in (column.title, *texts))
            for column, texts in zip(columns, zip(*cells, strict=True), strict=True)
        ]
        if first + sum(widths) + len(_GAP) * len(widths) <= WIDTH or bare == len(columns):
            break
        bare += 1
    yield _line(title, first, [column.title for column in columns], widths)
    lines = zip(rows, names, cells, strict=True)
    for scenario, members in groupby(
        sorted(lines, key=_by_scenario(rows)), key=lambda line: line[0].scenario
    ):
        yield _shortened(scenario, WIDTH)
        for _, name, texts in members:
            yield _line("  " + name, first, texts, widths)
    yield ""


def _by_scenario(rows: Sequence[Summary]) -> Callable[[tuple[Summary, str, list[str]]], int]:
    order = {scenario: index for index, scenario in enumerate(dict.fromkeys(row.scenario for row in rows))}
    return lambda line: order[line[0].scenario]


def _line(head: str, first: int, texts: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.rjust(width) for text, width in zip(texts, widths, strict=True)]
    return _GAP.join([head.ljust(first), *cells]).rstrip()


def _cell(column: _Column, row: Summary, bare: int) -> str:
    """Value and interval; the ``bare`` columns that matter least go without their interval."""
    estimate = column.of(row)
    if estimate is None or estimate.value is None:
        return "–"
    value = column.text(estimate.value)
    if estimate.low is None or estimate.high is None or column.keeps < bare:
        return value
    low, high = column.text(estimate.low), column.text(estimate.high)
    return value if low == high == value else f"{value} ({low}–{high})"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _percent(share: float) -> str:
    percent = 100.0 * share
    return f"{percent:.0f}" if percent in (0.0, 100.0) or 10.0 <= percent < 99.0 else f"{percent:.1f}"


def _count(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _time(seconds: float) -> str:
    if seconds < 90.0:
        return f"{seconds:.3g}s"
    if seconds < 5400.0:
        return f"{seconds / 60:.3g}m"
    return f"{seconds / 3600:.3g}h"


_COST = (
    _Column("exposed", lambda row: row.requests_exposed, _count, 1),
    _Column("duration", lambda row: row.duration_s, _time, 2),
    _Column("pod-h", lambda row: row.pod_hours, _count, 0),
)
_BAD = (
    _Column("caught %", lambda row: row.p_detect, _percent, 6),
    _Column("detect after", lambda row: row.time_to_detect_s, _time, 4),
    _Column("bad requests", lambda row: row.bad_requests, _count, 5),
    *_COST,
)
_GOOD = (_Column("false abort %", lambda row: row.p_false_abort, _percent, 6), *_COST)
