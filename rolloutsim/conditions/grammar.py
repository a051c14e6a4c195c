"""The words of the expression language: operators with their precedence, and functions per version.

Source: expr-lang/expr v1.17.8 and antonmedv/expr v1.15.5, builtin/builtin.go and parser/parser.go.
"""

from __future__ import annotations

from rolloutsim.conditions.gonumber import parse_float
from rolloutsim.conditions.tree import Float, Integer, Node

__all__ = [
    "BINARY",
    "BUILTINS_1_15",
    "BUILTINS_1_17",
    "COMPARISONS",
    "NEGATABLE",
    "PREDICATES_1_15",
    "PREDICATES_1_17",
    "RIGHT_ASSOCIATIVE",
    "UNARY",
    "is_property_name",
    "number",
]

BINARY = {
    "|": 0,
    "or": 10,
    "||": 10,
    "and": 15,
    "&&": 15,
    "==": 20,
    "!=": 20,
    "<": 20,
    ">": 20,
    "<=": 20,
    ">=": 20,
    "in": 20,
    "matches": 20,
    "contains": 20,
    "startsWith": 20,
    "endsWith": 20,
    "..": 25,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "**": 100,
    "^": 100,
    "??": 500,
}
RIGHT_ASSOCIATIVE = {"**", "^"}
UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
COMPARISONS = {"<", ">", "<=", ">="}
NEGATABLE = {"in", "matches", "contains", "startsWith", "endsWith"}

_EACH = ("expression", "predicate")

PREDICATES_1_15: dict[str, tuple[str, ...]] = {
    "all": _EACH,
    "none": _EACH,
    "any": _EACH,
    "one": _EACH,
    "filter": _EACH,
    "map": _EACH,
    "count": _EACH,
    "find": _EACH,
    "findIndex": _EACH,
    "findLast": _EACH,
    "findLastIndex": _EACH,
    "groupBy": _EACH,
    "reduce": ("expression", "predicate", "expression?"),
}
"""Functions that apply a predicate to each element, and what they take; ``?`` may be left out."""

PREDICATES_1_17: dict[str, tuple[str, ...]] = PREDICATES_1_15 | {
    "count": ("expression", "predicate?"),
    "sum": ("expression", "predicate?"),
    "sortBy": ("expression", "predicate", "expression?"),
}

BUILTINS_1_15 = (
    frozenset(PREDICATES_1_15)
    | frozenset(["len", "type", "abs", "ceil", "floor", "round", "int", "float", "string"])
    | frozenset(["trim", "trimPrefix", "trimSuffix", "upper", "lower", "split", "splitAfter", "replace"])
    | frozenset(["repeat", "join", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix"])
    | frozenset(["max", "min", "sum", "mean", "median", "sort", "sortBy"])
    | frozenset(["toJSON", "fromJSON", "toBase64", "fromBase64", "now", "duration", "date"])
    | frozenset(["first", "last", "get", "take", "keys", "values", "toPairs", "fromPairs"])
)

BUILTINS_1_17 = (
    BUILTINS_1_15
    | frozenset(PREDICATES_1_17)
    | frozenset(["reverse", "uniq", "concat", "flatten", "timezone"])
    | frozenset(["bitand", "bitor", "bitxor", "bitnand", "bitnot", "bitshl", "bitshr", "bitushr"])
)


def is_property_name(text: str) -> bool:
    """Whether a word operator may stand behind a dot: ``result.not``."""
    return text.isidentifier()


def number(token: str, at: int, *, modern: bool) -> Node:
    """The node of a number literal; ValueError when it is malformed or does not fit."""
    digits = token.replace("_", "")
    lower = digits.lower()
    if lower.startswith("0x") if modern else "x" in digits:
        return Integer(at, _int64(digits, 16))
    if any(char in lower for char in ".e"):
        return Float(at, parse_float(digits))
    if modern and lower.startswith("0b"):
        return Integer(at, _int64(digits, 2))
    if modern and lower.startswith("0o"):
        return Integer(at, _int64(digits, 8))
    return Integer(at, _int64(digits, 10))


def _int64(digits: str, base: int) -> int:
    if base == 10 and not (digits.isascii() and digits.isdigit()):
        raise ValueError(digits)
    if len(digits) > 80:
        raise ValueError(digits)
    value = int(digits, base)
    if value >= 2**63:
        raise ValueError(digits)
    return value
