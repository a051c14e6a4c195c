"""What builtin functions and Argo's own functions take and give.

Source: expr-lang/expr v1.17.8 and antonmedv/expr v1.15.5, builtin/builtin.go; Argo Rollouts,
utils/evaluate.
"""

from __future__ import annotations

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.types import (
    ANY,
    BOOL,
    DURATION,
    FLOAT,
    FLOATS,
    INT,
    INT64,
    INTS,
    LIST,
    LOCATION,
    MAP,
    STRING,
    STRINGS,
    TIME,
    GoType,
    Signature,
    assignable,
)

__all__ = ["ARGO", "OVERLOADS", "match_overload", "validated"]

ARGO: dict[str, GoType] = {
    name: GoType("func", f"func({', '.join(map(str, takes))}) {gives}", signature=Signature(takes, gives))
    for name, takes, gives in (
        ("asInt", (ANY,), INT64),
        ("asFloat", (ANY,), FLOAT),
        ("isNaN", (FLOAT,), BOOL),
        ("isInf", (FLOAT,), BOOL),
        ("isNil", (ANY,), BOOL),
        ("default", (ANY, ANY), ANY),
    )
}
"""The functions that Argo Rollouts adds to the language, as variables of its environment."""


def _of(gives: GoType, *overloads: tuple[GoType, ...]) -> tuple[Signature, ...]:
    return tuple(Signature(takes, gives) for takes in overloads)


_TWO = (STRING, STRING)
_SORTABLE = (LIST, INTS, FLOATS, STRINGS)
_BITS = _of(INT, (INT, INT))

OVERLOADS: dict[str, tuple[Signature, ...]] = {
    "type": _of(STRING, (ANY,)),
    "string": _of(STRING, (ANY,)),
    "trim": _of(STRING, (STRING,), _TWO),
    "trimPrefix": _of(STRING, _TWO, (STRING,)),
    "trimSuffix": _of(STRING, _TWO, (STRING,)),
    "upper": _of(STRING, (STRING,)),
    "lower": _of(STRING, (STRING,)),
    "split": _of(STRINGS, _TWO, (STRING, STRING, INT)),
    "splitAfter": _of(STRINGS, _TWO, (STRING, STRING, INT)),
    "replace": _of(STRING, (STRING, STRING, STRING, INT), (STRING, STRING, STRING)),
    "repeat": _of(STRING, (STRING, INT)),
    "join": _of(STRING, (STRINGS, STRING), (LIST, STRING), (LIST,), (STRINGS,)),
    "indexOf": _of(INT, _TWO),
    "lastIndexOf": _of(INT, _TWO),
    "hasPrefix": _of(BOOL, _TWO),
    "hasSuffix": _of(BOOL, _TWO),
    "toJSON": _of(STRING, (ANY,)),
    "fromJSON": _of(ANY, (STRING,)),
    "toBase64": _of(STRING, (STRING,)),
    "fromBase64": _of(STRING, (STRING,)),
    "duration": _of(DURATION, (STRING,)),
    "timezone": _of(LOCATION, (STRING,)),
    "sort": _of(LIST, *((array, STRING) for array in _SORTABLE), *((array,) for array in _SORTABLE)),
    "bitnot": _of(INT, (INT,)),
    **dict.fromkeys(("bitand", "bitor", "bitxor", "bitnand", "bitshl", "bitshr", "bitushr"), _BITS),
}
"""The builtins with plain signatures; the others are `validated`."""


def match_overload(name: str, overloads: tuple[Signature, ...], given: list[GoType], at: int) -> Signature:
    """The first signature that takes ``given``; `Fault` with the last one's complaint when none does."""
    complaint = ""
    for signature in overloads:
        complaint = _complaint(name, signature.parameters, given)
        if not complaint:
            return signature
    raise Fault(complaint, at)


def _complaint(name: str, wanted: tuple[GoType, ...], given: list[GoType]) -> str:
    if len(given) != len(wanted):
        return f"{'too many' if len(given) > len(wanted) else 'not enough'} arguments to call {name}"
    for parameter, argument in zip(wanted, given, strict=True):
        if argument.is_integer and parameter.is_number:
            continue
        if argument.is_nil:
            if parameter.kind in ("ptr", "interface"):
                continue
            return f"cannot use nil as argument (type {parameter}) to call {name}"
        if not argument.is_unknown and not assignable(argument, parameter):
            return f"cannot use {argument} as argument (type {parameter}) to call {name}"
    return ""


def _count(given: list[GoType], least: int, most: int, at: int) -> None:
    if not least <= len(given) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        raise Fault(f"invalid number of arguments (expected {wanted}, got {len(given)})", at)


def _refuse(text: str, given: GoType, at: int) -> Fault:
    return Fault(f"{text} {'%!s(<nil>)' if given.is_nil else given}", at)


def _array_or_unknown(given: GoType) -> bool:
    return given.is_array or given.is_unknown


def validated(name: str, given: list[GoType], at: int, *, modern: bool) -> GoType:
    """What a builtin without a plain signature gives for these arguments; `Fault` when it takes them not."""
    match name:
        case "len" | "abs" | "ceil" | "floor" | "round" | "int" | "float":
            _count(given, 1, 1, at)
            return _one_argument(name, given[0], at)
        case "max" | "min" | "mean" | "median" | "sum":
            return _aggregate(name, given, at, modern=modern)
        case "now":
            _count(given, 0, 1 if modern else 0, at)
            if given and given[0] is not LOCATION:
                raise Fault("invalid number of arguments (expected 0, got 1)", at)
            return TIME
        case "date":
            return _date(given, at, modern=modern)
        case "first" | "last":
            _count(given, 1, 1, at)
            if not _array_or_unknown(given[0]):
                raise _refuse(f"cannot get {name} element from", given[0], at)
            # The library looks at the Go type here, and not at what is known of the elements.
            return ANY if given[0].is_unknown else given[0].element or ANY
        case "take":
            _count(given, 2, 2, at)
            if not _array_or_unknown(given[0]):
                raise _refuse("cannot take from", given[0], at)
            if given[1].kind not in ("int", "int64") and not given[1].is_unknown:
                raise _refuse("cannot take elements:", given[1], at)
            return _plain(given[0])
        case "keys" | "values" | "toPairs":
            _count(given, 1, 1, at)
            if not given[0].is_map and not given[0].is_unknown:
                raise _refuse(
                    f"cannot {'transform' if name == 'toPairs' else f'get {name} from'}", given[0], at
                )
            return LIST
        case "fromPairs" | "reverse" | "uniq" | "flatten":
            _count(given, 1, 1, at)
            if not _array_or_unknown(given[0]):
                raise _refuse(f"cannot {'transform' if name == 'fromPairs' else name}", given[0], at)
            return MAP if name == "fromPairs" else LIST
        case "concat":
            if not given:
                raise Fault("invalid number of arguments (expected at least 1, got 0)", at)
            for argument in given:
                if not _array_or_unknown(argument):
                    raise _refuse("cannot concat", argument, at)
            return LIST
        case "sort" | "sortBy":
            return _sort_1_15(name, given, at)
    raise Fault(f"unknown builtin {name}", at)


def _plain(given: GoType) -> GoType:
    return LIST if given.name == LIST.name else given


def _one_argument(name: str, given: GoType, at: int) -> GoType:
    match name:
        case "len":
            fits = given.is_array or given.is_map or given.is_string or given.is_unknown
            gives = INT
        case "int" | "float":
            fits = given.is_number or given.kind in ("string", "duration") or given.is_unknown
            gives = INT if name == "int" else FLOAT
        case _:
            fits = given.is_number or given.is_unknown or given.kind == "duration"
            gives = given if name == "abs" else FLOAT
    if not fits:
        raise Fault(f"invalid argument for {name} (type {'%!s(<nil>)' if given.is_nil else given})", at)
    return gives


def _aggregate(name: str, given: list[GoType], at: int, *, modern: bool) -> GoType:
    if not modern and name in ("sum", "mean", "median"):
        _count(given, 1, 1, at)
        if not _array_or_unknown(given[0]):
            raise _refuse(f"cannot {'avg' if name == 'mean' else name}", given[0], at)
        return ANY if name == "sum" else FLOAT
    if not given:
        raise Fault(f"not enough arguments to call {name}", at)
    for argument in given:
        if argument.is_unknown or (modern and argument.is_array):
            return ANY
        if not argument.is_number and argument.kind != "duration":
            raise _refuse(f"invalid argument for {name}: type", argument, at)
    return given[0]


def _date(given: list[GoType], at: int, *, modern: bool) -> GoType:
    rest = given[1:] if modern and given and given[0] is LOCATION else given
    if not given:
        raise Fault("invalid number of arguments (expected at least 1, got 0)", at)
    if len(rest) > 3:
        raise Fault(f"invalid number of arguments (expected at most 3, got {len(rest)})", at)
    if not modern:
        match_overload("date", (Signature((STRING,) * len(rest), TIME),), rest, at)
    return TIME


def _sort_1_15(name: str, given: list[GoType], at: int) -> GoType:
    least = 1 if name == "sort" else 2
    _count(given, least, least + 1, at)
    if not _array_or_unknown(given[0]):
        raise _refuse("cannot sort", given[0], at)
    for argument in given[1:]:
        if not argument.is_string and not argument.is_unknown:
            raise _refuse("invalid argument for sort: expected string, got", argument, at)
    return LIST
