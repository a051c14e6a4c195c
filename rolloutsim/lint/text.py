"""A report for people, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from rolloutsim.lint.registry import RULES
from rolloutsim.lint.rule import Finding, Rule, Severity
from rolloutsim.lint.run import Report
from rolloutsim.lint.words import duration

__all__ = ["rules_table", "to_json", "to_text"]

WIDTH = 100


def to_text(report: Report) -> str:
    """Each finding with its place, and below them the counts and what was assumed."""
    lines: list[str] = []
    for finding in report.findings:
        lines += [*_finding_lines(finding), ""]
    return "\n".join([*lines, *_summary(report)]) + "\n"


def _finding_lines(finding: Finding) -> Iterator[str]:
    rule = finding.rule
    yield f"{finding.at}: {rule.severity} {rule.id} {rule.name}"
    if finding.path:
        yield _short(f"    {finding.path}" + _shown(finding.value))
    first, *rest = finding.reason.splitlines()
    yield from _wrapped(first, "    ")
    yield from (f"      {line}" for line in rest)  # a caret under its text
    yield from _wrapped(f"fix: {finding.fix}", "    ")


def _shown(value: str | int | float | bool | None) -> str:
    if value is None:
        return ""
    return ": " + (str(value).lower() if isinstance(value, bool) else " ".join(str(value).split()))


def _short(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _wrapped(text: str, indent: str) -> list[str]:
    return wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(report: Report) -> Iterator[str]:
    counts = [_plural(report.count(severity), severity) for severity in Severity]
    silenced = f", {len(report.suppressed)} silenced by comments" if report.suppressed else ""
    yield f"{_plural(len(report.files), 'file')}: {', '.join(counts)}{silenced}"
    if report.scrapes.assumed:
        yield f"assumed: a scrape every {duration(report.scrapes.interval_ms)} (--scrape-interval)"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain data: ``findings``, ``suppressed``, ``counts`` and ``assumptions``."""
    assumed = [f"a scrape every {duration(report.scrapes.interval_ms)}"] if report.scrapes.assumed else []
    return {
        "apiVersion": "rolloutsim.dev/v1alpha1",
        "kind": "Lint",
        "files": list(report.files),
        "counts": {f"{severity}s": report.count(severity) for severity in Severity},
        "assumptions": assumed,
        "findings": [_row(finding) for finding in report.findings],
        "suppressed": [{**_row(f), "because": f.suppressed} for f in report.suppressed],
    }


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.at.file,
        "line": finding.at.line,
        "column": finding.at.column,
        "path": finding.path,
        "value": finding.value,
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "severity": str(finding.rule.severity),
        "reason": finding.reason,
        "fix": finding.fix,
    }


def rules_table(rules: tuple[Rule, ...] = RULES) -> str:
    """All rules: id, severity, name, reason and fix."""
    lines: list[str] = []
    for rule in rules:
        lines.append(f"{rule.id}  {rule.severity:<8} {rule.name}")
        lines += _wrapped(rule.reason, "       ")
        lines += _wrapped(f"fix: {rule.fix}", "       ")
    return "\n".join(lines) + "\n"
