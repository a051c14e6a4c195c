"""What is wrong with a query, and where."""

from __future__ import annotations

from typing import Literal

from rolloutsim.errors import PolicyError, Position

__all__ = ["ErrorKind", "PromQLError"]

ErrorKind = Literal["parse", "unsupported", "execution"]


class PromQLError(PolicyError):
    """A query cannot be parsed, is outside what is supported here, or failed while it ran.

    ``kind`` is ``parse`` (refused before evaluation, type errors included), ``unsupported`` (a server would
    run it, this evaluator does not) or ``execution`` (it failed on the series at hand). ``message`` is the
    reason alone; ``line`` and ``column`` count from 1 inside the query and are 0 when the place is unknown;
    ``caret`` shows the line of the query with a caret under the place.
    """

    def __init__(self, kind: ErrorKind, message: str, *, text: str = "", offset: int = -1) -> None:
        self.kind: ErrorKind = kind
        self.message = message
        self.text = text
        self.offset = offset
        self.line, self.column = _line_and_column(text, offset)
        where = f"query {_short(text)}" if text else "query"
        if self.line:
            where += f", line {self.line}, column {self.column}"
        sentence = f"{where}: {message}"
        if self.line:
            sentence += f"\n{self.caret}"
        super().__init__(sentence, at=Position())

    def __reduce__(self) -> tuple[object, tuple[ErrorKind, str, str, int]]:
        return _restore, (self.kind, self.message, self.text, self.offset)

    @property
    def caret(self) -> str:
        """The line of the query and a caret under the place; empty when the place is unknown."""
        if not self.line:
            return ""
        line = self.text.split("\n")[self.line - 1]
        indent = "".join("\t" if char == "\t" else " " for char in line[: self.column - 1])
        return f"{line}\n{indent}^"


def _restore(kind: ErrorKind, message: str, text: str, offset: int) -> PromQLError:
    return PromQLError(kind, message, text=text, offset=offset)


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    if offset < 0:
        return 0, 0
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _short(text: str, limit: int = 120) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return '"' + shown.replace("\n", "\\n") + '"'
