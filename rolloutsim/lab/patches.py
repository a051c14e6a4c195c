"""The three kinds of patches that are no server-side apply: pure functions from an object to a new one.

Sources: RFC 7386 (merge patch), RFC 6902 and 6901 (JSON patch, pointers), Kubernetes' strategic merge patch
(k8s.io/apimachinery, pkg/util/strategicpatch).
"""

from __future__ import annotations

from typing import Any

from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.schema import Node

__all__ = ["BadPatch", "PatchFailed", "json_patched", "merge_patched", "strategic_patched"]

_ORDER, _RETAIN, _DELETE_ITEMS = "$setElementOrder/", "$retainKeys", "$deleteFromPrimitiveList/"


class BadPatch(ValueError):
    """The patch itself cannot be understood (400)."""


class PatchFailed(ValueError):
    """The patch does not fit the object: a failed test, a missing path (422)."""


def merge_patched(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, lists are replaced."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


def strategic_patched(target: Object, patch: Object, node: Node) -> Object:
    """A strategic merge patch: lists with a merge key are merged by it, ``$patch`` directives obeyed."""
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {name: copied(value) for name, value in patch.items() if name != "$patch"}
    if directive not in (None, "merge"):
        raise BadPatch(f"Unknown patch type found: {directive}")
    result = dict(target)
    if _RETAIN in patch:
        result = {name: value for name, value in result.items() if name in patch[_RETAIN]}
    for name, value in patch.items():
        if name.startswith(_DELETE_ITEMS):
            place = name.removeprefix(_DELETE_ITEMS)
            result[place] = [item for item in result.get(place) or () if item not in value]
        elif name not in ("$patch", _RETAIN) and not name.startswith(_ORDER):
            _merge_field(result, name, value, node.child(name))
    for name, order in patch.items():
        if name.startswith(_ORDER):
            _reorder(result, name.removeprefix(_ORDER), order, node)
    return result


def _merge_field(result: Object, name: str, value: Any, node: Node) -> None:
    old = result.get(name)
    if value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        result[name] = strategic_patched(old if isinstance(old, dict) else {}, value, node)
    elif isinstance(value, list) and node.merge_key:
        result[name] = _merged_items(old if isinstance(old, list) else [], value, node)
    elif isinstance(value, list) and node.is_set:
        kept = list(old) if isinstance(old, list) else []
        result[name] = kept + [item for item in value if item not in kept]
    else:
        result[name] = copied(value)


def _merged_items(old: list[Object], patch: list[Object], node: Node) -> list[Object]:
    key, item_node = node.merge_key, node.item or Node()
    if any(not isinstance(each, dict) for each in patch):
        raise BadPatch("a list of objects is patched with something else")
    if any(each.get("$patch") == "replace" for each in patch):
        return [copied(each) for each in patch if "$patch" not in each]
    result = list(old)
    for each in patch:
        if key not in each:
            raise BadPatch(f"map: {each} does not contain declared merge key: {key}")
        at = next((at for at, item in enumerate(result) if item.get(key) == each[key]), None)
        if each.get("$patch") == "delete":
            result = [item for item in result if item.get(key) != each[key]]
        elif at is None:
            result.append(strategic_patched({}, each, item_node))
        else:
            result[at] = strategic_patched(result[at], each, item_node)
    return result


def _reorder(result: Object, name: str, order: list[Any], node: Node) -> None:
    items, key = result.get(name), node.child(name).merge_key
    if not isinstance(items, list):
        return
    wanted = [each.get(key) if isinstance(each, dict) else each for each in order]
    place = {repr(value): at for at, value in enumerate(wanted)}
    last = len(place)
    items.sort(key=lambda item: place.get(repr(item.get(key) if isinstance(item, dict) else item), last))


def json_patched(target: Any, operations: Any) -> Any:
    """RFC 6902, all operations or none."""
    if not isinstance(operations, list):
        raise BadPatch("a JSON patch is a list of operations")
    result = copied(target)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise BadPatch("an operation of a JSON patch has an op and a path")
        result = _operate(result, operation)
    return result


def _operate(document: Any, operation: Object) -> Any:
    op, path = operation.get("op"), _pointer(operation["path"])
    if op in ("add", "replace", "test") and "value" not in operation:
        raise BadPatch(f"operation {op} has no value")
    if op == "test":
        try:
            found = _find(document, path)
        except PatchFailed:
            found = None
        if found != operation["value"]:
            raise PatchFailed(f"testing value {operation['path']} failed")
        return document
    if op == "remove":
        return _removed(document, path)
    if op == "add":
        return _added(document, path, copied(operation["value"]))
    if op == "replace":
        _find(document, path)
        return _added(_removed(document, path), path, copied(operation["value"]))
    if op in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = copied(_find(document, source))
        return _added(_removed(document, source) if op == "move" else document, path, value)
    raise BadPatch(f"unknown operation {op}")


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise BadPatch(f"{text} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _find(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part, len(document) - 1)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PatchFailed(f"there is no /{'/'.join(path)}")
    return document


def _index(items: list[Any], part: str, last: int) -> int:
    if not (part.isascii() and part.isdigit()) or int(part) > last:
        raise PatchFailed(f"index {part} is not within a list of {len(items)}")
    return int(part)


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _find(document, path[:-1])
    _find(parent, path[-1:])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent)), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise PatchFailed(f"/{'/'.join(path)} is in no object and no list")
    return document
