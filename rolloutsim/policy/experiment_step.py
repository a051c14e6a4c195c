"""The step ``experiment`` of a Rollout: its templates, and its analyses.

Source: argoproj/argo-rollouts, rollout/experiment.go (``GetExperimentFromTemplate``) and utils/template
(``ResolveExperimentArgsValue``): a value of an experiment's argument may name the experiment's templates, and
is filled in when the analysis starts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rolloutsim.policy.analysis_templates import EXPERIMENT_TAGS, TEMPLATE_KINDS, AnalysisReader
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.metric import canonical_json
from rolloutsim.policy.model import (
    Analysis,
    Canary,
    ExperimentAnalysis,
    ExperimentStep,
    ExperimentTemplate,
    Policy,
    SetMirrorRoute,
)

__all__ = ["AVAILABLE_AT", "TAG", "analysis_content", "experiment_step", "steps_beside"]

TAG = re.compile(r"\{\{\s*(.*?)\s*\}\}")
"""A tag in a value: ``templates.NAME.podTemplateHash``, ``templates.NAME.replicaset.name``, AVAILABLE_AT."""
AVAILABLE_AT = "experiment.availableAt"
SCALE_DOWN_DELAY_S = 30
"""Argo Rollouts, DefaultScaleDownDelaySeconds, also of experiments."""
KEPT_OF_TEMPLATE = ("selector", "metadata", "service")


def steps_beside(policy: Policy) -> tuple[str, ...]:
    """Kinds of the steps through which something serves beside the two versions of a policy."""
    steps = policy.strategy.steps if isinstance(policy.strategy, Canary) else ()
    kinds = {ExperimentStep: "experiment", SetMirrorRoute: "setMirrorRoute"}
    return tuple(name for kind, name in kinds.items() if any(isinstance(step, kind) for step in steps))


def experiment_step(
    document: Document, path: Path, content: Mapping[str, Any], analyses: AnalysisReader
) -> ExperimentStep:
    """The experiment at ``path``.

    Raises
    ------
    PolicyError : a template or an analysis that is missing, doubled or wrong.
    """
    templates: list[ExperimentTemplate] = []
    for index, template in enumerate(content["templates"]):
        where = (*path, "templates", index)
        if any(other.name == template["name"] for other in templates):
            why = "two templates of the experiment have the same name"
            raise document.error((*where, "name"), why, template["name"], fix="rename one of them")
        templates.append(_template(document, where, template))
    names = {template.name for template in templates}
    found: list[ExperimentAnalysis] = []
    for index, reference in enumerate(content.get("analyses", [])):
        where = (*path, "analyses", index)
        if any(other.name == reference["name"] for other in found):
            why = "two analyses of the experiment have the same name"
            raise document.error((*where, "name"), why, reference["name"], fix="rename one of them")
        analysis = _analysis(
            document, where, {**reference, "dryRun": content.get("dryRun", [])}, names, analyses
        )
        required = reference.get("requiredForCompletion", False)
        found.append(ExperimentAnalysis(reference["name"], analysis, required))
    kept = {name: content[name] for name in ("analysisRunMetadata",) if name in content}
    return ExperimentStep(
        tuple(templates),
        tuple(found),
        _duration_ms(document, path, content),
        content.get("scaleDownDelaySeconds", SCALE_DOWN_DELAY_S) * 1000,
        canonical_json(kept),
    )


def _template(document: Document, path: Path, content: Mapping[str, Any]) -> ExperimentTemplate:
    if content["specRef"] not in ("canary", "stable"):
        raise document.error((*path, "specRef"), "expected canary or stable", content["specRef"])
    if content.get("replicas", 1) < 0:
        raise document.error((*path, "replicas"), "a number of pods cannot be negative", content["replicas"])
    if content.get("weight", 0) < 0:
        raise document.error((*path, "weight"), "a weight cannot be negative", content["weight"])
    labels = content.get("metadata", {}).get("labels", {})
    selected = document.spec.get("selector", {}).get("matchLabels", {})
    return ExperimentTemplate(
        content["name"],
        content["specRef"] == "canary",
        content.get("replicas", 1),
        content.get("weight"),
        any(labels.get(key, value) != value for key, value in selected.items()),
        canonical_json({name: content[name] for name in KEPT_OF_TEMPLATE if name in content}),
    )


def _analysis(
    document: Document,
    path: Path,
    reference: Mapping[str, Any],
    templates: Collection[str],
    analyses: AnalysisReader,
) -> Analysis:
    kind = TEMPLATE_KINDS[reference.get("clusterScope", False)]
    analyses.bundle.need(kind, reference["templateName"], document, (*path, "templateName"))
    given = []
    for index, argument in enumerate(reference.get("args", [])):
        where = (*path, "args", index, "value")
        given.append(_argument(document, where, argument, templates))
    content = {**analysis_content(reference), "args": given, "dryRun": reference["dryRun"]}
    return analyses.read(path, content, endless=True)


def analysis_content(reference: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of an experiment's ``analyses`` as an analysis of a step would be written."""
    named = {name: reference[name] for name in ("templateName", "clusterScope") if name in reference}
    return {"templates": [named], "args": reference.get("args", [])}


def _argument(
    document: Document, path: Path, argument: Mapping[str, Any], templates: Collection[str]
) -> Mapping[str, Any]:
    """The argument; if its value has tags, one whose value comes later."""
    text = argument.get("value", "")
    tags = TAG.findall(text)
    for tag in tags:
        name = (
            tag.removeprefix("templates.").removesuffix(".podTemplateHash").removesuffix(".replicaset.name")
        )
        known = tag in (f"templates.{name}.podTemplateHash", f"templates.{name}.replicaset.name")
        if tag != AVAILABLE_AT and not (known and name in templates):
            why = f"failed to resolve {{{{{tag}}}}}: it names nothing of the experiment's templates"
            fix = f"the templates are {', '.join(sorted(templates)) or 'none'}"
            raise document.error(path, why, text, fix=fix)
    return {"name": argument["name"], "valueFrom": {EXPERIMENT_TAGS: text}} if tags else argument


def _duration_ms(document: Document, path: Path, content: Mapping[str, Any]) -> int | None:
    if not content.get("duration"):
        return None
    try:
        return go_duration_ns(content["duration"]) // 1_000_000
    except ValueError as error:
        raise document.error((*path, "duration"), str(error), content["duration"]) from error
