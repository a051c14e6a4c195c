"""A report as SARIF 2.1.0, the form in which code hosts take findings.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0; the subset that GitHub and
GitLab read (level, message, physical location with a relative URI, region).
"""

from __future__ import annotations

from importlib.metadata import version
from os.path import relpath
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from rolloutsim.lint.registry import RULES
from rolloutsim.lint.rule import Finding
from rolloutsim.lint.run import Report
from rolloutsim.lint.words import duration

__all__ = ["to_sarif"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(report: Report) -> dict[str, Any]:
    """The SARIF log of a report: one run; suppressed findings are in it, marked as such.

    URIs are relative to the working directory, which has to be the root of the repository.
    """
    findings = (*report.findings, *report.suppressed)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver()},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding) for finding in findings],
                "properties": {
                    "scrapeInterval": duration(report.scrapes.interval_ms),
                    "scrapeIntervalAssumed": report.scrapes.assumed,
                },
            }
        ],
    }


def _driver() -> dict[str, Any]:
    return {
        "name": "rolloutsim",
        "version": version("rolloutsim"),
        "rules": [
            {
                "id": rule.id,
                "name": rule.name,
                "shortDescription": {"text": rule.reason},
                "help": {"text": rule.fix},
                "defaultConfiguration": {"level": str(rule.severity)},
            }
            for rule in RULES
        ],
    }


def _result(finding: Finding) -> dict[str, Any]:
    place = f"{finding.path}: " if finding.path else ""
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(finding.at.file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": max(1, finding.at.line), "startColumn": max(1, finding.at.column)},
        }
    }
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.path}]
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": str(finding.rule.severity),
        "message": {"text": f"{place}{finding.reason}. Fix: {finding.fix}"},
        "locations": [location],
    }
    if finding.suppressed:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.suppressed}]
    return result


def _uri(file: str) -> str:
    return quote(PurePath(relpath(file)).as_posix())
