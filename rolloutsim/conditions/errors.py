"""What is wrong with a condition, and where."""

from __future__ import annotations

from enum import StrEnum

from rolloutsim.errors import PolicyError, Position

__all__ = ["ConditionError", "Dialect", "ErrorKind", "Fault"]


class Dialect(StrEnum):
    """Which expression library judges: it differs between releases of Argo Rollouts."""

    MASTER = "master"
    """expr-lang/expr v1.17.8, as on Argo Rollouts' master."""
    V1_9_1 = "v1.9.1"
    """antonmedv/expr v1.15.5, as in the release v1.9.1."""


class ErrorKind(StrEnum):
    """When a condition failed."""

    SYNTAX = "syntax"
    """The text is not an expression."""
    TYPE = "type"
    """The expression does not fit the type of this measurement's value."""
    EVALUATION = "evaluation"
    """The expression fits and failed while it ran."""


class Fault(Exception):
    """A failure inside this package, before it knows its text: a message and an offset (-1: unknown)."""

    def __init__(self, message: str, at: int = -1) -> None:
        self.message = message
        self.at = at
        super().__init__(message)


class ConditionError(PolicyError):
    """A success or failure condition cannot be parsed, or cannot be evaluated for a result.

    ``message`` is the reason alone (in the words of the expression library where they are known),
    ``line`` and ``column`` count from 1 inside the condition and are 0 when the place is unknown,
    ``caret`` shows the place under the text. Converting to ``str`` gives one sentence with the place.
    """

    def __init__(self, message: str, *, text: str, at: int, kind: ErrorKind) -> None:
        self.message = message
        self.text = text
        self.kind = kind
        self.line, self.column = _line_and_column(text, at)
        place = f"condition {_short(text)}"
        if self.line:
            place += f", line {self.line}, column {self.column}"
        super().__init__(f"{place}: {message}", at=Position())

    def __reduce__(self) -> tuple[object, tuple[str, str, int, ErrorKind]]:
        at = _offset(self.text, self.line, self.column)
        return _restore, (self.message, self.text, at, self.kind)

    @property
    def caret(self) -> str:
        """The line of the text and a caret under the place; empty when the place is unknown."""
        if not self.line:
            return ""
        line = self.text.split("\n")[self.line - 1]
        before = "".join("\t" if char == "\t" else " " for char in line[: self.column - 1])
        return f"{line}\n{before}^"


def _restore(message: str, text: str, at: int, kind: ErrorKind) -> ConditionError:
    return ConditionError(message, text=text, at=at, kind=kind)


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    if at < 0:
        return 0, 0
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def _offset(text: str, line: int, column: int) -> int:
    if not line:
        return -1
    return sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1


def _short(text: str, limit: int = 120) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return '"' + shown.replace("\n", "\\n") + '"'
