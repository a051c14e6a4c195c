"""Queries: compiled once, evaluated over any store at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from rolloutsim.promql.context import Context
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import Labels, LabelSet
from rolloutsim.promql.parse import parse
from rolloutsim.promql.plan import plan_number, plan_range, plan_vector
from rolloutsim.promql.ranges import MAX_EVALUATIONS, MAX_STEPS, evaluations
from rolloutsim.promql.store import Record, SeriesStore
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

__all__ = ["LOOKBACK_MS", "MAX_SAMPLES", "Query", "SeriesRead", "compile_query", "evaluate"]

LOOKBACK_MS = 300_000
"""How old the newest sample of a series may be (the server's ``query.lookback-delta``)."""
MAX_SAMPLES = 20_000_000
"""How many samples `Query.evaluate_range` reads at most: 20 s of work at worst. A server has a time-out."""


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

    __slots__ = ("_evaluations", "_run", "_selectors", "result", "selectors", "text")

    def __init__(self, text: str, tree: Node) -> None:
        self.text = text
        self.result: ValueType = value_type(tree)
        self._selectors = tuple(_selectors(tree))
        self._evaluations = evaluations(tree)
        self.selectors = tuple(
            SeriesRead(node.metric, node.matchers, node.range_ms, node.offset_ms) for node in self._selectors
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
            return self._run(Context(store, at_ms, 1 if left_closed else 0, lookback_ms, at_ms, at_ms))
        except PromQLError as error:
            raise PromQLError(error.kind, error.message, text=self.text) from None

    def evaluate_range(
        self,
        store: SeriesStore,
        first_ms: int,
        last_ms: int,
        step_ms: int,
        *,
        left_closed: bool = False,
        lookback_ms: int = LOOKBACK_MS,
    ) -> Matrix:
        """The answers at ``first_ms`` and every ``step_ms`` until ``last_ms``, as a server's range query.

        Series come in order of their labels; a scalar is one series without labels. Raises PromQLError:
        ``parse`` where the query gives a string or a range, ``unsupported`` where the answer would have more
        than 11,000 steps or take too much reading (`refuse_excess`), ``execution`` as `evaluate` does.
        """
        if self.result not in ("scalar", "vector"):
            what = "range vector" if self.result == "matrix" else self.result
            why = f"a {what} cannot be asked for over time; only a scalar or an instant vector can"
            raise PromQLError("parse", why, text=self.text)
        points = (last_ms - first_ms) // step_ms + 1
        if points > MAX_STEPS + 1:
            why = f"more than {MAX_STEPS} steps; take a longer step or a shorter range"
            raise PromQLError("unsupported", why, text=self.text)
        self.refuse_excess(store, points)
        found: dict[LabelSet, tuple[list[int], list[float]]] = {}
        context = Context(store, first_ms, 1 if left_closed else 0, lookback_ms, first_ms, last_ms)
        try:
            for at_ms in range(first_ms, last_ms + 1, step_ms):
                context.at_ms = at_ms
                for labels, value in _pairs(self._run(context)):
                    times, values = found.setdefault(labels, ([], []))
                    times.append(at_ms)
                    values.append(value)
        except PromQLError as error:
            raise PromQLError(error.kind, error.message, text=self.text) from None
        series = (
            Series(Labels(labels), tuple(times), tuple(values))
            for labels, (times, values) in sorted(found.items())
        )
        return Matrix(tuple(series))

    def refuse_excess(self, store: SeriesStore, points: int = 1) -> None:
        """Raise PromQLError (unsupported) if ``points`` evaluations could read more than `MAX_SAMPLES`.

        The bound is a cautious one: samples are taken to be spread evenly, and every selector to stand in the
        innermost of nested subqueries.
        """
        times = points * self._evaluations
        if times > MAX_EVALUATIONS:
            why = f"more than {MAX_EVALUATIONS} evaluations; take longer steps"
            raise PromQLError("unsupported", why, text=self.text)
        if times * sum(_samples(selector, store) for selector in self._selectors) > MAX_SAMPLES:
            why = (
                f"more than {MAX_SAMPLES} samples to read; take a longer step, shorter ranges or fewer series"
            )
            raise PromQLError("unsupported", why, text=self.text)


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
            found = zip(shape.views, series, strict=True)
            return Matrix(tuple([Series(labels, tuple(t), tuple(v)) for labels, (t, v) in found if t]))

        return matrix
    vector = plan_vector(tree)

    def elements(context: Context) -> Vector:
        shape, values = vector(context)
        present = [
            (labels, value) for labels, value in zip(shape.views, values, strict=True) if value is not None
        ]
        return Vector(tuple(present))

    return elements


def _pairs(result: Result) -> Iterator[tuple[LabelSet, float]]:
    if isinstance(result, Scalar):
        yield (), result.value
    elif isinstance(result, Vector):
        for labels, value in result.elements:
            yield labels.pairs, value


def _samples(selector: Selector, store: SeriesStore) -> float:
    """About how many samples one evaluation of a selector reads."""
    fits = selector.tests()
    total = 0.0
    for record in store.records:
        if record.segments and fits(record.labels):
            total += 1.0
            if selector.range_ms:
                total += _samples_within(record, selector.range_ms)
    return total


def _samples_within(record: Record, range_ms: int) -> float:
    """About how many samples of a series a range holds."""
    blocks = [block for block, _ in record.segments if block.rows]
    if not blocks:
        return 0.0
    span = blocks[-1].times[-1] - blocks[0].times[0]
    return sum(block.rows for block in blocks) * min(1.0, range_ms / max(span, 1))


def _selectors(node: Node) -> Iterator[Selector]:
    if isinstance(node, Selector):
        yield node
    for child in children(node):
        yield from _selectors(child)
