"""Vectors in flight: a shape that stays the same between evaluations, and the values of one evaluation.

The labels of a vector hardly ever change from one evaluation to the next, its values always do. So a vector
is a pair of a `Shape` (its label sets, in order) and a list with one value per label set, ``None`` where
the element is missing this time. What an operator makes of a shape (dropped names, groups, matching pairs)
is worked out once and kept in ``Shape.derived`` under the operator as key; it lives as long as the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import METRIC_NAME, Labels, LabelSet, without

__all__ = ["EMPTY", "SCALAR_SHAPE", "Frame", "Shape", "Values", "checked", "drop_name", "mapped"]

Values = list[float | None]


class Shape:
    """The label sets of a vector, in order."""

    __slots__ = ("_distinct", "_views", "derived", "labels")

    def __init__(self, labels: Sequence[LabelSet]) -> None:
        self.labels = tuple(labels)
        self.derived: dict[Any, Any] = {}
        self._distinct: bool | None = None
        self._views: tuple[Labels, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def distinct(self) -> bool:
        """Whether no two label sets are equal."""
        if self._distinct is None:
            self._distinct = len(set(self.labels)) == len(self.labels)
        return self._distinct

    @property
    def views(self) -> tuple[Labels, ...]:
        """The label sets as results show them."""
        if self._views is None:
            self._views = tuple(Labels(pairs) for pairs in self.labels)
        return self._views


Frame = tuple[Shape, Values]
"""A vector at one time: a shape and one value per label set, None where there is no element."""

EMPTY = Shape(())
SCALAR_SHAPE = Shape(((),))
_NO_NAME = frozenset((METRIC_NAME,))


def mapped(shape: Shape, key: object, change: Callable[[LabelSet], LabelSet]) -> Shape:
    """The shape with every label set changed; worked out once per shape and key."""
    found: Shape | None = shape.derived.get(key)
    if found is None:
        changed = tuple(change(labels) for labels in shape.labels)
        found = shape if changed == shape.labels else Shape(changed)
        shape.derived[key] = found
    return found


def drop_name(shape: Shape) -> Shape:
    """The shape without metric names."""
    found: Shape | None = shape.derived.get(METRIC_NAME)
    return (
        found if found is not None else mapped(shape, METRIC_NAME, lambda labels: without(labels, _NO_NAME))
    )


def checked(shape: Shape, values: Values) -> Frame:
    """The frame, if no two of its elements have equal labels.

    Raises PromQLError (execution) otherwise: Prometheus, promql/engine.go, "vector cannot contain metrics
    with the same labelset".
    """
    if not shape.distinct:
        seen: set[LabelSet] = set()
        for labels, value in zip(shape.labels, values, strict=True):
            if value is None:
                continue
            if labels in seen:
                raise PromQLError(
                    "execution",
                    f"two elements of a result have the same labels {Labels(labels)!r}; "
                    "keep a label that tells them apart",
                )
            seen.add(labels)
    return shape, values
