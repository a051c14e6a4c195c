"""What rules look at: a rollout with its analyses, and each metric with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError
from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.experiment_step import analysis_content
from rolloutsim.policy.located import LocatedPolicy
from rolloutsim.policy.metric import bind_metric
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentStep,
    FieldArgument,
    LateArgument,
    Metric,
    Policy,
    SecretArgument,
)

__all__ = ["AnalysisUse", "MetricUse", "Role", "Rollout", "Scrapes", "Traffic", "rollout", "template_metrics"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a service's own requests are like: how many a second, and the share that fails.

    Latency is lognormal; ``median_s`` None: nobody said.
    """

    rate_rps: float
    error_rate: float
    median_s: float | None = None
    sigma: float = 0.6


@dataclass(frozen=True, slots=True)
class Scrapes:
    """How often the metrics server scrapes, and whether somebody said so; ``traffic`` None: nobody said."""

    interval_ms: int = 30_000
    assumed: bool = True
    traffic: Traffic | None = None


class Role(StrEnum):
    """When an analysis runs."""

    BACKGROUND = "background"
    STEP = "step"
    EXPERIMENT = "experiment"
    BEFORE_SWITCH = "prePromotionAnalysis"
    AFTER_SWITCH = "postPromotionAnalysis"


@dataclass(frozen=True, slots=True)
class MetricUse:
    """A metric, the document and path where it stands, and how often what it queries is scraped."""

    metric: Metric
    document: Document
    path: Path
    late: tuple[LateArgument, ...]
    scrapes: Scrapes


@dataclass(frozen=True, slots=True)
class AnalysisUse:
    """An analysis in its role. ``metrics`` leaves out those of templates that are not in the files.

    ``content`` is what stands at ``path`` of the rollout's document (for an experiment's analysis, whose
    dryRun stands at the experiment, as an analysis of a step would be written); ``step`` is the index of the
    step.
    """

    role: Role
    path: Path
    content: Mapping[str, Any]
    analysis: Analysis
    templates: tuple[Document, ...]
    metrics: tuple[MetricUse, ...]
    step: int | None = None

    @property
    def complete(self) -> bool:
        """Are all templates in the files?"""
        return all(template.file for template in self.templates)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A policy with its document, the documents beside it, and its analyses."""

    policy: Policy
    document: Document
    bundle: Bundle
    analyses: tuple[AnalysisUse, ...]
    scrapes: Scrapes

    @property
    def written(self) -> bool:
        """Is the strategy written in the document (Rollout, RolloutPolicy), or read out of plain objects?"""
        return self.document.kind in ("Rollout", "RolloutPolicy")

    @property
    def canary(self) -> Canary | None:
        """The strategy of a written canary."""
        strategy = self.policy.strategy
        return strategy if self.written and isinstance(strategy, Canary) else None

    @property
    def blue_green(self) -> BlueGreen | None:
        """The strategy of a written blue-green rollout."""
        strategy = self.policy.strategy
        return strategy if self.written and isinstance(strategy, BlueGreen) else None

    @property
    def strategy_path(self) -> Path:
        """``spec.strategy.canary`` or ``spec.strategy.blueGreen``."""
        return ("spec", "strategy", "canary" if isinstance(self.policy.strategy, Canary) else "blueGreen")

    @property
    def fields(self) -> Mapping[str, Any]:
        """What stands at `strategy_path`; empty for plain objects."""
        content = self.document.spec.get("strategy", {}).get(self.strategy_path[-1], {})
        return content if self.written else {}


def rollout(located: LocatedPolicy, scrapes: Scrapes) -> Rollout:
    """What rules look at, for one policy."""
    bare = Rollout(located.policy, located.document, located.bundle, (), scrapes)
    analyses = tuple(
        AnalysisUse(
            role,
            path,
            content,
            analysis,
            located.templates(content),
            tuple(_metrics(located, path, content, analysis, scrapes)),
            step,
        )
        for role, path, content, analysis, step in _analyses(bare)
    )
    return Rollout(located.policy, located.document, located.bundle, analyses, scrapes)


def template_metrics(template: Document, scrapes: Scrapes, dialect: Dialect) -> Iterator[MetricUse]:
    """The metrics of a template that no rollout of the files uses.

    Raises
    ------
    PolicyError : a metric that the controller refuses.
    """
    arguments = template.spec.get("args", [])
    values = {a["name"]: a["value"] for a in arguments if "value" in a}
    late = tuple(_late(argument) for argument in arguments if "value" not in argument)
    names = [argument.name for argument in late]
    for index, content in enumerate(template.spec.get("metrics", [])):
        path: Path = ("spec", "metrics", index)
        try:
            metric = bind_metric(template, path, content, values, names, dialect)
        except PolicyError as error:
            if isinstance(error.value, str) and "{{args." in error.value:
                continue  # a number or a duration that only a rollout gives
            raise
        yield MetricUse(metric, template, path, late, scrapes)


def _late(argument: Mapping[str, Any]) -> LateArgument:
    secret = argument.get("valueFrom", {}).get("secretKeyRef")
    if secret:
        return SecretArgument(argument["name"], secret["name"], secret["key"])
    return FieldArgument(argument["name"], "")


def _analyses(
    subject: Rollout,
) -> Iterator[tuple[Role, Path, Mapping[str, Any], Analysis, int | None]]:
    path, fields = subject.strategy_path, subject.fields
    if canary := subject.canary:
        if canary.background is not None:
            yield Role.BACKGROUND, (*path, "analysis"), fields["analysis"], canary.background, None
        for index, step in enumerate(canary.steps):
            where: Path = (*path, "steps", index)
            if isinstance(step, AnalysisStep):
                content = fields["steps"][index]["analysis"]
                yield Role.STEP, (*where, "analysis"), content, step.analysis, index
            elif isinstance(step, ExperimentStep):
                named = fields["steps"][index]["experiment"].get("analyses", [])
                for number, (one, reference) in enumerate(zip(step.analyses, named, strict=True)):
                    place: Path = (*where, "experiment", "analyses", number)
                    yield Role.EXPERIMENT, place, analysis_content(reference), one.analysis, index
    if blue_green := subject.blue_green:
        gates: Sequence[tuple[Role, Analysis | None]] = (
            (Role.BEFORE_SWITCH, blue_green.pre_promotion),
            (Role.AFTER_SWITCH, blue_green.post_promotion),
        )
        for role, analysis in gates:
            if analysis is not None:
                yield role, (*path, role.value), fields[role.value], analysis, None


def _metrics(
    located: LocatedPolicy, path: Path, content: Mapping[str, Any], analysis: Analysis, scrapes: Scrapes
) -> Iterator[MetricUse]:
    places = located.metric_places(path, content)
    for metric, (document, place) in zip(analysis.metrics, places, strict=True):
        if document.file:
            yield MetricUse(metric, document, place, analysis.late, scrapes)
