"""Who owns which field: ``managedFields`` and server-side apply.

A place in an object is a tuple of steps as in FieldsV1: ``f:name`` for a field, ``k:{"name":"a"}`` for an
item of a list with keys, ``v:"x"`` for an item of a set. Source: Kubernetes, "Server-Side Apply";
sigs.k8s.io/structured-merge-diff v6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.schema import ANY, Node

__all__ = ["Applied", "Clash", "Writer", "after_update", "applied", "shown"]

Place = tuple[str, ...]
_MISSING = object()
_IDENTITY = frozenset({("f:apiVersion",), ("f:kind",)})
_SERVERS = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"),
        *("generateName", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the field manager, by what operation (Apply or Update), in which API version and part."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    def told(self) -> str:
        """The writer in a message about a conflict."""
        if self.operation == "Apply":
            return f'"{self.manager}"'
        part = f" with subresource {json.dumps(self.subresource)}" if self.subresource else ""
        return f'"{self.manager}"{part} using {self.api_version}'


@dataclass(frozen=True, slots=True)
class Clash:
    """A place that another writer owns and that the new one wants to have another value."""

    place: Place
    owner: Writer


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply comes to: the object with its managedFields, and the clashes that forbid it."""

    object: Object
    clashes: tuple[Clash, ...]


def shown(place: Place) -> str:
    """A place as in messages: ``.spec.containers[name="a"].image``."""
    text = ""
    for step in place:
        if step.startswith("k:"):
            keys = json.loads(step[2:])
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"
        elif step.startswith("v:"):
            text += f"[={step[2:]}]"
        else:
            text += "." + step[2:]
    return text


def applied(live: Object, wanted: Object, node: Node, writer: Writer, at: str, *, force: bool) -> Applied:
    """Apply ``wanted`` over the live object (empty if it is new) in the name of a writer.

    What the writer applied before and does not name now is taken away, unless others own it too.
    """
    owned = _owners(live)
    places = frozenset(_places(wanted, node, ())) - _IDENTITY - _SERVERS
    clashes = [] if force else _clashes(live, wanted, node, places, owned, writer)
    if clashes:
        return Applied(live, tuple(clashes))
    result = _merged(live, wanted, node)
    if force:
        taken = _clashes(live, wanted, node, places, owned, writer)
        for clash in taken:
            owned[clash.owner] = owned[clash.owner] - {clash.place}
    kept = places.union(*(owned[other] for other in owned if other != writer))
    for place in sorted(owned.get(writer, frozenset()) - kept, key=len):  # items before what is in them
        item = place[-1].startswith(("k:", "v:"))
        if not (item and any(each[: len(place)] == place for each in kept)) and not _is_key(place):
            _remove(result, place, node)
    owned[writer] = places
    _set_owners(result, live, owned, at)
    return Applied(result, ())


def after_update(before: Object, after: Object, node: Node, writer: Writer, at: str) -> Object:
    """The object after a create, update or patch, with its managedFields: changed places change hands."""
    owned = _owners(before)
    old, new = (
        {place: _value(thing, place, node) for place in _places(thing, node, ())} for thing in (before, after)
    )
    changed = frozenset(
        place
        for place, value in new.items()
        if place not in old or (not place[-1].startswith("k:") and old[place] != value)
    )
    changed = changed - _IDENTITY - _SERVERS
    gone = frozenset(old) - frozenset(new)
    for owner in owned:
        owned[owner] = owned[owner] - gone - (frozenset() if owner == writer else changed)
    if changed:
        owned[writer] = owned.get(writer, frozenset()) | changed
    _set_owners(after, before, owned, at)
    return after


def _places(value: Any, node: Node, prefix: Place) -> Iterator[Place]:
    if node.atomic or not isinstance(value, dict | list) or not value:
        if prefix:
            yield prefix
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _places(item, node.child(name), (*prefix, f"f:{name}"))
    elif node.is_set:
        yield from ((*prefix, f"v:{json.dumps(item)}") for item in value)
    elif node.keys and all(isinstance(item, dict) for item in value):
        for item in value:
            place = (*prefix, _item_step(item, node))
            yield place
            yield from _places(item, node.item or ANY, place)
    else:
        yield prefix


def _item_step(item: Object, node: Node) -> str:
    inner = node.item or ANY
    keys = {name: item.get(name, inner.child(name).default) for name in node.keys}
    given = {name: value for name, value in keys.items() if value is not None}
    return "k:" + json.dumps(given, sort_keys=True)


def _is_key(place: Place) -> bool:
    """Whether a place is a field that identifies an item; it goes with the item only."""
    if len(place) < 2 or not place[-2].startswith("k:"):
        return False
    return place[-1][2:] in json.loads(place[-2][2:])


def _at(value: Any, step: str, node: Node) -> tuple[Any, Node]:
    """What is one step further, or the sentinel if nothing is."""
    if step.startswith("f:"):
        name = step[2:]
        return (value.get(name, _MISSING) if isinstance(value, dict) else _MISSING), node.child(name)
    inner = node.item or ANY
    if isinstance(value, list):
        for item in value:
            found = _item_step(item, node) if step.startswith("k:") else f"v:{json.dumps(item)}"
            if found == step:
                return item, inner
    return _MISSING, inner


def _value(value: Any, place: Place, node: Node) -> Any:
    for step in place:
        value, node = _at(value, step, node)
        if value is _MISSING:
            return _MISSING
    return value


def _clashes(
    live: Object,
    wanted: Object,
    node: Node,
    places: frozenset[Place],
    owned: Mapping[Writer, frozenset[Place]],
    writer: Writer,
) -> list[Clash]:
    differing = {
        place
        for place in places
        if not place[-1].startswith("k:") and _value(live, place, node) != _value(wanted, place, node)
    }
    return [
        Clash(place, owner)
        for owner, theirs in owned.items()
        if owner != writer
        for place in sorted(theirs & differing)
    ]


def _merged(live: Any, wanted: Any, node: Node) -> Any:
    if node.atomic or wanted in ({}, []):
        return copied(wanted)
    if isinstance(wanted, dict) and isinstance(live, dict):
        result = dict(live)
        for name, value in wanted.items():
            result[name] = _merged(live.get(name), value, node.child(name))
        return result
    if isinstance(wanted, list) and isinstance(live, list) and node.is_set:
        return live + [item for item in wanted if item not in live]
    if isinstance(wanted, list) and isinstance(live, list) and node.keys:
        return _merged_items(live, wanted, node)
    return copied(wanted)


def _merged_items(live: list[Object], wanted: list[Object], node: Node) -> list[Object]:
    there = {_item_step(item, node): item for item in live}
    asked = {_item_step(item, node): item for item in wanted}
    kept = [item for step, item in there.items() if step not in asked]
    return [_merged(there.get(step), item, node.item or ANY) for step, item in asked.items()] + kept


def _remove(thing: Any, place: Place, node: Node) -> None:
    """Take a place out of an object, in place, with the empty things that are left around it."""
    if len(place) == 1:
        found, _ = _at(thing, place[0], node)
        if found is _MISSING:
            return
        if isinstance(thing, list):
            thing.remove(found)
        elif not (isinstance(found, dict | list) and found and not node.child(place[0][2:]).atomic):
            del thing[place[0][2:]]
        return
    inner, inner_node = _at(thing, place[0], node)
    if inner is _MISSING or not isinstance(inner, dict | list):
        return
    mine = copied(inner)
    _replace(thing, inner, mine, place[0])
    _remove(mine, place[1:], inner_node)
    if not mine:
        _discard(thing, mine, place[0])


def _replace(thing: Any, old: Any, new: Any, step: str) -> None:
    if isinstance(thing, list):
        thing[next(at for at, item in enumerate(thing) if item is old)] = new
    else:
        thing[step[2:]] = new


def _discard(thing: Any, value: Any, step: str) -> None:
    if isinstance(thing, list):
        thing.remove(value)
    else:
        del thing[step[2:]]


def _owners(thing: Object) -> dict[Writer, frozenset[Place]]:
    entries = (thing.get("metadata") or {}).get("managedFields") or []
    return {
        Writer(
            entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")
        ): frozenset(_from_tree(entry.get("fieldsV1") or {}, ()))
        for entry in entries
    }


def _set_owners(thing: Object, before: Object, owned: Mapping[Writer, frozenset[Place]], at: str) -> None:
    earlier = {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry
        for entry in (before.get("metadata") or {}).get("managedFields") or []
    }
    entries = []
    for owner, places in owned.items():
        if not places:
            continue
        tree = _tree(places)
        last = earlier.get((owner.manager, owner.operation, owner.subresource), {})
        entry = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            "time": last["time"] if last.get("fieldsV1") == tree else at,
            "fieldsType": "FieldsV1",
            "fieldsV1": tree,
        }
        if owner.subresource:
            entry["subresource"] = owner.subresource
        entries.append(entry)
    meta = thing["metadata"] = dict(thing.get("metadata") or {})
    meta["managedFields"] = entries


def _tree(places: frozenset[Place]) -> Object:
    tree: Object = {}
    for place in sorted(places):
        inner = tree
        for step in place:
            inner = inner.setdefault(step, {})
    for place in places:
        inner = tree
        for step in place:
            inner = inner[step]
        if inner:
            inner["."] = {}
    return tree


def _from_tree(tree: Object, prefix: Place) -> Iterator[Place]:
    if not tree:
        if prefix:
            yield prefix
        return
    for step, inner in tree.items():
        if step == ".":
            yield prefix
        else:
            yield from _from_tree(inner, (*prefix, step))
