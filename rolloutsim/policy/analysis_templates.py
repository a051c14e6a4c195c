"""From references to templates to one `Analysis`: flatten, merge, bind.

Source: argoproj/argo-rollouts, utils/analysis/helpers.go (``FlattenTemplates``, ``MergeArgs``) and
docs/features/analysis. Outer templates come before the ones they nest, namespaced ones before cluster
ones; a template met twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.policy.argo_shape import ANALYSIS_TEMPLATE
from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.gate_metric import bind_gate, equal_share, revision_arguments
from rolloutsim.policy.metric import bind_metric, interpolated, limit_of
from rolloutsim.policy.model import (
    Analysis,
    ExperimentArgument,
    FieldArgument,
    LateArgument,
    Metric,
    PodHashArgument,
    Retention,
    SecretArgument,
)
from rolloutsim.policy.shape import check_manifest

__all__ = ["EXPERIMENT_TAGS", "AnalysisReader", "UnresolvedArgument", "merge_arguments"]

TEMPLATE_KINDS = {False: "AnalysisTemplate", True: "ClusterAnalysisTemplate"}
API_VERSION = "argoproj.io/v1alpha1"
EXPERIMENT_TAGS = "experiment"
"""Key of ``valueFrom``, in no manifest, of a value that names an experiment's templates."""

Argument = Mapping[str, Any]
Source = tuple[Document, Path, Mapping[str, Any]]
"""A document, the place in it that holds metrics, and what stands there."""


class UnresolvedArgument(ValueError):
    """An argument that a template declares and nobody gives a value."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"args.{name} was not resolved")


def merge_arguments(incoming: Sequence[Argument], declared: Sequence[Argument]) -> list[dict[str, Any]]:
    """The declared arguments of a template with the incoming values of a Rollout.

    An incoming argument that is not declared is ignored; an incoming value does not remove the
    template's ``valueFrom``.

    Raises
    ------
    UnresolvedArgument : an argument has neither value nor ``valueFrom``.
    """
    merged = [dict(argument) for argument in declared]
    by_name = {argument["name"]: argument for argument in reversed(merged)}
    for argument in incoming:
        target = by_name.get(argument["name"])
        if target is None:
            continue
        if "value" in argument:
            target["value"] = argument["value"]
        elif "valueFrom" in argument:
            target["valueFrom"] = argument["valueFrom"]
    for argument in merged:
        if "value" not in argument and "valueFrom" not in argument:
            raise UnresolvedArgument(argument["name"])
    return merged


PLACEHOLDER = "dummy-value"


def check_alone(template: Document) -> None:
    """A template of an analysis that the rollout waits for, as the controller checks it: by itself.

    Only its own arguments count, with their defaults or a placeholder, whatever the Rollout gives them and
    other templates declare.

    Raises
    ------
    PolicyError : an argument with a value and a source, a tag of another template's argument, or a metric
        that never ends with these values.
    """
    values: dict[str, str] = {}
    for index, argument in enumerate(template.spec.get("args", [])):
        if "value" in argument and "valueFrom" in argument:
            why = f"the argument {argument['name']!r} has both a value and a valueFrom"
            raise template.error(("spec", "args", index), why, fix="remove one of them")
        values[argument["name"]] = argument.get("value", PLACEHOLDER)
    for index, content in enumerate(template.spec.get("metrics", [])):
        path: Path = ("spec", "metrics", index)
        metric = interpolated(template, path, content, values, ())
        if metric.get("interval") and limit_of(metric.get("count", 0)) == 0 and content.get("count"):
            raise template.error(
                (*path, "count"),
                f"the metric {content['name']!r} never ends with the defaults of {template.label}, which are "
                "all that Argo Rollouts looks at before a rollout waits for it",
                content["count"],
                fix="give the argument a default above 0 in the template",
            )


@dataclass(frozen=True, slots=True)
class AnalysisReader:
    """Reads the analyses of one Rollout; ``inline`` also accepts ``metrics`` in place of templates."""

    bundle: Bundle
    document: Document
    dialect: Dialect
    inline: bool = False

    def read(self, path: Path, analysis: Mapping[str, Any], *, endless: bool) -> Analysis:
        """The analysis at ``path``. ``endless`` allows metrics that never end by themselves.

        A tag that no declared argument fills is refused here for every analysis. The controller refuses the
        rollout for it where a step, pre- or post-promotion analysis has it; a background analysis it
        accepts, and every run ends with Error: such a policy aborts each release, and there is nothing to
        simulate.

        Raises
        ------
        PolicyError : a template, argument or metric that is missing, doubled or wrong.
        """
        templates = list(self._templates(path, analysis.get("templates", [])))
        if not endless and not self.inline:
            for template in templates:
                check_alone(template)
        sources: list[Source] = [(template, ("spec",), template.spec) for template in templates]
        if self.inline and "metrics" in analysis:
            sources.insert(0, (self.document, path, {"metrics": analysis["metrics"]}))
        if not any(spec.get("metrics") for _, _, spec in sources):
            why = "the analysis has no metrics"
            raise self.document.error(path, why, fix="name a template that has some")
        values, late = self._arguments(path, analysis, templates)
        own = analysis.get("metrics", ()) if self.inline else ()
        late += revision_arguments(own, {*values, *(argument.name for argument in late)})
        metrics = tuple(self._metrics(sources, values, [argument.name for argument in late], endless=endless))
        dry_run = [rule["metricName"] for rule in analysis.get("dryRun", [])]
        retention = [Retention(r["metricName"], r["limit"]) for r in analysis.get("measurementRetention", [])]
        for template in templates:
            dry_run += [rule["metricName"] for rule in template.spec.get("dryRun", [])]
            retention += [
                Retention(r["metricName"], r["limit"]) for r in template.spec.get("measurementRetention", [])
            ]
        self._once(path, "dryRun", dry_run)
        self._once(path, "measurementRetention", [rule.pattern for rule in retention])
        return Analysis(
            metrics, late, tuple(dry_run), tuple(retention), tuple(template.name for template in templates)
        )

    def _templates(self, path: Path, references: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
        """The referenced templates and those they nest, each once, cluster templates last."""
        found: dict[int, Document] = {}
        self._collect(self.document, (*path, "templates"), references, found)
        for kind in TEMPLATE_KINDS.values():
            yield from (template for template in found.values() if template.kind == kind)

    def _collect(
        self,
        asking: Document,
        path: Path,
        references: Sequence[Mapping[str, Any]],
        found: dict[int, Document],
    ) -> None:
        for index, reference in enumerate(references):
            kind = TEMPLATE_KINDS[reference.get("clusterScope", False)]
            where = (*path, index, "templateName")
            template = self.bundle.need(kind, reference["templateName"], asking, where)
            if id(template) in found:
                continue
            check_manifest(template, API_VERSION, ANALYSIS_TEMPLATE)
            found[id(template)] = template
            self._collect(template, ("spec", "templates"), template.spec.get("templates", []), found)

    def _arguments(
        self, path: Path, analysis: Mapping[str, Any], templates: Sequence[Document]
    ) -> tuple[dict[str, str], tuple[LateArgument, ...]]:
        """Values that are known now, and the arguments that are bound later."""
        declared, owners = self._declared(templates)
        incoming = analysis.get("args", [])
        if self.inline and "metrics" in analysis:
            # metrics of its own: the arguments are declared by giving them
            known = {argument["name"] for argument in declared}
            declared += [{"name": a["name"]} for a in incoming if a["name"] not in known]
        try:
            merged = merge_arguments(incoming, declared)
        except UnresolvedArgument as error:
            template = owners.get(error.name, self.document)
            why = f"the argument {error.name!r} of {template.label} has no value"
            where = (*path, "args") if incoming else path
            raise self.document.error(where, why, fix=f"give args an entry named {error.name!r}") from error
        values: dict[str, str] = {}
        late: list[LateArgument] = []
        for argument in merged:
            source = self._source(path, argument, incoming)
            if source is None:
                values[argument["name"]] = argument.get("value", "")
            else:
                late.append(source)
        return values, tuple(late)

    def _declared(self, templates: Sequence[Document]) -> tuple[list[Argument], dict[str, Document]]:
        """The arguments of all templates, united by name: the first literal value wins."""
        united: dict[str, Argument] = {}
        owners: dict[str, Document] = {}
        for template in templates:
            for index, argument in enumerate(template.spec.get("args", [])):
                name = argument["name"]
                known = united.get(name)
                if known is None:
                    united[name], owners[name] = argument, template
                elif "value" not in known:
                    united[name] = argument
                elif "value" in argument and argument["value"] != known["value"]:
                    raise template.error(
                        ("spec", "args", index, "value"),
                        f"the argument {name!r} has another value in {owners[name].label}",
                        argument["value"],
                        fix="give it one value, or give it in the Rollout",
                    )
        return list(united.values()), owners

    def _source(self, path: Path, argument: Argument, incoming: Sequence[Argument]) -> LateArgument | None:
        """Where an argument gets its value later; None when the value is known."""
        name = argument["name"]
        source = argument.get("valueFrom", {})
        index = next((i for i, given in enumerate(incoming) if given["name"] == name), None)
        given = {} if index is None else incoming[index]
        where = (*path, "args") if index is None else (*path, "args", index, "valueFrom")
        if "secretKeyRef" in source:
            return SecretArgument(name, source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        if "valueFrom" in given:
            source = given["valueFrom"]
        elif "value" in argument:
            return None
        if EXPERIMENT_TAGS in source:
            return ExperimentArgument(name, source[EXPERIMENT_TAGS])
        if "podTemplateHashValue" in source:
            which = source["podTemplateHashValue"]
            if which not in ("Latest", "Stable"):
                where = (*where, "podTemplateHashValue")
                raise self.document.error(where, "expected Latest or Stable", which)
            return PodHashArgument(name, latest=which == "Latest")
        if "fieldRef" in source:
            return FieldArgument(name, source["fieldRef"]["fieldPath"])
        fix = "use podTemplateHashValue, fieldRef or, in a template, secretKeyRef"
        raise self.document.error(where, f"valueFrom of the argument {name!r} is empty", fix=fix)

    def _metrics(
        self,
        sources: Sequence[Source],
        values: Mapping[str, str],
        late: Sequence[str],
        *,
        endless: bool,
    ) -> Iterator[Metric]:
        owners: dict[str, Document] = {}
        alpha = equal_share(content for _, _, spec in sources for content in spec.get("metrics", []))
        for document, path, spec in sources:
            for index, content in enumerate(spec.get("metrics", [])):
                where = (*path, "metrics", index)
                if "gate" in content:
                    metric = bind_gate(
                        document,
                        where,
                        content,
                        values,
                        late,
                        endless=endless,
                        alpha=alpha,
                        dialect=self.dialect,
                    )
                else:
                    metric = bind_metric(document, where, content, values, late, self.dialect)
                if metric.name in owners:
                    raise document.error(
                        (*where, "name"),
                        f"two metrics have the same name, the other in {owners[metric.name].label}",
                        metric.name,
                        fix="rename one of them",
                    )
                unending = metric.count is None and metric.interval_ms is not None and "gate" not in content
                if not endless and unending:
                    raise document.error(
                        where,
                        f"the metric {metric.name!r} never ends, and {self.document.label} waits for its end",
                        fix="add a count, or use it in a background analysis",
                    )
                owners[metric.name] = document
                yield metric

    def _once(self, path: Path, field: str, patterns: Sequence[str]) -> None:
        for index, pattern in enumerate(patterns):
            if pattern in patterns[:index]:
                raise self.document.error(
                    (*path, field), "two rules name the same metric", pattern, fix="remove one of them"
                )
