"""Builtin functions on times. The current time is what the caller of an evaluation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rolloutsim.conditions.builtins_text import text_arguments
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gotime import (
    DATE_LAYOUTS,
    Duration,
    Time,
    Zone,
    load_zone,
    parse_duration,
    parse_time,
)
from rolloutsim.conditions.runtime import Frame

__all__ = ["FUNCTIONS"]


def now(frame: Frame, zone: Any = None) -> Time:
    """The time that the caller of the evaluation gave."""
    moment = Time(frame.now_ms * 1_000_000)
    return Time(moment.ns, zone.info) if isinstance(zone, Zone) else moment


def duration(frame: Frame, value: Any) -> Duration:
    (text,) = text_arguments(frame, value)
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Fault(str(error)) from None


def timezone(frame: Frame, value: Any) -> Zone:
    (text,) = text_arguments(frame, value)
    try:
        return load_zone(text)
    except ValueError as error:
        raise Fault(str(error)) from None


def date(frame: Frame, *values: Any) -> Time:
    """``date([zone,] text[, layout[, zone name]])``."""
    zone = values[0] if values and isinstance(values[0], Zone) else None
    rest = text_arguments(frame, *(values[1:] if zone else values))
    frame.spend(200)
    if not rest:
        raise Fault("invalid number of arguments (expected at least 1, got 0)")
    if len(rest) == 3:
        zone = timezone(frame, rest[2])
    if len(rest) > 1:
        return _parsed(rest[1], rest[0], zone)
    for layout in DATE_LAYOUTS:
        try:
            return parse_time(layout, rest[0], zone)
        except (ValueError, OverflowError):
            continue
    raise Fault(f"invalid date {rest[0][:60]}")


def _parsed(layout: str, text: str, zone: Zone | None) -> Time:
    try:
        return parse_time(layout, text, zone)
    except (ValueError, OverflowError) as error:
        raise Fault(str(error)) from None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "now": now,
    "duration": duration,
    "timezone": timezone,
    "date": date,
}
