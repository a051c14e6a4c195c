"""From text to tokens, as the lexer of the expression library does it.

Source: expr-lang/expr v1.17.8, parser/lexer (and antonmedv/expr v1.15.5 for the older dialect).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rolloutsim.conditions.errors import Dialect, Fault

__all__ = ["Kind", "Token", "tokens_of"]

MAX_TEXT = 20_000


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "Identifier"
    NUMBER = "Number"
    STRING = "String"
    BYTES = "Bytes"
    OPERATOR = "Operator"
    BRACKET = "Bracket"
    END = "EOF"


@dataclass(frozen=True, slots=True)
class Token:
    """A token; ``at`` is its offset. ``value`` of a bytes literal holds one byte per character."""

    kind: Kind
    value: str
    at: int

    def is_operator(self, *values: str) -> bool:
        """Whether this is an operator, and one of ``values`` where given."""
        return self.kind is Kind.OPERATOR and (not values or self.value in values)

    def is_bracket(self, value: str) -> bool:
        """Whether this is the bracket ``value``."""
        return self.kind is Kind.BRACKET and self.value == value

    def __str__(self) -> str:
        if self.kind is Kind.END:
            return "EOF"
        shown = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.kind.value}("{shown}")'


_WORD_OPERATORS = {"in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "not"}
_NEGATED = {"in", "matches", "contains", "startsWith", "endsWith"}
_DIGITS = "0123456789_"
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_HEX_LENGTH = {"x": 2, "u": 4, "U": 8}


def tokens_of(text: str, dialect: Dialect) -> list[Token]:
    """All tokens of ``text``, the last one of kind END; `Fault` with the offset of what is not a token."""
    if len(text) > MAX_TEXT:
        raise Fault(f"the condition is longer than {MAX_TEXT} characters", MAX_TEXT)
    lexer = _Lexer(text, modern=dialect is Dialect.MASTER)
    while lexer.step():
        pass
    return lexer.tokens


def _is_word_char(char: str) -> bool:
    return char.isalpha() or char.isdecimal() or char == "_" or char == "$"


def _is_space(char: str) -> bool:
    # Python also calls the ASCII separators 0x1c to 0x1f spaces, Go does not.
    return char.isspace() and not "\x1c" <= char <= "\x1f"


class _Lexer:
    """One pass over the text; ``end`` is the offset of the next character."""

    def __init__(self, text: str, *, modern: bool) -> None:
        self.text = text
        self.modern = modern
        self.end = 0
        self.tokens: list[Token] = []

    def peek(self) -> str:
        return self.text[self.end : self.end + 1]

    def accept(self, valid: str) -> bool:
        char = self.peek()
        if char and char in valid:
            self.end += 1
            return True
        return False

    def accept_run(self, valid: str) -> None:
        while self.accept(valid):
            pass

    def emit(self, kind: Kind, start: int, value: str | None = None) -> None:
        self.tokens.append(Token(kind, self.text[start : self.end] if value is None else value, start))

    def step(self) -> bool:
        """Read one token or one stretch of space; False at the end of the text."""
        start = self.end
        char = self.peek()
        if not char:
            # Where something is missing at the end, the place is right behind the last word.
            self.tokens.append(Token(Kind.END, "", len(self.text.rstrip())))
            return False
        self.end += 1
        if _is_space(char):
            pass
        elif char in "'\"":
            self.emit(Kind.STRING, start, self.quoted(char, raw_bytes=False))
        elif char == "`" and self.modern:
            self.emit(Kind.STRING, start, self.raw(start))
        elif char in "bB" and self.modern and self.peek() in ("'", '"'):
            quote = self.peek()
            self.end += 1
            self.emit(Kind.BYTES, start, self.quoted(quote, raw_bytes=True))
        elif char.isascii() and char.isdigit():
            self.end = start
            self.number(start)
        elif char == "/":
            self.slash(start)
        elif char == ".":
            self.dot(start)
        elif char in "([{)]}":
            self.emit(Kind.BRACKET, start)
        elif char in ",;%+-^?|:&!=*<>":
            self.operator(char, start)
        elif char == "#":
            self.pointer(start)
        elif _is_word_char(char):
            self.word(start)
        else:
            raise Fault(f"unrecognized character: U+{ord(char):04X} '{char}'", start)
        return True

    def operator(self, char: str, start: int) -> None:
        if char == "?":
            self.accept(".?")
        elif char == "|":
            self.accept("|")
        elif char == ":" and self.modern:
            self.accept(":")
        elif char in "&!=*<>":
            self.accept("&=*")
        self.emit(Kind.OPERATOR, start)

    def slash(self, start: int) -> None:
        if self.accept("/"):
            newline = self.text.find("\n", self.end)
            self.end = len(self.text) if newline < 0 else newline + 1
        elif self.accept("*"):
            close = self.text.find("*/", self.end)
            if close < 0:
                raise Fault("unclosed comment", start)
            self.end = close + 2
        else:
            self.emit(Kind.OPERATOR, start)

    def dot(self, start: int) -> None:
        if self.peek().isascii() and self.peek().isdigit():
            self.number(start)
            return
        self.accept(".")
        self.emit(Kind.OPERATOR, start)

    def pointer(self, start: int) -> None:
        self.accept("#")
        self.emit(Kind.OPERATOR, start)
        name = self.end
        self.absorb_word()
        if self.end > name:
            self.emit(Kind.IDENTIFIER, name)

    def absorb_word(self) -> None:
        while self.peek() and _is_word_char(self.peek()):
            self.end += 1

    def word(self, start: int) -> None:
        self.absorb_word()
        word = self.text[start : self.end]
        if word in _WORD_OPERATORS or (self.modern and word in ("if", "else")):
            self.emit(Kind.OPERATOR, start)
        else:
            self.emit(Kind.IDENTIFIER, start)
        if word == "not":
            self.after_not()

    def after_not(self) -> None:
        """``not`` and the word operator behind it are two tokens, with only blanks between."""
        self.accept_run(" ")
        start = self.end
        self.absorb_word()
        if self.text[start : self.end] in _NEGATED:
            self.emit(Kind.OPERATOR, start)
        else:
            self.end = start

    def number(self, start: int) -> None:
        digits = _DIGITS
        if self.accept("0"):
            if self.accept("xX"):
                digits = "0123456789abcdefABCDEF_"
            elif self.accept("oO"):
                digits = "01234567_"
            elif self.accept("bB"):
                digits = "01_"
        self.accept_run(digits)
        before_dot = self.end
        if self.accept("."):
            if self.peek() == ".":
                self.end = before_dot
                self.emit(Kind.NUMBER, start)
                return
            self.accept_run(digits)
        if self.accept("eE"):
            self.accept("+-")
            self.accept_run(digits)
        if self.peek() and _is_word_char(self.peek()):
            raise Fault(f"bad number syntax: {self.text[start : self.end + 1]!r}", start)
        self.emit(Kind.NUMBER, start)

    def raw(self, start: int) -> str:
        """A raw string; two backticks stand for one."""
        parts = []
        while True:
            close = self.text.find("`", self.end)
            if close < 0:
                raise Fault("literal not terminated", start)
            parts.append(self.text[self.end : close])
            self.end = close + 1
            if self.peek() != "`":
                return "".join(parts)
            parts.append("`")
            self.end += 1

    def quoted(self, quote: str, *, raw_bytes: bool) -> str:
        """The rest of a quoted literal. For bytes each character of the answer is one byte."""
        start = self.end - 1
        parts: list[str] = []
        while True:
            char = self.peek()
            if not char or char == "\n":
                raise Fault("literal not terminated", start)
            self.end += 1
            if char == quote:
                return "".join(parts)
            if char == "\\":
                parts.append(self.escape(quote, raw_bytes=raw_bytes))
            elif raw_bytes:
                parts.append(char.encode("utf-8", "surrogatepass").decode("latin-1"))
            elif char == "\r":
                # Line ends inside a literal are normalised.
                self.accept("\n")
                parts.append("\n")
            else:
                parts.append(char)

    def escape(self, quote: str, *, raw_bytes: bool) -> str:
        at = self.end - 1
        char = self.peek()
        self.end += 1
        if char == quote:
            return char
        if char in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[char]
        if char and char in "0123":
            self.end -= 1
            return chr(self.code(8, 3, at))
        if char == "u" and self.modern and not raw_bytes and self.peek() == "{":
            close = self.text.find("}", self.end)
            length = close - self.end - 1
            self.end += 1
            if not 1 <= length <= 6:
                raise Fault("invalid char escape", at)
            code = self.code(16, length, at)
            self.end += 1
            return _rune(code, at)
        if char in _HEX_LENGTH and not (raw_bytes and char != "x"):
            return _rune(self.code(16, _HEX_LENGTH[char], at), at)
        raise Fault("invalid char escape", at)

    def code(self, base: int, length: int, at: int) -> int:
        digits = self.text[self.end : self.end + length]
        allowed = "01234567" if base == 8 else "0123456789abcdefABCDEF"
        if len(digits) < length or any(digit not in allowed for digit in digits):
            raise Fault("invalid char escape", at)
        self.end += length
        return int(digits, base)


def _rune(code: int, at: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Fault("unable to unescape string", at)
    return chr(code)
