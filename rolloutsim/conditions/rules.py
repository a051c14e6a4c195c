"""Which operands an operator takes, and what it gives: the type rules of the language.

Source: expr-lang/expr v1.17.8 and antonmedv/expr v1.15.5, checker/checker.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.types import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    INTS,
    NIL,
    STRING,
    TIME,
    UNKNOWN,
    GoType,
    array_of,
    assignable,
    comparable,
)

__all__ = ["array_literal", "binary", "coalesce", "conditional", "index", "membership", "unary"]

_Check = Callable[[GoType], bool]


def _number(t: GoType) -> bool:
    return t.is_number


def _integer(t: GoType) -> bool:
    return t.is_integer


def _string(t: GoType) -> bool:
    return t.is_string


def _bool(t: GoType) -> bool:
    return t.is_bool


def _time(t: GoType) -> bool:
    return t.kind == "time"


def _duration(t: GoType) -> bool:
    return t.kind == "duration"


def _maybe(left: GoType, right: GoType, *checks: _Check) -> bool:
    """Whether the operands may fit at run time: one or both are unknown, and the other one fits."""
    if left.is_unknown and right.is_unknown:
        return True
    if left.is_unknown:
        return any(check(right) for check in checks)
    return right.is_unknown and any(check(left) for check in checks)


def _promoted(left: GoType, right: GoType) -> GoType:
    return FLOAT if left.is_float or right.is_float else INT


def unary(operator: str, operand: GoType, at: int) -> GoType:
    """The type of ``operator operand``; `Fault` when it does not fit."""
    if operator in ("!", "not"):
        if operand.is_bool or operand.is_unknown:
            return BOOL
    elif operand.is_number:
        return operand
    elif operand.is_unknown:
        return UNKNOWN
    raise Fault(f"invalid operation: {operator} (mismatched type {operand})", at)


def binary(operator: str, left: GoType, right: GoType, at: int, *, modern: bool) -> GoType:
    """The type of ``left operator right``; `Fault` when the operands do not fit.

    ``in`` and ``??`` have rules of their own: `membership`, `coalesce`.
    """
    given: GoType | None = None
    match operator:
        case "==" | "!=":
            given = BOOL if comparable(left, right, modern=modern) else None
        case "or" | "||" | "and" | "&&":
            fits = (left.is_bool and right.is_bool) or _maybe(left, right, _bool)
            given = BOOL if fits else None
        case "<" | ">" | "<=" | ">=":
            given = _ordering(left, right)
        case "+":
            given = _addition(left, right)
        case "-":
            given = _subtraction(left, right)
        case "*":
            given = _multiplication(left, right)
        case "/" | "**" | "^":
            fits = (left.is_number and right.is_number) or _maybe(left, right, _number)
            given = FLOAT if fits else None
        case "%":
            fits = (left.is_integer and right.is_integer) or _maybe(left, right, _integer)
            given = INT if fits else None
        case "..":
            fits = (left.is_integer and right.is_integer) or _maybe(left, right, _integer)
            given = (array_of(INT) if modern else INTS) if fits else None
        case "matches":
            fits = (left.is_string or left.name == "[]uint8") and right.is_string
            given = BOOL if fits or _maybe(left, right, _string) else None
        case "contains" | "startsWith" | "endsWith":
            fits = (left.is_string and right.is_string) or _maybe(left, right, _string)
            given = BOOL if fits else None
    if given is None:
        raise Fault(f"invalid operation: {operator} (mismatched types {left} and {right})", at)
    return given


def _ordering(left: GoType, right: GoType) -> GoType | None:
    same = any(check(left) and check(right) for check in (_number, _string, _time, _duration))
    return BOOL if same or _maybe(left, right, _number, _string, _time, _duration) else None


def _addition(left: GoType, right: GoType) -> GoType | None:
    if left.is_number and right.is_number:
        return _promoted(left, right)
    if left.is_string and right.is_string:
        return STRING
    if {left.kind, right.kind} == {"time", "duration"}:
        return TIME
    if _duration(left) and _duration(right):
        return DURATION
    return UNKNOWN if _maybe(left, right, _number, _string, _time, _duration) else None


def _subtraction(left: GoType, right: GoType) -> GoType | None:
    if left.is_number and right.is_number:
        return _promoted(left, right)
    if _time(left) and _time(right):
        return DURATION
    if _time(left) and _duration(right):
        return TIME
    if _duration(left) and _duration(right):
        return DURATION
    return UNKNOWN if _maybe(left, right, _number, _time, _duration) else None


def _multiplication(left: GoType, right: GoType) -> GoType | None:
    if left.is_number and right.is_number:
        return _promoted(left, right)
    if all(t.is_number or _duration(t) for t in (left, right)):
        return DURATION
    return UNKNOWN if _maybe(left, right, _number, _duration) else None


def membership(left: GoType, right: GoType, at: int, *, modern: bool) -> GoType:
    """The type of ``left in right``."""
    if (left.is_string or left.is_unknown) and right.kind in ("struct", "time"):
        return BOOL
    if right.is_map:
        key = right.key or UNKNOWN
        if not left.is_unknown and not assignable(left, key) and (modern or not left.is_nil):
            raise Fault(f"cannot use {left} as type {key} in map key", at)
        return BOOL
    if right.is_array:
        known = (right.elements,) if modern else (right.element or UNKNOWN, right.listed or UNKNOWN)
        for element in known:
            if not comparable(left, element, modern=modern):
                raise Fault(f"cannot use {left} as type {element} in array", at)
        return BOOL
    if right.is_unknown or (left.is_unknown and right.is_string):
        return BOOL
    raise Fault(f"invalid operation: in (mismatched types {left} and {right})", at)


def coalesce(left: GoType, right: GoType) -> GoType:
    """The type of ``left ?? right``."""
    if left.is_nil:
        return right.unlisted
    if right.is_nil or assignable(right, left):
        return left.unlisted
    return UNKNOWN


def conditional(test: GoType, then: GoType, otherwise: GoType, at: int, *, modern: bool) -> GoType:
    """The type of ``test ? then : otherwise``."""
    if not test.is_bool and not test.is_unknown:
        raise Fault(f"non-bool expression (type {test}) used as condition", at)
    then, otherwise = then.unlisted, otherwise.unlisted
    if then.is_nil:
        return otherwise
    if otherwise.is_nil:
        return then
    if not assignable(then, otherwise):
        return UNKNOWN
    if modern and then.is_array and otherwise.is_array:
        one, other = then.elements, otherwise.elements
        if not (assignable(one, other) and assignable(other, one)):
            return array_of(UNKNOWN)
    return then


def array_literal(nodes: list[GoType], *, modern: bool) -> GoType:
    """The type of ``[a, b]``."""
    last = nodes[-1] if nodes else UNKNOWN
    if not modern:
        alike = len({node.kind for node in nodes}) <= 1 and not last.is_nil
        return replace(array_of(UNKNOWN), listed=last if alike else None)
    # Nil and unknown are both "no kind" to the library, and so alike.
    kinds = {"" if node.kind in ("unknown", "nil") else node.kind for node in nodes}
    return array_of(last if len(kinds) <= 1 else UNKNOWN)


def index(base: GoType, key: GoType, name: str | None, at: int, *, method: bool) -> GoType:
    """The type of ``base[key]``, or of ``base.name``. Methods of times are checked elsewhere."""
    if base.is_unknown:
        return UNKNOWN
    if base.is_map:
        wanted = base.key or UNKNOWN
        if not assignable(key, wanted) and not key.is_unknown:
            raise Fault(f"cannot use {key} to get an element from {base}", at)
        return base.elements
    if base.is_array:
        if not key.is_integer and not key.is_unknown:
            raise Fault(f"array elements can only be selected using an integer (got {key})", at)
        return base.elements
    for field, given in base.fields:
        if field == name:
            return given
    shown = "nil" if base is NIL else str(base)
    if name is not None:
        raise Fault(f"type {shown} has no {'method' if method else 'field'} {name}", at)
    raise Fault(f"type {shown}[{key}] is undefined", at)
