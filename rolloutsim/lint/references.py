"""What documents refer to: found in the files, or stood in for; and arguments that reach nothing.

A template or Service that is not in the files is one finding and no reason to stop: a stand-in takes its
place, so that everything else is still looked at.

Source: Argo Rollouts, utils/analysis/helpers.go (arguments that are not declared are ignored; a Secret of
the template wins) and analysis/analysis.go (a dry-run rule without a metric ends the run in Error).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from rolloutsim.lint.gates import matches
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import AnalysisUse, Role, Rollout
from rolloutsim.policy.analysis_templates import API_VERSION, TEMPLATE_KINDS
from rolloutsim.policy.document import Document, Path, nearest
from rolloutsim.policy.load import manifests
from rolloutsim.policy.references import named_services

__all__ = ["CHECKS", "MISSING", "MISSING_CLUSTER_TEMPLATE", "Missing", "resolve"]

CLUSTER_TEMPLATE = TEMPLATE_KINDS[True]
ANALYSES = ("analysis", "prePromotionAnalysis", "postPromotionAnalysis")

MISSING = Rule(
    "RS010",
    "missing-reference",
    Severity.ERROR,
    "a template or Service that is named is not in the files",
    "name its file too, or correct the name",
)
MISSING_CLUSTER_TEMPLATE = Rule(
    "RS011",
    "missing-cluster-template",
    Severity.WARNING,
    "a ClusterAnalysisTemplate that is named is not in the files: nothing of it was looked at",
    "name its file too",
)


@dataclass(frozen=True, slots=True)
class Missing:
    """A reference to something that is not in the files, and the finding that it makes."""

    rule: Rule
    hit: Hit


def resolve(
    own: Sequence[Document], others: Sequence[Document]
) -> tuple[tuple[Document, ...], tuple[Missing, ...]]:
    """The documents of a group with all that they refer to, and the references that lead nowhere.

    What is missing is taken from ``others`` (the other files of the command line) where one file has it,
    or one file in the same folder; else a stand-in without a file name takes its place.
    """
    found = list(own)
    missing: list[Missing] = []
    queue = list(own)
    while queue:
        asking = queue.pop(0)
        for kind, name, path in _references(asking):
            if any(_is(document, kind, name, asking) for document in found):
                continue
            other = _nearest_file(asking, [d for d in others if _is(d, kind, name, asking)])
            if other is None:
                missing.append(_missing(asking, kind, name, path, found))
                other = _stand_in(kind, name)
            else:
                queue.append(other)
            found.append(other)
    return tuple(found), tuple(missing)


def _is(document: Document, kind: str, name: str, asking: Document) -> bool:
    same = not asking.namespace or document.namespace in ("", asking.namespace)
    return document.kind == kind and document.name == name and same


def _nearest_file(asking: Document, candidates: list[Document]) -> Document | None:
    folder = PurePath(asking.file).parent
    near = [document for document in candidates if PurePath(document.file).parent == folder]
    chosen = near or candidates
    return chosen[0] if len(chosen) == 1 else None


def _missing(asking: Document, kind: str, name: str, path: Path, known: Sequence[Document]) -> Missing:
    rule = MISSING_CLUSTER_TEMPLATE if kind == CLUSTER_TEMPLATE else MISSING
    hint = nearest(name, [document.name for document in known if document.kind == kind and document.file])
    return Missing(rule, Hit(asking, path, f"no {kind} {name!r} in the files", hint))


def _stand_in(kind: str, name: str) -> Document:
    content: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {}}
    if kind in TEMPLATE_KINDS.values():
        metric = {"name": f"missing {name}", "provider": {"job": {"spec": {}}}}
        content |= {"apiVersion": API_VERSION, "spec": {"metrics": [metric]}}
    (document,) = manifests(json.dumps(content), "")
    return document


def _references(document: Document) -> Iterator[tuple[str, str, Path]]:
    """Kind, name and path of each template and Service that a document (unchecked) names."""
    if document.kind in TEMPLATE_KINDS.values():
        yield from _templates(document.spec, ("spec",))
    strategy = document.spec.get("strategy") if document.kind in ("Rollout", "RolloutPolicy") else None
    for name in ("canary", "blueGreen"):
        fields = _mapping(strategy, name)
        path: Path = ("spec", "strategy", name)
        for analysis in ANALYSES:
            yield from _templates(_mapping(fields, analysis), (*path, analysis))
        for index, step in enumerate(_list(fields, "steps")):
            where: Path = (*path, "steps", index)
            yield from _templates(_mapping(step, "analysis"), (*where, "analysis"))
            experiment = _mapping(step, "experiment")
            yield from _templates(experiment, (*where, "experiment"), "analyses")
        if document.kind == "Rollout":
            named = {**fields, "pingPong": _mapping(fields, "pingPong")}
            for place, service in named_services(named):
                if isinstance(service, str):
                    yield "Service", service, (*path, *place)


def _templates(
    content: Mapping[str, Any], path: Path, field: str = "templates"
) -> Iterator[tuple[str, str, Path]]:
    for index, reference in enumerate(_list(content, field)):
        if isinstance(reference, dict) and isinstance(reference.get("templateName"), str):
            kind = TEMPLATE_KINDS[reference.get("clusterScope") is True]
            yield kind, reference["templateName"], (*path, field, index, "templateName")


def _mapping(content: Any, name: str) -> Mapping[str, Any]:
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}


def _list(content: Any, name: str) -> list[Any]:
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, list) else []


# --- objects of routers -----------------------------------------------------------------------------------


def _router_objects(subject: Rollout) -> Iterator[Hit]:
    routing = _mapping(subject.fields, "trafficRouting")
    path: Path = (*subject.strategy_path, "trafficRouting")
    for kind, name, place in _named_by_router(routing, path):
        if subject.bundle.find(kind, name, subject.document.namespace) is None:
            reason = f"{kind} {name!r} is not in the files: its routes were not looked at"
            yield Hit(subject.document, place, reason)


def _named_by_router(routing: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str, Path]]:
    istio = _mapping(routing, "istio")
    single = (
        ("VirtualService", _mapping(istio, "virtualService"), "name", ("istio", "virtualService")),
        ("DestinationRule", _mapping(istio, "destinationRule"), "name", ("istio", "destinationRule")),
        ("Ingress", _mapping(routing, "nginx"), "stableIngress", ("nginx",)),
        ("Ingress", _mapping(routing, "alb"), "ingress", ("alb",)),
        ("TraefikService", _mapping(routing, "traefik"), "weightedTraefikServiceName", ("traefik",)),
    )
    for kind, content, field, below in single:
        if isinstance(content.get(field), str):
            yield kind, content[field], (*path, *below, field)
    for router, field in (("nginx", "stableIngresses"), ("alb", "ingresses")):
        for index, name in enumerate(_list(_mapping(routing, router), field)):
            yield "Ingress", name, (*path, router, field, index)
    for index, content in enumerate(_list(istio, "virtualServices")):
        yield "VirtualService", content["name"], (*path, "istio", "virtualServices", index, "name")
    for plugin, content in _mapping(routing, "plugins").items():
        if isinstance(content, dict) and isinstance(content.get("httpRoute"), str):
            yield "HTTPRoute", content["httpRoute"], (*path, "plugins", plugin, "httpRoute")


# --- arguments and rules that reach nothing -----------------------------------------------------------------


def _undeclared(subject: Rollout) -> Iterator[Hit]:
    for use in subject.analyses:
        if not use.complete or "metrics" in use.content:
            continue
        declared = {a["name"] for template in use.templates for a in template.spec.get("args", [])}
        for index, argument in enumerate(use.content.get("args", [])):
            name = argument["name"]
            if name not in declared:
                reason = f"no template of this analysis declares the argument {name!r}: it is ignored"
                hint = nearest(name, sorted(declared)) or "declare it under spec.args of the template"
                yield Hit(subject.document, (*use.path, "args", index, "name"), reason, hint)


def _shadowed(subject: Rollout) -> Iterator[Hit]:
    for use in subject.analyses:
        secrets = {
            argument["name"]: template
            for template in use.templates
            for argument in template.spec.get("args", [])
            if "secretKeyRef" in argument.get("valueFrom", {})
        }
        for index, argument in enumerate(use.content.get("args", [])):
            template = secrets.get(argument["name"])
            if template is not None and "value" in argument:
                reason = f"{template.label} reads it from a Secret: the value given here is not used"
                yield Hit(subject.document, (*use.path, "args", index, "value"), reason)


def _names_no_metric(subject: Rollout) -> Iterator[Hit]:
    for use in subject.analyses:
        if not use.complete:
            continue
        names = [metric.name for metric in use.analysis.metrics]
        for document, path, pattern in _patterns(subject, use):
            if not any(matches(pattern, name) for name in names):
                listed = ", ".join(map(repr, names))
                reason = f"{pattern!r} matches none of {listed}: the run ends in Error, which aborts"
                yield Hit(document, path, reason, nearest(pattern, names))


def _patterns(subject: Rollout, use: AnalysisUse) -> Iterator[tuple[Document, Path, str]]:
    sources = [(subject.document, use.path, use.content)]
    if use.role is Role.EXPERIMENT and use.step is not None:
        # Its rules hold for each of its analyses.
        path: Path = (*subject.strategy_path, "steps", use.step, "experiment")
        sources = [(subject.document, path, subject.fields["steps"][use.step]["experiment"])]
    sources += [(template, ("spec",), template.spec) for template in use.templates]
    for document, path, content in sources:
        for field in ("dryRun", "measurementRetention"):
            for index, rule in enumerate(content.get(field, [])):
                yield document, (*path, field, index, "metricName"), rule["metricName"]


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS012",
            "router-object-not-checked",
            Severity.NOTE,
            "an object of the router is not in the files, so its routes were not looked at",
            "name its file too",
        ),
        _router_objects,
    ),
    Check(
        Rule(
            "RS013",
            "undeclared-argument",
            Severity.WARNING,
            "an argument that no template declares is ignored without a word",
            "declare it under spec.args of the template, or remove it",
        ),
        _undeclared,
    ),
    Check(
        Rule(
            "RS014",
            "rule-names-no-metric",
            Severity.ERROR,
            "a dryRun or measurementRetention rule (a pattern) that matches no metric aborts the rollout",
            "name a metric; '.*' names all",
        ),
        _names_no_metric,
    ),
    Check(
        Rule(
            "RS015",
            "shadowed-argument",
            Severity.WARNING,
            "a value for an argument that the template reads from a Secret is not used",
            "remove the value, or the secretKeyRef of the template",
        ),
        _shadowed,
    ),
)
