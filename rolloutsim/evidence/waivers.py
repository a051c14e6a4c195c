"""Waivers: bars whose verdict is accepted as it is, with a reason that is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rolloutsim.errors import InputError, Position
from rolloutsim.evidence.bars import Bar
from rolloutsim.policy.document import nearest

__all__ = ["Waiver", "read_waiver", "waived"]

_AT = Position("--waive")
_EXAMPLE = "write it as p_detect@err-step-2pp=REASON"


@dataclass(frozen=True, slots=True)
class Waiver:
    """The bars on a quantity in scenarios that match a pattern, and why their verdict is accepted."""

    quantity: str
    pattern: str
    reason: str


def read_waiver(text: str) -> Waiver:
    """A waiver out of ``QUANTITY@SCENARIO=REASON``.

    Raises
    ------
    InputError : a part is missing.
    """
    named, _, reason = text.partition("=")
    quantity, _, pattern = named.partition("@")
    if not quantity.strip() or not pattern.strip():
        raise InputError("a waiver names a quantity and a scenario", at=_AT, value=text, fix=_EXAMPLE)
    if not reason.strip():
        raise InputError("a waiver needs a reason, which is recorded", at=_AT, value=text, fix=_EXAMPLE)
    return Waiver(quantity.strip(), pattern.strip(), reason.strip())


def waived(bars: Sequence[Bar], waivers: Sequence[Waiver]) -> dict[Bar, str]:
    """The reason for each bar that is waived.

    Raises
    ------
    InputError : a waiver that fits no bar: it is stale, or misspelt.
    """
    reasons: dict[Bar, str] = {}
    for waiver in waivers:
        fitting = [
            bar for bar in bars if bar.name == waiver.quantity and fnmatchcase(bar.scenario, waiver.pattern)
        ]
        if not fitting:
            named = f"{waiver.quantity}@{waiver.pattern}"
            known = [f"{bar.name}@{bar.scenario}" for bar in bars]
            fix = nearest(named, known) or "remove it, or add the bar with --require"
            raise InputError("the waiver fits no bar", at=_AT, value=named, fix=fix)
        reasons.update(dict.fromkeys(fitting, waiver.reason))
    return reasons
