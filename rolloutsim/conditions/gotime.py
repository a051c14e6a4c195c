"""Go's times, durations and locations: reading them, arithmetic and the methods that conditions use.

Source: Go's package time (ParseDuration, Parse, LoadLocation). No clock is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import re2

__all__ = ["DATE_LAYOUTS", "Duration", "Time", "Zone", "load_zone", "parse_duration", "parse_time"]

_NS_PER = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zµμ]+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DATE_LAYOUTS = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)
"""What ``date(text)`` tries, in order."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A ``*time.Location``."""

    name: str
    info: tzinfo


@dataclass(frozen=True, slots=True)
class Duration:
    """A ``time.Duration`` in nanoseconds."""

    ns: int

    def method(self, name: str) -> float | int | str | None:
        """The value of a method without arguments; None when there is no such method."""
        match name:
            case "Hours":
                return self.ns / _NS_PER["h"]
            case "Minutes":
                return self.ns / _NS_PER["m"]
            case "Seconds":
                return self.ns / _NS_PER["s"]
            case "Milliseconds":
                return _toward_zero(self.ns, 1_000_000)
            case "Microseconds":
                return _toward_zero(self.ns, 1_000)
            case "Nanoseconds":
                return self.ns
            case "String":
                return str(self)
        return None

    def __str__(self) -> str:
        if self.ns == 0:
            return "0s"
        sign, rest = ("-", -self.ns) if self.ns < 0 else ("", self.ns)
        for limit, unit in ((1_000, "ns"), (1_000_000, "µs"), (1_000_000_000, "ms")):
            if rest < limit:
                return f"{sign}{_decimal(rest, limit // 1_000)}{unit}"
        minutes, seconds = divmod(rest, _NS_PER["m"])
        text = f"{_decimal(seconds, _NS_PER['s'])}s"
        hours, minutes = divmod(minutes, 60)
        if hours or minutes:
            text = f"{minutes}m{text}"
        return sign + (f"{hours}h{text}" if hours else text)


@dataclass(frozen=True, slots=True)
class Time:
    """A ``time.Time``: an instant in nanoseconds since 1970, and where it is read."""

    ns: int
    zone: tzinfo = UTC

    def plus(self, ns: int) -> Time:
        """The instant ``ns`` later."""
        return Time(self.ns + ns, self.zone)

    def _local(self) -> datetime:
        return (_EPOCH + timedelta(microseconds=self.ns // 1_000)).astimezone(self.zone)

    def method(self, name: str) -> int | bool | None:
        """The value of a method without arguments; None when there is none, or it is not modelled."""
        match name:
            case "Unix":
                return self.ns // 1_000_000_000
            case "UnixMilli":
                return self.ns // 1_000_000
            case "UnixMicro":
                return self.ns // 1_000
            case "UnixNano":
                return self.ns
            case "Year":
                return self._local().year
            case "Day":
                return self._local().day
            case "Hour":
                return self._local().hour
            case "Minute":
                return self._local().minute
            case "Second":
                return self._local().second
            case "Nanosecond":
                return self.ns % 1_000_000_000
            case "YearDay":
                return self._local().timetuple().tm_yday
            case "IsZero":
                return self.ns == -62_135_596_800_000_000_000
        return None

    def __str__(self) -> str:
        try:
            return self._local().strftime("%Y-%m-%d %H:%M:%S %z %Z")
        except (OverflowError, ValueError):
            return f"{self.ns}ns"


def _toward_zero(value: int, unit: int) -> int:
    return value // unit if value >= 0 else -(-value // unit)


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def parse_duration(text: str) -> Duration:
    """Go's ``time.ParseDuration``; ValueError for anything else."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return Duration(0)
    total = 0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or part.group(2) not in _NS_PER or len(part.group(1)) > 40:
            raise ValueError(f'time: invalid duration "{text[:60]}"')
        unit = _NS_PER[part.group(2)]
        whole, _, fraction = part.group(1).partition(".")
        total += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        position = part.end()
    if not rest or total >= 2**63:
        raise ValueError(f'time: invalid duration "{text[:60]}"')
    return Duration(-total if text[0] == "-" else total)


def load_zone(name: str) -> Zone:
    """Go's ``time.LoadLocation``; ValueError for an unknown name. ``Local`` is read as UTC."""
    if name in ("", "UTC", "Local"):
        return Zone("UTC", UTC)
    try:
        return Zone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name[:60]}") from None


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|[.,]0+|[.,]9+|15|01|02|03|04|05|06|PM|pm|_2"
    r"|1|2|3|4|5"
)
_NUMBER_FIELDS = {
    "2006": ("year", r"\d{4}"),
    "06": ("short_year", r"\d{2}"),
    "01": ("month", r"\d{2}"),
    "1": ("month", r"\d{1,2}"),
    "02": ("day", r"\d{2}"),
    "_2": ("day", r"[ \d]?\d"),
    "2": ("day", r"\d{1,2}"),
    "15": ("hour", r"\d{1,2}"),
    "03": ("half_day_hour", r"\d{2}"),
    "3": ("half_day_hour", r"\d{1,2}"),
    "04": ("minute", r"\d{2}"),
    "4": ("minute", r"\d{1,2}"),
    "05": ("second", r"\d{2}"),
    "5": ("second", r"\d{1,2}"),
}


def _layout_pattern(layout: str) -> Any:
    """A pattern for a Go layout, for RE2: its time is linear whatever the layout."""
    parts: list[str] = []
    position = 0
    seen: set[str] = set()

    def group(name: str, pattern: str) -> str:
        if name in seen:
            return f"(?:{pattern})"
        seen.add(name)
        return f"(?P<{name}>{pattern})"

    for token in _LAYOUT.finditer(layout):
        parts.append(re.escape(layout[position : token.start()]))
        position = token.end()
        text = token.group()
        if text in _NUMBER_FIELDS:
            name, pattern = _NUMBER_FIELDS[text]
            parts.append(group(name, pattern))
            if name == "second" and not layout[position:].startswith((".", ",")):
                # A fraction behind the seconds is read even where the layout has none.
                parts.append(group("fraction", r"(?:[.,]\d{1,9})?"))
        elif text in ("January", "Jan"):
            names = _MONTHS if text == "January" else [month[:3] for month in _MONTHS]
            parts.append(group("month_name", "|".join(names)))
        elif text in ("Monday", "Mon"):
            names = _DAYS if text == "Monday" else [day[:3] for day in _DAYS]
            parts.append(group("day_name", "|".join(names)))
        elif text in ("PM", "pm"):
            parts.append(group("half", "AM|PM" if text == "PM" else "am|pm"))
        elif text == "MST":
            parts.append(group("zone_name", r"[A-Z]{3,4}"))
        elif text[0] in ".,":
            parts.append(
                group("fraction", rf"[.,]\d{{{len(text) - 1}}}" if "0" in text else r"(?:[.,]\d{1,9})?")
            )
        else:
            sign = r"[+-]\d{2}" if text.endswith("07") else r"[+-]\d{2}:?\d{2}"
            parts.append(group("offset", f"Z|{sign}" if text[0] == "Z" else sign))
    parts.append(re.escape(layout[position:]))
    return re2.compile("(?i)" + "".join(parts) + r"\z")


def parse_time(layout: str, text: str, zone: Zone | None = None) -> Time:
    """Go's ``time.Parse``, or ``time.ParseInLocation`` with ``zone``; ValueError when it does not fit."""
    if len(layout) > 200 or len(text) > 200:
        raise ValueError("time: the text is too long")
    match = _layout_pattern(layout).match(text)
    if match is None:
        raise ValueError(f'parsing time "{text[:60]}" as "{layout[:60]}"')
    fields = match.groupdict()
    default: tzinfo = zone.info if zone is not None else UTC
    year, month, day = _year(fields), _month(fields), int(fields.get("day") or 1)
    hour = int(fields.get("hour") or 0)
    if fields.get("half_day_hour"):
        hour = int(fields["half_day_hour"]) % 12 + (12 if (fields.get("half") or "").upper() == "PM" else 0)
    offset = _offset(fields.get("offset")) or default
    fraction = (fields.get("fraction") or "")[1:]
    extra_ns = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    if year == 0:
        # Year 0 exists in Go and not here: read it in year 400 of the same calendar and step back.
        moment = datetime(400, month, day, hour, *_clock(fields), tzinfo=offset)
        days = -146_097
    else:
        moment = datetime(year, month, day, hour, *_clock(fields), tzinfo=offset)
        days = 0
    since = moment.astimezone(UTC) - _EPOCH
    seconds = (since.days + days) * 86_400 + since.seconds
    return Time(seconds * 1_000_000_000 + extra_ns, offset)


def _clock(fields: dict[str, str | None]) -> tuple[int, int]:
    return int(fields.get("minute") or 0), int(fields.get("second") or 0)


def _year(fields: dict[str, str | None]) -> int:
    if fields.get("year"):
        return int(fields["year"] or 0)
    short = fields.get("short_year")
    if short is None:
        return 0
    return int(short) + (1900 if int(short) >= 69 else 2000)


def _month(fields: dict[str, str | None]) -> int:
    name = fields.get("month_name")
    if name:
        return [month[:3].lower() for month in _MONTHS].index(name[:3].lower()) + 1
    return int(fields.get("month") or 1)


def _offset(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text in ("Z", "z"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
