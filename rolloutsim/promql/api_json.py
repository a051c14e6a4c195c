"""Answers in the form of Prometheus' HTTP API, written and read.

Prometheus, docs/querying/api.md: values are texts, times are Unix seconds with up to three decimals, and
``data`` is ``resultType`` with ``result``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rolloutsim.errors import InputError, Position
from rolloutsim.promql.intake import Intake, seconds_ms, value_of, value_text
from rolloutsim.promql.store import SeriesStore
from rolloutsim.promql.values import Matrix, Result, Scalar, String, Vector

__all__ = ["error_json", "read_api_json", "result_json", "success_json"]


class _Json(str):
    """Text that is JSON."""

    __slots__ = ()


class _Number(str):
    """A number of a document as its text, so that times keep their digits."""

    __slots__ = ()


def success_json(data: object, warnings: Sequence[str] = ()) -> str:
    """The successful answer with this data, which may be JSON text already (`result_json`)."""
    body = data if isinstance(data, _Json) else _dump(data)
    told = f',"warnings":{_dump(list(warnings))}' if warnings else ""
    return f'{{"status":"success","data":{body}{told}}}'


def error_json(kind: str, message: str) -> str:
    """The answer to a request that failed; ``kind`` is the server's word: bad_data, execution, not_found."""
    return _dump({"status": "error", "errorType": kind, "error": message})


def result_json(result: Result, at_ms: int) -> str:
    """The ``data`` of an answer to a query; ``at_ms`` is the time of a vector, a scalar or a string."""
    match result:
        case Vector(elements):
            kind = "vector"
            body = _array(
                f'{{"metric":{_dump(dict(labels))},"value":{_pair(at_ms, value)}}}'
                for labels, value in elements
            )
        case Matrix(series):
            kind = "matrix"
            body = _array(
                f'{{"metric":{_dump(dict(one.labels))},'
                f'"values":{_array(map(_pair, one.times_ms, one.values))}}}'
                for one in series
            )
        case Scalar(value):
            kind, body = "scalar", _pair(at_ms, value)
        case String(text):
            kind, body = "string", f"[{_seconds(at_ms)},{_dump(text)}]"
    return _Json(f'{{"resultType":"{kind}","result":{body}}}')


def read_api_json(text: str, *, source: str = "<text>") -> SeriesStore:
    """A store of the series in an answer of ``/api/v1/query_range`` (or of a query with a vector or a range).

    What is read are the points that the query made, one per step, and not what was scraped; only the answer
    to a plain range selector has the samples themselves. ``source`` is the text's name in messages.

    Raises
    ------
    InputError : the text is not such an answer, holds native histograms, or samples that Prometheus would
        not ingest (out of order, or a second value at a time), with the path in the document.
    """
    document = _parsed(text, source)
    if _get(document, "status") == "error":
        raise InputError(
            f"this is an error and no data: {_get(document, 'error')}", at=Position(source), path="status"
        )
    data = _get(document, "data")
    kind, series = _get(data, "resultType"), _get(data, "result")
    if kind not in ("matrix", "vector") or not isinstance(series, list):
        raise InputError(
            "only a matrix or a vector has series",
            at=Position(source),
            path="data.resultType",
            value=kind,
            fix="save the answer of /api/v1/query_range",
        )
    intake = Intake()
    for index, one in enumerate(series):
        path = f"data.result[{index}]"
        labels = _get(one, "metric")
        if not _is_labels(labels):
            raise InputError("metric is an object of texts", at=Position(source), path=path)
        if _get(one, "histogram") is not None or _get(one, "histograms") is not None:
            raise InputError("native histograms cannot be read", at=Position(source), path=path)
        points = _get(one, "values") if kind == "matrix" else [_get(one, "value")]
        if not isinstance(points, list):
            raise InputError("values is a list of pairs", at=Position(source), path=path)
        for number, point in enumerate(points):
            try:
                intake.add(labels, *_point(point))
            except ValueError as error:
                where = f"{path}.values[{number}]" if kind == "matrix" else f"{path}.value"
                raise InputError(str(error), at=Position(source), path=where, value=point) from None
    return intake.store()


def _parsed(text: str, source: str) -> object:
    try:
        return json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        at = Position(source, error.lineno, error.colno)
        raise InputError(f"this is not JSON: {error.msg}", at=at) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON: {error}", at=Position(source)) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _get(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _is_labels(value: object) -> bool:
    return isinstance(value, dict) and all(type(text) is str for text in value.values())


def _point(point: object) -> tuple[int, float]:
    match point:
        case [_Number() as seconds, str(value)] if not isinstance(value, _Number):
            return seconds_ms(seconds), value_of(value)
    raise ValueError("a sample is a pair of a time (s) and a value in quotes")


def _pair(at_ms: int, value: float) -> str:
    return f'[{_seconds(at_ms)},"{value_text(value)}"]'


def _seconds(at_ms: int) -> str:
    """Seconds as the server writes them: without decimals, or with three."""
    sign, (seconds, rest) = "-" if at_ms < 0 else "", divmod(abs(at_ms), 1000)
    return f"{sign}{seconds}.{rest:03d}" if rest else f"{sign}{seconds}"


def _array(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


def _dump(value: object | Mapping[str, str]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
