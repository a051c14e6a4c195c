"""Numbers as a report writes them: a value and its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["count", "duration", "percent", "with_interval"]

MISSING = "–"


def percent(share: float) -> str:
    """A share as percent, with a decimal where it matters."""
    scaled = 100.0 * share
    plain = scaled in (0.0, 100.0) or 10.0 <= abs(scaled) < 99.0
    return f"{scaled:.0f} %" if plain else f"{scaled:.1f} %"


def count(number: float) -> str:
    """Three digits, with thousands apart."""
    if abs(number) >= 999.5:
        digits = len(str(int(abs(number)))) - 3
        return f"{round(number, -digits):,.0f}".replace(",", "\u202f")
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever is read most easily."""
    for limit, size, unit in ((90.0, 1.0, "s"), (5400.0, 60.0, "min")):
        if abs(seconds) < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:.3g} h"


def with_interval(estimate: Mapping[str, Any] | None, text: Callable[[float], str]) -> str:
    """``12 % (9.1 %–15 %)``; a dash where there is nothing to estimate."""
    if estimate is None or estimate.get("value") is None:
        return MISSING
    value = text(estimate["value"])
    if estimate.get("low") is None or estimate.get("high") is None:
        return value
    low, high = text(estimate["low"]), text(estimate["high"])
    if low == high == value:
        return value
    interval = f"({low}–{high})".replace(" ", "\u00a0").replace("–", "\u2060–\u2060")
    return f"{value} {interval}"
