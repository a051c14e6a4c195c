"""From a query's tree to closures: everything that does not depend on the samples is settled here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import assert_never

from rolloutsim.promql.aggregate import aggregation, count_values, ranked
from rolloutsim.promql.binary import (
    ARITHMETIC,
    COMPARISON,
    number_number,
    number_vector,
    set_operation,
    vector_number,
    vector_vector,
)
from rolloutsim.promql.context import Context, NumberPlan, VectorPlan
from rolloutsim.promql.elementwise import DATE_PARTS, SIMPLE, clamp, clamp_max, clamp_min, round_to
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.histogram import bucket_fraction, bucket_quantile, of_buckets
from rolloutsim.promql.labels import METRIC_NAME, LabelSet, with_label
from rolloutsim.promql.ranges import RangePlan, over_selector, over_subquery, range_selector, subquery
from rolloutsim.promql.relabel import label_join, label_replace
from rolloutsim.promql.selection import instant, sample_times
from rolloutsim.promql.shape import EMPTY, SCALAR_SHAPE, Frame, Shape, checked, drop_name
from rolloutsim.promql.tree import (
    Aggregate,
    Binary,
    Call,
    Negate,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
    value_type,
)
from rolloutsim.promql.windows import WINDOW_FUNCTIONS

__all__ = ["plan_number", "plan_range", "plan_vector"]

_NATIVE = frozenset(
    {"histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"}
)


def plan_range(node: Node) -> RangePlan:
    """The plan of a range selector or a subquery."""
    if isinstance(node, Selector):
        return range_selector(node)
    if isinstance(node, Subquery):
        return subquery(node, plan_vector(node.inner))
    raise TypeError(f"{type(node).__name__} is no range")


def plan_number(node: Node) -> NumberPlan:
    """The plan of a scalar expression."""
    match node:
        case Number():
            value = node.value
            return lambda context: value
        case Negate():
            inner = plan_number(node.inner)
            return lambda context: -inner(context)
        case Binary():
            return number_number(node, plan_number(node.left), plan_number(node.right))
        case Call(function="pi"):
            return lambda context: math.pi
        case Call(function="time"):
            return lambda context: context.at_ms / 1000
        case Call(function="scalar"):
            return _scalar(plan_vector(node.arguments[0]))
    raise TypeError(f"{type(node).__name__} is no scalar")


def plan_vector(node: Node) -> VectorPlan:
    """The plan of an instant vector expression."""
    match node:
        case Selector():
            return instant(node)
        case Negate():
            return _each(lambda value: -value, plan_vector(node.inner))
        case Aggregate():
            return _aggregate(node)
        case Binary():
            return _binary(node)
        case Call():
            return _call(node)
        case Number() | Text() | Subquery():
            raise TypeError(f"{type(node).__name__} is no instant vector")
    assert_never(node)


def _binary(node: Binary) -> VectorPlan:
    left_is_number = value_type(node.left) == "scalar"
    right_is_number = value_type(node.right) == "scalar"
    if left_is_number:
        return number_vector(node, plan_number(node.left), plan_vector(node.right))
    if right_is_number:
        return vector_number(node, plan_vector(node.left), plan_number(node.right))
    join = vector_vector if node.operator in ARITHMETIC or node.operator in COMPARISON else set_operation
    return join(node, plan_vector(node.left), plan_vector(node.right))


def _aggregate(node: Aggregate) -> VectorPlan:
    inner = plan_vector(node.inner)
    if node.operator == "count_values":
        return count_values(node, inner, _text(node.parameter))
    parameter = None if node.parameter is None else plan_number(node.parameter)
    if node.operator in ("topk", "bottomk") and parameter is not None:
        return ranked(node, inner, parameter)
    return aggregation(node, inner, parameter)


def _call(node: Call) -> VectorPlan:
    name, arguments = node.function, node.arguments
    if name in WINDOW_FUNCTIONS:
        return _window_call(name, arguments)
    if name in DATE_PARTS:
        return _each(DATE_PARTS[name], plan_vector(arguments[0]) if arguments else _evaluation_time)
    if name in SIMPLE:
        return _each(SIMPLE[name], plan_vector(arguments[0]))
    if name in _NATIVE:
        return _without_elements(plan_vector(arguments[0]))
    return _SPECIAL[name](arguments)


def _window_call(name: str, arguments: tuple[Node, ...]) -> VectorPlan:
    place = next(index for index, node in enumerate(arguments) if value_type(node) == "matrix")
    argument = arguments[place]
    scalars = tuple(plan_number(node) for index, node in enumerate(arguments) if index != place)
    if isinstance(argument, Subquery):
        return over_subquery(name, argument, plan_range(argument), scalars)
    if isinstance(argument, Selector):
        return over_selector(name, argument, scalars)
    raise TypeError(f"{type(argument).__name__} is no range")


def _each(function: Callable[[float], float], inner: VectorPlan) -> VectorPlan:
    """A function of every value; the name goes."""

    def plan(context: Context) -> Frame:
        shape, values = inner(context)
        result = [None if value is None else function(value) for value in values]
        return checked(drop_name(shape), result)

    return plan


def _each_with(
    function: Callable[..., float], inner: VectorPlan, scalars: tuple[NumberPlan, ...]
) -> VectorPlan:
    """A function of every value and some scalars; the name goes."""

    def plan(context: Context) -> Frame:
        shape, values = inner(context)
        given = [scalar(context) for scalar in scalars]
        result = [None if value is None else function(value, *given) for value in values]
        return checked(drop_name(shape), result)

    return plan


def _evaluation_time(context: Context) -> Frame:
    return SCALAR_SHAPE, [context.at_ms / 1000]


def _without_elements(inner: VectorPlan) -> VectorPlan:
    """Functions of native histograms, of which there are none: the argument is evaluated for its errors."""

    def plan(context: Context) -> Frame:
        inner(context)
        return EMPTY, []

    return plan


def _scalar(inner: VectorPlan) -> NumberPlan:
    def plan(context: Context) -> float:
        _, values = inner(context)
        present = [value for value in values if value is not None]
        return present[0] if len(present) == 1 else math.nan

    return plan


def _vector(arguments: tuple[Node, ...]) -> VectorPlan:
    number = plan_number(arguments[0])
    return lambda context: (SCALAR_SHAPE, [number(context)])


def _clamp(arguments: tuple[Node, ...]) -> VectorPlan:
    low, high = plan_number(arguments[1]), plan_number(arguments[2])
    inner = _each_with(clamp, plan_vector(arguments[0]), (low, high))

    def plan(context: Context) -> Frame:
        return (EMPTY, []) if high(context) < low(context) else inner(context)

    return plan


def _bounded(function: Callable[..., float]) -> Callable[[tuple[Node, ...]], VectorPlan]:
    return lambda arguments: _each_with(function, plan_vector(arguments[0]), (plan_number(arguments[1]),))


def _round(arguments: tuple[Node, ...]) -> VectorPlan:
    to = plan_number(arguments[1] if len(arguments) > 1 else Number(1.0))
    return _each_with(round_to, plan_vector(arguments[0]), (to,))


def _timestamp(arguments: tuple[Node, ...]) -> VectorPlan:
    if isinstance(arguments[0], Selector):
        return _each(lambda value: value, sample_times(arguments[0]))
    inner = plan_vector(arguments[0])

    def plan(context: Context) -> Frame:
        shape, values = inner(context)
        now = context.at_ms / 1000
        return checked(drop_name(shape), [None if value is None else now for value in values])

    return plan


def _sorted(descending: bool) -> Callable[[tuple[Node, ...]], VectorPlan]:
    def build(arguments: tuple[Node, ...]) -> VectorPlan:
        inner = plan_vector(arguments[0])

        def plan(context: Context) -> Frame:
            shape, values = inner(context)
            sign = -1.0 if descending else 1.0
            order = sorted(
                (value != value, 0.0 if value != value else sign * value, place)
                for place, value in enumerate(values)
                if value is not None
            )
            places = [place for _, _, place in order]
            return Shape([shape.labels[place] for place in places]), [values[place] for place in places]

        return plan

    return build


def _absent(arguments: tuple[Node, ...]) -> VectorPlan:
    inner = plan_vector(arguments[0])
    shape = Shape((_equalities(arguments[0]),))

    def plan(context: Context) -> Frame:
        _, values = inner(context)
        return shape, [1.0 if all(value is None for value in values) else None]

    return plan


def _absent_over_time(arguments: tuple[Node, ...]) -> VectorPlan:
    source = plan_range(arguments[0])
    shape = Shape((_equalities(arguments[0]),))

    def plan(context: Context) -> Frame:
        _, series = source(context)
        return shape, [None if any(times for times, _ in series) else 1.0]

    return plan


def _equalities(node: Node) -> LabelSet:
    """The labels that the equality matchers of a plain selector ask for; a label named twice is left out."""
    labels: LabelSet = ()
    seen: set[str] = set()
    for matcher in node.matchers if isinstance(node, Selector) else ():
        if matcher.name == METRIC_NAME:
            continue
        first = matcher.operator == "=" and matcher.name not in seen
        labels = with_label(labels, matcher.name, matcher.value if first else "")
        if first:
            seen.add(matcher.name)
    return labels


def _label_replace(arguments: tuple[Node, ...]) -> VectorPlan:
    target, replacement, source, pattern = (_text(argument) for argument in arguments[1:])
    return label_replace(plan_vector(arguments[0]), target, replacement, source, pattern)


def _label_join(arguments: tuple[Node, ...]) -> VectorPlan:
    target, separator, *sources = (_text(argument) for argument in arguments[1:])
    return label_join(plan_vector(arguments[0]), target, separator, tuple(sources))


def _histogram_quantile(arguments: tuple[Node, ...]) -> VectorPlan:
    return of_buckets(plan_vector(arguments[1]), (plan_number(arguments[0]),), bucket_quantile)


def _histogram_fraction(arguments: tuple[Node, ...]) -> VectorPlan:
    bounds = plan_number(arguments[0]), plan_number(arguments[1])
    return of_buckets(plan_vector(arguments[2]), bounds, bucket_fraction)


def _text(node: Node | None) -> str:
    if not isinstance(node, Text):
        raise PromQLError("parse", "a string literal is needed here")
    return node.value


_SPECIAL: dict[str, Callable[[tuple[Node, ...]], VectorPlan]] = {
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "clamp": _clamp,
    "clamp_max": _bounded(clamp_max),
    "clamp_min": _bounded(clamp_min),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "round": _round,
    "sort": _sorted(descending=False),
    "sort_desc": _sorted(descending=True),
    "timestamp": _timestamp,
    "vector": _vector,
}
