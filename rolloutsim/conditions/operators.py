"""Go's operators on values whose types are known only while a condition runs.

Source of the semantics: expr-lang/expr v1.17.8, vm/runtime.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import wrap
from rolloutsim.conditions.gotime import Duration, Time
from rolloutsim.conditions.runtime import (
    Frame,
    NilList,
    Strings,
    go_type_name,
    is_array,
    is_nil,
    to_float,
)

__all__ = [
    "add",
    "deep_equal",
    "divide",
    "equal",
    "exponent",
    "less",
    "modulo",
    "multiply",
    "negate",
    "ordered",
    "subtract",
]


_ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _pair(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Two numbers in the common Go type, or None when one is not a number."""
    one, other = type(left), type(right)
    if one is float:
        if other is float:
            return left, right
        return (left, float(right)) if other is int else None
    if one is int:
        if other is int:
            return left, right
        return (float(left), right) if other is float else None
    return None


def _bytes(text: str) -> bytes:
    """A text as Go holds it, which orders it by bytes."""
    return text.encode("utf-8", "surrogateescape")


def _mismatch(name: str, left: Any, right: Any) -> Fault:
    return Fault(f"invalid operation: {go_type_name(left)} {name} {go_type_name(right)}")


def ordered(name: str, left: Any, right: Any) -> bool:
    """``left < right``, and ``<=``, ``>``, ``>=``: numbers, texts by their bytes, times, durations."""
    numbers = _pair(left, right)
    if numbers is not None:
        return bool(_ORDERS[name](*numbers))
    if type(left) is type(right):
        if isinstance(left, str):
            return bool(_ORDERS[name](_bytes(left), _bytes(right)))
        if isinstance(left, Time | Duration):
            return bool(_ORDERS[name](left.ns, right.ns))
    raise _mismatch(name, left, right)


def less(left: Any, right: Any) -> bool:
    """``left < right``."""
    return ordered("<", left, right)


def add(left: Any, right: Any, frame: Frame) -> Any:
    """``left + right``."""
    numbers = _pair(left, right)
    if numbers is not None:
        total = numbers[0] + numbers[1]
        return wrap(total) if type(total) is int else total
    if isinstance(left, str) and isinstance(right, str):
        frame.text(len(left) + len(right))
        return left + right
    match left, right:
        case Time(), Duration():
            return left.plus(right.ns)
        case Duration(), Time():
            return right.plus(left.ns)
        case Duration(), Duration():
            return Duration(wrap(left.ns + right.ns))
    raise _mismatch("+", left, right)


def subtract(left: Any, right: Any) -> Any:
    """``left - right``."""
    numbers = _pair(left, right)
    if numbers is not None:
        total = numbers[0] - numbers[1]
        return wrap(total) if type(total) is int else total
    match left, right:
        case Time(), Time():
            return Duration(max(-(2**63), min(2**63 - 1, left.ns - right.ns)))
        case Time(), Duration():
            return left.plus(-right.ns)
        case Duration(), Duration():
            return Duration(wrap(left.ns - right.ns))
    raise _mismatch("-", left, right)


def multiply(left: Any, right: Any) -> Any:
    """``left * right``."""
    numbers = _pair(left, right)
    if numbers is not None:
        total = numbers[0] * numbers[1]
        return wrap(total) if type(total) is int else total
    one = left.ns if isinstance(left, Duration) else left
    other = right.ns if isinstance(right, Duration) else right
    numbers = _pair(one, other)
    if numbers is None:
        raise _mismatch("*", left, right)
    total = numbers[0] * numbers[1]
    return Duration(wrap(total)) if type(total) is int else total


def divide(left: Any, right: Any) -> float:
    """``left / right``: always a float; a zero divisor gives an infinity or NaN."""
    numbers = _pair(left, right)
    if numbers is None:
        raise _mismatch("/", left, right)
    one, other = float(numbers[0]), float(numbers[1])
    if other != 0.0:
        return one / other
    if one == 0.0 or one != one:
        return math.nan
    return math.copysign(math.inf, one) * math.copysign(1.0, other)


def modulo(left: Any, right: Any) -> int:
    """``left % right``: integers only; the sign is that of ``left``."""
    if type(left) is not int or type(right) is not int:
        raise _mismatch("%", left, right)
    if right == 0:
        raise Fault("runtime error: integer divide by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def exponent(left: Any, right: Any) -> float:
    """``left ** right`` as Go's ``math.Pow``."""
    base, power = to_float(left), to_float(right)
    try:
        return math.pow(base, power)
    except OverflowError:
        odd = power == math.floor(power) and math.fmod(power, 2) != 0
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base == 0:
            odd = power == math.floor(power) and math.fmod(power, 2) != 0
            return math.copysign(math.inf, base) if odd else math.inf
        return math.nan


def negate(value: Any) -> Any:
    """``-value``."""
    if type(value) is int:
        return wrap(-value)
    if type(value) is float:
        return -value
    raise Fault(f"invalid operation: - {go_type_name(value)}")


def equal(left: Any, right: Any, frame: Frame, *, modern: bool = True) -> bool:
    """``left == right``: numbers by value whatever their types; arrays by element where modern."""
    numbers = _pair(left, right)
    if numbers is not None:
        return bool(numbers[0] == numbers[1])
    if isinstance(left, Time) and isinstance(right, Time):
        return left.ns == right.ns
    if modern and is_array(left) and is_array(right) and _alike(left, right):
        frame.spend(1 + len(left))
        return len(left) == len(right) and all(
            equal(one, other, frame) for one, other in zip(left, right, strict=True)
        )
    if is_nil(left) and is_nil(right):
        return True
    return deep_equal(left, right, frame)


def _alike(left: Any, right: Any) -> bool:
    """Whether the library compares these two arrays by element: the same type, or one of the two any."""
    simple = (list, NilList, tuple, range, Strings, bytes)
    if type(left) not in simple or type(right) not in simple:
        return False
    return type(left) is type(right) or isinstance(left, list) or isinstance(right, list)


def deep_equal(left: Any, right: Any, frame: Frame) -> bool:
    """Go's ``reflect.DeepEqual``: types count, and 1 is not 1.0."""
    if go_type_name(left) != go_type_name(right):
        return False
    if isinstance(left, dict | list | tuple):
        frame.spend(1 + len(left))
        if left is right:
            return True
        if len(left) != len(right) or is_nil(left) != is_nil(right):
            return False
        if isinstance(left, dict):
            return all(key in right and deep_equal(item, right[key], frame) for key, item in left.items())
        return all(deep_equal(one, other, frame) for one, other in zip(left, right, strict=True))
    return bool(left == right)
