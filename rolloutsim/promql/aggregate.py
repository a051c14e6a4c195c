"""Aggregation operators. Prometheus 3.5, promql/engine.go (aggregation and what follows it)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal

from rolloutsim.promql import sums
from rolloutsim.promql.context import Context, NumberPlan, VectorPlan
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import METRIC_NAME, LabelSet, keep, with_label, without
from rolloutsim.promql.shape import SCALAR_SHAPE, Frame, Shape, Values
from rolloutsim.promql.tree import Aggregate

__all__ = ["aggregation", "count_values", "decimal", "ranked"]

_INT64 = 2.0**63

Grouping = Callable[[LabelSet], LabelSet]


def grouping(node: Aggregate) -> Grouping:
    """The labels that an element's group has, as a function of the element's."""
    if node.without:
        dropped = frozenset((*node.grouping, METRIC_NAME))
        return lambda labels: without(labels, dropped)
    kept = frozenset(node.grouping)
    if not kept:
        return lambda labels: ()
    return lambda labels: keep(labels, kept)


def _groups(shape: Shape, key: object, group_of: Grouping) -> tuple[Shape, list[int]]:
    """The groups of a shape and the number of the group that each of its elements belongs to."""
    found: tuple[Shape, list[int]] | None = shape.derived.get(key)
    if found is None:
        numbers: dict[LabelSet, int] = {}
        index = [numbers.setdefault(group_of(labels), len(numbers)) for labels in shape.labels]
        groups = SCALAR_SHAPE if list(numbers) == [()] else Shape(tuple(numbers))
        found = shape.derived[key] = groups, index
    return found


def aggregation(node: Aggregate, inner: VectorPlan, parameter: NumberPlan | None) -> VectorPlan:
    """Operators that make one element of each group."""
    group_of = grouping(node)
    key = object()
    if node.operator == "sum":
        return _sum(inner, group_of, key)
    if node.operator == "quantile" and parameter is not None:
        return _folded(inner, group_of, key, lambda q, values: sums.quantile(q, values), parameter)
    fold = _FOLDS[node.operator]
    return _folded(inner, group_of, key, lambda _, values: fold(values), lambda _: 0.0)


def _sum(inner: VectorPlan, group_of: Grouping, key: object) -> VectorPlan:
    def plan(context: Context) -> Frame:
        shape, values = inner(context)
        groups, index = _groups(shape, key, group_of)
        if len(groups) < 2:
            present = [value for value in values if value is not None]
            return groups, [sums.total(present)] if present else [None] * len(groups)
        totals: Values = [None] * len(groups)
        errors = [0.0] * len(groups)
        for value, group in zip(values, index, strict=True):
            if value is None:
                continue
            old = totals[group]
            if old is None:
                totals[group] = value
            else:
                totals[group], errors[group] = sums.add(value, old, errors[group])
        return groups, [
            None if total is None else total + error for total, error in zip(totals, errors, strict=True)
        ]

    return plan


def _folded(
    inner: VectorPlan,
    group_of: Grouping,
    key: object,
    fold: Callable[[float, list[float]], float],
    parameter: NumberPlan,
) -> VectorPlan:
    def plan(context: Context) -> Frame:
        given = parameter(context)
        shape, values = inner(context)
        groups, index = _groups(shape, key, group_of)
        members: list[list[float]] = [[] for _ in range(len(groups))]
        for value, group in zip(values, index, strict=True):
            if value is not None:
                members[group].append(value)
        return groups, [fold(given, present) if present else None for present in members]

    return plan


def _greatest(values: Sequence[float]) -> float:
    return max((value for value in values if value == value), default=math.nan)


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if value == value), default=math.nan)


def _variance(values: Sequence[float]) -> float:
    """Welford's algorithm, uncompensated as the aggregation has it."""
    mean, squares = values[0], 0.0 if math.isfinite(values[0]) else math.nan
    for count, value in enumerate(values[1:], 2):
        delta = value - mean
        mean += delta / count
        squares += delta * (value - mean)
    return squares / len(values)


_FOLDS: dict[str, Callable[[list[float]], float]] = {
    "avg": sums.mean,
    "count": lambda values: float(len(values)),
    "group": lambda values: 1.0,
    "max": _greatest,
    "min": _least,
    "stddev": lambda values: sums.root(_variance(values)),
    "stdvar": _variance,
}


def ranked(node: Aggregate, inner: VectorPlan, parameter: NumberPlan) -> VectorPlan:
    """``topk`` and ``bottomk``: the first k elements of each group in order of value, NaN last."""
    group_of = grouping(node)
    key = object()
    sign = -1.0 if node.operator == "topk" else 1.0

    def plan(context: Context) -> Frame:
        wanted = parameter(context)
        if not -_INT64 <= wanted < _INT64:
            raise PromQLError("execution", f"the k of {node.operator} is {decimal(wanted)}, not a count")
        shape, values = inner(context)
        groups, index = _groups(shape, key, group_of)
        members: list[list[tuple[bool, float, int]]] = [[] for _ in range(len(groups))]
        for place, (value, group) in enumerate(zip(values, index, strict=True)):
            if value is not None:
                missing = value != value
                members[group].append((missing, 0.0 if missing else sign * value, place))
        count = max(0, int(wanted))
        places = [place for group in members for _, _, place in sorted(group)[:count]]
        return Shape([shape.labels[place] for place in places]), [values[place] for place in places]

    return plan


def count_values(node: Aggregate, inner: VectorPlan, label: str) -> VectorPlan:
    """``count_values``: how many elements of each group have each value, the value as a label."""
    extended = Aggregate(
        node.operator,
        node.inner,
        None,
        node.grouping if node.without else (*node.grouping, label),
        node.without,
    )
    group_of = grouping(extended)

    def plan(context: Context) -> Frame:
        if not label:
            raise PromQLError("execution", "count_values needs a label name that is not empty")
        shape, values = inner(context)
        counts: dict[LabelSet, float] = {}
        for labels, value in zip(shape.labels, values, strict=True):
            if value is not None:
                group = group_of(with_label(labels, label, decimal(value)))
                counts[group] = counts.get(group, 0.0) + 1.0
        return Shape(tuple(counts)), list(counts.values())

    return plan


def decimal(value: float) -> str:
    """A float as Go's shortest decimal without exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = f"{Decimal(repr(value)):f}"
    return text.removesuffix(".0")
