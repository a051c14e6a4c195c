"""Numbers in the sentences of findings."""

from __future__ import annotations

__all__ = ["duration", "ordinal", "percent"]

_UNITS = (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def duration(milliseconds: int) -> str:
    """``1h30m``, ``2m``, ``0s``."""
    text = ""
    for unit, size in _UNITS:
        count, milliseconds = divmod(milliseconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``11th``."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def percent(share: float) -> str:
    """``9.1 %``, ``25 %`` for a share of 100."""
    return f"{share:.3g} %"
