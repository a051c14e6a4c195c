"""What must be said differently so that `promql_parser` reads it as Prometheus does."""

from __future__ import annotations

import math

import re2

from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.lexer import Token, duration_ms, number, unquote
from rolloutsim.promql.tree import compiled

__all__ = ["OPERATORS", "Rewrite"]

MAX_TIME_MS = 2**63 // 10**6
"""The longest duration there is: Go counts nanoseconds in 64 bits."""

_WORD_OPERATORS = frozenset({"and", "or", "unless", "atan2", "by", "without"})
_MODIFIERS = frozenset({"bool", "on", "ignoring", "group_left", "group_right"})
OPERATORS = _WORD_OPERATORS | _MODIFIERS
"""Words that may stand before a bracket without being functions."""


class Rewrite:
    """A query in a form that `promql_parser` reads as Prometheus does.

    Strings and numbers are written plainly. Offsets and ``@`` times become indices into ``times`` (ms): the
    parser refuses an offset of 0 and fails on a negative time. Patterns become indices into ``patterns``: the
    parser holds them against another dialect than RE2. ``negated`` is the query with each unary plus
    turned into a minus, None without one: the parser forgets unary plus and with it that only numbers and
    vectors can have a sign.
    """

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.times: list[int] = []
        self.patterns: list[str] = []
        self.source = text
        self.edits: list[tuple[int, int, str]] = []
        self.in_range = False
        pluses: list[tuple[int, int, str]] = []
        for index, token in enumerate(tokens):
            if token.kind == "string" and index and tokens[index - 1].text in ("=~", "!~"):
                self.pattern(token)
            elif token.kind == "string":
                self.replace(token, _quoted(unquote(text, token)))
            elif token.kind == "number":
                self.number(tokens, index)
            elif token.word in ("inf", "nan") and (self.in_range or _offset_before(tokens, index)):
                raise self.refused(token, "a duration is needed here")
            elif token.text in ("[", "]"):
                self.in_range = token.text == "["
            elif (
                token.text == "+"
                and not _ends_operand(tokens, index - 1)
                and _is_no_number(tokens, index + 1)
            ):
                pluses.append((token.start, token.end, "-"))
        self.text = _edited(text, self.edits)
        self.negated = _edited(text, self.edits + pluses) if pluses else None

    def replace(self, token: Token, new: str) -> None:
        self.edits.append((token.start, token.end, new))

    def pattern(self, token: Token) -> None:
        """Put a pattern in place of another that alike does or does not fit the empty string."""
        pattern = unquote(self.source, token)
        try:
            fits_nothing = compiled(pattern).fullmatch("") is not None
        except re2.error as error:
            raise self.refused(token, f"this is no RE2 pattern: {error}") from None
        self.patterns.append(pattern)
        self.replace(token, _quoted(f"(p{len(self.patterns) - 1}){'?' if fits_nothing else ''}"))

    def number(self, tokens: list[Token], index: int) -> None:
        """Write a number or a duration as what it stands for where it stands."""
        token = tokens[index]
        length = duration_ms(token.text)
        if length is None:
            raise self.refused(token, "this is neither a number nor a duration")
        sign = 1 if index and tokens[index - 1].text in ("+", "-") else 0
        word = tokens[index - sign - 1] if index > sign else None
        if word is not None and word.text == "@":
            self.at_time(token, tokens[index - 1] if sign else None)
        elif _offset_before(tokens, index):
            self.times.append(self.in_bounds(token, length))
            self.replace(token, f"{len(self.times)}s")
        elif self.in_range:
            days, rest = divmod(self.in_bounds(token, length), 86_400_000)
            self.replace(token, f"{days}d{rest}ms" if days else f"{rest}ms")
        else:
            value = number(token.text)
            self.replace(token, repr(length / 1000 if value is None else value))

    def at_time(self, token: Token, sign: Token | None) -> None:
        """Put an index in place of the time (s) after ``@``."""
        seconds = number(token.text)
        if seconds is None:
            seconds = (duration_ms(token.text) or 0) / 1000
        length = math.floor(seconds * 1000 + 0.5) if seconds < 1e15 else 2**63
        if length >= 2**63:
            raise self.refused(token, "this time is out of range")
        self.times.append(-length if sign is not None and sign.text == "-" else length)
        if sign is not None:
            self.replace(sign, "")
        self.replace(token, str(len(self.times) - 1))

    def in_bounds(self, token: Token, length: int) -> int:
        if length > MAX_TIME_MS:
            raise self.refused(token, "this duration is out of range")
        return length

    def refused(self, token: Token, why: str) -> PromQLError:
        return PromQLError("parse", why, text=self.source, offset=token.start)


def _ends_operand(tokens: list[Token], index: int) -> bool:
    """Whether an operand may end with a token, so that an operator or a modifier follows.

    Keywords are metric names too, where an operand is expected: ``or offset 5m`` is a selector.
    """
    flipped = False
    while index >= 0 and tokens[index].word in _WORD_OPERATORS:
        flipped = not flipped
        index -= 1
    if index < 0 or tokens[index].word in _MODIFIERS:
        return flipped
    ends = tokens[index].kind != "sign" or tokens[index].text in (")", "]", "}")
    return ends is not flipped


def _offset_before(tokens: list[Token], index: int) -> bool:
    """Whether the keyword ``offset``, and perhaps a sign, stands before a token."""
    at = index - 2 if index and tokens[index - 1].text in ("+", "-") else index - 1
    return at > 0 and tokens[at].word == "offset" and _ends_operand(tokens, at - 1)


def _is_no_number(tokens: list[Token], index: int) -> bool:
    return index < len(tokens) and tokens[index].kind != "number"


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, new in sorted(edits):
        parts += (text[at:start], new)
        at = end
    return "".join(parts) + text[at:]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
