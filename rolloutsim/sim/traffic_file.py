"""Recorded traffic: a CSV of requests per second at equal steps of time.

::

    t_s,rate_rps
    0,0.63
    3600,0.52

A step holds until the next one, and the record repeats after its last step. What a simulation would have to
invent (a gap, a value that is missing or not a number) is refused.
"""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from rolloutsim.errors import Position, ScenarioError
from rolloutsim.sim.quantities import MAX_RATE_RPS
from rolloutsim.sim.scenario import RecordedRate

__all__ = ["read_recorded_rate", "started_at"]

COLUMNS = ("t_s", "rate_rps")
MAX_ROWS = 100_000


def read_recorded_rate(file: Path, scale: float = 1.0) -> RecordedRate:
    """The record in a CSV file, every rate times ``scale``.

    Raises
    ------
    ScenarioError : the file cannot be read, has other columns than ``t_s,rate_rps``, fewer than two rows, a
        time that is missing, twice, out of order or off the grid, or a rate that is no number or negative.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            rows = [(Position(str(file), reader.line_num), row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or error}", at=Position(str(file))
        ) from error
    if not rows:
        raise ScenarioError(
            "the file is empty", at=Position(str(file)), fix=f"begin with {','.join(COLUMNS)}"
        )
    columns = _columns(*rows[0])
    if len(rows) < 3:
        raise ScenarioError(
            "a record needs at least two rows below its header",
            at=Position(str(file)),
            fix="use a constant rate instead",
        )
    if len(rows) - 1 > MAX_ROWS:
        raise ScenarioError(
            f"the record has {len(rows) - 1} rows and at most {MAX_ROWS} are read",
            at=Position(str(file)),
            fix="average it over longer steps",
        )
    points = [_point(at, row, columns) for at, row in rows[1:]]
    times = tuple(time for time, _ in points)
    step = _step_ms(times, [at for at, _ in rows[1:]])
    return RecordedRate(times, tuple(rate * scale for _, rate in points), times[-1] + step, file.name)


def started_at(record: RecordedRate, release_ms: int) -> RecordedRate:
    """The record turned so that the release (time 0) falls on this time of it."""
    offset = release_ms % record.period_ms
    turned = sorted(
        ((time - offset) % record.period_ms, rate)
        for time, rate in zip(record.times_ms, record.rates_rps, strict=True)
    )
    if turned[0][0] > 0:
        # The release falls inside a step, which is cut in two: its end comes first, its start last.
        turned.insert(0, (0, turned[-1][1]))
    times, rates = zip(*turned, strict=True)
    return RecordedRate(times, rates, record.period_ms, record.file)


def _columns(at: Position, header: list[str]) -> tuple[int, int]:
    names = [name.strip() for name in header]
    wanted = ",".join(COLUMNS)
    for column in COLUMNS:
        if column not in names:
            raise ScenarioError(
                f"the column {column!r} is missing", at=at, value=",".join(names), fix=f"name them {wanted}"
            )
    if len(names) != len(COLUMNS):
        extra = next((name for name in names if name not in COLUMNS), names[-1])
        raise ScenarioError(
            "there is a column that nothing reads", at=at, value=extra, fix=f"keep only {wanted}"
        )
    return names.index("t_s"), names.index("rate_rps")


def _point(at: Position, row: list[str], columns: tuple[int, int]) -> tuple[int, float]:
    if len(row) != len(COLUMNS):
        raise ScenarioError(
            f"the row has {len(row)} values, not {len(COLUMNS)}",
            at=at,
            value=",".join(row),
            fix="mend the row",
        )
    time_s, rate = (_number(at, name, row[column]) for name, column in zip(COLUMNS, columns, strict=True))
    time_ms = time_s * 1000
    if time_ms != time_ms.to_integral_value():
        raise ScenarioError("times are whole milliseconds", at=at, path="t_s", value=row[columns[0]])
    if rate < 0:
        raise ScenarioError(
            "a rate cannot be negative", at=at, path="rate_rps", value=row[columns[1]], fix="0 is no traffic"
        )
    if rate > Decimal(MAX_RATE_RPS):
        raise ScenarioError(
            f"a rate is at most {MAX_RATE_RPS:g} requests per second", at=at, path="rate_rps", value=str(rate)
        )
    return int(time_ms), float(rate)


def _number(at: Position, name: str, text: str) -> Decimal:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ScenarioError(
            "expected a number",
            at=at,
            path=name,
            value=text,
            fix="fill in the value, or cut the record short",
        )
    return found


def _step_ms(times: tuple[int, ...], positions: list[Position]) -> int:
    if times[0] != 0:
        raise ScenarioError(
            "a record begins at time 0",
            at=positions[0],
            path="t_s",
            value=times[0] / 1000,
            fix="subtract the first time from all",
        )
    step = times[1] - times[0]
    for index, (before, time) in enumerate(pairwise(times), start=1):
        at, value = positions[index], time / 1000
        if time == before:
            raise ScenarioError(
                "the time stands twice", at=at, path="t_s", value=value, fix="keep one of the rows"
            )
        if time < before:
            raise ScenarioError(
                "the times are not in order", at=at, path="t_s", value=value, fix="sort the rows"
            )
        if time - before != step:
            raise ScenarioError(
                f"the record has steps of {step / 1000:g} s, and this row comes {(time - before) / 1000:g} s "
                "after the one before it",
                at=at,
                path="t_s",
                value=value,
                fix="fill in the missing steps, or cut the record short",
            )
    return step
