"""A vetting for continuous integration: JUnit XML and SARIF.

Formats: the common subset of the Ant and Jenkins schemas; OASIS, Static Analysis Results Interchange Format
(SARIF) Version 2.1.0. Neither holds a time: the same vetting gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from os.path import relpath
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from rolloutsim.cli.vet_table import bounds_text, change_text, value_text
from rolloutsim.errors import Position
from rolloutsim.evidence.nearest import Search
from rolloutsim.evidence.verdict import BarResult, Verdict
from rolloutsim.evidence.vet import Vetting
from rolloutsim.policy.yaml_source import Node, read_documents

__all__ = ["junit", "sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Verdict.FAILED: "error", Verdict.INCONCLUSIVE: "warning"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FIELDS = {
    "failureLimit of ": "failureLimit",
    "threshold of ": "successCondition",
    "window of ": "provider",
}
"""Where in a metric stands what a change moves."""


def junit(vetting: Vetting) -> str:
    """One suite with a test case for each bar; what is waived counts as skipped."""
    waived = [result for result in vetting.results if result.waiver]
    unmet = [
        result for result in vetting.results if result.verdict is not Verdict.PASSED and not result.waiver
    ]
    counts = {
        "tests": str(len(vetting.results)),
        "failures": str(len(unmet)),
        "errors": "0",
        "skipped": str(len(waived)),
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(f"vet {vetting.policy}"), **counts})
    for result in vetting.results:
        names = {"name": _clean(str(result.bar)), "classname": _clean(vetting.policy)}
        case = ElementTree.SubElement(suite, "testcase", names)
        if result.waiver:
            ElementTree.SubElement(case, "skipped", {"message": _clean(f"waived: {result.waiver}")})
        elif result in unmet:
            attributes = {"message": _clean(_sentence(result)), "type": str(result.verdict)}
            ElementTree.SubElement(case, "failure", attributes)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def sarif(vetting: Vetting, search: Search | None, files: Sequence[str]) -> dict[str, Any]:
    """A result for each bar that is not met, at the place in the manifests that a suggestion would change.

    URIs are relative to the working directory, which has to be the root of the repository.
    """
    unmet = [result for result in vetting.results if result.verdict is not Verdict.PASSED]
    names = list(dict.fromkeys(result.bar.name for result in unmet))
    place = _place(files, search)
    told = "" if search is None else f"; {change_text(vetting, search)}"
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "rolloutsim",
                        "version": version("rolloutsim"),
                        "rules": [
                            {"id": f"vet/{name}", "shortDescription": {"text": f"a bar on {name} is not met"}}
                            for name in names
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(result, told, place, names) for result in unmet],
            }
        ],
    }


def _result(result: BarResult, told: str, place: Position, names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": f"vet/{result.bar.name}",
        "ruleIndex": names.index(result.bar.name),
        "level": _LEVELS[result.verdict],
        "message": {"text": _sentence(result) + told},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": quote(PurePath(relpath(place.file)).as_posix()),
                        "uriBaseId": "%SRCROOT%",
                    },
                    "region": {"startLine": max(1, place.line), "startColumn": max(1, place.column)},
                }
            }
        ],
    }
    if result.waiver:
        found["suppressions"] = [{"kind": "external", "justification": result.waiver}]
    return found


def _sentence(result: BarResult) -> str:
    bar, runs = result.bar, result.estimate.n
    return (
        f"{bar} {result.verdict}: {bar.name} {value_text(bar, result.value)} "
        f"[{bounds_text(bar, result.estimate)}]{f' in {runs} runs' if runs else ''}"
    )


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


# --- places ---------------------------------------------------------------------------------------


def _place(files: Sequence[str], search: Search | None) -> Position:
    """Where the first suggested change would be made, else where the strategy stands."""
    roots = [node for file in files for node in read_documents(Path(file).read_text("utf-8-sig"), file)]
    what = search.changes[0].what if search is not None and search.changes else ""
    for start, field in _FIELDS.items():
        if what.startswith(start):
            for node in _below(roots):
                keys = node.keys
                named = isinstance(node.value, Mapping) and _text(node, "name") == what.removeprefix(start)
                if named and field in keys:
                    return keys[field]
    for node in _below(roots):
        if "strategy" in node.keys:
            return node.keys["strategy"]
    return Position(files[0])


def _text(node: Node, key: str) -> object:
    assert isinstance(node.value, Mapping)
    child = node.value.get(key)
    return None if child is None else child.value


def _below(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        if isinstance(node.value, Mapping):
            yield from _below(tuple(node.value.values()))
        elif isinstance(node.value, tuple):
            yield from _below(node.value)
