"""Queries: compiled once, evaluated over any store at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from rolloutsim.promql.context import Context
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import Labels
from rolloutsim.promql.parse import parse
from rolloutsim.promql.plan import plan_number, plan_range, plan_vector
from rolloutsim.promql.store import SeriesStore
from rolloutsim.promql.tree import (
    Matcher,
    Node,
    Selector,
    Text,
    ValueType,
    children,
    value_type,
)
from rolloutsim.promql.values import Matrix, Result, Scalar, Series, String, Vector

__all__ = ["LOOKBACK_MS", "Query", "SeriesRead", "compile_query", "evaluate"]

LOOKBACK_MS = 300_000
"""How old the newest sample of a series may be (the server's ``query.lookback-delta``)."""


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """What one selector of a query reads.

    ``metric`` is the name where an equality asks for one; ``matchers`` are all conditions, the name's among
    them; ``range_ms`` is the window's length, None for an instant selector; ``offset_ms`` is how far back
    it looks.
    """

    metric: str | None
    matchers: tuple[Matcher, ...]
    range_ms: int | None
    offset_ms: int


class Query:
    """A compiled query; see `compile_query`.

    ``text`` is the query as given, ``result`` the type of what it evaluates to, ``selectors`` what it reads.
    """

    __slots__ = ("_run", "result", "selectors", "text")

    def __init__(self, text: str, tree: Node) -> None:
        self.text = text
        self.result: ValueType = value_type(tree)
        self.selectors = tuple(
            SeriesRead(node.metric, node.matchers, node.range_ms, node.offset_ms) for node in _selectors(tree)
        )
        self._run = _runner(tree)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def evaluate(
        self, store: SeriesStore, at_ms: int, *, left_closed: bool = False, lookback_ms: int = LOOKBACK_MS
    ) -> Result:
        """The answer at a time (ms since the epoch), as a server's instant query gives it.

        left_closed : windows hold samples at their very start too, as in Prometheus 2; from 3 on they do not.
        lookback_ms : how old the newest sample of a series may be.
        Raises PromQLError (execution) where the series at hand make the query fail.
        """
        try:
            return self._run(Context(store, at_ms, 1 if left_closed else 0, lookback_ms, at_ms))
        except PromQLError as error:
            raise PromQLError(error.kind, error.message, text=self.text) from None


@lru_cache(maxsize=1024)
def compile_query(text: str) -> Query:
    """Parse, check and plan a query.

    Raises PromQLError: ``parse`` for what a Prometheus 3.5 server in its default configuration refuses
    before it evaluates, ``unsupported`` for what it would run and this evaluator does not.
    """
    try:
        return Query(text, parse(text))
    except PromQLError as error:
        if error.text:
            raise
        raise PromQLError(error.kind, error.message, text=text) from None


def evaluate(
    text: str,
    store: SeriesStore,
    at_ms: int,
    *,
    left_closed: bool = False,
    lookback_ms: int = LOOKBACK_MS,
) -> Result:
    """`compile_query` and `Query.evaluate` in one."""
    return compile_query(text).evaluate(store, at_ms, left_closed=left_closed, lookback_ms=lookback_ms)


def _runner(tree: Node) -> Callable[[Context], Result]:
    if isinstance(tree, Text):
        text = String(tree.value)
        return lambda context: text
    kind = value_type(tree)
    if kind == "scalar":
        number = plan_number(tree)
        return lambda context: Scalar(number(context))
    if kind == "matrix":
        source = plan_range(tree)

        def matrix(context: Context) -> Matrix:
            shape, series = source(context)
            found = zip(shape.labels, series, strict=True)
            return Matrix(tuple(Series(Labels(ls), tuple(t), tuple(v)) for ls, (t, v) in found if t))

        return matrix
    vector = plan_vector(tree)

    def elements(context: Context) -> Vector:
        shape, values = vector(context)
        present = [
            (labels, value) for labels, value in zip(shape.views, values, strict=True) if value is not None
        ]
        return Vector(tuple(present))

    return elements


def _selectors(node: Node) -> Iterator[Selector]:
    if isinstance(node, Selector):
        yield node
    for child in children(node):
        yield from _selectors(child)
