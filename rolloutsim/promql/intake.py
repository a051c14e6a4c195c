"""Samples on their way into a store, one at a time, and the texts of their values and times."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rolloutsim.errors import InputError
from rolloutsim.promql.labels import LabelSet, label_set
from rolloutsim.promql.store import STALE_NAN, SeriesStore, is_stale

__all__ = ["Intake", "rfc3339_ms", "rfc3339_text", "sample_records", "seconds_ms", "value_of", "value_text"]

FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999: later times are milliseconds that were taken for seconds."""

_VALUE = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.I | re.ASCII
)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


class Intake:
    """Gathers samples series by series, in any order of series, and makes a store of them.

    The times of a series increase, as Prometheus demands it of what it ingests: the same sample again is
    ignored, another value at the same time is refused, and so is an earlier time. NaN is a value.
    """

    def __init__(self) -> None:
        self._parts: dict[LabelSet, tuple[list[int], list[float]]] = {}

    def add(self, labels: Mapping[str, str], at_ms: int, value: float) -> None:
        """Add one sample. Raises ValueError with the reason, as a clause, if it is refused."""
        times, values = self._parts.setdefault(label_set(labels), ([], []))
        if times and at_ms <= times[-1]:
            if at_ms < times[-1]:
                raise ValueError(
                    f"the sample at {at_ms} ms is out of order: its series has one at {times[-1]} ms already"
                )
            if struct.pack("<d", value) != struct.pack("<d", values[-1]):
                both = f"{value_text(values[-1])} and {value_text(value)}"
                raise ValueError(f"its series has two values at {at_ms} ms: {both}")
            return
        times.append(at_ms)
        values.append(value)

    def store(self) -> SeriesStore:
        """A store of all samples so far."""
        return SeriesStore.from_series(
            (dict(labels), times, values) for labels, (times, values) in self._parts.items()
        )


def sample_records(records: Iterable[Mapping[str, Any]]) -> SeriesStore:
    """A store of the ``sample`` records of a trace.

    Values are numbers or the texts NaN, +Inf, -Inf and StaleNaN, the end of a series. Raises InputError for
    a record that is no sample or that Prometheus would not ingest, by its number among these records.
    """
    intake = Intake()
    for number, record in enumerate(records, start=1):
        try:
            labels, at_ms, value = record["labels"], record["at"], record["value"]
            if type(at_ms) is not int or not isinstance(labels, dict):
                raise ValueError("its time is not an integer (ms) or its labels are not an object")
            intake.add(labels, at_ms, value_of(value) if isinstance(value, str) else float(value))
        except (KeyError, TypeError, ValueError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"sample {number} of the trace cannot be used: {why}") from None
    return intake.store()


def value_of(text: str) -> float:
    """A sample value as Prometheus and this package write it: a decimal number, NaN, ±Inf, StaleNaN.

    Raises ValueError with the reason.
    """
    if text == "StaleNaN":
        return STALE_NAN
    if _VALUE.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text)


def value_text(value: float) -> str:
    """The shortest text that is read as the same value, as Prometheus' API writes it.

    Plain decimals between 1e-6 and 1e21 (Prometheus, util/jsonutil/marshal.go), else an exponent of at least
    two digits. A stale marker is written as NaN.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    digits, _, exponent = f"{value!r}".partition("e")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = _plain(digits, int(exponent)) if exponent else digits
        return text.removesuffix(".0")
    return f"{digits.removesuffix('.0')}e{exponent[0]}{exponent[1:].zfill(2)}"


def _plain(digits: str, exponent: int) -> str:
    """``d.ddd`` times a power of ten, without an exponent."""
    sign, body = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, _, fraction = body.partition(".")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{whole}{fraction}"
    return sign + whole + fraction.ljust(exponent, "0")


def seconds_ms(text: str) -> int:
    """Milliseconds since the epoch of a decimal number of Unix seconds, rounded. Raises ValueError."""
    seconds = value_of(text)
    if not math.isfinite(seconds) or is_stale(seconds):
        raise ValueError(f"{text[:40]!r} is not a time")
    if not FIRST_S <= seconds <= LAST_S:
        raise ValueError(f"{text[:40]} s is not in the years 1 to 9999; are these milliseconds?")
    return round(seconds * 1000)


def rfc3339_ms(text: str) -> int | None:
    """Milliseconds since the epoch of an RFC 3339 time, None if it is none; finer digits are cut off."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
    except ValueError:
        return None
    return int(whole.timestamp()) * 1000 + int(((fraction or ".0")[1:] + "000")[:3])


def rfc3339_text(at_ms: int) -> str:
    """A time in UTC, with three decimals where it is no whole second."""
    seconds, rest = divmod(at_ms, 1000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'.{rest:03d}' if rest else ''}Z"
