"""What a kind's objects look like, as far as the server has to know: fields, types, defaults, merge rules.

One description serves typed decoding (types, unknown fields), defaulting, strategic merge patches
(``merge_key``), server-side apply (``keys``, ``atomic``) and OpenAPI. Where the emulator has no use for
details a part is `ANY`: open, and merged as server-side apply merges what it has no schema for (maps by key,
lists whole).

Sources: Kubernetes API 1.36 (OpenAPI, x-kubernetes-list-type, x-kubernetes-patch-merge-key), Gateway API 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rolloutsim.lab.objects import copied

__all__ = [
    "ANY",
    "BOOL",
    "INT",
    "INT_OR_STRING",
    "STRING",
    "STRINGS",
    "STRING_MAP",
    "Fault",
    "Node",
    "atomic",
    "bounded",
    "defaulted",
    "defaults_to",
    "listed",
    "mapped",
    "pruned",
    "strings",
    "struct",
]


@dataclass(frozen=True, slots=True)
class Node:
    """One place in an object.

    type : object, array, string, integer, number, boolean, int-or-string or any.
    fields : the fields of a struct; None for a map or an open object.
    item : what the values of a map or the items of a list are.
    open : fields that are not known are kept as they are.
    keys : fields that identify an item (list-type map); ``merge_key`` the one of strategic merge patches.
    """

    type: str = "any"
    fields: Mapping[str, Node] | None = None
    item: Node | None = None
    keys: tuple[str, ...] = ()
    merge_key: str = ""
    is_set: bool = False
    atomic: bool = False
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    open: bool = False

    def child(self, name: str) -> Node:
        """What is under a field or key."""
        if self.fields is not None:
            return self.fields.get(name, ANY)
        return self.item or ANY


@dataclass(frozen=True, slots=True)
class Fault:
    """A value of the wrong type or out of its bounds."""

    path: str
    value: Any
    wanted: str
    typed: bool


ANY = Node()
STRING = Node("string")
INT = Node("integer")
NUMBER = Node("number")
BOOL = Node("boolean")
INT_OR_STRING = Node("int-or-string")
STRING_MAP = Node("object", item=STRING)
STRINGS = Node("array", item=STRING, atomic=True)


def struct(**fields: Node) -> Node:
    """An object with known fields; a trailing underscore lets a name be a Python keyword."""
    return Node("object", fields={name.rstrip("_"): node for name, node in fields.items()})


def strings(names: str) -> dict[str, Node]:
    """Several string fields."""
    return dict.fromkeys(names.split(), STRING)


def mapped(item: Node) -> Node:
    """A map from names to equal things."""
    return Node("object", item=item)


def listed(item: Node, *keys: str, merge_key: str = "", is_set: bool = False) -> Node:
    """A list: of items with keys, a set of scalars, or (neither) one that is replaced whole."""
    return Node(
        "array",
        item=item,
        keys=keys,
        merge_key=merge_key or (keys[0] if keys else ""),
        is_set=is_set,
        atomic=not keys and not is_set,
    )


def atomic(node: Node) -> Node:
    """The same, owned and replaced as a whole by server-side apply."""
    return replace(node, atomic=True)


def bounded(minimum: int | None = None, maximum: int | None = None, default: int | None = None) -> Node:
    """An integer within bounds."""
    return Node("integer", minimum=minimum, maximum=maximum, default=default)


def defaults_to(node: Node, value: Any) -> Node:
    """The same, with a value where the object has none."""
    return replace(node, default=value)


def defaulted(value: Any, node: Node) -> Any:
    """Fill in defaults, in place; returns the value."""
    if isinstance(value, dict):
        if node.fields is not None:
            for name, child in node.fields.items():
                if child.default is not None and value.get(name) is None:
                    value[name] = copied(child.default)
        for name, item in value.items():
            defaulted(item, node.child(name))
    elif isinstance(value, list) and node.item is not None:
        for item in value:
            defaulted(item, node.item)
    return value


_PYTHON: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "int-or-string": (int, str),
}


def pruned(value: Any, node: Node, unknown: list[str], faults: list[Fault], path: str = "") -> Any:
    """A copy without unknown fields and nulls; their paths go to ``unknown``, what is wrong to ``faults``."""
    if node.type == "any":
        return copied(value)
    wanted = _PYTHON[node.type]
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        faults.append(Fault(path, value, node.type, typed=True))
        return value
    if isinstance(value, dict):
        return dict(_pruned_fields(value, node, unknown, faults, path))
    if isinstance(value, list):
        item = node.item or ANY
        return [pruned(each, item, unknown, faults, f"{path}[{at}]") for at, each in enumerate(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        _check_bounds(value, node, faults, path)
    return value


def _pruned_fields(
    value: dict[str, Any], node: Node, unknown: list[str], faults: list[Fault], path: str
) -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        inner = f"{path}.{name}" if path else name
        if node.fields is not None and not node.open and name not in node.fields:
            unknown.append(inner)
        elif each is not None:
            yield name, pruned(each, node.child(name), unknown, faults, inner)


def _check_bounds(value: int, node: Node, faults: list[Fault], path: str) -> None:
    low, high = node.minimum, node.maximum
    if (low is None or value >= low) and (high is None or value <= high):
        return
    if low is not None and high is not None:
        wanted = f"must be between {low} and {high}, inclusive"
    elif low is not None:
        wanted = f"must be greater than or equal to {low}"
    else:
        wanted = f"must be less than or equal to {high}"
    faults.append(Fault(path, value, wanted, typed=False))
