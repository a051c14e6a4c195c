"""Where a refused query is wrong: the grammar's parser says what it minds, and never where."""

from __future__ import annotations

from collections.abc import Sequence

from rolloutsim.promql.grammar import parse_expression
from rolloutsim.promql.lexer import Token

__all__ = ["locate"]

_WORDS = "+ - * / % ^ == != < > <= >= and or unless atan2"
_BINARY = frozenset(_WORDS.split(" "))
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")

_CLUES = (
    ("set operator", ("and", "or", "unless")),
    ("bool modifier", ("bool",)),
    ("vector matching", ("on", "ignoring")),
    ("no grouping", ("group_left", "group_right")),
    ("must not occur", ("group_left", "group_right")),
    ("group_left", ("group_left",)),
    ("group_right", ("group_right",)),
    ("no offset", ("offset",)),
    ("offset", ("offset",)),
    ("@", ("@",)),
    ("unary", ("+", "-")),
    ("ranges only", ("[",)),
    ("subquery", ("[",)),
    ("in brackets", ("[",)),
    ("duration", ("[",)),
    ("joined by or", ("or",)),
    ("binary expression", tuple(_BINARY)),
)
"""Words of the parser's messages, and the tokens that such a message is about."""


def locate(text: str, tokens: Sequence[Token], message: str) -> int:
    """The offset in ``text`` of what is wrong with it, −1 if it cannot be told.

    First the place where operands and operators stop alternating; else, in the shortest selector, call or
    group that is refused by itself, the token that the message is about, or its start.
    """
    misplaced = _Reader(tokens).misplaced(len(text.rstrip()))
    if misplaced >= 0:
        return misplaced
    part = _refused_part(text, tokens)
    start, end = part or (0, len(text))
    for words, subjects in _CLUES:
        if words in message:
            found = [t for t in tokens if t.word in subjects and start <= t.start < end]
            if len(found) == 1 or (found and words in ("offset", "@")):
                return found[-1].start
    return start if part else -1


def _refused_part(text: str, tokens: Sequence[Token]) -> tuple[int, int] | None:
    """The bounds of the shortest part that is a query in itself and refused, if there is one."""
    spans = []
    for index, token in enumerate(tokens):
        if token.kind == "sign" and token.text in "({":
            start = tokens[_head(tokens, index)].start
            spans.append((start, tokens[_closing(tokens, index)].end))
    for start, end in sorted(spans, key=lambda span: span[1] - span[0]):
        try:
            parse_expression(text[start:end])
        except ValueError:
            return start, end
    return None


def _head(tokens: Sequence[Token], index: int) -> int:
    """The index where a selector, a call or an aggregation begins whose bracket is at ``index``."""
    if index and tokens[index - 1].text == ")" and tokens[index].text == "(":
        depth = 0
        for at in range(index - 1, 1, -1):
            depth += {")": 1, "(": -1}.get(tokens[at].text, 0)
            if depth == 0:
                grouped = tokens[at - 1].word in ("by", "without") and tokens[at - 2].kind == "name"
                return at - 2 if grouped else index
    return index - 1 if index and tokens[index - 1].kind == "name" else index


def _closing(tokens: Sequence[Token], index: int) -> int:
    """The index of the bracket that closes the one at ``index``."""
    depth = 0
    for at in range(index, len(tokens)):
        if tokens[at].kind == "sign":
            depth += (tokens[at].text in _OPENING) - (tokens[at].text in _CLOSING)
            if depth == 0:
                return at
    return len(tokens) - 1


class _Reader:
    """Reads a query as a sequence of operands and operators; brackets are known to match."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def text(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].word if index < len(self.tokens) else ""

    def misplaced(self, end: int) -> int:
        """The offset of the first token that cannot stand there; ``end`` if one is missing; −1 if none."""
        operand = True
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            goes_on = self.operand(token) if operand else self.operator(token)
            if goes_on is None:
                at = min(self.at, len(self.tokens) - 1)
                return self.tokens[at].start if self.at < len(self.tokens) else end
            operand = goes_on
        return end if operand else -1

    def operand(self, token: Token) -> bool | None:
        """Read an operand or what may stand before one. Is an operand still to come? None: there is none."""
        if token.kind == "sign":
            if token.text == "{":
                self.at = _closing(self.tokens, self.at) + 1
                return False
            if token.text not in ("+", "-", "("):
                return None
            self.depth += token.text == "("
            self.at += 1
            return True
        self.at += 1
        if token.kind != "name":
            return False
        if self.text() in ("by", "without") and self.text(1) == "(":
            self.at = _closing(self.tokens, self.at + 1) + 1
            return True if self.text() == "(" else None
        if self.text() == "{":
            self.at = _closing(self.tokens, self.at) + 1
        elif self.text() == "(":
            self.at += 1
            self.depth += 1
            return self.text() != ")"
        return False

    def operator(self, token: Token) -> bool | None:
        """Read what may follow an operand. Does an operand come next? None: this cannot stand here."""
        word = token.word
        if word in _BINARY and token.kind != "string":
            self.at += 1
            self.modifiers()
            return True
        if word == "," and self.depth:
            self.at += 1
            return True
        if word == ")" and token.kind == "sign":
            self.at += 1
            self.depth -= 1
            return False
        if word == "[":
            self.at = _closing(self.tokens, self.at) + 1
            return False
        if word in ("by", "without") and self.text(1) == "(":
            self.at = _closing(self.tokens, self.at + 1) + 1
            return False
        return self.time(word) if word in ("offset", "@") else None

    def time(self, word: str) -> bool | None:
        """Read the time after ``offset`` or ``@``."""
        self.at += 1
        while self.text() in ("+", "-"):
            self.at += 1
        if self.at < len(self.tokens) and self.tokens[self.at].kind == "number":
            self.at += 1
            return False
        if word == "@" and self.text() in ("start", "end") and self.text(1) == "(":
            self.at = _closing(self.tokens, self.at + 1) + 1
            return False
        return None

    def modifiers(self) -> None:
        """Read the words that may follow a binary operator."""
        while self.text() in ("bool", "on", "ignoring", "group_left", "group_right"):
            self.at += 1
            if self.text() == "(" and self.tokens[self.at - 1].word != "bool":
                self.at = _closing(self.tokens, self.at) + 1
