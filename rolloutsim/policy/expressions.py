"""Do the conditions and queries of a manifest compile? Checked once, when it is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable

from rolloutsim.conditions import ConditionError, Dialect, compile_condition
from rolloutsim.errors import PolicyError
from rolloutsim.policy.document import Document, Path
from rolloutsim.promql import PromQLError, compile_query

__all__ = ["LATE_TAG", "check_condition", "check_query"]

LATE_TAG = re.compile(r"\{\{args\.([^{}]+)\}\}")
"""An argument that gets its value later, as `interpolate` leaves it."""
STAND_INS = ("0", "1m", "a")
"""Tried in the place of late arguments, to check the text around them: a number, a duration, a name."""


def check_condition(document: Document, path: Path, text: str, dialect: Dialect) -> None:
    """Raise a `PolicyError` with the place of the condition, and a caret, when it does not compile."""
    try:
        _compile(text, lambda filled: compile_condition(filled, dialect))
    except ConditionError as error:
        raise _refusal(document, path, text, "the condition does not compile", error) from error


def check_query(document: Document, path: Path, text: str) -> None:
    """Raise a `PolicyError` with the place of the query, and a caret, when it cannot be evaluated."""
    try:
        _compile(text, compile_query)
    except PromQLError as error:
        what = "cannot be evaluated in a simulation" if error.kind == "unsupported" else "does not compile"
        raise _refusal(document, path, text, f"the query {what}", error) from error


def _refusal(
    document: Document, path: Path, text: str, what: str, error: ConditionError | PromQLError
) -> PolicyError:
    why = f"{what}: {error.message}"
    if error.caret:
        return document.error(path, f"{why}\n{error.caret}")
    return document.error(path, why, text)


def _compile(text: str, compiled: Callable[[str], object]) -> None:
    """Compile ``text``; while it holds late arguments, one of their stand-ins has to do."""
    if not LATE_TAG.search(text):
        compiled(text)
        return
    errors: list[PolicyError] = []
    for stand_in in STAND_INS:
        try:
            compiled(LATE_TAG.sub(stand_in, text))
            return
        except PolicyError as error:
            errors.append(error)
    raise errors[0]
