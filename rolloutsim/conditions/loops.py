"""Builtins that apply a predicate to each element.

Source: expr-lang/expr v1.17.8, compiler/compiler.go (BuiltinNode) and vm/vm.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rolloutsim.conditions.builtins_list import sort_by_values
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.operators import add
from rolloutsim.conditions.runtime import Frame, Groups, Run, go_type_name, items_of

__all__ = ["loop"]

_Loop = Callable[[Frame, Any, Run, Run | None], Any]


def loop(name: str, collection: Run, predicate: Run | None, extra: Run | None) -> Run:
    """The closure of the builtin ``name``; the loop around it sees its own #, #index and #acc again."""
    body = _LOOPS[name]
    each = predicate if predicate is not None else _element

    def run(frame: Frame) -> Any:
        items = items_of(collection(frame))
        outer = frame.item, frame.index, frame.accumulator
        try:
            return body(frame, items, each, extra)
        finally:
            frame.item, frame.index, frame.accumulator = outer

    return run


def _element(frame: Frame) -> Any:
    return frame.item


def _steps(frame: Frame, items: Any) -> Iterator[Any]:
    for index, item in enumerate(items):
        frame.steps -= 1
        if frame.steps < 0:
            frame.spend(0)
        frame.item, frame.index = item, index
        yield item


def _steps_back(frame: Frame, items: Any) -> Iterator[Any]:
    for index in range(len(items) - 1, -1, -1):
        frame.spend(1)
        frame.item, frame.index = items[index], index
        yield items[index]


def _holds(frame: Frame, each: Run) -> bool:
    value = each(frame)
    if value is True or value is False:
        return bool(value)
    raise Fault(f"interface conversion: interface {{}} is {go_type_name(value)}, not bool")


def _all(frame: Frame, items: Any, each: Run, extra: Run | None) -> bool:
    return all(_holds(frame, each) for _ in _steps(frame, items))


def _none(frame: Frame, items: Any, each: Run, extra: Run | None) -> bool:
    return not any(_holds(frame, each) for _ in _steps(frame, items))


def _any(frame: Frame, items: Any, each: Run, extra: Run | None) -> bool:
    return any(_holds(frame, each) for _ in _steps(frame, items))


def _count(frame: Frame, items: Any, each: Run, extra: Run | None) -> int:
    """``extra`` gives the number at which the answer is known, where the comparison behind it tells one."""
    enough = None if extra is None else extra(frame)
    found = 0
    for _ in _steps(frame, items):
        found += _holds(frame, each)
        if found == enough:
            break
    return found


def _one(frame: Frame, items: Any, each: Run, extra: Run | None) -> bool:
    return _count(frame, items, each, extra) == 1


def _filter(frame: Frame, items: Any, each: Run, extra: Run | None) -> list[Any]:
    kept = [item for item in _steps(frame, items) if _holds(frame, each)]
    frame.grow(len(kept))
    return kept


def _map(frame: Frame, items: Any, each: Run, extra: Run | None) -> list[Any]:
    made = [each(frame) for _ in _steps(frame, items)]
    frame.grow(len(made))
    return made


def _filter_map(frame: Frame, items: Any, each: Run, extra: Run | None) -> list[Any]:
    """``map(filter(...), ...)`` in one pass: ``extra`` is what is mapped."""
    made = [_kept(frame, item, extra) for item in _steps(frame, items) if _holds(frame, each)]
    frame.grow(len(made))
    return made


def _kept(frame: Frame, item: Any, mapped: Run | None) -> Any:
    return item if mapped is None else mapped(frame)


def _find(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    return next((_kept(frame, item, extra) for item in _steps(frame, items) if _holds(frame, each)), None)


def _find_index(frame: Frame, items: Any, each: Run, extra: Run | None) -> int | None:
    return next((frame.index for _ in _steps(frame, items) if _holds(frame, each)), None)


def _find_last(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    return next(
        (_kept(frame, item, extra) for item in _steps_back(frame, items) if _holds(frame, each)), None
    )


def _find_last_index(frame: Frame, items: Any, each: Run, extra: Run | None) -> int | None:
    return next((frame.index for _ in _steps_back(frame, items) if _holds(frame, each)), None)


def _filter_first(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    """``filter(...)[0]``, without looking further than the first."""
    for item in _steps(frame, items):
        if _holds(frame, each):
            return _kept(frame, item, extra)
    raise Fault("reflect: slice index out of range")


def _filter_last(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    for item in _steps_back(frame, items):
        if _holds(frame, each):
            return _kept(frame, item, extra)
    raise Fault("reflect: slice index out of range")


def _sum(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    total: Any = 0
    for _ in _steps(frame, items):
        total = add(each(frame), total, frame)
    return total


def _group_by(frame: Frame, items: Any, each: Run, extra: Run | None) -> Groups:
    groups = Groups()
    for item in _steps(frame, items):
        key = each(frame)
        held = Groups.key(key)
        frame.spend(4)
        if held not in groups:
            groups[held] = (key, [])
        groups[held][1].append(item)
    return groups


def _sort_by(frame: Frame, items: Any, each: Run, extra: Run | None) -> list[Any]:
    order = "asc" if extra is None else extra(frame)
    if not isinstance(order, str):
        raise Fault("sortBy order argument must be a string")
    by = [each(frame) for _ in _steps(frame, items)]
    frame.grow(len(by))
    return sort_by_values(frame, list(items), by, order)


def _reduce(frame: Frame, items: Any, each: Run, extra: Run | None) -> Any:
    start = 0
    if extra is not None:
        accumulated = extra(frame)
    elif len(items):
        accumulated, start = items[0], 1
    else:
        raise Fault("reflect: slice index out of range")
    for index in range(start, len(items)):
        frame.spend(1)
        frame.item, frame.index, frame.accumulator = items[index], index, accumulated
        accumulated = each(frame)
    return accumulated


_LOOPS: dict[str, _Loop] = {
    "all": _all,
    "none": _none,
    "any": _any,
    "one": _one,
    "count": _count,
    "filter": _filter,
    "filterMap": _filter_map,
    "filterFirst": _filter_first,
    "filterLast": _filter_last,
    "map": _map,
    "find": _find,
    "findIndex": _find_index,
    "findLast": _find_last,
    "findLastIndex": _find_last_index,
    "sum": _sum,
    "groupBy": _group_by,
    "sortBy": _sort_by,
    "reduce": _reduce,
}
