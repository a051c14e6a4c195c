"""A query as a program for the kernel: sums of rates or increases, and arithmetic between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rolloutsim.promql import PromQLError
from rolloutsim.promql.parse import parse
from rolloutsim.promql.tree import (
    Aggregate,
    Binary,
    Call,
    Matching,
    Negate,
    Node,
    Number,
    Selector,
    value_type,
)
from rolloutsim.sim.compiled.refusal import NotCompiled

__all__ = [
    "ADD",
    "DIVIDE",
    "FIRST",
    "MULTIPLY",
    "NEGATE",
    "NUMBER",
    "SUBTRACT",
    "SUM",
    "Formula",
    "Sum",
    "formula",
]

NUMBER: Final = 0
SUM: Final = 1
ADD: Final = 2
SUBTRACT: Final = 3
MULTIPLY: Final = 4
DIVIDE: Final = 5
NEGATE: Final = 6
FIRST: Final = 7
"""The left operand if it is there, else the right one (``or``)."""

_ARITHMETIC = {"+": ADD, "-": SUBTRACT, "*": MULTIPLY, "/": DIVIDE}
_PLAIN = Matching()
DEPTH: Final = 16
"""Values that a program may have in flight."""


@dataclass(frozen=True, slots=True)
class Sum:
    """``sum(rate(selector))``, or ``sum(increase(selector))`` if not ``per_second``."""

    selector: Selector
    per_second: bool


@dataclass(frozen=True, slots=True)
class Formula:
    """A program for a stack: pairs of an operation and the place of its number or sum."""

    code: tuple[tuple[int, int], ...]
    numbers: tuple[float, ...]
    sums: tuple[Sum, ...]


@lru_cache(maxsize=256)
def formula(query: str) -> Formula:
    """The program of a query.

    Raises
    ------
    NotCompiled : the query is of another kind, or no query.
    """
    try:
        tree = parse(query)
    except PromQLError as error:
        raise NotCompiled("a query that does not parse") from error
    if value_type(tree) != "vector":
        raise NotCompiled("a query that gives no vector")
    code: list[tuple[int, int]] = []
    numbers: list[float] = []
    sums: list[Sum] = []
    depth = _write(tree, code, numbers, sums)
    if depth > DEPTH:
        raise NotCompiled("a deep query")
    return Formula(tuple(code), tuple(numbers), tuple(sums))


def _write(node: Node, code: list[tuple[int, int]], numbers: list[float], sums: list[Sum]) -> int:
    """Append the program of an expression; return how many values it has in flight at most."""
    match node:
        case Number(value=value) | Call(function="vector", arguments=(Number(value=value),)):
            code.append((NUMBER, len(numbers)))
            numbers.append(value)
            return 1
        case Negate(inner=inner):
            depth = _write(inner, code, numbers, sums)
            code.append((NEGATE, 0))
            return depth
        case Aggregate(operator="sum", inner=inner, parameter=None, grouping=(), without=False):
            code.append((SUM, len(sums)))
            sums.append(_sum(inner))
            return 1
        case Binary(operator=operator, left=left, right=right, matching=matching) if matching == _PLAIN:
            if operator != "or" and operator not in _ARITHMETIC:
                raise NotCompiled(f"the operator {operator}")
            first = _write(left, code, numbers, sums)
            second = _write(right, code, numbers, sums)
            code.append((FIRST if operator == "or" else _ARITHMETIC[operator], 0))
            return max(first, second + 1)
    raise NotCompiled(f"a query with {type(node).__name__}")


def _sum(node: Node) -> Sum:
    match node:
        case Call(function="rate" | "increase" as name, arguments=(Selector(at=None) as selector,)):
            return Sum(selector, name == "rate")
    raise NotCompiled("a sum of something else than rates or increases")
