"""Tokens of a query, with their places: what the grammar's parser does not tell, and what it needs mended.

The lexical rules are those of Prometheus 3.5 (promql/parser/lex.go, util/strutil/quote.go).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from rolloutsim.promql.errors import PromQLError

__all__ = ["Token", "duration_ms", "number", "tokenize", "unquote"]

MAX_TOKENS = 5_000
MAX_DEPTH = 60

Kind = Literal["string", "number", "name", "sign"]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
    |(?P<string>["'`])
    |(?P<number>(?:0[xX][0-9a-fA-F_]*|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*)?|
        \.[0-9][0-9_]*(?:[eE][+-]?[0-9][0-9_]*)?)[A-Za-z0-9_.]*)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<sign>==|=~|!=|!~|<=|>=|[-+*/%^<>=(){}\[\],@:])""",
    re.VERBOSE,
)
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_OCTAL = re.compile(r"0[0-7]+")
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_CODES = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text as written, and where it starts and ends in the query."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The text as keywords are compared: without regard to case."""
        return self.text.lower() if self.kind == "name" else self.text


def tokenize(text: str) -> list[Token]:
    """The tokens of a query without spaces and comments.

    Raises PromQLError (parse) for characters, strings and brackets that no query can have, and
    (unsupported) for a query that is too long or nested too deeply to be handled safely.
    """
    tokens: list[Token] = []
    opened: list[Token] = []
    at = 0
    while at < len(text):
        in_range = bool(opened) and opened[-1].text == "["
        found = _TOKEN.match(text, at)
        if found is None:
            _refuse(text, at, f"unexpected character {text[at]!r}")
        kind, end = found.lastgroup, found.end()
        if kind == "space":
            at = end
            continue
        if kind == "string":
            end = _string_end(text, at)
        elif kind == "name" and in_range and text[at] == ":":
            kind, end = "sign", at + 1
        token = Token(kind, text[at:end], at, end)  # type: ignore[arg-type]  # a group of _TOKEN
        _match_brackets(text, token, opened)
        tokens.append(token)
        if len(tokens) > MAX_TOKENS or len(opened) > MAX_DEPTH:
            raise PromQLError(
                "unsupported",
                f"more than {MAX_TOKENS} tokens or {MAX_DEPTH} nested brackets are not evaluated here",
                text=text,
                offset=at,
            )
        at = end
    if opened:
        _refuse(text, opened[-1].start, f"{opened[-1].text!r} is never closed")
    if not tokens:
        _refuse(text, 0, "there is no expression")
    return tokens


def _match_brackets(text: str, token: Token, opened: list[Token]) -> None:
    if token.kind != "sign":
        return
    if token.text in "([{":
        opened.append(token)
    elif token.text in ")]}" and (not opened or opened.pop().text != _CLOSING[token.text]):
        _refuse(text, token.start, f"unexpected {token.text!r}")


def _string_end(text: str, start: int) -> int:
    quote = text[start]
    at = start + 1
    while at < len(text) and text[at] != quote:
        if quote != "`" and text[at] == "\n":
            break
        at += 2 if text[at] == "\\" and quote != "`" else 1
    if at >= len(text) or text[at] != quote:
        _refuse(text, start, "the quoted string is not closed")
    return at + 1


def unquote(text: str, token: Token) -> str:
    """The value of a string token, its escapes resolved as in Go."""
    quote, body = token.text[0], token.text[1:-1]
    if quote == "`" or "\\" not in body:
        return body
    out = bytearray()
    at = 0
    while at < len(body):
        if body[at] != "\\":
            out += body[at].encode("utf-8", "surrogatepass")
            at += 1
            continue
        code, size, as_byte = _escape(body, at + 1, quote)
        if code < 0:
            _refuse(text, token.start + 1 + at, "this escape sequence does not exist")
        out += bytes((code,)) if as_byte else chr(code).encode()
        at += 1 + size
    try:
        return out.decode()
    except UnicodeDecodeError as error:
        raise PromQLError(
            "unsupported", "a string that is not valid UTF-8", text=text, offset=token.start
        ) from error


def _escape(body: str, at: int, quote: str) -> tuple[int, int, bool]:
    """Code (−1: none), length without the backslash, and whether the code is a byte and not a character."""
    letter = body[at]
    if letter == quote:
        return ord(letter), 1, True
    if letter in _ESCAPES:
        return _ESCAPES[letter], 1, True
    if letter in _CODES:
        skip, (count, radix) = 1, _CODES[letter]
    else:
        skip, count, radix = 0, 3, 8
    digits = body[at + skip : at + skip + count]
    allowed = "01234567" if radix == 8 else "0123456789abcdefABCDEF"
    if len(digits) < count or any(digit not in allowed for digit in digits):
        return -1, 0, False
    code = int(digits, radix)
    as_byte = letter not in "uU"
    if code > (255 if as_byte else 0x10FFFF) or 0xD800 <= code < 0xE000:
        return -1, 0, False
    return code, skip + count, as_byte


def number(text: str) -> float | None:
    """The value of a number token, None if it is none: a leading 0 is octal, ``0x`` hexadecimal."""
    plain = text.replace("_", "")
    try:
        if plain[:2] in ("0x", "0X"):
            return float(_int64(int(text, 16)))
        if _OCTAL.fullmatch(plain) and int(plain, 8) < 2**63:
            return float(int(plain, 8))
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _int64(value: int) -> int:
    if value >= 2**63:
        raise ValueError("too large for 64 bits")
    return value


def duration_ms(text: str) -> int | None:
    """The length in ms that a number or a duration token stands for, None if it is neither."""
    found = _DURATION.fullmatch(text)
    if found is not None:
        return sum(int(part) * unit for part, unit in zip(found.groups(), _UNITS_MS, strict=True) if part)
    seconds = number(text)
    if seconds is None:
        return None
    return round(seconds * 1e9) // 10**6 if seconds < 1e15 else math.floor(seconds) * 1000


def _refuse(text: str, at: int, why: str) -> NoReturn:
    raise PromQLError("parse", why, text=text, offset=at)
