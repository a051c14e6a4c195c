"""Builtin functions on numbers and bits, and the aggregates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import parse_float, parse_int, to_int64, wrap
from rolloutsim.conditions.gotime import Duration
from rolloutsim.conditions.operators import less
from rolloutsim.conditions.runtime import Frame, go_type_name, is_array, items_of

__all__ = ["FUNCTIONS", "FUNCTIONS_1_15"]

MAX_DEPTH = 500


def absolute(frame: Frame, value: Any) -> Any:
    if type(value) is int:
        return wrap(abs(value))
    if type(value) is float:
        return -value if value < 0 else value
    raise Fault(f"invalid argument for abs (type {go_type_name(value)})")


def _rounding(name: str, value: Any) -> float:
    if type(value) is int:
        return float(value)
    if type(value) is float:
        return value
    raise Fault(f"invalid argument for {name} (type {go_type_name(value)})")


def ceiling(frame: Frame, value: Any) -> float:
    number = _rounding("ceil", value)
    return float(math.ceil(number)) if math.isfinite(number) else number


def floor(frame: Frame, value: Any) -> float:
    number = _rounding("floor", value)
    return float(math.floor(number)) if math.isfinite(number) else number


def rounded(frame: Frame, value: Any) -> float:
    """Half away from zero, as Go's ``math.Round``."""
    number = _rounding("round", value)
    if not math.isfinite(number) or abs(number) >= 2**52:
        return number
    whole = math.trunc(number)
    if abs(number - whole) >= 0.5:
        whole += 1 if number > 0 else -1
    return math.copysign(float(whole), number)


def integer(frame: Frame, value: Any) -> int:
    match value:
        case bool():
            pass
        case int():
            return value
        case float():
            return to_int64(value)
        case Duration():
            return value.ns
        case str():
            try:
                return parse_int(value)
            except ValueError:
                raise Fault(f"invalid operation: int({value[:60]})") from None
    raise Fault(f"invalid operation: int({go_type_name(value)})")


def floating(frame: Frame, value: Any) -> float:
    match value:
        case bool():
            pass
        case int() | float():
            return float(value)
        case str():
            try:
                return parse_float(value)
            except ValueError:
                raise Fault(f"invalid operation: float({value[:60]})") from None
    raise Fault(f"invalid operation: float({go_type_name(value)})")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _extreme(name: str, frame: Frame, values: tuple[Any, ...], depth: int = 0) -> Any:
    """The largest or least of numbers and of arrays of numbers; nil when there is none."""
    if depth > MAX_DEPTH:
        raise Fault("recursion depth exceeded")
    best: Any = None
    for value in values:
        frame.spend(1)
        if is_array(value):
            candidate = _extreme(name, frame, tuple(value), depth + 1) if len(value) else None
            if candidate is None:
                continue
        elif _is_number(value):
            candidate = value
        elif depth == 0 and len(values) == 1:
            return value
        else:
            raise Fault(f"invalid argument for {name} (type {go_type_name(value)})")
        if best is None or (less(best, candidate) if name == "max" else less(candidate, best)):
            best = candidate
    return best


def largest(frame: Frame, *values: Any) -> Any:
    return _extreme("max", frame, values)


def least(frame: Frame, *values: Any) -> Any:
    return _extreme("min", frame, values)


def _extreme_1_15(name: str, values: tuple[Any, ...]) -> Any:
    best = values[0]
    for value in values[1:]:
        if best is None or (less(best, value) if name == "max" else less(value, best)):
            best = value
    return best


def largest_1_15(frame: Frame, *values: Any) -> Any:
    return _extreme_1_15("max", values)


def least_1_15(frame: Frame, *values: Any) -> Any:
    return _extreme_1_15("min", values)


def _numbers(name: str, frame: Frame, values: tuple[Any, ...], depth: int = 0) -> list[float]:
    """All numbers in the arguments, arrays flattened, as floats."""
    if depth > MAX_DEPTH:
        raise Fault("recursion depth exceeded")
    found: list[float] = []
    for value in values:
        frame.spend(1)
        if _is_number(value):
            found.append(float(value))
        elif is_array(value):
            found.extend(_numbers(name, frame, tuple(value), depth + 1))
        else:
            raise Fault(f"invalid argument for {name} (type {go_type_name(value)})")
    return found


def _mean_of(numbers: list[float]) -> float:
    total = 0.0
    for number in numbers:
        total += number
    return total / len(numbers) if numbers else 0.0


def _median_of(numbers: list[float]) -> float:
    if not numbers:
        return 0.0
    # NaN sorts before all numbers, as in Go.
    ordered = [n for n in numbers if n != n] + sorted(n for n in numbers if n == n)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def mean(frame: Frame, *values: Any) -> float:
    return _mean_of(_numbers("mean", frame, values))


def median(frame: Frame, *values: Any) -> float:
    return _median_of(_numbers("median", frame, values))


def _flat_numbers(name: str, frame: Frame, value: Any) -> list[int | float]:
    if not is_array(value):
        raise Fault(f"cannot {name} {go_type_name(value)}")
    numbers: list[int | float] = []
    for item in items_of(value):
        frame.spend(1)
        if not _is_number(item):
            raise Fault(f"cannot {name} {go_type_name(item)}")
        numbers.append(item)
    return numbers


def sum_1_15(frame: Frame, value: Any) -> int | float:
    total: int | float = 0
    for number in _flat_numbers("sum", frame, value):
        total = total + number
        if type(total) is int:
            total = wrap(total)
    return total


def mean_1_15(frame: Frame, value: Any) -> float:
    return _mean_of([float(number) for number in _flat_numbers("mean", frame, value)])


def median_1_15(frame: Frame, value: Any) -> float:
    return _median_of([float(number) for number in _flat_numbers("median", frame, value)])


def _bits(name: str, *values: Any) -> tuple[int, ...]:
    for value in values:
        if type(value) is not int:
            raise Fault(f"cannot use {go_type_name(value)} as argument (type int) to call {name}")
    return values


def bit_and(frame: Frame, left: Any, right: Any) -> int:
    one, other = _bits("bitand", left, right)
    return one & other


def bit_or(frame: Frame, left: Any, right: Any) -> int:
    one, other = _bits("bitor", left, right)
    return one | other


def bit_xor(frame: Frame, left: Any, right: Any) -> int:
    one, other = _bits("bitxor", left, right)
    return one ^ other


def bit_and_not(frame: Frame, left: Any, right: Any) -> int:
    one, other = _bits("bitnand", left, right)
    return one & ~other


def bit_not(frame: Frame, value: Any) -> int:
    (one,) = _bits("bitnot", value)
    return ~one


def _shift(name: str, left: Any, right: Any) -> tuple[int, int]:
    one, count = _bits(name, left, right)
    if count < 0:
        raise Fault(f"invalid operation: negative shift count {count} (type int)")
    return one, min(count, 64)


def shift_left(frame: Frame, left: Any, right: Any) -> int:
    one, count = _shift("bitshl", left, right)
    return wrap(one << count)


def shift_right(frame: Frame, left: Any, right: Any) -> int:
    one, count = _shift("bitshr", left, right)
    return one >> count


def shift_right_unsigned(frame: Frame, left: Any, right: Any) -> int:
    one, count = _shift("bitushr", left, right)
    return wrap((one % 2**64) >> count)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": absolute,
    "ceil": ceiling,
    "floor": floor,
    "round": rounded,
    "int": integer,
    "float": floating,
    "max": largest,
    "min": least,
    "mean": mean,
    "median": median,
    "bitand": bit_and,
    "bitor": bit_or,
    "bitxor": bit_xor,
    "bitnand": bit_and_not,
    "bitnot": bit_not,
    "bitshl": shift_left,
    "bitshr": shift_right,
    "bitushr": shift_right_unsigned,
}
FUNCTIONS_1_15: dict[str, Callable[..., Any]] = FUNCTIONS | {
    "max": largest_1_15,
    "min": least_1_15,
    "sum": sum_1_15,
    "mean": mean_1_15,
    "median": median_1_15,
}
