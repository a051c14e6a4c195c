"""Which fields a manifest may have and of what type, as data, and the check of a document against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from rolloutsim.errors import PolicyError
from rolloutsim.policy.document import Document, Path, dotted, nearest
from rolloutsim.policy.yaml_source import Node

__all__ = ["Fields", "Leaf", "ListOf", "MapOf", "Shape", "check_manifest", "check_shape"]

INT32 = 2**31


class Leaf(Enum):
    """A value without a shape of its own; the text says what is expected."""

    TEXT = "text"
    DURATION = "a duration such as 30s, 5m or 1h30m"
    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    INTEGER_OR_TEXT = "a whole number or text"
    NUMBER = "a number"
    SHARE = "a share such as 0.05 or 5%"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from any name to values of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with known fields. ``open`` lets further ones pass (objects of Kubernetes itself)."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    open: bool = False


Shape = Leaf | ListOf | MapOf | Fields


def check_manifest(document: Document, api_version: str, spec: Fields) -> None:
    """Check a whole document whose kind is known: its apiVersion and its ``spec``; ``status`` is free.

    Raises
    ------
    PolicyError : as `check_shape`.
    """
    if document.api_version != api_version:
        why = f"the apiVersion of a {document.kind} is {api_version}"
        raise document.error(("apiVersion",), why, document.api_version)
    top = dict.fromkeys(("apiVersion", "kind", "metadata", "status"), Leaf.ANYTHING)
    check_shape(document, Fields({**top, "spec": spec}, required=("spec",)))


def check_shape(document: Document, shape: Fields) -> None:
    """Check a whole document.

    Raises
    ------
    PolicyError : an unknown field (with the nearest known name), a missing one, or a wrong type.
    """
    _check(document.root, shape, ())


def _check(node: Node, shape: Shape, path: Path) -> None:
    if node.value is None:
        return
    if isinstance(shape, Fields):
        _check_fields(node, shape, path)
    elif isinstance(shape, MapOf):
        for key, child in _mapping(node, path).items():
            _check(child, shape.item, (*path, key))
    elif isinstance(shape, ListOf):
        if not isinstance(node.value, tuple):
            raise _wrong(node, "a list", path)
        for index, child in enumerate(node.value):
            if child.value is None:
                raise PolicyError("an item of the list is empty", at=child.at, path=dotted((*path, index)))
            _check(child, shape.item, (*path, index))
    elif shape is not Leaf.ANYTHING:
        _check_leaf(node, shape, path)


def _check_fields(node: Node, shape: Fields, path: Path) -> None:
    children = _mapping(node, path)
    for key, child in children.items():
        if key in shape.fields:
            _check(child, shape.fields[key], (*path, key))
        elif not shape.open:
            known = ", ".join(shape.fields)
            raise PolicyError(
                f"unknown field {key!r}",
                at=node.keys[key],
                path=dotted((*path, key)),
                fix=nearest(key, list(shape.fields)) or f"known here: {known}",
            )
    for key in shape.required:
        if key not in children or children[key].value is None:
            why = f"the field {key!r} is missing"
            raise PolicyError(why, at=node.at, path=dotted((*path, key)), fix="add it")


def _check_leaf(node: Node, leaf: Leaf, path: Path) -> None:
    value = node.value
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        Leaf.TEXT: isinstance(value, str),
        Leaf.DURATION: isinstance(value, str),
        Leaf.INTEGER: whole,
        Leaf.BOOLEAN: isinstance(value, bool),
        Leaf.INTEGER_OR_TEXT: whole or isinstance(value, str),
        Leaf.NUMBER: whole or isinstance(value, float),
        Leaf.SHARE: whole or isinstance(value, float | str),
    }[leaf]
    if not fits:
        raise _wrong(node, leaf.value, path)
    if isinstance(value, int) and not -INT32 <= value < INT32:
        raise PolicyError("the number does not fit in 32 bits", at=node.at, path=dotted(path), value=value)


def _mapping(node: Node, path: Path) -> Mapping[str, Node]:
    if not isinstance(node.value, Mapping):
        raise _wrong(node, "a mapping", path)
    return node.value


def _wrong(node: Node, expected: str, path: Path) -> PolicyError:
    value: object = node.value
    if isinstance(value, tuple):
        return PolicyError(f"expected {expected}, not a list", at=node.at, path=dotted(path))
    if isinstance(value, Mapping):
        return PolicyError(f"expected {expected}, not a mapping", at=node.at, path=dotted(path))
    fix = ""
    if expected == Leaf.TEXT.value:
        fix = f'put it in quotes: "{node.text}"'
    elif expected == Leaf.DURATION.value and isinstance(value, int):
        fix = f"write {value}s"
    elif isinstance(value, str) and expected == Leaf.INTEGER.value and value.lstrip("-").isdigit():
        fix = "remove the quotes"
    return PolicyError(f"expected {expected}", at=node.at, path=dotted(path), value=value, fix=fix)
