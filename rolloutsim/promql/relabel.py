"""Functions that change labels and not values: ``label_replace`` and ``label_join``."""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

from rolloutsim.promql.context import Context, VectorPlan
from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import LabelSet, value_of, with_label
from rolloutsim.promql.shape import Frame, checked, mapped
from rolloutsim.promql.tree import compiled

__all__ = ["label_join", "label_replace"]

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def label_replace(inner: VectorPlan, target: str, replacement: str, source: str, pattern: str) -> VectorPlan:
    """Set ``target`` to the expanded replacement where the pattern fits the whole value of ``source``."""
    try:
        fits = compiled(pattern).fullmatch
    except re2.error as error:
        return _failing(f"{pattern!r} in label_replace is no RE2 pattern: {error}")
    if not target:
        return _failing("label_replace needs a label to write to, not an empty name")

    def change(labels: LabelSet) -> LabelSet:
        match = fits(value_of(labels, source))
        return labels if match is None else with_label(labels, target, _expanded(replacement, match))

    return _changed(inner, change)


def _expanded(template: str, match: re2._Match) -> str:
    """A template as Go's regexp expands it: ``$name`` takes the longest name, an unknown group is empty."""
    named = match.re.groupindex

    def group(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name: str = reference[2] or reference[3]
        if name.isdecimal():
            known = int(name) <= match.re.groups
            return (match.group(int(name)) or "") if known else ""
        return (match.group(named[name]) or "") if name in named else ""

    return _REFERENCE.sub(group, template)


def label_join(inner: VectorPlan, target: str, separator: str, sources: tuple[str, ...]) -> VectorPlan:
    """Set ``target`` to the values of the sources, joined."""
    if not target or "" in sources:
        return _failing("label_join needs label names that are not empty")
    return _changed(
        inner,
        lambda labels: with_label(labels, target, separator.join(value_of(labels, name) for name in sources)),
    )


def _changed(inner: VectorPlan, change: Callable[[LabelSet], LabelSet]) -> VectorPlan:
    key = object()

    def plan(context: Context) -> Frame:
        shape, values = inner(context)
        return checked(mapped(shape, key, change), values)

    return plan


def _failing(why: str) -> VectorPlan:
    def plan(context: Context) -> Frame:
        raise PromQLError("execution", why)

    return plan
