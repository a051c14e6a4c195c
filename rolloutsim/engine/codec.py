"""Frozen dataclasses to JSON values and back, unchanged.

Driven by the type annotations: a member of a union carries its class name under ``kind`` (a field of that
name is written as ``kind_``); enums are their values; tuples are lists; the special floats are the texts
NaN, +Inf and -Inf; a metric result is written by `rolloutsim.conditions`. It serves observations, actions,
events, states and policies. Reading refuses keys that it does not know.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Union

from rolloutsim.conditions import Result, result_from_json, result_to_json

__all__ = ["from_json", "to_json"]

_RESULTS = frozenset(typing.get_args(Result))
_SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


def to_json(value: object) -> Any:
    """A JSON value for a dataclass of this package (or a tuple, enum or plain value of one).

    A dataclass at the top carries its ``kind``, so that a reader can tell what it is.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return _tagged(value)
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    kind: Any = type(value)
    return _writer(kind)(value)


def from_json(kind: Any, value: Any) -> Any:
    """The inverse of `to_json` for a class or a union of classes.

    Raises
    ------
    ValueError : the value is not such an object: a wrong kind, an unknown or a missing key, a wrong type.
    """
    return _reader(kind)(value)


# --- writing --------------------------------------------------------------------------------------


def _tagged(value: object) -> Any:
    kind: Any = type(value)
    if kind in _RESULTS:
        return {"kind": "Result", "result": result_to_json(typing.cast(Result, value))}
    if isinstance(value, StrEnum):
        return {"kind": kind.__name__, "value": value.value}
    return {"kind": kind.__name__, **_writer(kind)(value)}


@cache
def _writer(kind: Any) -> Callable[[Any], Any]:
    if kind in (int, str, bool, type(None)):
        return _plain
    if kind is float:
        return _write_float
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda value: value.value
    if isinstance(kind, type) and is_dataclass(kind):
        plan = [(_key(name), name, _writer(hint)) for name, hint in _hints(kind).items()]
        return lambda value: {key: write(getattr(value, name)) for key, name, write in plan}
    if typing.get_origin(kind) is tuple:
        return _tuple_writer(typing.get_args(kind))
    if _is_union(kind):
        return _union_writer(_members(kind))
    raise TypeError(f"no JSON form for {kind!r}")


def _plain(value: Any) -> Any:
    return value


def _write_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")


def _tuple_writer(items: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(items) == 2 and items[1] is Ellipsis:
        write = _writer(items[0])
        return lambda value: [write(item) for item in value]
    writers = [_writer(item) for item in items]
    return lambda value: [write(item) for write, item in zip(writers, value, strict=True)]


def _union_writer(members: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(members) == 1:
        write = _writer(members[0])
        return lambda value: None if value is None else write(value)
    objects = tuple(m for m in members if _is_object(m))
    return lambda value: _tagged(value) if isinstance(value, objects) else value


# --- reading --------------------------------------------------------------------------------------


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    if kind in (int, str, bool, type(None)):
        return _plain_reader(kind)
    if kind is float:
        return _read_float
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    if isinstance(kind, type) and is_dataclass(kind):
        return _object_reader(kind)
    if typing.get_origin(kind) is tuple:
        return _tuple_reader(typing.get_args(kind))
    if _is_union(kind):
        return _union_reader(kind)
    raise TypeError(f"no JSON form for {kind!r}")


def _plain_reader(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, got {value!r}")
        return value

    return read


def _read_float(value: Any) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def _object_reader(kind: type) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in _hints(kind).items()}
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object of {kind.__name__}, got {value!r}")
        given = dict(value)
        if given.pop("kind", kind.__name__) != kind.__name__:
            raise ValueError(f"expected {kind.__name__}, got {value['kind']!r}")
        if "kind_" in given:
            given["kind"] = given.pop("kind_")
        if unknown := given.keys() - readers.keys():
            raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        if missing := required - given.keys():
            raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
        return kind(**{name: readers[name](item) for name, item in given.items()})

    return read


def _tuple_reader(items: tuple[Any, ...]) -> Callable[[Any], Any]:
    repeated = len(items) == 2 and items[1] is Ellipsis
    readers = [_reader(items[0])] if repeated else [_reader(item) for item in items]

    def read(value: Any) -> Any:
        if not isinstance(value, list) or not (repeated or len(value) == len(readers)):
            raise ValueError(f"expected a list, got {value!r}")
        if repeated:
            return tuple(readers[0](item) for item in value)
        return tuple(reader(item) for reader, item in zip(readers, value, strict=True))

    return read


def _union_reader(kind: Any) -> Callable[[Any], Any]:
    members = _members(kind)
    optional = type(None) in typing.get_args(kind)
    objects = {m.__name__: m for m in members if _is_object(m) and m not in _RESULTS}
    has_result = any(m in _RESULTS for m in members)
    plain = [m for m in members if not _is_object(m)]

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        if len(members) == 1:
            return _reader(members[0])(value)
        if not isinstance(value, dict):
            if type(value) in plain:
                return value
            raise ValueError(f"unexpected value {value!r}")
        name = value.get("kind")
        if name == "Result" and has_result:
            return result_from_json(value["result"])
        member = objects.get(name) if isinstance(name, str) else None
        if member is None:
            raise ValueError(f"unknown kind {name!r}, expected one of {', '.join(sorted(objects))}")
        if issubclass(member, StrEnum):
            return member(value["value"])
        return _reader(member)(value)

    return read


# --- types ----------------------------------------------------------------------------------------


def _key(name: str) -> str:
    return "kind_" if name == "kind" else name


def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _members(kind: Any) -> tuple[Any, ...]:
    return tuple(m for m in typing.get_args(kind) if m is not type(None))


def _is_object(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, StrEnum))
