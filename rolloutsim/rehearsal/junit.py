"""Verdicts as JUnit XML, which continuous integration shows.

Without times: the same verdicts give the same bytes. Format: the common subset of the Ant and Jenkins schemas
(testsuites, testsuite, testcase, failure).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.etree import ElementTree

from rolloutsim.rehearsal.check import Verdict
from rolloutsim.rehearsal.story import time_text

__all__ = ["junit_xml"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def junit_xml(verdicts: Sequence[Verdict]) -> str:
    """A document with one suite for each file."""
    root = ElementTree.Element("testsuites", _counts(verdicts))
    for file, members in groupby(verdicts, key=lambda verdict: verdict.case.where.file):
        suite_verdicts = list(members)
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(file), **_counts(suite_verdicts)})
        for verdict in suite_verdicts:
            _add_case(suite, verdict)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failed = sum(not verdict.passed for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0", "skipped": "0"}


def _add_case(suite: ElementTree.Element, verdict: Verdict) -> None:
    case = verdict.case
    attributes = {
        "name": _clean(case.name),
        "classname": _clean(case.policy.name),
        "file": _clean(case.where.file),
        "line": str(case.where.line),
    }
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if verdict.failures:
        first = verdict.failures[0]
        message = f"expected {first.expected}, but {first.got}"
        attributes = {"message": _clean(message), "type": "expectation"}
        ElementTree.SubElement(element, "failure", attributes).text = _clean("\n".join(_lines(verdict)))


def _lines(verdict: Verdict) -> Iterator[str]:
    for failure in verdict.failures:
        yield f"line {failure.where.line}: expected {failure.expected}"
        yield f"but {failure.got}"
    for at_ms, text in verdict.timeline:
        yield f"{time_text(at_ms):>8}  {text}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
