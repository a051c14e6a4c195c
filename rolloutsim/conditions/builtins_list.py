"""Builtin functions on arrays and maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.operators import equal, less
from rolloutsim.conditions.runtime import (
    EMPTY,
    Frame,
    Groups,
    Pair,
    Pairs,
    Strings,
    fetch,
    field_of,
    go_type_name,
    is_array,
    to_int,
)
from rolloutsim.conditions.values import MetricData

__all__ = ["FUNCTIONS", "FUNCTIONS_1_15", "sort_by_values"]

INSERTION_LIMIT = 12
MAX_DEPTH = 500


def _array(verb: str, value: Any) -> Any:
    if not is_array(value):
        raise Fault(f"cannot {verb} {go_type_name(value)}")
    return value


def _fetch_or_nil(value: Any, key: Any) -> Any:
    try:
        return fetch(value, key)
    except Fault:
        return None


def first(frame: Frame, value: Any) -> Any:
    return _fetch_or_nil(value, 0)


def last(frame: Frame, value: Any) -> Any:
    return _fetch_or_nil(value, -1)


def get(frame: Frame, value: Any, key: Any) -> Any:
    """As ``value[key]``, with nil for what is not there; a key of a wrong type is an error."""
    if isinstance(value, dict):
        return fetch(value, key)
    if isinstance(value, str) or is_array(value):
        position = to_int(key)
        return _fetch_or_nil(value, position)
    return _fetch_or_nil(value, key)


def get_1_15(frame: Frame, value: Any, key: Any) -> Any:
    """As `get`, and nil for any failure."""
    return _fetch_or_nil(value, key)


def take(frame: Frame, value: Any, count: Any) -> Any:
    array = _array("take from", value)
    if type(count) is not int:
        raise Fault(f"cannot take {go_type_name(count)} elements")
    if count < 0:
        raise Fault("reflect.Value.Slice: slice index out of bounds")
    return part(array, 0, min(count, len(array)))


def part(array: Any, start: int, stop: int) -> Any:
    """``array[start:stop]`` of the same Go type."""
    piece = array[start:stop]
    return type(array)(piece) if isinstance(array, tuple) and type(array) is not tuple else piece


def _map(verb: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise Fault(f"cannot {verb} {go_type_name(value)}")
    return value


def _entries(frame: Frame, value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Keys and values. Go's order is random: ours is that of the map."""
    frame.spend(len(value))
    return list(value.values()) if isinstance(value, Groups) else list(value.items())


def keys(frame: Frame, value: Any) -> list[Any]:
    return [key for key, _ in _entries(frame, _map("get keys from", value))]


def values(frame: Frame, value: Any) -> list[Any]:
    return [item for _, item in _entries(frame, _map("get values from", value))]


def to_pairs(frame: Frame, value: Any) -> Pairs:
    return Pairs(Pair(entry) for entry in _entries(frame, _map("transform to pairs", value)))


def from_pairs(frame: Frame, value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for pair in _array("transform from pairs", value):
        frame.spend(1)
        if not is_array(pair):
            raise Fault(f"invalid pair {go_type_name(pair)}")
        if len(pair) != 2:
            raise Fault("invalid pair length")
        if not isinstance(pair[0], str):
            raise Fault(f"value of type {go_type_name(pair[0])} is not assignable to type string")
        made[pair[0]] = pair[1]
    return made


def reverse(frame: Frame, value: Any) -> list[Any]:
    array = _array("reverse", value)
    frame.grow(len(array))
    return list(array)[::-1]


def uniq(frame: Frame, value: Any) -> list[Any]:
    kept: list[Any] = []
    for item in _array("uniq", value):
        frame.spend(1 + len(kept))
        if not any(equal(item, other, frame) for other in kept):
            kept.append(item)
    return kept


def concat(frame: Frame, *arrays: Any) -> list[Any]:
    made: list[Any] = []
    for array in arrays:
        frame.grow(len(_array("concat", array)))
        made.extend(array)
    return made or EMPTY


def flatten(frame: Frame, value: Any) -> list[Any]:
    made: list[Any] = []
    _flatten(frame, _array("flatten", value), made, 0)
    return made


def _flatten(frame: Frame, array: Any, made: list[Any], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Fault("recursion depth exceeded")
    for item in array:
        frame.spend(1)
        if is_array(item):
            _flatten(frame, item, made, depth + 1)
        else:
            made.append(item)


def sort_by_values(frame: Frame, items: list[Any], by: list[Any], order: Any) -> list[Any]:
    """``items`` ordered by the values ``by``; order is asc or desc."""
    if order not in ("asc", "desc"):
        raise Fault("unknown order, use asc or desc")

    def before(one: int, other: int) -> bool:
        return less(by[other], by[one]) if order == "desc" else less(by[one], by[other])

    positions = list(range(len(items)))
    frame.spend(len(items) * (1 + len(items).bit_length()))
    if len(items) <= INSERTION_LIMIT:
        # Go sorts short arrays by insertion, which shows where NaN is among the values.
        for start in range(1, len(items)):
            at = start
            while at > 0 and before(positions[at], positions[at - 1]):
                positions[at], positions[at - 1] = positions[at - 1], positions[at]
                at -= 1
    else:

        def order_of(one: int, other: int) -> int:
            return before(other, one) - before(one, other)

        positions.sort(key=cmp_to_key(order_of))
    return [items[position] for position in positions]


def sort(frame: Frame, value: Any, order: Any = "asc") -> list[Any]:
    if order not in ("asc", "desc"):
        raise Fault(f"invalid order {str(order)[:20]}, expected asc or desc")
    items = list(value) if isinstance(value, list | range | Strings) or type(value) is tuple else []
    return sort_by_values(frame, items, items, order)


def sort_1_15(frame: Frame, value: Any, order: Any = "asc") -> list[Any]:
    return _sort_1_15(frame, value, "", order)


def sort_by_1_15(frame: Frame, value: Any, field: Any, order: Any = "asc") -> list[Any]:
    if not isinstance(field, str):
        raise Fault(f"invalid argument for sort (expected string, got {go_type_name(field)})")
    return _sort_1_15(frame, value, field, order)


def _sort_1_15(frame: Frame, value: Any, field: str, order: Any) -> list[Any]:
    """v1.15.5 sorts integers, floats or text, all of one type; anything else is an error once it compares."""
    items = list(_array("sort", value))
    by = [_sort_value(item, field) for item in items]
    if len({go_type_name(item) for item in by}) > 1:
        raise Fault("cannot sort array of different types")
    if len(by) > 1 and type(by[0]) not in (int, float, str):
        raise Fault(f"sort: unsupported type {go_type_name(by[0])}")
    if None in by:
        raise Fault("reflect: call of reflect.Value.Type on zero Value")
    return sort_by_values(frame, items, by, order)


def _sort_value(item: Any, field: str) -> Any:
    if isinstance(item, dict):
        return fetch(item, field)
    return field_of(item, field) if isinstance(item, MetricData) else item


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "first": first,
    "last": last,
    "get": get,
    "take": take,
    "keys": keys,
    "values": values,
    "toPairs": to_pairs,
    "fromPairs": from_pairs,
    "reverse": reverse,
    "uniq": uniq,
    "concat": concat,
    "flatten": flatten,
    "sort": sort,
}
FUNCTIONS_1_15: dict[str, Callable[..., Any]] = FUNCTIONS | {
    "get": get_1_15,
    "sort": sort_1_15,
    "sortBy": sort_by_1_15,
}
