"""Single values of a scenario file: durations, rates, shares, choices; from a YAML scalar to a number.

A duration is written as in Go (``15s``, ``1h30m``, ``250ms``) or as plain seconds. A share is written in
percent (``2%``) or as a number below 1 (``0.02``); a weight is in percent with or without the sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from rolloutsim.policy.document import nearest
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.yaml_source import Scalar

__all__ = [
    "MAX_RATE_RPS",
    "UnfitValue",
    "at_least",
    "choice",
    "duration_ms",
    "flag",
    "metadata_name",
    "number",
    "percent",
    "positive",
    "positive_ms",
    "probability",
    "rate_rps",
    "seconds",
    "share",
    "text",
    "time_ms",
]

MAX_RATE_RPS = 1e9
MAX_DURATION_MS = 10 * 365 * 86_400_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_PERCENT = re.compile(r"\s*([-+]?[0-9]*\.?[0-9]+)\s*%\s*")


class UnfitValue(ValueError):
    """A value that does not fit its field: what is wrong, and what to do about it."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


def number(value: Scalar) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        fix = "remove the quotes" if isinstance(value, str) and _is_number(value) else ""
        raise UnfitValue("expected a number", fix)
    if not math.isfinite(value):
        raise UnfitValue("expected a finite number")
    return float(value)


def positive(value: Scalar) -> float:
    """A finite number above 0."""
    found = number(value)
    if found <= 0.0:
        raise UnfitValue("expected a number above 0")
    return found


def at_least(least: float) -> Callable[[Scalar], float]:
    """Reads a finite number that is not below ``least``."""

    def read(value: Scalar) -> float:
        found = number(value)
        if found < least:
            raise UnfitValue(f"expected a number that is at least {least:g}")
        return found

    return read


def rate_rps(value: Scalar) -> float:
    """Requests per second; 0 is legal."""
    found = number(value)
    if found < 0.0:
        raise UnfitValue("a rate cannot be negative", "give requests per second, 0 for no traffic")
    if found > MAX_RATE_RPS:
        raise UnfitValue(f"a rate is at most {MAX_RATE_RPS:g} requests per second")
    return found


def share(value: Scalar) -> float:
    """A share of all requests, pods or time: 0 to 1, written ``2%`` or ``0.02``."""
    in_percent = _percentage(value)
    if in_percent is not None:
        return _within(float(in_percent / 100), 1.0, "a share lies between 0% and 100%")
    found = number(value)
    if found >= 1.0:
        raise UnfitValue("a share of 1 or more is ambiguous", f"write {found:g}% if percent is meant")
    return _within(found, 1.0, "a share lies between 0% and 100%")


def probability(value: Scalar) -> float:
    """A probability, 0 to 1, written ``0.9`` or ``90%``."""
    in_percent = _percentage(value)
    found = number(value) if in_percent is None else float(in_percent / 100)
    return _within(found, 1.0, "a probability lies between 0 and 1")


def percent(value: Scalar) -> float:
    """A weight in percent, 0 to 100, written ``20`` or ``20%``."""
    in_percent = _percentage(value)
    weight = number(value) if in_percent is None else float(in_percent)
    if in_percent is None and 0.0 < weight < 1.0:
        raise UnfitValue(
            "a weight below 1 without the percent sign is ambiguous",
            f"write {weight:g}% or {weight * 100:g}%",
        )
    return _within(weight, 100.0, "a weight lies between 0 and 100 percent")


def time_ms(value: Scalar) -> int:
    """A time relative to the release in whole milliseconds; may be negative."""
    nanoseconds = _nanoseconds(value)
    if nanoseconds % 1_000_000:
        raise UnfitValue("times are whole milliseconds")
    found = nanoseconds // 1_000_000
    if abs(found) > MAX_DURATION_MS:
        raise UnfitValue("the duration is longer than ten years", "plain numbers are seconds: write 250ms")
    return found


def duration_ms(value: Scalar) -> int:
    """A duration in whole milliseconds, not negative."""
    found = time_ms(value)
    if found < 0:
        raise UnfitValue("a duration cannot be negative")
    return found


def positive_ms(value: Scalar) -> int:
    """A duration in whole milliseconds, above 0."""
    found = duration_ms(value)
    if found == 0:
        raise UnfitValue("expected a duration above 0")
    return found


def seconds(value: Scalar) -> float:
    """A duration above 0 in seconds, parts of a millisecond included."""
    found = _nanoseconds(value) / 1e9
    if found <= 0.0:
        raise UnfitValue("expected a duration above 0")
    return found


def flag(value: Scalar) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise UnfitValue("expected true or false")
    return value


def text(value: Scalar) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        raise UnfitValue("expected text", f'put it in quotes: "{value}"')
    if not value:
        raise UnfitValue("expected text that is not empty")
    return value


def metadata_name(value: Scalar) -> str:
    """A name as objects of Kubernetes have it: letters, digits, ``-``, ``.`` and ``_``."""
    found = text(value)
    if not _NAME.fullmatch(found):
        raise UnfitValue(
            "a name has only letters, digits, '-', '.' and '_', and begins with a letter or digit"
        )
    return found


def choice(*options: str) -> Callable[[Scalar], str]:
    """Reads one of these words."""
    words = [str(option) for option in options]

    def read(value: Scalar) -> str:
        if isinstance(value, str) and value in words:
            return value
        near = nearest(value, words) if isinstance(value, str) else ""
        raise UnfitValue("expected one of " + ", ".join(words), near)

    return read


def _percentage(value: Scalar) -> Decimal | None:
    """2 for ``2%``; None for anything that is not text."""
    if not isinstance(value, str):
        return None
    match = _PERCENT.fullmatch(value)
    if match is None:
        raise UnfitValue("expected a percentage such as 2%, or a number")
    return Decimal(match.group(1))


def _within(found: float, most: float, why: str) -> float:
    if not 0.0 <= found <= most:
        raise UnfitValue(why)
    return found


def _nanoseconds(value: Scalar) -> int:
    if isinstance(value, str):
        try:
            return go_duration_ns(value)
        except ValueError as error:
            raise UnfitValue(
                "expected a duration", "write it as 15s, 1h30m or 250ms, or as plain seconds"
            ) from error
    exact = Decimal(repr(number(value))) * 1_000_000_000
    return int(exact.to_integral_value())


def _is_number(value: str) -> bool:
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False
