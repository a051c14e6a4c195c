"""Numbers as Go has them: 64-bit integers that wrap, and its reading and writing of numbers."""

from __future__ import annotations

import math
import re
from decimal import Decimal

__all__ = ["format_float", "format_json", "parse_float", "parse_int", "to_int64", "wrap"]

MAX_DIGITS = 1000

_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.(?:[0-9]+(?:_[0-9]+)*)?)?|\.[0-9]+(?:_[0-9]+)*)"
    r"(?:[eE][+-]?[0-9]+(?:_[0-9]+)*)?\Z"
)
_HEX = re.compile(r"[+-]?0[xX]_?(?:[0-9a-fA-F_]+\.?[0-9a-fA-F_]*|\.[0-9a-fA-F_]+)[pP][+-]?[0-9]+\Z")
_SPECIAL = re.compile(r"(?:[+-]?(?:inf|infinity)|nan)\Z", re.IGNORECASE)


def wrap(value: int) -> int:
    """An integer reduced to 64 bits in two's complement, as Go's int overflows."""
    if -(2**63) <= value < 2**63:
        return value
    return (value + 2**63) % 2**64 - 2**63


def to_int64(value: float) -> int:
    """Go's ``int64(f)``: toward zero; NaN, infinities and what is out of range give the least integer.

    Go leaves the out-of-range case to the machine; this is what amd64 does.
    """
    if value != value or not -(2.0**63) <= value < 2.0**63:
        return -(2**63)
    return int(value)


def parse_int(text: str) -> int:
    """Go's ``strconv.ParseInt(text, 10, 64)``; ValueError for anything else."""
    if len(text) > 64 or not _INTEGER.match(text):
        raise ValueError(text)
    value = int(text)
    if wrap(value) != value:
        raise ValueError(text)
    return value


def parse_float(text: str) -> float:
    """Go's ``strconv.ParseFloat(text, 64)``; ValueError for anything else, and when it overflows.

    More than 1000 characters are refused too, which Go would read.
    """
    if len(text) > MAX_DIGITS:
        raise ValueError("a number of more than 1000 characters")
    if _SPECIAL.match(text):
        value = float(text)
        return math.nan if value != value else value
    if _DECIMAL.match(text):
        value = float(text)
    elif _HEX.match(text) and "__" not in text:
        try:
            value = float.fromhex(text.replace("_", ""))
        except OverflowError:
            raise ValueError(text) from None
    else:
        raise ValueError(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def format_float(value: float) -> str:
    """Go's ``%v`` of a float: an exponent below 1e-4 and from 1e6 on (strconv's ``g``, shortest)."""
    return _shortest(value, least=-4, upward=6)


def format_json(value: float) -> str:
    """A finite float as Go's ``encoding/json`` writes it: an exponent below 1e-6 and from 1e21 on."""
    return _shortest(value, least=-6, upward=21).replace("e-0", "e-")


def _shortest(value: float, *, least: int, upward: int) -> str:
    """The fewest digits that read back as ``value``; with an exponent unless it is in least..upward-1."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    if not isinstance(exponent, int):
        raise ValueError(value)
    exponent += len(digits) - len(text) if text != "0" else 0
    minus = "-" if sign else ""
    if text == "0":
        return minus + "0"
    point = len(text) + exponent
    if not least <= point - 1 < upward:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{minus}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if point >= len(text):
        return minus + text + "0" * (point - len(text))
    return f"{minus}{text[:point]}.{text[point:]}"
