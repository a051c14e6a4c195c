"""The typed values that Argo Rollouts' metric providers hand to a condition.

Conditions are type-checked against the Go type of the value of each measurement, so a result is
more than a number: an empty vector, a nil pointer and a JSON null are three different things.
Source of the table: Argo Rollouts, ``metricproviders/*`` (what each provider's Run passes to
``evaluate.EvaluateResult``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "CloudWatchResult",
    "FloatPointerResult",
    "IntResult",
    "JsonResult",
    "ListResult",
    "MapListResult",
    "MetricData",
    "NilResult",
    "Result",
    "ScalarResult",
    "StringResult",
    "VectorResult",
    "result_from_json",
    "result_to_json",
]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_JSON_DEPTH = 200

_SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


def _float(value: float) -> float:
    """A float whose NaN is always the one object ``math.nan``, so that records compare equal.

    Records that hold floats are pickled through their constructor for the same reason.
    """
    number = float(value)
    return math.nan if number != number else number


@dataclass(frozen=True, slots=True, eq=False)
class ScalarResult:
    """One ``float64``: a Prometheus scalar, Datadog without grouping. NaN equals NaN here."""

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _float(self.value))

    def __eq__(self, other: object) -> bool:
        # As one-element tuples, so that the one NaN object equals itself on every Python.
        return isinstance(other, ScalarResult) and (self.value,) == (other.value,)

    def __hash__(self) -> int:
        return hash((ScalarResult, self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        return ScalarResult, (self.value,)


@dataclass(frozen=True, slots=True)
class VectorResult:
    """``[]float64``: a Prometheus vector or matrix in response order; may be empty, is never nil."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(_float(v) for v in self.values))

    def __reduce__(self) -> tuple[Any, ...]:
        return VectorResult, (self.values,)


@dataclass(frozen=True, slots=True)
class IntResult:
    """One Go ``int``, of 64 bits."""

    value: int

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not INT64_MIN <= self.value <= INT64_MAX:
            raise ValueError(f"a Go int needs an integer of 64 bits, got {self.value!r}")


@dataclass(frozen=True, slots=True)
class StringResult:
    """A Go ``string``: the body of a web answer that is not JSON."""

    value: str


@dataclass(frozen=True, slots=True)
class NilResult:
    """No value. ``pointer`` marks the typed nil ``(*float64)(nil)`` of Datadog without data."""

    pointer: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FloatPointerResult:
    """``*float64`` that points at ``value``: Datadog with data. NaN equals NaN here."""

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _float(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FloatPointerResult) and (self.value,) == (other.value,)

    def __hash__(self) -> int:
        return hash((FloatPointerResult, self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        return FloatPointerResult, (self.value,)


@dataclass(frozen=True, slots=True)
class JsonResult:
    """A decoded JSON value as Go's ``encoding/json`` gives it: every number is a ``float64``.

    The constructor copies ``value`` and makes its integers floats; do not change it afterwards.
    ValueError for what JSON cannot hold (NaN, infinities, keys that are not text, too deep a nesting).
    """

    value: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _json_value(self.value, MAX_JSON_DEPTH, integers=False))

    def __hash__(self) -> int:
        return hash((JsonResult, json.dumps(self.value, sort_keys=True)))


@dataclass(frozen=True, slots=True)
class ListResult:
    """``[]interface{}`` as InfluxDB gives it: a Python int is an ``int64`` here, not a float."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        copied = tuple(_json_value(v, MAX_JSON_DEPTH, integers=True) for v in self.values)
        object.__setattr__(self, "values", copied)

    def __hash__(self) -> int:
        return hash((ListResult, json.dumps(self.values, sort_keys=True)))

    def __reduce__(self) -> tuple[Any, ...]:
        return ListResult, (self.values,)


@dataclass(frozen=True, slots=True)
class MapListResult:
    """``[]map[string]interface{}``: several rows of a New Relic query."""

    rows: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        rows = tuple(_json_value(dict(row), MAX_JSON_DEPTH, integers=False) for row in self.rows)
        object.__setattr__(self, "rows", rows)

    def __hash__(self) -> int:
        return hash((MapListResult, json.dumps(self.rows, sort_keys=True)))


@dataclass(frozen=True, slots=True)
class MetricData:
    """One ``MetricDataResult`` of CloudWatch: the fields Id, Label, StatusCode and Values."""

    id: str = ""
    label: str = ""
    status_code: str = ""
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(_float(v) for v in self.values))

    def __reduce__(self) -> tuple[Any, ...]:
        return MetricData, (self.id, self.label, self.status_code, self.values)


@dataclass(frozen=True, slots=True)
class CloudWatchResult:
    """``[]MetricDataResult``: conditions read ``result[0].Values[0]``."""

    series: tuple[MetricData, ...]


Result = (
    ScalarResult
    | VectorResult
    | IntResult
    | StringResult
    | JsonResult
    | ListResult
    | MapListResult
    | CloudWatchResult
    | NilResult
    | FloatPointerResult
)
"""What a provider may give: a closed union."""


def _json_value(value: Any, depth: int, *, integers: bool) -> Any:
    if depth <= 0:
        raise ValueError("a JSON value is nested too deeply")
    match value:
        case None | bool() | str():
            return value
        case int():
            if integers:
                return IntResult(value).value
            return _finite(value)
        case float():
            return _finite(value) if not integers else _float(value)
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise ValueError("the keys of a JSON object are text")
            return {key: _json_value(item, depth - 1, integers=integers) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item, depth - 1, integers=integers) for item in value]
    raise ValueError(f"JSON has no {type(value).__name__}")


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"JSON has no number {value}")
    return number


def _spelled(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if value != value:
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _read(value: Any) -> float:
    if isinstance(value, str):
        if value not in _SPECIAL:
            raise ValueError(f"a number is expected, got {value!r}; special floats are NaN, +Inf, -Inf")
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number is expected, got {value!r}")
    return float(value)


def _plain(value: Any) -> Any:
    """A list element for JSON: floats that JSON cannot hold are tagged, as text is itself a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": _spelled(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$float"}:
            return _read(value["$float"])
        return {key: _unplain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unplain(item) for item in value]
    return value


def result_to_json(result: Result) -> dict[str, Any]:
    """``{"type": ..., "value": ...}`` for a journal; special floats become NaN, +Inf and -Inf as text."""
    match result:
        case ScalarResult(value):
            return {"type": "scalar", "value": _spelled(value)}
        case VectorResult(values):
            return {"type": "vector", "value": [_spelled(v) for v in values]}
        case IntResult(number):
            return {"type": "int", "value": number}
        case StringResult(text):
            return {"type": "string", "value": text}
        case JsonResult(data):
            return {"type": "json", "value": data}
        case ListResult(items):
            return {"type": "list_any", "value": [_plain(v) for v in items]}
        case MapListResult(rows):
            return {"type": "map_list", "value": [dict(row) for row in rows]}
        case CloudWatchResult(series):
            return {"type": "cloudwatch", "value": [_metric_data_to_json(data) for data in series]}
        case NilResult(pointer):
            return {"type": "nil_float_pointer" if pointer else "nil"}
        case FloatPointerResult(value):
            return {"type": "float_pointer", "value": _spelled(value)}


def _metric_data_to_json(data: MetricData) -> dict[str, Any]:
    return {
        "id": data.id,
        "label": data.label,
        "statusCode": data.status_code,
        "values": [_spelled(v) for v in data.values],
    }


def result_from_json(data: Mapping[str, Any]) -> Result:
    """The inverse of `result_to_json`; ValueError for anything else."""
    value = data.get("value")
    match data.get("type"):
        case "scalar":
            return ScalarResult(_read(value))
        case "float_pointer":
            return FloatPointerResult(_read(value))
        case "vector" if isinstance(value, list):
            return VectorResult(tuple(_read(v) for v in value))
        case "int" if isinstance(value, int):
            return IntResult(value)
        case "string" if isinstance(value, str):
            return StringResult(value)
        case "json":
            return JsonResult(value)
        case "list_any" if isinstance(value, list):
            return ListResult(tuple(_unplain(v) for v in value))
        case "map_list" if isinstance(value, list):
            return MapListResult(tuple(value))
        case "cloudwatch" if isinstance(value, list):
            return CloudWatchResult(tuple(_metric_data_from_json(item) for item in value))
        case "nil":
            return NilResult()
        case "nil_float_pointer":
            return NilResult(pointer=True)
    raise ValueError(f"not a metric result: {dict(data)!r}")


def _metric_data_from_json(item: Mapping[str, Any]) -> MetricData:
    return MetricData(
        id=str(item["id"]),
        label=str(item["label"]),
        status_code=str(item["statusCode"]),
        values=tuple(_read(v) for v in item["values"]),
    )
