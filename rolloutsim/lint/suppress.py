"""``# rolloutsim: ignore RS020 reason``: findings that somebody has looked at and leaves so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from rolloutsim.errors import Position

__all__ = ["Suppressions", "suppressions"]

_COMMENT = re.compile(r"(?:^|\s)#\s*rolloutsim:\s*ignore\b(?P<rest>.*)$")
_REST = re.compile(r"\s*(?P<rules>RS\d{3}(?:\s*,\s*RS\d{3})*)\b[\s:,-]*(?P<reason>.*)")
_ONLY_COMMENT = re.compile(r"\s*#")


@dataclass(frozen=True, slots=True)
class Suppressions:
    """The comments of one file: the reason for each line and rule, and those that do not count."""

    reasons: Mapping[tuple[int, str], str]
    wrong: tuple[tuple[Position, str], ...]
    """Place, and why the comment does not count."""

    def reason(self, line: int, rule: str) -> str:
        """Why findings of this rule in this line are left so; empty when no comment says so."""
        return self.reasons.get((line, rule), "")


def suppressions(text: str, file: str, known: Collection[str]) -> Suppressions:
    """The comments of a file. One counts for its own line; alone on a line, for the next that is no comment.

    ``known`` are the ids of all rules.
    """
    lines = text.splitlines()
    reasons: dict[tuple[int, str], str] = {}
    wrong: list[tuple[Position, str]] = []
    for number, line in enumerate(lines, 1):
        comment = _COMMENT.search(line)
        if comment is None:
            continue
        at = Position(file, number, line.index("#", comment.start()) + 1)
        match = _REST.match(comment["rest"])
        rules = re.findall(r"RS\d{3}", match["rules"]) if match else []
        if match is None:
            wrong.append((at, "it names no rule"))
        elif unknown := [rule for rule in rules if rule not in known]:
            wrong.append((at, f"there is no rule {', '.join(unknown)}"))
        elif not match["reason"].strip():
            wrong.append((at, "it gives no reason"))
        else:
            for target in _lines(lines, number):
                reasons.update(((target, rule), match["reason"].strip()) for rule in rules)
    return Suppressions(reasons, tuple(wrong))


def _lines(lines: list[str], number: int) -> Iterator[int]:
    """The lines that a comment in line ``number`` is about."""
    yield number
    if _ONLY_COMMENT.match(lines[number - 1]):
        following = (n for n in range(number + 1, len(lines) + 1) if not _ONLY_COMMENT.match(lines[n - 1]))
        yield from (n for n in [next(following, None)] if n is not None)
