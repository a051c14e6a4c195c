"""An analysis back to what a manifest says: metrics in place, or a template and a reference to it.

Arguments of known value are filled in already; those that are bound later stay arguments. A text may hold
``{{`` that came out of a value and is no argument: the loader would refuse it, so it is written as an
argument whose value is ``{{``, which the loader puts back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rolloutsim.policy.analysis_templates import API_VERSION
from rolloutsim.policy.export_gate import gate_content
from rolloutsim.policy.export_yaml import duration_text
from rolloutsim.policy.expressions import LATE_TAG
from rolloutsim.policy.metric import DEFAULT_CONSECUTIVE_ERROR_LIMIT
from rolloutsim.policy.model import (
    Analysis,
    ExperimentArgument,
    FieldArgument,
    GatedCounts,
    JobProvider,
    LateArgument,
    Metric,
    OtherProvider,
    PodHashArgument,
    PrometheusProvider,
    Provider,
    Retention,
    WebProvider,
)
from rolloutsim.policy.templating import CLOSE, OPEN, PREFIX

__all__ = ["AnalysisWriter", "InlineAnalyses", "TemplateAnalyses"]

Content = dict[str, Any]
_Key = tuple[tuple[Metric, ...], tuple[LateArgument, ...], tuple[str, ...], tuple[Retention, ...]]
PROMETHEUS, WEB = PrometheusProvider(""), WebProvider("")
"""For their defaults."""


class AnalysisWriter(Protocol):
    """Writes the analyses of one policy."""

    def write(self, analysis: Analysis, name: str) -> Content:
        """The body of an ``analysis`` field; ``name`` is for a template that has none."""

    def write_one(self, analysis: Analysis, name: str) -> Content:
        """The same for an experiment's analysis, which is one template and its arguments."""


@dataclass(slots=True)
class TemplateAnalyses:
    """Each analysis as a reference to an AnalysisTemplate; equal analyses share one.

    ``documents`` are the templates that have been written.
    """

    namespace: str = ""
    documents: list[Content] = field(default_factory=list)
    _names: dict[_Key, str] = field(default_factory=dict)

    def write(self, analysis: Analysis, name: str) -> Content:
        reference = self._reference(replace(analysis, dry_run=(), retention=()), name)
        given = reference.pop("args", None)
        return {"templates": [reference], **({"args": given} if given else {}), **_rules(analysis)}

    def write_one(self, analysis: Analysis, name: str) -> Content:
        return self._reference(analysis, name)

    def _reference(self, analysis: Analysis, name: str) -> Content:
        """Name and arguments of a template that holds the analysis with its rules."""
        key = (analysis.metrics, analysis.late, analysis.dry_run, analysis.retention)
        if key not in self._names:
            self._names[key] = self._free("-".join(analysis.templates) or name)
            self.documents.append(self._template(self._names[key], analysis))
        given = [content for argument in analysis.late if (content := _given(argument))]
        return {"templateName": self._names[key], **({"args": given} if given else {})}

    def _free(self, name: str) -> str:
        taken, candidate, number = set(self._names.values()), name, 2
        while candidate in taken:
            candidate, number = f"{name}-{number}", number + 1
        return candidate

    def _template(self, name: str, analysis: Analysis) -> Content:
        metrics, braces = _metrics(analysis)
        arguments = [_declared(argument) for argument in analysis.late] + braces
        return {
            "apiVersion": API_VERSION,
            "kind": "AnalysisTemplate",
            "metadata": {"name": name, **({"namespace": self.namespace} if self.namespace else {})},
            "spec": {**({"args": arguments} if arguments else {}), "metrics": metrics, **_rules(analysis)},
        }


@dataclass(slots=True)
class InlineAnalyses:
    """Each analysis with its metrics in place, as a RolloutPolicy may have them.

    An analysis that came from templates stays one in ``templates``, and so does one with secrets or fields,
    which only templates have as arguments.
    """

    templates: TemplateAnalyses = field(default_factory=TemplateAnalyses)

    def write(self, analysis: Analysis, name: str) -> Content:
        hashes = [argument for argument in analysis.late if isinstance(argument, PodHashArgument)]
        if analysis.templates or len(hashes) < len(analysis.late):
            return self._with_template(analysis, name)
        metrics, braces = _metrics(analysis)
        given = [_pod_hash(argument) for argument in hashes] + braces
        return {**({"args": given} if given else {}), "metrics": metrics, **_rules(analysis)}

    def write_one(self, analysis: Analysis, name: str) -> Content:
        return self.templates.write_one(analysis, name)

    def _with_template(self, analysis: Analysis, name: str) -> Content:
        """Gates are no part of a template: they stay in place, beside the reference to the others."""
        gates = tuple(m for m in analysis.metrics if isinstance(m.provider, GatedCounts))
        others = tuple(m for m in analysis.metrics if not isinstance(m.provider, GatedCounts))
        if not gates:
            return self.templates.write(analysis, name)
        own = self.write(replace(analysis, metrics=gates, late=_hashes(analysis), templates=()), name)
        referred = self.templates.write(replace(analysis, metrics=others), name)
        return {**own, **referred, "args": own.get("args", [])}


def _hashes(analysis: Analysis) -> tuple[LateArgument, ...]:
    return tuple(argument for argument in analysis.late if isinstance(argument, PodHashArgument))


def _pod_hash(argument: PodHashArgument) -> Content:
    which = "Latest" if argument.latest else "Stable"
    return {"name": argument.name, "valueFrom": {"podTemplateHashValue": which}}


def _given(argument: LateArgument) -> Content | None:
    """An argument whose value the Rollout gives; None for one that only its template has."""
    if isinstance(argument, ExperimentArgument):
        return {"name": argument.name, "value": argument.text}
    return _pod_hash(argument) if isinstance(argument, PodHashArgument) else None


def _declared(argument: LateArgument) -> Content:
    if isinstance(argument, PodHashArgument | ExperimentArgument):
        return {"name": argument.name}
    if isinstance(argument, FieldArgument):
        source: Content = {"fieldRef": {"fieldPath": argument.path}}
    else:
        source = {"secretKeyRef": {"name": argument.secret, "key": argument.key}}
    return {"name": argument.name, "valueFrom": source}


def _rules(analysis: Analysis) -> Content:
    rules: Content = {}
    if analysis.dry_run:
        rules["dryRun"] = [{"metricName": pattern} for pattern in analysis.dry_run]
    if analysis.retention:
        rules["measurementRetention"] = [
            {"metricName": rule.pattern, "limit": rule.limit} for rule in analysis.retention
        ]
    return rules


def _metrics(analysis: Analysis) -> tuple[list[Content], list[Content]]:
    """The metrics, and the argument for literal braces if they need it."""
    names = {argument.name for argument in analysis.late}
    braces = "open-braces"
    while braces in names:
        braces += "-"
    used: list[str] = []

    def escape(text: str) -> str:
        escaped = _escaped(text, names, f"{OPEN}{PREFIX}{braces}{CLOSE}")
        if escaped != text:
            used.append(text)
        return escaped

    metrics = [_metric(metric, escape) for metric in analysis.metrics]
    return metrics, [{"name": braces, "value": OPEN}] if used else []


def _escaped(text: str, late: Collection[str], braces: str) -> str:
    parts: list[str] = []
    end = 0
    while (start := text.find(OPEN, end)) >= 0:
        tag = LATE_TAG.match(text, start)
        parts.append(text[end:start])
        if tag is not None and tag.group(1) in late:
            parts.append(tag.group())
            end = tag.end()
        else:
            parts.append(braces)
            end = start + len(OPEN)
    return "".join(parts) + text[end:]


def _metric(metric: Metric, escape: Callable[[str], str]) -> Content:
    content: Content = {"name": escape(metric.name)}
    if metric.interval_ms is not None:
        content["interval"] = duration_text(metric.interval_ms)
    if metric.initial_delay_ms:
        content["initialDelay"] = duration_text(metric.initial_delay_ms)
    if metric.count is not None:
        content["count"] = metric.count
    for name, condition in (
        ("successCondition", metric.success_condition),
        ("failureCondition", metric.failure_condition),
    ):
        if condition:
            content[name] = escape(condition)
    for name, limit, default in (
        ("failureLimit", metric.failure_limit, 0),
        ("inconclusiveLimit", metric.inconclusive_limit, 0),
        ("consecutiveErrorLimit", metric.consecutive_error_limit, DEFAULT_CONSECUTIVE_ERROR_LIMIT),
        ("consecutiveSuccessLimit", metric.consecutive_success_limit, 0),
    ):
        if limit != default:
            content[name] = limit
    if isinstance(metric.provider, GatedCounts):
        content["gate"] = _in_texts(gate_content(metric.provider), escape)
    else:
        content["provider"] = _in_texts(_provider(metric.provider), escape)
    return content


def _provider(provider: Provider) -> Content:
    match provider:
        case PrometheusProvider():
            content: Content = {"address": provider.address} if provider.address else {}
            content["query"] = provider.query
            if provider.timeout_ms != PROMETHEUS.timeout_ms:
                content["timeout"] = provider.timeout_ms // 1000
            if (asked := provider.range_query) is not None:
                step = duration_text(asked.step_ms)
                content["rangeQuery"] = {"start": asked.start, "end": asked.end, "step": step}
            return {"prometheus": {**content, **json.loads(provider.settings_json)}}
        case WebProvider():
            content = {"url": provider.url}
            if provider.json_path != WEB.json_path:
                content["jsonPath"] = provider.json_path
            if provider.timeout_ms != WEB.timeout_ms:
                content["timeoutSeconds"] = provider.timeout_ms // 1000
            return {"web": {**content, **json.loads(provider.settings_json)}}
        case JobProvider(spec_json=spec):
            return {"job": json.loads(spec)}
        case OtherProvider(kind=kind, spec_json=spec):
            family, _, name = kind.partition("/")
            return {"plugin": {name: json.loads(spec)}} if family == "plugin" else {kind: json.loads(spec)}
        case GatedCounts():
            raise TypeError("a gate stands in the place of a provider")


def _in_texts(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with all texts in it changed; names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _in_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_texts(item, change) for item in value]
    return value
