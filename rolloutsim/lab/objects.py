"""Kubernetes objects as plain JSON values, and the few things everybody does with them."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Object", "copied", "label", "metadata", "same_content", "time_text", "wall_ms"]

Object = dict[str, Any]
"""A Kubernetes object, or a part of one: what ``json.loads`` gives."""


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def metadata(thing: Object) -> Object:
    """The metadata of an object, made if it has none."""
    found = thing.get("metadata")
    if not isinstance(found, dict):
        found = thing["metadata"] = {}
    return found


def label(thing: Object, name: str) -> str | None:
    """The value of a label, or None."""
    found: str | None = ((thing.get("metadata") or {}).get("labels") or {}).get(name)
    return found


def same_content(one: Object, other: Object) -> bool:
    """Whether two states of an object differ only in what the server itself keeps about writes."""
    kept = ("managedFields", "resourceVersion")
    return _without(one, kept) == _without(other, kept)


def _without(thing: Object, names: tuple[str, ...]) -> Object:
    meta = {name: value for name, value in (thing.get("metadata") or {}).items() if name not in names}
    return {**thing, "metadata": meta}


def time_text(at_ms: int, *, micro: bool = False) -> str:
    """RFC 3339 in UTC: whole seconds as ``metav1.Time``, or microseconds as ``metav1.MicroTime``."""
    seconds, rest_ms = divmod(at_ms, 1000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{rest_ms:03}000Z" if micro else f"{text}Z"


def wall_ms() -> int:
    """Milliseconds since 1970: the emulator's clock unless it is given another."""
    return time.time_ns() // 1_000_000  # noqa: TID251
