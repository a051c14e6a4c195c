"""What an evaluation knows besides the query: the series and the time."""

from __future__ import annotations

from collections.abc import Callable

from rolloutsim.promql.shape import Frame
from rolloutsim.promql.store import SeriesStore
from rolloutsim.promql.tree import At

__all__ = ["Context", "NumberPlan", "VectorPlan"]


class Context:
    """One evaluation time of one query over one store; times in ms.

    ``closed`` is 1 where windows hold samples at their very start too (Prometheus 2) and 0 where they do not
    (Prometheus 3): times are whole milliseconds, so [a, b] is (a − 1, b]. ``first_ms`` and ``last_ms`` are
    the first and last time that the whole query is evaluated at.
    """

    __slots__ = ("at_ms", "closed", "first_ms", "last_ms", "lookback_ms", "store")

    def __init__(
        self, store: SeriesStore, at_ms: int, closed: int, lookback_ms: int, first_ms: int, last_ms: int
    ) -> None:
        self.store = store
        self.at_ms = at_ms
        self.closed = closed
        self.lookback_ms = lookback_ms
        self.first_ms = first_ms
        self.last_ms = last_ms

    def reference(self, at: At, offset_ms: int) -> int:
        """The time that a selector with ``@`` and ``offset`` looks back from."""
        if at is None:
            return self.at_ms - offset_ms
        if at == "start":
            return self.first_ms - offset_ms
        return (self.last_ms if at == "end" else at) - offset_ms


VectorPlan = Callable[[Context], Frame]
NumberPlan = Callable[[Context], float]
