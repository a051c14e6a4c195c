"""What the library works out before it runs an expression.

It shows: ``result[5] > 0 && false`` is false without an error, and ``false && 1 % 0 == 1`` is an
error. Source: expr-lang/expr v1.17.8 and antonmedv/expr v1.15.5, optimizer/fold.go.
"""

from __future__ import annotations

from typing import Any

from rolloutsim.conditions.code import Code, literal
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import wrap
from rolloutsim.conditions.operators import divide, exponent, modulo, multiply, negate, subtract
from rolloutsim.conditions.types import BOOL, GoType

__all__ = ["folded_unary", "simplified_binary"]


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
