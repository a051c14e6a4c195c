"""The answer to a query as text: a table, Prometheus' JSON, CSV or OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from rolloutsim.cli.query import Form
from rolloutsim.errors import InputError
from rolloutsim.promql import METRIC_NAME, Labels, Matrix, Result, Scalar, SeriesStore, String, Vector
from rolloutsim.promql.api_json import result_json, success_json
from rolloutsim.promql.csv_form import write_csv
from rolloutsim.promql.intake import rfc3339_text, value_text
from rolloutsim.promql.openmetrics import write_openmetrics

__all__ = ["render_answer"]


def render_answer(answer: Result, at_ms: int, start_ms: int | None, form: Form) -> Iterator[str]:
    """The answer in pieces of text; ``at_ms`` is its time, ``start_ms`` that of the release if there was one.

    Raises InputError for what a form has no place for.
    """
    match form:
        case Form.JSON:
            return iter((success_json(result_json(answer, at_ms)), "\n"))
        case Form.CSV:
            return write_csv(_store(answer, at_ms))
        case Form.OPENMETRICS:
            return write_openmetrics(_store(answer, at_ms))
        case Form.TABLE:
            return (line + "\n" for line in _table(answer, at_ms, start_ms))


def _store(answer: Result, at_ms: int) -> SeriesStore:
    match answer:
        case Vector(elements):
            return SeriesStore.from_series((labels, [at_ms], [value]) for labels, value in elements)
        case Matrix(series):
            return SeriesStore.from_series((one.labels, one.times_ms, one.values) for one in series)
        case Scalar(value):
            return SeriesStore.from_series([({}, [at_ms], [value])])
        case String():
            raise InputError("a text is no sample", fix="take -o table or -o json")


def _table(answer: Result, at_ms: int, start_ms: int | None) -> Iterator[str]:
    match answer:
        case Scalar(value):
            yield value_text(value)
        case String(text):
            yield text
        case Vector(elements):
            yield f"at {_moment(at_ms, start_ms)}"
            rows = [(_named(labels), value_text(value)) for labels, value in elements]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for name, text in rows:
                yield f"{name:{widths[0]}}  {text:>{widths[1]}}"
            if not rows:
                yield "no data: nothing fits, or nothing has a sample then"
        case Matrix(series):
            yield from chain.from_iterable(
                chain(
                    (_named(one.labels),),
                    _points(one.times_ms, one.values, start_ms),
                )
                for one in series
            )
            if not series:
                yield "no data: nothing fits, or nothing has a sample then"


def _points(times_ms: tuple[int, ...], values: tuple[float, ...], start_ms: int | None) -> Iterator[str]:
    rows = [
        (_moment(at_ms, start_ms), value_text(value)) for at_ms, value in zip(times_ms, values, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for moment, text in rows:
        yield f"  {moment:{widths[0]}}  {text:>{widths[1]}}"


def _moment(at_ms: int, start_ms: int | None) -> str:
    if start_ms is None:
        return rfc3339_text(at_ms)
    sign, rest = "+" if at_ms >= start_ms else "-", abs(at_ms - start_ms)
    parts = []
    for unit, length in (("h", 3_600_000), ("m", 60_000)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    if rest or not parts:
        parts.append(f"{rest / 1000:g}s")
    return f"{rfc3339_text(at_ms)}  {sign}{''.join(parts)}"


def _named(labels: Labels) -> str:
    """A series as PromQL spells it."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in labels.items() if name != METRIC_NAME)
    return labels.get(METRIC_NAME, "") + (f"{{{pairs}}}" if pairs or METRIC_NAME not in labels else "")
