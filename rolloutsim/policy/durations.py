"""Durations as manifests write them: ``5m``, ``1h30m``, ``30``."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["go_duration_ns", "pause_seconds"]

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_MAX_NS = 2**63 - 1
_INT32 = 2**31


def go_duration_ns(text: str) -> int:
    """Nanoseconds of a Go duration (``time.ParseDuration``): signed decimal numbers, each with a unit.

    Raises
    ------
    ValueError : the text is no duration; the message is Go's.
    """
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text[1:] if text[:1] == "+" else text)
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        match = _PART.match(rest)
        if match is None or not (match.group(1) or match.group(2)):
            raise ValueError(f'time: invalid duration "{text}"')
        whole, fraction, unit = match.group(1), match.group(2) or "", match.group(3)
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        scale = _UNITS_NS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
        if total > _MAX_NS:
            raise ValueError(f'time: invalid duration "{text}"')
        rest = rest[match.end() :]
    return sign * total


def pause_seconds(pause: Mapping[str, object]) -> int:
    """Seconds of a pause step's body; 0 without a duration, -1 when it cannot be read.

    Argo Rollouts, ``RolloutPause.DurationSeconds``: an integer, or text with an integer, is seconds; any
    other text is a Go duration cut to whole seconds.
    """
    duration = pause.get("duration")
    if duration is None:
        return 0
    if isinstance(duration, int):
        return duration
    text = str(duration)
    if _INTEGER.fullmatch(text) and len(text) < 20 and -_INT32 <= int(text) < _INT32:
        return int(text)
    try:
        nanoseconds = go_duration_ns(text)
    except ValueError:
        return -1
    seconds = abs(nanoseconds) // 1_000_000_000
    if seconds >= _INT32:
        return -_INT32  # what the conversion to 32 bits gives on amd64
    return seconds if nanoseconds >= 0 else -seconds
