"""Changes to a scenario's files before they are read: what one grid point or one what-if says differently."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rolloutsim.errors import Position, ScenarioError
from rolloutsim.policy.yaml_source import Node, Scalar

__all__ = ["NOTHING", "Overlay", "at_path", "fields_of", "overlaid", "under"]

_FIELD = re.compile(r"\[[0-9]+\]|\['([^']*)'\]|[^.\[\]]+")
_INDEX = re.compile(r"\[([0-9]+)\]")

Overlay = Mapping[str, Node]
"""For ``service`` and ``release``, the fields of its ``spec`` that differ."""

NOTHING: Overlay = MappingProxyType({})


def overlaid(node: Node, over: Node) -> Node:
    """A tree with another laid over it: mappings are merged, anything else is replaced.

    Over a list, a mapping with keys such as ``[2]`` is laid over its items.

    Raises
    ------
    ScenarioError : there is no such item, or no list.
    """
    if isinstance(over.value, Mapping) and any(map(_INDEX.fullmatch, over.value)):
        return _items_overlaid(node, over, over.value)
    if not isinstance(node.value, Mapping) or not isinstance(over.value, Mapping) or "value" in over.value:
        return over
    merged = dict(node.value)
    for key, child in over.value.items():
        merged[key] = overlaid(merged[key], child) if key in merged else child
    keys = {**node.keys, **over.keys}
    return Node(MappingProxyType(merged), node.at, MappingProxyType(keys))


def at_path(path: str, value: Scalar) -> Overlay:
    """An overlay of one value: ``service.cluster.pod_ready.median``, ``20s``."""
    part, *fields = fields_of(path)
    return MappingProxyType({part: under(fields, Node(value, Position(f"({path})")))})


def fields_of(path: str) -> list[str]:
    """The fields of a path, items of lists in brackets: ``release``, ``faults``, ``[0]``, ``size``."""
    return [match[1] or match[0] for match in _FIELD.finditer(path)]


def under(fields: Sequence[str], node: Node) -> Node:
    """A tree with nothing but this value, under these fields."""
    for name in reversed(fields):
        node = Node(MappingProxyType({name: node}), node.at, MappingProxyType({name: node.at}))
    return node


def _items_overlaid(node: Node, over: Node, items: Mapping[str, Node]) -> Node:
    if not isinstance(node.value, tuple):
        raise ScenarioError("there is no list here", at=over.at)
    changed = list(node.value)
    for key, item in items.items():
        index = _INDEX.fullmatch(key)
        if index is None or int(index[1]) >= len(changed):
            raise ScenarioError(f"the list has {len(changed)} items, counted from 0", at=over.at, value=key)
        changed[int(index[1])] = overlaid(changed[int(index[1])], item)
    return Node(tuple(changed), node.at)
