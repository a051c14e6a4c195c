"""A lint of files: read them all, look at each rollout and template, collect what the rules find."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError, Position
from rolloutsim.lint.references import MISSING, resolve
from rolloutsim.lint.registry import (
    DOES_NOT_LOAD,
    METRIC_CHECKS,
    NOT_SIMULATED,
    NOTHING_TO_CHECK,
    ROLLOUT_CHECKS,
    RULES,
    WRONG_COMMENT,
)
from rolloutsim.lint.rule import Check, Finding, Hit, Rule, Severity
from rolloutsim.lint.subject import Scrapes, rollout, template_metrics
from rolloutsim.lint.suppress import suppressions
from rolloutsim.policy.analysis_templates import API_VERSION, TEMPLATE_KINDS
from rolloutsim.policy.argo_shape import ANALYSIS_TEMPLATE
from rolloutsim.policy.document import Document, Path, dotted
from rolloutsim.policy.load import KINDS, manifest_text, manifests
from rolloutsim.policy.located import key_position, locate_policies
from rolloutsim.policy.shape import check_manifest
from rolloutsim.policy.yaml_source import read_documents
from rolloutsim.promql import PromQLError

__all__ = ["Report", "lint"]

Subject = TypeVar("Subject")
_NOT_IN_THE_FILES = re.compile(r"no \w+ '.*' in the files")


@dataclass(frozen=True, slots=True)
class Report:
    """What a lint found, in the order of files, lines and rules; ``suppressed`` is what comments silence."""

    files: tuple[str, ...]
    findings: tuple[Finding, ...]
    suppressed: tuple[Finding, ...]
    scrapes: Scrapes

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(finding.rule.severity is severity for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Source:
    """One file: its text, its documents, and what kept it from being read."""

    file: str
    text: str = ""
    documents: tuple[Document, ...] = ()
    error: PolicyError | None = None


def lint(
    groups: Sequence[Sequence[str]],
    *,
    scrapes: Scrapes | None = None,
    disabled: Collection[str] = (),
    dialect: Dialect = Dialect.MASTER,
) -> Report:
    """Lint files. Those of one group belong together, as for `load_policies`; each file needs to exist.

    A template or Service that a group lacks is looked for in the other groups. A file that does not load is a
    finding like any other. Nothing is read but the files.

    Parameters
    ----------
    scrapes : how often the metrics server scrapes; None assumes every 30 s.
    disabled : ids of rules to leave out.
    dialect : the release of Argo Rollouts whose condition language is meant.
    """
    scrapes = scrapes or Scrapes()
    read: dict[str, _Source] = {}
    for file in (file for group in groups for file in group):
        if file not in read:
            read[file] = _read(file)
    findings: list[Finding] = []
    used: set[int] = set()
    for group in groups:
        sources = [read[file] for file in dict.fromkeys(group)]
        others = [d for file, source in read.items() if file not in group for d in source.documents]
        findings += _rollout_findings(sources, others, scrapes, dialect, used)
    for source in read.values():
        findings += _file_findings(source)
        findings += _template_findings(source, scrapes, dialect, used)
    findings += _nothing_to_check(read.values())
    return _report(read, findings, scrapes, frozenset(disabled))


def _read(file: str) -> _Source:
    text = ""
    try:
        text = manifest_text(file)
        return _Source(file, text, tuple(manifests(text, file)))
    except PolicyError as error:
        return _Source(file, text, error=None if _is_other_yaml(text, file) else error)


def _is_other_yaml(text: str, file: str) -> bool:
    """YAML without any kind and apiVersion is no manifest, and none of our business."""
    try:
        values = [node.value for node in read_documents(text, file)]
    except PolicyError:
        return False
    return bool(values) and not any(
        isinstance(value, Mapping) and ("kind" in value or "apiVersion" in value) for value in values
    )


# --- rollouts, templates, files ---------------------------------------------------------------------------


def _rollout_findings(
    sources: Sequence[_Source],
    others: Sequence[Document],
    scrapes: Scrapes,
    dialect: Dialect,
    used: set[int],
) -> Iterator[Finding]:
    """Findings of the rollouts of a group; the templates that they use are added to ``used``."""
    own = [document for source in sources for document in source.documents]
    documents, missing = resolve(own, others)
    for one in missing:
        yield _finding(one.rule, one.hit)
    policies, errors = locate_policies(documents, dialect)
    for error in errors:
        yield _error_finding(error, sources[0].file)
    for located in policies:
        subject = rollout(located, scrapes)
        yield from _found(ROLLOUT_CHECKS, subject)
        for use in subject.analyses:
            used.update(id(template) for template in use.templates)
            for item in use.metrics:
                yield from _found(METRIC_CHECKS, item)
    if errors:
        # a template of a rollout that does not load was judged with it
        used.update(id(document) for document in documents if document.kind in TEMPLATE_KINDS.values())


def _template_findings(
    source: _Source, scrapes: Scrapes, dialect: Dialect, used: Collection[int]
) -> Iterator[Finding]:
    """Findings of the templates that no rollout uses."""
    for document in source.documents:
        if document.kind not in TEMPLATE_KINDS.values() or id(document) in used:
            continue
        try:
            check_manifest(document, API_VERSION, ANALYSIS_TEMPLATE)
            for item in template_metrics(document, scrapes, dialect):
                yield from _found(METRIC_CHECKS, item)
        except PolicyError as error:
            yield _error_finding(error, source.file)


def _file_findings(source: _Source) -> Iterator[Finding]:
    if source.error is None:
        return
    finding = _error_finding(source.error, source.file)
    lines = source.text.splitlines()
    if "{{" in "".join(lines[finding.at.line - 1 : finding.at.line]):
        finding = replace(finding, fix="a template of Helm is not YAML: render it first, or leave it out")
    yield finding


def _nothing_to_check(sources: Collection[_Source]) -> Iterator[Finding]:
    kinds = {document.kind for source in sources for document in source.documents}
    if sources and not kinds & set(KINDS) and all(source.error is None for source in sources):
        first = next(iter(sources)).file
        held = f"there is only {', '.join(sorted(kinds))}" if kinds else "there is no Kubernetes manifest"
        rule = NOTHING_TO_CHECK
        yield Finding(rule, Position(first, 1, 1), "", None, f"nothing was checked: {held}", rule.fix)


def _found(checks: Iterable[Check[Subject]], subject: Subject) -> Iterator[Finding]:
    for check in checks:
        for hit in check.find(subject):
            yield _finding(check.rule, hit)


# --- findings ---------------------------------------------------------------------------------------------


def _finding(rule: Rule, hit: Hit) -> Finding:
    at = key_position(hit.document, hit.path)
    value = _scalar_at(hit.document, hit.path)
    return Finding(rule, at, dotted(hit.path), value, hit.reason, hit.fix or rule.fix)


def _error_finding(error: PolicyError, file: str) -> Finding:
    rule = DOES_NOT_LOAD
    if isinstance(error.__cause__, PromQLError) and error.__cause__.kind == "unsupported":
        rule = NOT_SIMULATED
    elif _NOT_IN_THE_FILES.match(error.why):
        rule = MISSING
    at = error.at if error.at.file and error.at.line else Position(file, 1, 1)
    value = error.value if isinstance(error.value, str | int | float | bool) else None
    return Finding(rule, at, error.path, value, error.why, error.fix or rule.fix)


def _scalar_at(document: Document, path: Path) -> str | int | float | bool | None:
    value = document.data
    for part in path:
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return value if isinstance(value, str | int | float | bool) else None


def _report(
    read: Mapping[str, _Source], findings: Iterable[Finding], scrapes: Scrapes, disabled: Collection[str]
) -> Report:
    ids = {rule.id for rule in RULES}
    comments = {file: suppressions(source.text, file, ids) for file, source in read.items()}
    wrong = (
        Finding(WRONG_COMMENT, at, "", None, f"this comment silences nothing: {why}", WRONG_COMMENT.fix)
        for of_file in comments.values()
        for at, why in of_file.wrong
    )
    order = {file: number for number, file in enumerate(read)}
    unique = dict.fromkeys((*findings, *wrong))
    ordered = sorted(
        (finding for finding in unique if finding.rule.id not in disabled),
        key=lambda f: (order.get(f.at.file, -1), f.at.line, f.at.column, f.rule.id, f.path),
    )
    kept: list[Finding] = []
    silenced: list[Finding] = []
    for finding in ordered:
        of_file = comments.get(finding.at.file)
        reason = of_file.reason(finding.at.line, finding.rule.id) if of_file else ""
        if reason:
            silenced.append(replace(finding, suppressed=reason))
        else:
            kept.append(finding)
    return Report(tuple(read), tuple(kept), tuple(silenced), scrapes)
