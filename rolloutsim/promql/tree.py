"""A query as a tree: what the planner reads, free of the parser's own types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import re2

from rolloutsim.promql.labels import METRIC_NAME, LabelSet, value_of

__all__ = [
    "Aggregate",
    "At",
    "Binary",
    "Call",
    "MatchOperator",
    "Matcher",
    "Matching",
    "Negate",
    "Node",
    "Number",
    "Selector",
    "Subquery",
    "Text",
    "ValueType",
    "children",
    "compiled",
    "value_type",
]

ValueType = Literal["scalar", "string", "vector", "matrix"]
MatchOperator = Literal["=", "!=", "=~", "!~"]
At = int | Literal["start", "end"] | None
"""What ``@`` says: a time in ms, the first or last time of the whole query, or nothing."""

_QUIET = re2.Options()
_QUIET.log_errors = False


def compiled(pattern: str) -> re2._Regexp:
    """An RE2 pattern as Prometheus compiles it: ``.`` fits a newline too. Raises re2.error."""
    return re2.compile(f"(?s:{pattern})", _QUIET)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a missing label counts as empty, patterns fit the whole value."""

    name: str
    operator: MatchOperator
    value: str

    def test(self) -> Callable[[str], bool]:
        """The condition as a function of the label's value."""
        wanted = self.value
        if self.operator == "=":
            return lambda value: value == wanted
        if self.operator == "!=":
            return lambda value: value != wanted
        fits = compiled(wanted).fullmatch
        if self.operator == "=~":
            return lambda value: fits(value) is not None
        return lambda value: fits(value) is None


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant selector, or with a range (ms) a range selector; the metric name is among the matchers."""

    matchers: tuple[Matcher, ...]
    range_ms: int | None
    offset_ms: int
    at: At

    @property
    def metric(self) -> str | None:
        """The metric's name, where an equality asks for one."""
        names = [m.value for m in self.matchers if m.name == METRIC_NAME and m.operator == "="]
        return names[0] if names else None

    def tests(self) -> Callable[[LabelSet], bool]:
        """All matchers as one function of a label set."""
        parts = [(matcher.name, matcher.test()) for matcher in self.matchers]
        return lambda labels: all(test(value_of(labels, name)) for name, test in parts)


@dataclass(frozen=True, slots=True)
class Subquery:
    """An instant expression at every multiple of the step (ms; None: the default) in a range (ms)."""

    inner: Node
    range_ms: int
    step_ms: int | None
    offset_ms: int
    at: At


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    result: ValueType


@dataclass(frozen=True, slots=True)
class Aggregate:
    operator: str
    inner: Node
    parameter: Node | None
    grouping: tuple[str, ...]
    without: bool


@dataclass(frozen=True, slots=True)
class Negate:
    inner: Node


@dataclass(frozen=True, slots=True)
class Matching:
    """How elements of two vectors find each other.

    ``on`` compares only ``labels``, otherwise all labels but those and the metric name. ``many`` is the
    side that ``group_left`` or ``group_right`` makes the one with many elements; ``include`` are the labels
    it copies.
    """

    on: bool = False
    labels: tuple[str, ...] = ()
    many: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node
    as_bool: bool
    matching: Matching


Node = Number | Text | Selector | Subquery | Call | Aggregate | Negate | Binary


def children(node: Node) -> tuple[Node, ...]:
    """The expressions that an expression is made of."""
    match node:
        case Subquery() | Negate():
            return (node.inner,)
        case Aggregate():
            return (node.inner,) if node.parameter is None else (node.inner, node.parameter)
        case Call():
            return node.arguments
        case Binary():
            return node.left, node.right
    return ()


def value_type(node: Node) -> ValueType:
    """What an expression evaluates to."""
    match node:
        case Number():
            return "scalar"
        case Text():
            return "string"
        case Selector(range_ms=None) | Aggregate():
            return "vector"
        case Selector() | Subquery():
            return "matrix"
        case Call():
            return node.result
        case Negate():
            return value_type(node.inner)
        case Binary():
            scalar = value_type(node.left) == "scalar" and value_type(node.right) == "scalar"
            return "scalar" if scalar else "vector"
