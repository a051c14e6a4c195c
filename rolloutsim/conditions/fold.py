"""What the library works out before it runs an expression.

It shows: ``result[5] > 0 && false`` is false without an error, and ``false && 1 % 0 == 1`` is an
error. Source: expr-lang/expr v1.17.8 and antonmedv/expr v1.15.5, optimizer/fold.go, filter_map.go,
filter_len.go, filter_first.go and filter_last.go; of v1.17.8 alone optimizer/predicate_combination.go,
count_any.go and count_threshold.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rolloutsim.conditions import tree
from rolloutsim.conditions.code import Code, literal
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import wrap
from rolloutsim.conditions.operators import divide, exponent, modulo, multiply, negate, subtract
from rolloutsim.conditions.types import BOOL, GoType

__all__ = [
    "Filtered",
    "combined_loops",
    "counted_filter",
    "decisive_count",
    "filtered",
    "folded_unary",
    "simplified_binary",
]

_JOINED_BY = {
    ("all", "and"): "and",
    ("all", "&&"): "&&",
    ("any", "or"): "or",
    ("any", "||"): "||",
    ("none", "and"): "or",
    ("none", "&&"): "||",
}
"""How two loops of one kind, joined by an operator, become one: the operator between their predicates."""


def folded_unary(operator: str, value: Any) -> Any:
    """The value of ``operator value``."""
    if operator == "-":
        return negate(value)
    return value if operator == "+" else not value


def simplified_binary(operator: str, left: Code, right: Code, given: GoType, at: int) -> Code | None:
    """What stands for ``left operator right``, or None when it has to run."""
    if operator in ("and", "&&", "or", "||"):
        return _simplified_logic(operator in ("or", "||"), left, right)
    if not left.constant or not right.constant:
        return None
    one, other = left.constant[0], right.constant[0]
    if operator == "==":
        same = type(one) is type(other) and type(one) in (int, str, bool)
        return literal(BOOL, one == other) if same else None
    if isinstance(one, str) and isinstance(other, str) and operator == "+":
        return literal(given, one + other)
    if type(one) not in (int, float) or type(other) not in (int, float):
        return None
    match operator:
        case "+":
            return literal(given, wrap(one + other) if type(one) is type(other) is int else one + other)
        case "-":
            return literal(given, subtract(one, other))
        case "*":
            return literal(given, multiply(one, other))
        case "/":
            return literal(given, divide(one, other))
        case "**" | "^":
            return literal(given, exponent(one, other))
        case "%":
            if other == 0:
                raise Fault("integer divide by zero", at)
            return literal(given, modulo(one, other))
    return None


def _simplified_logic(decides: bool, left: Code, right: Code) -> Code | None:
    """A literal side either leaves the other one, or decides, wherever it stands."""
    for side, remaining in ((left, right), (right, left)):
        if side.constant and side.constant[0] is (not decides):
            return Code(BOOL, remaining.run, remaining.sure, remaining.constant)
    for side in (left, right):
        if side.constant and side.constant[0] is decides:
            return literal(BOOL, decides)
    return None


def combined_loops(node: tree.Node) -> tree.Builtin | None:
    """The one loop that ``all(x, p) && all(x, q)`` becomes; None for anything else.

    Each element then meets both predicates before the next one does, which decides what error is met.
    """
    if isinstance(node, tree.Builtin):
        return node
    if not isinstance(node, tree.Binary):
        return None
    left, right = combined_loops(node.left), combined_loops(node.right)
    if left is None or right is None or left.name != right.name:
        return None
    joined_by = _JOINED_BY.get((left.name, node.operator))
    if joined_by is None or left.arguments[0] != right.arguments[0]:
        return None
    one, other = left.arguments[1], right.arguments[1]
    assert isinstance(one, tree.Predicate)
    assert isinstance(other, tree.Predicate)
    both = tree.Predicate(one.at, tree.Binary(node.at, joined_by, one.body, other.body))
    return tree.Builtin(left.at, left.name, (left.arguments[0], both))


@dataclass(frozen=True, slots=True)
class Filtered:
    """``filter(x, p)`` with each None, or ``map(filter(x, p), each)``, which is one loop over x."""

    collection: tree.Node
    predicate: tree.Node
    each: tree.Node | None = None


def filtered(node: tree.Node, *, modern: bool) -> Filtered | None:
    """``node`` as a filter, and what is mapped over what it keeps; None for anything else.

    In the one loop #index counts the elements of x: v1.17.8 keeps a map that reads it apart.
    """
    if not isinstance(node, tree.Builtin) or len(node.arguments) != 2:
        return None
    collection, predicate = node.arguments
    if node.name == "filter":
        return Filtered(collection, predicate)
    if node.name != "map" or not isinstance(collection, tree.Builtin) or collection.name != "filter":
        return None
    if modern and _reads_index(predicate):
        return None
    inner, kept = collection.arguments
    return Filtered(inner, kept, predicate)


def _reads_index(node: tree.Node) -> bool:
    if isinstance(node, tree.Pointer):
        return node.name == "index"
    return any(_reads_index(child) for child in tree.children(node))


def counted_filter(node: tree.Node, *, modern: bool) -> tree.Builtin | None:
    """``count(x, p)``, also for ``len(filter(x, p))``; None for anything else."""
    if not isinstance(node, tree.Builtin):
        return None
    if node.name == "count":
        return node if len(node.arguments) == 2 else None
    if node.name != "len" or len(node.arguments) != 1:
        return None
    inner = filtered(node.arguments[0], modern=modern)
    return tree.Builtin(node.at, "count", (inner.collection, inner.predicate)) if inner is not None else None


def decisive_count(operator: str, right: tree.Node) -> int | None:
    """The count at which ``count(x, p) > 2`` is decided; None when all are counted."""
    if not isinstance(right, tree.Integer):
        return None
    match operator:
        case ">":
            enough = right.value + 1
        case ">=":
            enough = right.value
        # One is the library's rewriting to any(), which it has for > 0 and >= 1 alone.
        case "<" if right.value > 1:
            enough = right.value
        case "<=" if right.value > 0:
            enough = right.value + 1
        case _:
            return None
    return enough if enough > 0 else None
