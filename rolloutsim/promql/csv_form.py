"""Series as CSV in long form: one row per sample, a column per label.

::

    time,__name__,job,value
    2026-01-05T00:00:00Z,up,api,1

``time`` is RFC 3339 or Unix seconds; ``value`` a number, NaN, +Inf or -Inf; every other column is a label,
``__name__`` the metric's name, and an empty cell is no label.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rolloutsim.errors import InputError, Position
from rolloutsim.promql.intake import Intake, rfc3339_ms, rfc3339_text, seconds_ms, value_of, value_text
from rolloutsim.promql.labels import METRIC_NAME
from rolloutsim.promql.store import SeriesStore, is_stale

__all__ = ["read_csv", "write_csv"]


def read_csv(text: str, *, source: str = "<text>") -> SeriesStore:
    """A store of all rows; rows of one series stand in order of time. ``source`` names the text in messages.

    Raises
    ------
    InputError : no header with ``time`` and ``value``, a row that does not fit it, or a sample that
        Prometheus would not ingest (out of order, or a second value at a time), with its line.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    intake = Intake()
    header: list[str] = []
    try:
        header = _header(next(rows, []))
        for row in rows:
            if row:
                intake.add(*_sample(header, row))
    except (ValueError, csv.Error) as error:
        raise InputError(str(error), at=Position(source, max(rows.line_num, 1))) from None
    return intake.store()


def _header(cells: list[str]) -> list[str]:
    names = [cell.removeprefix("\ufeff") for cell in cells]
    for needed in ("time", "value"):
        if needed not in names:
            raise ValueError(f"the header has no column {needed!r}: columns are time, value, and labels")
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ValueError(f"the header has the column {doubled!r} twice")
    if "" in names:
        raise ValueError("the header has a column without a name")
    return names


def _sample(header: list[str], row: list[str]) -> tuple[dict[str, str], int, float]:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} cells, and the header has {len(header)}")
    labels = dict(zip(header, row, strict=True))
    time, value = labels.pop("time").strip(), labels.pop("value").strip()
    at_ms = rfc3339_ms(time)
    return labels, seconds_ms(time) if at_ms is None else at_ms, value_of(value)


def write_csv(store: SeriesStore) -> Iterator[str]:
    """The rows of a store as CSV text, series after series; stale markers are left out.

    Raises InputError for a label that is called ``time`` or ``value``.
    """
    names = sorted({name for record in store.records for name, _ in record.labels} - {METRIC_NAME})
    for name in ("time", "value"):
        if name in names:
            raise InputError(f"a label is called {name!r} as a column is", fix="rename it with label_replace")
    columns = [METRIC_NAME, *names]
    yield _row(["time", *columns, "value"])
    for identity, record in enumerate(store.records):
        labels = dict(record.labels)
        cells = [labels.get(name, "") for name in columns]
        for at_ms, value in zip(*(part.tolist() for part in store.samples(identity)), strict=True):
            if not is_stale(value):
                yield _row([rfc3339_text(at_ms), *cells, value_text(value)])


def _row(cells: list[str]) -> str:
    return ",".join(map(_cell, cells)) + "\n"


def _cell(text: str) -> str:
    """Quoted where a reader needs it; Python's writer leaves a carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
