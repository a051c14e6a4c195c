"""Closures for operators. Where both types are sure, numbers are compared without further checks."""

from __future__ import annotations

from typing import Any

import re2

from rolloutsim.conditions.code import Code
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.operators import (
    add,
    divide,
    equal,
    exponent,
    modulo,
    multiply,
    negate,
    ordered,
    subtract,
)
from rolloutsim.conditions.runtime import Frame, Groups, Run, go_type_name, is_array, is_nil, to_int
from rolloutsim.conditions.values import MetricData

__all__ = [
    "coalesced",
    "compared",
    "compiled_pattern",
    "computed",
    "contained",
    "element_of_result",
    "equality",
    "logical",
    "looked_up",
    "negated",
    "opposite",
    "ranged",
    "sliced",
    "text_test",
]

FREE_RANGE = 1_000_000


def negated(run: Run) -> Run:
    """``-x``."""
    return lambda frame: negate(run(frame))


def opposite(run: Run, at: int) -> Run:
    """``not x``, ``!x``."""

    def inverse(frame: Frame) -> bool:
        value = run(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise Fault(f"interface conversion: interface {{}} is {go_type_name(value)}, not bool", at)

    return inverse


def element_of_result(position: int) -> Run:
    """``result[position]`` of a vector."""

    def run(frame: Frame) -> Any:
        try:
            return frame.result[position]
        except IndexError:
            length = len(frame.result)
            asked = position if position >= 0 else position + length
            raise Fault(f"index out of range: {asked} (array length is {length})") from None

    return run


def _sure_numbers(left: Code, right: Code) -> bool:
    return left.sure and right.sure and left.type.is_number and right.type.is_number


def _common(left: Code, right: Code) -> tuple[Run, Run, tuple[Any, ...]]:
    """Two sure numbers brought to one Go type, and the right one's value where it is a literal."""
    one, other, constant = left.run, right.run, right.constant
    if left.type.is_float and not right.type.is_float:
        integers = right.run
        constant = tuple(float(value) for value in constant)
        other = lambda frame: float(integers(frame))  # noqa: E731
    elif right.type.is_float and not left.type.is_float:
        whole = left.run
        one = lambda frame: float(whole(frame))  # noqa: E731
    return one, other, constant


def compared(name: str, left: Code, right: Code) -> Run:
    """``<``, ``>``, ``<=``, ``>=``."""
    if _sure_numbers(left, right):
        return _compared_numbers(name, *_common(left, right))
    one, other = left.run, right.run
    return lambda frame: ordered(name, one(frame), other(frame))


def _compared_numbers(name: str, one: Run, other: Run, constant: tuple[Any, ...]) -> Run:
    if constant:
        value = constant[0]
        match name:
            case "<":
                return lambda frame: one(frame) < value
            case "<=":
                return lambda frame: one(frame) <= value
            case ">":
                return lambda frame: one(frame) > value
        return lambda frame: one(frame) >= value
    match name:
        case "<":
            return lambda frame: one(frame) < other(frame)
        case "<=":
            return lambda frame: one(frame) <= other(frame)
        case ">":
            return lambda frame: one(frame) > other(frame)
    return lambda frame: one(frame) >= other(frame)


def equality(name: str, left: Code, right: Code, *, modern: bool) -> Run:
    """``==`` and ``!=``."""
    if _sure_numbers(left, right):
        one, other, constant = _common(left, right)
        if constant and name == "==":
            value = constant[0]
            return lambda frame: one(frame) == value
        if name == "==":
            return lambda frame: one(frame) == other(frame)
        return lambda frame: one(frame) != other(frame)
    run_left, run_right = left.run, right.run
    if name == "==":
        return lambda frame: equal(run_left(frame), run_right(frame), frame, modern=modern)
    return lambda frame: not equal(run_left(frame), run_right(frame), frame, modern=modern)


def logical(name: str, left: Code, right: Code, at: int) -> Run:
    """``and`` and ``or``: the right side runs only when the left one does not decide."""
    one, other = left.run, right.run
    decides = name in ("or", "||")
    if left.sure and right.sure:
        if decides:
            return lambda frame: one(frame) or other(frame)
        return lambda frame: one(frame) and other(frame)

    def run(frame: Frame) -> Any:
        value = one(frame)
        if value is decides:
            return value
        if type(value) is not bool:
            raise Fault(f"interface conversion: interface {{}} is {go_type_name(value)}, not bool", at)
        return other(frame)

    return run


def computed(name: str, left: Code, right: Code) -> Run:
    """``+ - * / % **``."""
    one, other = left.run, right.run
    if left.sure and right.sure and left.type.is_float and right.type.is_float:
        match name:
            case "+":
                return lambda frame: one(frame) + other(frame)
            case "-":
                return lambda frame: one(frame) - other(frame)
            case "*":
                return lambda frame: one(frame) * other(frame)
    match name:
        case "+":
            return lambda frame: add(one(frame), other(frame), frame)
        case "-":
            return lambda frame: subtract(one(frame), other(frame))
        case "*":
            return lambda frame: multiply(one(frame), other(frame))
        case "/":
            return lambda frame: divide(one(frame), other(frame))
        case "%":
            return lambda frame: modulo(one(frame), other(frame))
    return lambda frame: exponent(one(frame), other(frame))


def coalesced(left: Run, right: Run) -> Run:
    """``left ?? right``."""

    def run(frame: Frame) -> Any:
        value = left(frame)
        return right(frame) if is_nil(value) else value

    return run


def ranged(left: Code, right: Code, *, modern: bool) -> Run:
    """``left..right``: integers with both ends. v1.15.5 makes literal ones beforehand, at no cost."""
    if not modern and left.constant and right.constant:
        ready = range(left.constant[0], right.constant[0] + 1)
        if len_of(ready) <= FREE_RANGE:
            return lambda frame: ready
    one, other = left.run, right.run

    def run(frame: Frame) -> range:
        made = range(to_int(one(frame)), to_int(other(frame)) + 1)
        frame.grow(len_of(made))
        return made

    return run


def len_of(made: range) -> int:
    """The length of a range, which may not fit into what ``len`` gives."""
    return max(0, made.stop - made.start)


def sliced(base: Run, start: Run | None, stop: Run | None) -> Run:
    """``base[start:stop]``: negative positions count from the end, bounds are clamped."""

    def run(frame: Frame) -> Any:
        value = base(frame)
        if not is_array(value) and not isinstance(value, str):
            raise Fault(f"cannot slice {go_type_name(value)}")
        # Text is sliced by bytes, also where its length is counted in characters.
        units = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        length = len(units)
        last = length if stop is None else to_int(stop(frame))
        first = 0 if start is None else to_int(start(frame))
        first = max(0, first + length if first < 0 else first)
        last = min(length, max(0, last + length if last < 0 else last))
        piece = units[min(first, last) : last]
        if isinstance(value, str):
            return piece.decode("utf-8", "surrogateescape")
        if isinstance(value, tuple) and type(value) is not tuple:
            return type(value)(piece)
        return piece

    return run


def contained(left: Run, right: Run, *, modern: bool) -> Run:
    """``left in right``."""

    def run(frame: Frame) -> bool:
        needle, among = left(frame), right(frame)
        if among is None:
            return False
        if is_array(among):
            frame.spend(1 + len(among) // 4)
            return any(equal(item, needle, frame, modern=modern) for item in among)
        if isinstance(among, Groups):
            return Groups.key(needle) in among
        if isinstance(among, dict):
            if needle is not None and not isinstance(needle, str):
                raise Fault(f"value of type {go_type_name(needle)} is not assignable to type string")
            return (needle or "") in among
        if isinstance(among, MetricData):
            return needle in ("Id", "Label", "StatusCode", "Values")
        raise Fault(f'operator "in" not defined on {go_type_name(among)}')

    return run


def looked_up(left: Run, among: frozenset[Any], zero: Any) -> Run:
    """``left in`` a set of texts or of ints: a needle of another type is an error, nil is the zero value."""
    wanted = type(zero)

    def run(frame: Frame) -> bool:
        needle = left(frame)
        if needle is None:
            return zero in among
        if type(needle) is not wanted:
            name = go_type_name(zero)
            raise Fault(f"value of type {go_type_name(needle)} is not assignable to type {name}")
        return needle in among

    return run


def compiled_pattern(text: str, at: int = -1) -> Any:
    """A pattern of RE2, searched anywhere in a text; `Fault` when it is not one."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        detail = error.args[0] if error.args else "bad pattern"
        if isinstance(detail, bytes):
            detail = detail.decode("utf-8", "replace")
        raise Fault(f"error parsing regexp: {detail}", at) from None


def text_test(name: str, left: Run, right: Run, pattern: Any, *, modern: bool) -> Run:
    """``matches``, ``contains``, ``startsWith``, ``endsWith``. Nil matches nothing (in v1.15.5: an error)."""

    def run(frame: Frame) -> bool:
        value, other = left(frame), right(frame)
        if modern and (is_nil(value) or is_nil(other)):
            return False
        if isinstance(value, bytes) and name == "matches":
            value = value.decode("utf-8", "replace")
        for part in (value, other):
            if not isinstance(part, str):
                raise Fault(f"interface conversion: interface {{}} is {go_type_name(part)}, not string")
            frame.text(len(part))
        match name:
            case "contains":
                return other in value
            case "startsWith":
                return bool(value.startswith(other))
            case "endsWith":
                return bool(value.endswith(other))
        if pattern is None:
            frame.spend(100 + len(other))
        searched = value if value.isascii() else _valid(value)
        return (pattern or compiled_pattern(other)).search(searched) is not None

    return run


def _valid(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
