"""Range vectors and the functions over them: how samples get from the store to a window function."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from rolloutsim.promql.context import Context, NumberPlan, VectorPlan
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import LabelSet
from rolloutsim.promql.selection import Group, Selection, select
from rolloutsim.promql.shape import Frame, Shape, Values, checked, drop_name
from rolloutsim.promql.store import is_stale
from rolloutsim.promql.tree import Node, Selector, Subquery, children
from rolloutsim.promql.windows import WINDOW_FUNCTIONS, Window, WindowFunction

__all__ = [
    "MAX_EVALUATIONS",
    "MAX_STEPS",
    "RangePlan",
    "evaluations",
    "over_selector",
    "over_subquery",
    "range_selector",
    "subquery",
]

DEFAULT_STEP_MS = 60_000
MAX_STEPS = 11_000
"""Points per series that a subquery may make; the server's limit for the resolution of a range query."""
MAX_EVALUATIONS = 1_000_000
"""What nested subqueries together may ask for; a server stops such queries by their duration."""

KEEPS_NAME = "last_over_time"
"""The only window function whose result has a metric name."""

_WIDE = 6
"""From this many series of one block on, numpy looks for counter resets faster than Python does."""

_EXTRAPOLATED = {"rate": (True, True), "increase": (True, False), "delta": (False, False)}

RangePlan = Callable[[Context], tuple[Shape, list[tuple[Sequence[int], Sequence[float]]]]]
"""The labels and, for each, the times (ms) and values in the range; both empty where there is nothing."""


def range_selector(selector: Selector) -> RangePlan:
    """All samples of a range selector, stale markers left out."""
    at, offset, range_ms = selector.at, selector.offset_ms, selector.range_ms or 0
    key = object()

    def plan(context: Context) -> tuple[Shape, list[tuple[Sequence[int], Sequence[float]]]]:
        selection = select(selector, key, context.store)
        end = context.reference(at, offset)
        start = end - range_ms - context.closed
        return selection.shape, [record.window(start, end) for record in selection.records]

    return plan


def subquery(query: Subquery, inner: VectorPlan) -> RangePlan:
    """The values of an instant expression at those multiples of the step since the epoch in the range."""
    at, offset, range_ms = query.at, query.offset_ms, query.range_ms
    step = query.step_ms or DEFAULT_STEP_MS
    if range_ms // step > MAX_STEPS:
        raise PromQLError(
            "unsupported",
            f"a subquery of {range_ms} ms in steps of {step} ms makes more than {MAX_STEPS} points per "
            "series; take a longer step",
        )
    if evaluations(query) > MAX_EVALUATIONS:
        raise PromQLError(
            "unsupported",
            f"nested subqueries ask for more than {MAX_EVALUATIONS} evaluations; take longer steps",
        )

    def plan(context: Context) -> tuple[Shape, list[tuple[Sequence[int], Sequence[float]]]]:
        end = context.reference(at, offset)
        start = end - range_ms - context.closed
        here = Context(
            context.store, 0, context.closed, context.lookback_ms, context.first_ms, context.last_ms
        )
        found: dict[LabelSet, tuple[list[int], list[float]]] = {}
        for time in range((start // step + 1) * step, end + 1, step):
            here.at_ms = time
            shape, values = inner(here)
            for labels, value in zip(shape.labels, values, strict=True):
                if value is not None:
                    times, column = found.setdefault(labels, ([], []))
                    times.append(time)
                    column.append(value)
        return Shape(tuple(found)), list(found.values())

    return plan


def evaluations(node: Node) -> int:
    """How often the innermost expressions are evaluated."""
    inner = max(map(evaluations, children(node)), default=1)
    if isinstance(node, Subquery):
        return inner * (node.range_ms // (node.step_ms or DEFAULT_STEP_MS) + 1)
    return inner


def over_subquery(
    name: str, query: Subquery, source: RangePlan, scalars: tuple[NumberPlan, ...]
) -> VectorPlan:
    """A window function over a subquery, whose plan is ``source``."""
    at, offset, range_ms = query.at, query.offset_ms, query.range_ms
    function, keeps_name = WINDOW_FUNCTIONS[name], name == KEEPS_NAME

    def plan(context: Context) -> Frame:
        shape, series = source(context)
        end = context.reference(at, offset)
        window = Window(end - range_ms, end, context.at_ms, tuple(scalar(context) for scalar in scalars))
        values = [function(times, values, window) for times, values in series]
        return (shape, values) if keeps_name else checked(drop_name(shape), values)

    return plan


def over_selector(name: str, selector: Selector, scalars: tuple[NumberPlan, ...]) -> VectorPlan:
    """A window function over a range selector."""
    at, offset, range_ms = selector.at, selector.offset_ms, selector.range_ms or 0
    function, keeps_name = WINDOW_FUNCTIONS[name], name == KEEPS_NAME
    counter, per_second = _EXTRAPOLATED.get(name, (False, False))
    extrapolates = name in _EXTRAPOLATED
    key = object()

    def plan(context: Context) -> Frame:
        selection = select(selector, key, context.store)
        end = context.reference(at, offset)
        arguments = tuple(scalar(context) for scalar in scalars) if scalars else ()
        window = Window(end - range_ms, end, context.at_ms, arguments)
        after = window.start - context.closed
        values: Values = [None] * len(selection.records)
        for group in selection.groups:
            if after < group.since:
                _one_by_one(values, selection, group, function, window, after)
                continue
            times = group.block.times
            high = len(times) if times[-1] <= end else bisect_right(times, end)
            low = bisect_right(times, after, 0, high)
            if low == high:
                continue
            if not extrapolates:
                _columns(values, group, function, window, low, high)
            elif high - low > 1:
                _changes(values, group, function, window, low, high, counter, per_second)
        shape = selection.shape
        return (shape, values) if keeps_name else checked(drop_name(shape), values)

    return plan


def _one_by_one(
    out: Values, selection: Selection, group: Group, function: WindowFunction, window: Window, after: int
) -> None:
    """For series whose samples lie in several blocks."""
    for position in group.positions:
        times, values = selection.records[position].window(after, window.end)
        if values:
            out[position] = function(times, values, window)


def _columns(
    out: Values, group: Group, function: WindowFunction, window: Window, low: int, high: int
) -> None:
    """A window function over the rows ``low`` to ``high`` of a block."""
    times = group.block.times[low:high].tolist()
    rows = group.block.values[low:high]
    for position, column in zip(group.positions, group.columns, strict=True):
        out[position] = _of_column(times, rows[:, column].tolist(), function, window)


def _of_column(
    times: list[int], values: list[float], function: WindowFunction, window: Window
) -> float | None:
    """A window function of one column, after its stale markers are taken out."""
    total = sum(values)
    if total != total and any(is_stale(value) for value in values):
        alive = [index for index, value in enumerate(values) if not is_stale(value)]
        if not alive:
            return None
        times = [times[index] for index in alive]
        values = [values[index] for index in alive]
    return function(times, values, window)


def _changes(
    out: Values,
    group: Group,
    function: WindowFunction,
    window: Window,
    low: int,
    high: int,
    counter: bool,
    per_second: bool,
) -> None:
    """`extrapolated` for all series of a block at once: what depends on times alone is worked out once.

    Columns with a reset or a NaN take the general path. The arithmetic is that of the general path, term by
    term.
    """
    block = group.block
    times = block.times
    first, last = times[low], times[high - 1]
    sampled = (last - first) / 1000
    distance = sampled / (high - low - 1)
    before = (first - window.start) / 1000
    after = (window.end - last) / 1000
    if before >= distance * 1.1:
        before = distance / 2
    if after >= distance * 1.1:
        after = distance / 2
    seconds = window.range_ms / 1000 if per_second else 1.0
    for position, start, end in _ends(out, group, function, window, low, high, counter):
        change = end - start
        reach = before
        if counter and change > 0 and start >= 0:
            to_zero = sampled * (start / change)
            if to_zero < reach:
                reach = to_zero
        out[position] = change * ((sampled + reach + after) / sampled / seconds)


def _ends(
    out: Values,
    group: Group,
    function: WindowFunction,
    window: Window,
    low: int,
    high: int,
    counter: bool,
) -> Iterable[tuple[int, float, float]]:
    """Place, first and last value of the columns without a reset or a NaN; the others are settled here."""
    samples = group.block.values
    if counter and len(group.columns) >= _WIDE:
        selected = samples[low:high, group.index]
        if (selected[1:] >= selected[:-1]).all():
            return zip(group.positions, selected[0].tolist(), selected[-1].tolist(), strict=True)
    ends: list[tuple[int, float, float]] = []
    for position, column in zip(group.positions, group.columns, strict=True):
        values = samples[low:high, column].tolist()
        total = sum(values)
        if total != total or (counter and sorted(values) != values):
            times = group.block.times[low:high].tolist()
            out[position] = _of_column(times, values, function, window)
        else:
            ends.append((position, values[0], values[-1]))
    return ends
