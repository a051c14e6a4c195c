"""A success or failure condition: parsed once, checked and compiled once per type of result."""

from __future__ import annotations

from typing import Any

from rolloutsim.conditions.compile import compile_tree
from rolloutsim.conditions.errors import ConditionError, Dialect, ErrorKind, Fault
from rolloutsim.conditions.parse import parse
from rolloutsim.conditions.runtime import Frame, Maps, Run, Series, go_type_name
from rolloutsim.conditions.tree import Node
from rolloutsim.conditions.types import (
    BOOL,
    FLOAT,
    FLOATS,
    INT,
    LIST,
    MAP,
    MAPS,
    NIL,
    STRING,
    GoType,
    struct_type,
)
from rolloutsim.conditions.values import (
    CloudWatchResult,
    FloatPointerResult,
    IntResult,
    JsonResult,
    ListResult,
    MapListResult,
    NilResult,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
)

__all__ = ["Condition", "compile_condition"]

_SERIES = GoType(
    "slice",
    "[]types.MetricDataResult",
    element=struct_type(
        "types.MetricDataResult",
        (("Id", STRING), ("Label", STRING), ("StatusCode", STRING), ("Values", FLOATS)),
    ),
)
_JSON: dict[type, GoType] = {dict: MAP, list: LIST, str: STRING, float: FLOAT, bool: BOOL, type(None): NIL}


class Condition:
    """A parsed condition. Two conditions are equal when their text and dialect are.

    ``tree`` is the syntax tree, for lints. Compile one with `compile_condition`.
    """

    __slots__ = ("_programs", "dialect", "text", "tree")

    text: str
    dialect: Dialect
    tree: Node
    _programs: dict[GoType, Run | ConditionError]

    def __init__(self, text: str, dialect: Dialect, tree: Node) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "dialect", dialect)
        object.__setattr__(self, "tree", tree)
        object.__setattr__(self, "_programs", {})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Condition does not change: {name}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return (self.text, self.dialect) == (other.text, other.dialect)

    def __hash__(self) -> int:
        return hash((self.text, self.dialect))

    def __repr__(self) -> str:
        return f"Condition({self.text!r}, {self.dialect!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_condition, (self.text, self.dialect)

    def evaluate(self, result: Result, *, now_ms: int = 0) -> bool:
        """Whether the condition holds for ``result``.

        ``now_ms`` is the time that ``now()`` gives, in milliseconds since 1970. `ConditionError` of
        kind ``type`` when the expression does not fit the type of this result (Go checks the types of
        the actual values, also in branches that would not run), of kind ``evaluation`` when it fails
        while it runs or gives anything but true or false.
        """
        given, value = _go_value(result)
        program = self._programs.get(given)
        if program is None:
            program = self._programs[given] = self._compiled(given)
        if isinstance(program, ConditionError):
            raise program.with_traceback(None)
        try:
            answer = program(Frame(value, given is NIL, now_ms))
        except Fault as fault:
            raise self._error(fault.message, fault.at, ErrorKind.EVALUATION) from None
        except (RecursionError, MemoryError):
            raise self._error("the evaluation goes too deep", -1, ErrorKind.EVALUATION) from None
        if answer is True or answer is False:
            return bool(answer)
        raise self._error(f"expected bool, but got {go_type_name(answer)}", -1, ErrorKind.EVALUATION)

    def _compiled(self, given: GoType) -> Run | ConditionError:
        try:
            return compile_tree(self.tree, given, self.dialect).run
        except Fault as fault:
            return self._error(fault.message, fault.at, ErrorKind.TYPE)
        except RecursionError:
            raise self._error("the expression is nested too deeply", -1, ErrorKind.TYPE) from None

    def _error(self, message: str, at: int, kind: ErrorKind) -> ConditionError:
        return ConditionError(message, text=self.text, at=at, kind=kind)


def compile_condition(text: str, dialect: Dialect = Dialect.MASTER) -> Condition:
    """Parse a condition; `ConditionError` of kind ``syntax`` shows what does not fit and where."""
    try:
        return Condition(text, Dialect(dialect), parse(text, Dialect(dialect)))
    except Fault as fault:
        raise ConditionError(fault.message, text=text, at=fault.at, kind=ErrorKind.SYNTAX) from None
    except RecursionError:
        message = "the expression is nested too deeply"
        raise ConditionError(message, text=text, at=-1, kind=ErrorKind.SYNTAX) from None


def _go_value(result: Result) -> tuple[GoType, Any]:
    """The Go type and the value that a condition sees; Argo follows pointers, and a nil one is nil."""
    match result:
        case VectorResult(values):
            return FLOATS, values
        case ScalarResult(value) | FloatPointerResult(value):
            return FLOAT, value
        case JsonResult(data):
            return _JSON[type(data)], data
        case NilResult():
            return NIL, None
        case StringResult(text):
            return STRING, text
        case IntResult(number):
            return INT, number
        case ListResult(items):
            return LIST, list(items)
        case MapListResult(rows):
            return MAPS, Maps(dict(row) for row in rows)
        case CloudWatchResult(series):
            return _SERIES, Series(series)
