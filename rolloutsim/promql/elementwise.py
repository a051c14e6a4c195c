"""Functions of one value at a time: arithmetic, trigonometry and the parts of dates (UTC).

Prometheus 3.5, promql/functions.go. Where Go's mathematics answers with NaN or an infinity, so do these.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["DATE_PARTS", "SIMPLE", "clamp", "clamp_max", "clamp_min", "round_to"]


def _go(function: Callable[[float], float], overflow: Callable[[float], float]) -> Callable[[float], float]:
    """A function with Go's results: NaN outside the domain, ``overflow`` beyond the range."""

    def result(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return math.nan
        except OverflowError:
            return overflow(value)

    return result


def _infinite(value: float) -> float:
    return math.inf


def _signed(value: float) -> float:
    return math.copysign(math.inf, value)


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: -math.inf if value == 0 else math.nan if value < 0 else function(value)


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    """Rounding that leaves infinities, NaN and the sign of zero alone."""
    return lambda value: math.copysign(float(function(value)), value) if math.isfinite(value) else value


def _sign(value: float) -> float:
    return -1.0 if value < 0 else 1.0 if value > 0 else value


def _atanh(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == 1 else _go(math.atanh, _signed)(value)


SIMPLE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "acos": _go(math.acos, _infinite),
    "acosh": _go(math.acosh, _infinite),
    "asin": _go(math.asin, _infinite),
    "asinh": math.asinh,
    "atan": math.atan,
    "atanh": _atanh,
    "ceil": _whole(math.ceil),
    "cos": _go(math.cos, _infinite),
    "cosh": _go(math.cosh, _infinite),
    "deg": lambda value: value * 180 / math.pi,
    "exp": _go(math.exp, _infinite),
    "floor": _whole(math.floor),
    "ln": _logarithm(math.log),
    "log10": _logarithm(math.log10),
    "log2": _logarithm(math.log2),
    "rad": lambda value: value * math.pi / 180,
    "sgn": _sign,
    "sin": _go(math.sin, _infinite),
    "sinh": _go(math.sinh, _signed),
    "sqrt": _go(math.sqrt, _infinite),
    "tan": _go(math.tan, _infinite),
    "tanh": math.tanh,
}
"""Functions of an instant vector alone, by name."""


def round_to(value: float, to: float) -> float:
    """The multiple of ``to`` nearest to a value, halves up."""
    inverse = 1 / to if to else math.copysign(math.inf, to)
    scaled = value * inverse + 0.5
    floor = float(math.floor(scaled)) if math.isfinite(scaled) else scaled
    try:
        return floor / inverse
    except ZeroDivisionError:
        return math.nan if not floor or floor != floor else math.copysign(math.inf, floor)


def clamp(value: float, low: float, high: float) -> float:
    """A value brought between two bounds."""
    return clamp_min(clamp_max(value, high), low)


def clamp_min(value: float, low: float) -> float:
    """Go's math.Max: NaN wins over numbers, +Inf over NaN."""
    if value == math.inf or low == math.inf:
        return math.inf
    if value != value or low != low:
        return math.nan
    return max(value, low)


def clamp_max(value: float, high: float) -> float:
    """Go's math.Min: NaN wins over numbers, −Inf over NaN."""
    if value == -math.inf or high == -math.inf:
        return -math.inf
    if value != value or high != high:
        return math.nan
    return min(value, high)


_INT64 = 2**63
_ABSOLUTE = 9_223_372_028_715_321_600
"""Seconds from the year that Go counts from to 1970: a multiple of a day; sums wrap at 2^64."""


def _seconds(value: float) -> int:
    """A Unix time in whole seconds as Go has it; a float that does not fit is the least integer."""
    fits = -float(_INT64) <= value < float(_INT64)
    unix = int(value) if fits else -_INT64
    return (unix + _ABSOLUTE) % 2**64 - _ABSOLUTE


def _date(value: float) -> tuple[int, int, int]:
    """Year, month and day in the Gregorian calendar (days_to_civil by H. Hinnant)."""
    days = _seconds(value) // 86_400 + 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_length(year: int, month: int) -> int:
    return 28 + _is_leap(year) if month == 2 else 30 if month in (4, 6, 9, 11) else 31


def _day_of_year(value: float) -> int:
    year, month, day = _date(value)
    return sum(_month_length(year, earlier) for earlier in range(1, month)) + day


DATE_PARTS: dict[str, Callable[[float], float]] = {
    "day_of_month": lambda value: float(_date(value)[2]),
    "day_of_week": lambda value: float((_seconds(value) // 86_400 + 4) % 7),
    "day_of_year": lambda value: float(_day_of_year(value)),
    "days_in_month": lambda value: float(_month_length(*_date(value)[:2])),
    "hour": lambda value: float(_seconds(value) // 3600 % 24),
    "minute": lambda value: float(_seconds(value) // 60 % 60),
    "month": lambda value: float(_date(value)[1]),
    "year": lambda value: float(_date(value)[0]),
}
"""Functions of Unix times (s), by name; without an argument they take the evaluation time."""
