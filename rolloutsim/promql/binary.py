"""Binary operators. Prometheus 3.5, promql/engine.go (VectorBinop, VectorscalarBinop, VectorAnd, …)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from rolloutsim.promql.context import Context, NumberPlan, VectorPlan
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import METRIC_NAME, Labels, LabelSet, keep, value_of, with_label, without
from rolloutsim.promql.shape import EMPTY, Frame, Shape, Values, checked, drop_name
from rolloutsim.promql.tree import Binary, Matching

__all__ = ["ARITHMETIC", "COMPARISON", "number_number", "number_vector", "set_operation", "vector_number"]
__all__ += ["vector_vector"]

Arithmetic = Callable[[float, float], float]
Comparison = Callable[[float, float], bool]


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0 or a != a:
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _modulo(a: float, b: float) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return math.nan


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and math.fmod(b, 2.0) else math.inf
    except ValueError:
        if a == 0:
            odd = math.fmod(b, 2.0) in (1.0, -1.0)
            return math.copysign(math.inf, a) if odd else math.inf
        return math.nan


ARITHMETIC: dict[str, Arithmetic] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "^": _power,
    "atan2": math.atan2,
}
COMPARISON: dict[str, Comparison] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def _element(node: Binary) -> Callable[[float, float], float | None]:
    """What the operator makes of two values; None where a comparison drops the element."""
    if node.operator in ARITHMETIC:
        return ARITHMETIC[node.operator]
    compare = COMPARISON[node.operator]
    if node.as_bool:
        return lambda a, b: 1.0 if compare(a, b) else 0.0
    return lambda a, b: a if compare(a, b) else None


def _drops_name(node: Binary) -> bool:
    return node.as_bool or node.operator in ARITHMETIC


def number_number(node: Binary, left: NumberPlan, right: NumberPlan) -> NumberPlan:
    """Between two numbers; comparisons have ``bool``."""
    compute = _element(node)

    def plan(context: Context) -> float:
        result = compute(left(context), right(context))
        return math.nan if result is None else result

    return plan


def vector_number(node: Binary, left: VectorPlan, right: NumberPlan) -> VectorPlan:
    """Between each element of a vector and a number."""
    compute, drops = _element(node), _drops_name(node)

    def plan(context: Context) -> Frame:
        shape, values = left(context)
        number = right(context)
        result = [None if value is None else compute(value, number) for value in values]
        return checked(drop_name(shape), result) if drops else (shape, result)

    return plan


def number_vector(node: Binary, left: NumberPlan, right: VectorPlan) -> VectorPlan:
    """Between a number and each element of a vector; a filter keeps the vector's values."""
    drops = _drops_name(node)
    if drops:
        compute = _element(node)
    else:
        compare = COMPARISON[node.operator]
        compute = lambda a, b: b if compare(a, b) else None  # noqa: E731  # one of two equals

    def plan(context: Context) -> Frame:
        number = left(context)
        shape, values = right(context)
        result = [None if value is None else compute(number, value) for value in values]
        return checked(drop_name(shape), result) if drops else (shape, result)

    return plan


def _signature(matching: Matching) -> Callable[[LabelSet], LabelSet]:
    """The labels by which two elements find each other."""
    if matching.on:
        kept = frozenset(matching.labels)
        return lambda labels: keep(labels, kept)
    dropped = frozenset((*matching.labels, METRIC_NAME))
    return lambda labels: without(labels, dropped)


def _result_labels(node: Binary) -> Callable[[LabelSet, LabelSet], LabelSet]:
    """The labels of a result, of those of the many side (or the left) and of the one side."""
    matching, drops = node.matching, _drops_name(node)
    named = frozenset(matching.labels)

    def combine(many: LabelSet, one: LabelSet) -> LabelSet:
        labels = without(many, (METRIC_NAME,)) if drops else many
        if matching.many is None:
            labels = keep(labels, named) if matching.on else without(labels, named)
        for name in matching.include:
            labels = with_label(labels, name, value_of(one, name))
        return labels

    return combine


def vector_vector(node: Binary, left: VectorPlan, right: VectorPlan) -> VectorPlan:
    """Arithmetic and comparisons between vectors, one to one or many to one."""
    join = _Join(node)
    compute = _element(node)
    key = object()

    def plan(context: Context) -> Frame:
        left_shape, left_values = left(context)
        right_shape, right_values = right(context)
        known = left_shape.derived.get(key)
        if known is None or known[0] is not right_shape:
            known = left_shape.derived[key] = right_shape, join.fixed(left_shape, right_shape)
        fixed: tuple[Shape, list[tuple[int, int]]] | None = known[1]
        if fixed is None:
            return join.now(left_shape, left_values, right_shape, right_values)
        values: Values = []
        for place, partner in fixed[1]:
            a, b = left_values[place], right_values[partner]
            values.append(None if a is None or b is None else compute(a, b))
        return fixed[0], values

    return plan


class _Join:
    """How the elements of two vectors are paired, and when that fails."""

    def __init__(self, node: Binary) -> None:
        self.one_to_one = node.matching.many is None
        self.swapped = node.matching.many == "right"
        self.signature = _signature(node.matching)
        self.combine = _result_labels(node)
        self.compute = _element(node)

    def fixed(self, left: Shape, right: Shape) -> tuple[Shape, list[tuple[int, int]]] | None:
        """Result and pairs, if whatever elements are present can be paired without conflict; else None."""
        many, one = (right, left) if self.swapped else (left, right)
        partners = {self.signature(labels): place for place, labels in enumerate(one.labels)}
        if len(partners) < len(one):
            return None
        pairs: list[tuple[int, int]] = []
        labels: list[LabelSet] = []
        used: set[int] = set()
        for place, label_set in enumerate(many.labels):
            partner = partners.get(self.signature(label_set))
            if partner is None:
                continue
            if self.one_to_one and partner in used:
                return None
            used.add(partner)
            pairs.append((partner, place) if self.swapped else (place, partner))
            labels.append(self.combine(label_set, one.labels[partner]))
        shape = Shape(labels)
        return (shape, pairs) if shape.distinct else None

    def now(self, left: Shape, left_values: Values, right: Shape, right_values: Values) -> Frame:
        """Pairs of the elements that are there; raises PromQLError (execution) where they conflict."""
        lefts = [(a, value) for a, value in zip(left.labels, left_values, strict=True) if value is not None]
        rights = [
            (b, value) for b, value in zip(right.labels, right_values, strict=True) if value is not None
        ]
        if not lefts or not rights:
            return EMPTY, []
        many, one = (rights, lefts) if self.swapped else (lefts, rights)
        partners: dict[LabelSet, tuple[LabelSet, float]] = {}
        for labels, value in one:
            found = self.signature(labels)
            if found in partners:
                self._refuse_many(found, partners[found][0], labels)
            partners[found] = labels, value
        return self._matched(many, partners)

    def _matched(
        self, many: Sequence[tuple[LabelSet, float]], partners: dict[LabelSet, tuple[LabelSet, float]]
    ) -> Frame:
        taken: set[LabelSet | tuple[LabelSet, LabelSet]] = set()
        shape: list[LabelSet] = []
        values: Values = []
        for labels, value in many:
            found = self.signature(labels)
            partner = partners.get(found)
            if partner is None:
                continue
            result = self.compute(partner[1], value) if self.swapped else self.compute(value, partner[1])
            if result is None:
                continue
            combined = self.combine(labels, partner[0])
            mark = found if self.one_to_one else (found, combined)
            if mark in taken:
                self._refuse_taken(found)
            taken.add(mark)
            shape.append(combined)
            values.append(result)
        return checked(Shape(shape), values)

    def _refuse_many(self, signature: LabelSet, first: LabelSet, second: LabelSet) -> None:
        side = "left" if self.swapped else "right"
        raise PromQLError(
            "execution",
            f"{Labels(first)!r} and {Labels(second)!r} on the {side} both match {Labels(signature)!r}; "
            "that side may have one element per match (on, ignoring)",
        )

    def _refuse_taken(self, signature: LabelSet) -> None:
        if self.one_to_one:
            why = "several elements on the left match one on the right; say group_left or group_right"
        else:
            why = "several results have the same labels; the grouping labels must tell them apart"
        raise PromQLError("execution", f"{why} ({Labels(signature)!r})")


def set_operation(node: Binary, left: VectorPlan, right: VectorPlan) -> VectorPlan:
    """``and``, ``or`` and ``unless``: whole elements, by their labels."""
    signature = _signature(node.matching)
    key = object()

    def signatures(shape: Shape) -> list[LabelSet]:
        found: list[LabelSet] | None = shape.derived.get(key)
        if found is None:
            found = shape.derived[key] = [signature(labels) for labels in shape.labels]
        return found

    def present(shape: Shape, values: Values) -> set[LabelSet]:
        return {mark for mark, value in zip(signatures(shape), values, strict=True) if value is not None}

    def filtered(shape: Shape, values: Values, marks: set[LabelSet], wanted: bool) -> Values:
        return [
            value if (mark in marks) is wanted else None
            for mark, value in zip(signatures(shape), values, strict=True)
        ]

    def intersection(context: Context) -> Frame:
        shape, values = left(context)
        return shape, filtered(shape, values, present(*right(context)), True)

    def difference(context: Context) -> Frame:
        shape, values = left(context)
        return shape, filtered(shape, values, present(*right(context)), False)

    def union(context: Context) -> Frame:
        shape, values = left(context)
        other, added = right(context)
        both = shape.derived.get((key, "or"))
        if both is None or both[0] is not other:
            both = shape.derived[(key, "or")] = other, Shape(shape.labels + other.labels)
        return checked(both[1], values + filtered(other, added, present(shape, values), False))

    return {"and": intersection, "unless": difference, "or": union}[node.operator]
