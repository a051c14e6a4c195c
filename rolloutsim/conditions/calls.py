"""Calls of what is not a builtin: Argo's own functions, and methods of times and durations.

Source: Argo Rollouts, utils/evaluate/evaluate.go; Go's package time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rolloutsim.conditions import builtins_list, builtins_number, builtins_text, builtins_time
from rolloutsim.conditions.code import Code
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import parse_float, parse_int, to_int64
from rolloutsim.conditions.gotime import Duration, Time
from rolloutsim.conditions.operators import subtract
from rolloutsim.conditions.runtime import Frame, Function, Run, go_type_name, shown
from rolloutsim.conditions.types import BOOL, DURATION, FLOAT, INT, INT64, STRING, TIME, GoType, Signature

__all__ = ["FUNCTIONS_1_15", "FUNCTIONS_1_17", "call_of", "method_of"]

_Builtin = Callable[..., Any]

FUNCTIONS_1_17: dict[str, _Builtin] = {
    **builtins_text.FUNCTIONS,
    **builtins_number.FUNCTIONS,
    **builtins_list.FUNCTIONS,
    **builtins_time.FUNCTIONS,
}
FUNCTIONS_1_15: dict[str, _Builtin] = {
    **builtins_text.FUNCTIONS_1_15,
    **builtins_number.FUNCTIONS_1_15,
    **builtins_list.FUNCTIONS_1_15,
    **builtins_time.FUNCTIONS,
}


def _as_int(frame: Frame, value: Any) -> int:
    match value:
        case bool():
            pass
        case int():
            return value
        case float():
            return to_int64(value)
        case str():
            try:
                return parse_int(value)
            except ValueError:
                raise Fault(f'strconv.ParseInt: parsing "{shown(value)}": invalid syntax') from None
    raise Fault(f"asInt() not supported on {go_type_name(value)} {_go_text(value)}")


def _as_float(frame: Frame, value: Any) -> float:
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str():
            try:
                return parse_float(value)
            except ValueError:
                raise Fault(f'strconv.ParseFloat: parsing "{shown(value)}": invalid syntax') from None
    raise Fault(f"asFloat() not supported on {go_type_name(value)} {_go_text(value)}")


def _go_text(value: Any) -> str:
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else shown(value)


def _only_float(value: Any) -> float:
    if type(value) is not float:
        raise Fault(f"reflect: Call using {go_type_name(value)} as type float64")
    return value


def _is_nan(frame: Frame, value: Any) -> bool:
    return math.isnan(_only_float(value))


def _is_inf(frame: Frame, value: Any) -> bool:
    return math.isinf(_only_float(value))


def _is_nil(frame: Frame, value: Any) -> bool:
    """Whether the raw result is nil: the argument does not matter."""
    return frame.raw_nil


def _default(frame: Frame, value: Any, other: Any) -> Any:
    """The raw result, or ``other`` when it is nil: the first argument does not matter."""
    return other if frame.raw_nil else frame.result


_ARGO: dict[str, _Builtin] = {
    "asInt": _as_int,
    "asFloat": _as_float,
    "isNaN": _is_nan,
    "isInf": _is_inf,
    "isNil": _is_nil,
    "default": _default,
}


def call_of(callee: Code, arguments: list[Code]) -> Run:
    """The call of a function of Argo's, or of a method."""
    runs = [argument.run for argument in arguments]
    signature = callee.type.signature
    if signature is not None and signature.method:
        return _method_call(signature.method, callee.run, runs)
    if callee.constant:
        function = _ARGO[callee.constant[0].name]
        if len(runs) == 1:
            only = runs[0]
            return lambda frame: function(frame, only(frame))
        return lambda frame: function(frame, *[run(frame) for run in runs])
    found = callee.run

    def run_value(frame: Frame) -> Any:
        given = [run(frame) for run in runs]
        value = found(frame)
        if not isinstance(value, Function):
            raise Fault("invalid operation: cannot call nil")
        return _ARGO[value.name](frame, *given)

    return run_value


def _methods(names: str, gives: GoType, *takes: GoType) -> dict[str, GoType]:
    return {
        name: GoType(
            "func", f"func({', '.join(map(str, takes))}) {gives}", signature=Signature(takes, gives, name)
        )
        for name in names.split()
    }


_METHODS: dict[str, dict[str, GoType]] = {
    "time": _methods("Unix UnixMilli UnixMicro UnixNano", INT64)
    | _methods("Year Day Hour Minute Second Nanosecond YearDay", INT)
    | _methods("IsZero", BOOL)
    | _methods("Before After Equal", BOOL, TIME)
    | _methods("Sub", DURATION, TIME)
    | _methods("Add", TIME, DURATION),
    "duration": _methods("Hours Minutes Seconds", FLOAT)
    | _methods("Milliseconds Microseconds Nanoseconds", INT64)
    | _methods("String", STRING),
}


def method_of(base: GoType, name: str) -> GoType | None:
    """The type of a method of ``base``; `Fault` for a method of Go's that is not modelled."""
    methods = _METHODS.get(base.kind)
    if methods is None:
        return None
    if name not in methods and name[:1].isupper():
        raise Fault(f"the method {name} of {base} is not supported")
    return methods.get(name)


def _method_call(name: str, base: Run, runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        value = base(frame)
        given = [argument(frame) for argument in runs]
        if not isinstance(value, Time | Duration):
            raise Fault(f"cannot call {name} of {go_type_name(value)}")
        if not given:
            return value.method(name)
        return _with_argument(value, name, given[0])

    return run


def _with_argument(value: Time | Duration, name: str, other: Any) -> Any:
    wanted = Duration if name == "Add" else Time
    if not isinstance(value, Time) or not isinstance(other, wanted):
        raise Fault(f"reflect: Call using {go_type_name(other)} as an argument of {name}")
    match name:
        case "Before":
            return value.ns < other.ns
        case "After":
            return value.ns > other.ns
        case "Equal":
            return value.ns == other.ns
        case "Sub":
            return subtract(value, other)
    return value.plus(other.ns)
