"""What a lint knows (rules) and what it says (findings)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from rolloutsim.errors import Position
from rolloutsim.policy.document import Document, Path

__all__ = ["Check", "Finding", "Hit", "Rule", "Severity"]

Subject = TypeVar("Subject")


class Severity(StrEnum):
    """How bad it is; the words are those of SARIF's ``level``.

    ``error``: it will not work, or not do what it says. ``warning``: it will be regretted one day.
    ``note``: it is easily read wrongly.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a lint looks for: the reason and the fix in general, one line each."""

    id: str
    name: str
    severity: Severity
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule applies: a path of a document, and why here. An empty ``fix`` is the rule's own."""

    document: Document
    path: Path
    reason: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """A rule and the function that looks for it in a subject."""

    rule: Rule
    find: Callable[[Subject], Iterable[Hit]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; ``value`` is the scalar that stands there, None for anything else.

    ``suppressed`` is the reason that a comment in the file gives for leaving it so; empty when none does.
    """

    rule: Rule
    at: Position
    path: str
    value: str | int | float | bool | None
    reason: str
    fix: str
    suppressed: str = ""
