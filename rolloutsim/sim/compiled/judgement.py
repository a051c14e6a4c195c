"""A metric's conditions as a table: which verdict a value gets, found by asking the conditions themselves.

A condition that only compares ``result[0]`` with numbers, asks whether it is NaN or infinite, and how long
the result is, is the same for all values between two neighbours of these numbers. So it is judged once for
each number, once between every two, and once for NaN, the infinities and the empty result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from rolloutsim.conditions import (
    Condition,
    ConditionError,
    Dialect,
    MeasurementPhase,
    VectorResult,
    compile_condition,
    judge,
)
from rolloutsim.conditions.tree import (
    Binary,
    Bool,
    Builtin,
    Call,
    Float,
    Identifier,
    Integer,
    Member,
    Node,
    Unary,
)
from rolloutsim.sim.compiled.refusal import NotCompiled

__all__ = ["PHASES", "Judgement", "judgement"]

PHASES = (
    MeasurementPhase.SUCCESSFUL,
    MeasurementPhase.FAILED,
    MeasurementPhase.INCONCLUSIVE,
    MeasurementPhase.ERROR,
)
"""The number of a phase is its place here."""

_FEW_BREAKS = 64
_EXACT = 2**53
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the conditions of a metric make of every possible value.

    ``breaks`` : the n numbers that values are compared with, rising. ``letters`` : 4 + 2 n + 1 verdicts: of
    NaN, no value, minus and plus infinity, then of what is below the first number, the number itself, what is
    between it and the next, and so on. A verdict is the place of the first result in ``results`` that gets
    it. ``phases`` : the phase (`PHASES`) of each of ``results``. ``good`` : a verdict that is Successful.
    """

    breaks: tuple[float, ...]
    letters: tuple[int, ...]
    phases: tuple[int, ...]
    results: tuple[VectorResult, ...]
    good: int


@lru_cache(maxsize=256)
def judgement(success: str, failure: str, dialect: Dialect) -> Judgement:
    """The table of two conditions, empty where they are not set.

    Raises
    ------
    NotCompiled : a condition is of another kind, or calls nothing successful.
    """
    conditions = [_condition(text, dialect) for text in (success, failure)]
    found: set[float] = set()
    for condition in conditions:
        if isinstance(condition, Condition):
            found.update(_numbers(condition.tree))
    breaks = tuple(sorted(found))
    if len(breaks) > _FEW_BREAKS:
        raise NotCompiled("a condition with many numbers")
    results = tuple(VectorResult(values) for values in ((math.nan,), (), (-math.inf,), (math.inf,)))
    results += tuple(VectorResult((value,)) for value in _samples(breaks))
    said = [judge(result, conditions[0], conditions[1]) for result in results]
    letters = tuple(said.index(verdict) for verdict in said)
    phases = tuple(PHASES.index(phase) for phase, _ in said)
    if 0 not in phases:
        raise NotCompiled("a condition that nothing satisfies")
    return Judgement(breaks, letters, phases, results, letters[phases.index(0)])


def _condition(text: str, dialect: Dialect) -> Condition | ConditionError | None:
    try:
        return compile_condition(text, dialect) if text else None
    except ConditionError as error:
        return error


def _samples(breaks: tuple[float, ...]) -> Iterator[float]:
    """A value below the first number, the number, a value between it and the next, and so on."""
    if not breaks:
        yield 0.0
        return
    yield breaks[0] - max(1.0, abs(breaks[0]))
    for number, following in pairwise(breaks):
        yield number
        # Neighbouring floats have nothing between them: then it does not matter what stands here.
        yield number + (following - number) / 2
    yield breaks[-1]
    yield breaks[-1] + max(1.0, abs(breaks[-1]))


def _numbers(node: Node) -> Iterator[float]:
    """The numbers that a condition compares the value with; refuses every other kind of condition."""
    match node:
        case Binary(operator="&&" | "||" | "and" | "or"):
            yield from _numbers(node.left)
            yield from _numbers(node.right)
        case Unary(operator="!" | "not"):
            yield from _numbers(node.operand)
        case Binary(operator=operator) if operator in _COMPARISONS:
            sides = [_side(node.left), _side(node.right)]
            if sides.count("length") == 1 and "value" in sides:
                raise NotCompiled("a condition that compares a value with a length")
            if "value" in sides:
                yield from (side for side in sides if isinstance(side, float))
        case Call(callee=Identifier(name="isNaN" | "isInf"), arguments=(argument,)) if _is_value(argument):
            pass
        case Bool():
            pass
        case _:
            raise NotCompiled(f"a condition with {type(node).__name__}")


def _side(node: Node) -> float | str:
    """What stands on one side of a comparison: a number, the value, or the length of the result."""
    if _is_value(node):
        return "value"
    match node:
        case Builtin(name="len", arguments=(Identifier(name="result"),)):
            return "length"
        case Float(value=value) if math.isfinite(value):
            return value
        case Integer(value=value) if abs(value) <= _EXACT:
            return float(value)
        case Unary(operator="-" | "+" as sign, operand=Float() | Integer() as operand):
            number = _side(operand)
            assert isinstance(number, float)
            return -number if sign == "-" else number
    raise NotCompiled(f"a comparison with {type(node).__name__}")


def _is_value(node: Node) -> bool:
    match node:
        case Member(base=Identifier(name="result"), key=Integer(value=0), optional=False, method=False):
            return True
    return False
