"""Builtin functions on text and JSON, and ``len``, ``type``, ``string``."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import format_float, format_json
from rolloutsim.conditions.gotime import Duration, Time, Zone
from rolloutsim.conditions.runtime import Frame, Function, Groups, Strings, go_type_name, is_nil, to_int
from rolloutsim.conditions.values import MAX_JSON_DEPTH, MetricData

__all__ = ["FUNCTIONS", "FUNCTIONS_1_15", "text_arguments"]

REPEAT_LIMIT = 1_000_000


def text_arguments(frame: Frame, *values: Any) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise Fault(f"interface conversion: interface {{}} is {go_type_name(value)}, not string")
        frame.text(len(value))
    return values


def length(frame: Frame, value: Any) -> int:
    """Runes of a text, elements of an array, entries of a map."""
    if isinstance(value, str | list | tuple | range | bytes | dict):
        return len(value)
    raise Fault(f"invalid argument for len (type {go_type_name(value)})")


def length_1_15(frame: Frame, value: Any) -> int:
    """As `length`, but bytes of a text."""
    if isinstance(value, str):
        frame.text(len(value))
        return len(value.encode("utf-8", "surrogateescape"))
    return length(frame, value)


def type_name(frame: Frame, value: Any) -> str:
    match value:
        case None:
            return "nil"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case dict():
            return "map"
        case list() | tuple() | range() | bytes():
            return "array"
        case Time():
            return "time.Time"
        case Duration():
            return "time.Duration"
        case Zone():
            return "time.Location"
        case MetricData():
            return "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types.MetricDataResult"
    return "func"


def string(frame: Frame, value: Any) -> str:
    """Go's ``%v``."""
    parts: list[str] = []
    _print(frame, value, parts)
    text = "".join(parts)
    frame.text(len(text))
    return text


def _print(frame: Frame, value: Any, parts: list[str]) -> None:
    frame.spend(1)
    match value:
        case None:
            parts.append("<nil>")
        case bool():
            parts.append("true" if value else "false")
        case float():
            parts.append(format_float(value))
        case str():
            frame.text(len(value))
            parts.append(value)
        case dict():
            parts.append("map[")
            for position, key in enumerate(sorted(value, key=repr)):
                parts.append(" " if position else "")
                name, item = value[key] if isinstance(value, Groups) else (key, value[key])
                _print(frame, name, parts)
                parts.append(":")
                _print(frame, item, parts)
            parts.append("]")
        case list() | tuple() | range() | bytes():
            parts.append("[")
            for position, item in enumerate(value):
                parts.append(" " if position else "")
                _print(frame, item, parts)
            parts.append("]")
        case Function():
            raise Fault("the text of a function is an address, which is not modelled")
        case _:
            parts.append(str(value))


def trim(frame: Frame, value: Any, cutset: Any = None) -> str:
    (text,) = text_arguments(frame, value)
    if cutset is None:
        return text.strip()
    (chars,) = text_arguments(frame, cutset)
    return text.strip(chars) if chars else text


def trim_prefix(frame: Frame, value: Any, prefix: Any = " ") -> str:
    text, start = text_arguments(frame, value, prefix)
    return text.removeprefix(start)


def trim_suffix(frame: Frame, value: Any, suffix: Any = " ") -> str:
    text, end = text_arguments(frame, value, suffix)
    return text.removesuffix(end)


def upper(frame: Frame, value: Any) -> str:
    """By single characters, as Go does it: ß stays."""
    (text,) = text_arguments(frame, value)
    return text.upper() if text.isascii() else _by_character(frame, text, str.upper)


def lower(frame: Frame, value: Any) -> str:
    (text,) = text_arguments(frame, value)
    return text.lower() if text.isascii() else _by_character(frame, text, str.lower)


def _by_character(frame: Frame, text: str, change: Callable[[str], str]) -> str:
    frame.spend(len(text))
    changed = ((char, change(char)) for char in text)
    return "".join([new if len(new) == 1 else char for char, new in changed])


def _split(frame: Frame, value: Any, separator: Any, count: Any, *, keep: bool) -> Strings:
    text, mark = text_arguments(frame, value, separator)
    limit = -1 if count is None else to_int(count)
    if limit == 0:
        return Strings()
    parts = list(text) if not mark else text.split(mark)
    frame.spend(len(parts))
    if limit > 0 and len(parts) > limit:
        parts = [*parts[: limit - 1], mark.join(parts[limit - 1 :])]
    if keep and mark:
        parts = [part + mark for part in parts[:-1]] + parts[-1:]
    return Strings(parts)


def split(frame: Frame, value: Any, separator: Any, count: Any = None) -> Strings:
    return _split(frame, value, separator, count, keep=False)


def split_after(frame: Frame, value: Any, separator: Any, count: Any = None) -> Strings:
    return _split(frame, value, separator, count, keep=True)


def replace(frame: Frame, value: Any, old: Any, new: Any, count: Any = None) -> str:
    text, before, after = text_arguments(frame, value, old, new)
    limit = -1 if count is None else to_int(count)
    found = text.count(before)
    if limit >= 0:
        found = min(found, limit)
    frame.text(len(text) + found * max(0, len(after) - len(before)))
    return text.replace(before, after, found)


def repeat(frame: Frame, value: Any, count: Any) -> str:
    (text,) = text_arguments(frame, value)
    times = to_int(count)
    if times < 0:
        raise Fault(f"invalid argument for repeat (expected positive integer, got {times})")
    if times > REPEAT_LIMIT:
        raise Fault("memory budget exceeded")
    frame.grow(len(text) * times)
    return text * times


def repeat_1_15(frame: Frame, value: Any, count: Any) -> str:
    (text,) = text_arguments(frame, value)
    times = to_int(count)
    if times > REPEAT_LIMIT:
        raise Fault("memory budget exceeded")
    if times < 0:
        raise Fault("strings: negative Repeat count")
    frame.text(len(text) * times)
    return text * times


def join(frame: Frame, value: Any, glue: Any = "") -> str:
    (mark,) = text_arguments(frame, glue)
    if not isinstance(value, list | Strings):
        raise Fault(f"invalid argument for join (type {go_type_name(value)})")
    parts = text_arguments(frame, *value)
    frame.text(sum(map(len, parts)) + len(mark) * len(parts))
    return mark.join(parts)


def _byte_position(text: str, position: int) -> int:
    return position if position < 0 else len(text[:position].encode("utf-8", "surrogateescape"))


def index_of(frame: Frame, value: Any, part: Any) -> int:
    text, wanted = text_arguments(frame, value, part)
    return _byte_position(text, text.find(wanted))


def last_index_of(frame: Frame, value: Any, part: Any) -> int:
    text, wanted = text_arguments(frame, value, part)
    return _byte_position(text, text.rfind(wanted))


def has_prefix(frame: Frame, value: Any, prefix: Any) -> bool:
    text, start = text_arguments(frame, value, prefix)
    return text.startswith(start)


def has_suffix(frame: Frame, value: Any, suffix: Any) -> bool:
    text, end = text_arguments(frame, value, suffix)
    return text.endswith(end)


def to_json(frame: Frame, value: Any) -> str:
    """Go's ``json.MarshalIndent`` with two blanks."""
    parts: list[str] = []
    _marshal(frame, value, "\n", parts)
    text = "".join(parts)
    frame.text(len(text))
    return text


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    for char, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        quoted = quoted.replace(char, escape)
    return quoted.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _marshal(frame: Frame, value: Any, indent: str, parts: list[str]) -> None:
    frame.spend(1)
    match value:
        case str():
            frame.text(len(value))
            parts.append(_quoted(value))
        case bool():
            parts.append("true" if value else "false")
        case int():
            parts.append(str(value))
        case float():
            if not math.isfinite(value):
                raise Fault(f"json: unsupported value: {format_float(value)}")
            parts.append(format_json(value))
        case bytes():
            parts.append(_quoted(base64.b64encode(value).decode()))
        case Duration():
            parts.append(str(value.ns))
        case Groups():
            raise Fault("json: unsupported type: map[interface {}][]interface {}")
        case dict():
            items = [(f"{_quoted(key)}: ", value[key]) for key in sorted(value)]
            _marshal_items(frame, items, "{}", indent, parts)
        case _ if is_nil(value):
            parts.append("null")
        case list() | tuple() | range():
            _marshal_items(frame, [("", item) for item in value], "[]", indent, parts)
        case _:
            raise Fault(f"json: unsupported type: {go_type_name(value)}")


def _marshal_items(
    frame: Frame, items: list[tuple[str, Any]], brackets: str, indent: str, parts: list[str]
) -> None:
    if not items:
        parts.append(brackets)
        return
    inner = indent + "  "
    parts.append(brackets[0])
    for position, (name, item) in enumerate(items):
        parts.append(("," if position else "") + inner + name)
        frame.text(len(inner))
        _marshal(frame, item, inner, parts)
    parts.append(indent + brackets[1])


def _refused_constant(name: str) -> float:
    raise ValueError(name)


def from_json(frame: Frame, value: Any) -> Any:
    (text,) = text_arguments(frame, value)
    try:
        data = json.loads(text, parse_int=float, parse_constant=_refused_constant)
    except (ValueError, RecursionError):
        raise Fault("invalid JSON") from None
    _refuse_overflow(frame, data, MAX_JSON_DEPTH)
    return data


def _refuse_overflow(frame: Frame, data: Any, depth: int) -> None:
    frame.spend(1)
    if depth <= 0:
        raise Fault("the JSON is nested too deeply")
    if isinstance(data, float) and not math.isfinite(data):
        raise Fault("json: cannot unmarshal number into Go value of type float64")
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        _refuse_overflow(frame, item, depth - 1)


def to_base64(frame: Frame, value: Any) -> str:
    (text,) = text_arguments(frame, value)
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def from_base64(frame: Frame, value: Any) -> str:
    (text,) = text_arguments(frame, value)
    try:
        data = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Fault("illegal base64 data") from None
    return data.decode("utf-8", "surrogateescape")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": length,
    "type": type_name,
    "string": string,
    "trim": trim,
    "trimPrefix": trim_prefix,
    "trimSuffix": trim_suffix,
    "upper": upper,
    "lower": lower,
    "split": split,
    "splitAfter": split_after,
    "replace": replace,
    "repeat": repeat,
    "join": join,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "hasPrefix": has_prefix,
    "hasSuffix": has_suffix,
    "toJSON": to_json,
    "fromJSON": from_json,
    "toBase64": to_base64,
    "fromBase64": from_base64,
}
FUNCTIONS_1_15: dict[str, Callable[..., Any]] = FUNCTIONS | {"len": length_1_15, "repeat": repeat_1_15}
