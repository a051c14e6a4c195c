"""From an analysis to the metrics of one run: late arguments, checks, dry-run and retention rules.

Argo Rollouts: ``utils/analysis`` (arguments, metric validation, rules by regular expression) and
docs/features/analysis. A run that fails here ends in Error before its first measurement.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

import re2

from rolloutsim.engine.measurements import KEPT_MEASUREMENTS, MetricState
from rolloutsim.errors import PolicyError
from rolloutsim.policy.experiment_step import TAG
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import (
    Analysis,
    ExperimentArgument,
    FieldArgument,
    Metric,
    PodHashArgument,
    SecretArgument,
)
from rolloutsim.policy.templating import interpolate

__all__ = ["bound_metrics", "dry_runs", "late_values", "metric_problem", "refusal"]

Plain = TypeVar("Plain")
NO_TAGS: Mapping[str, str] = MappingProxyType({})


def late_values(
    analysis: Analysis,
    *,
    stable: str,
    latest: str,
    fields: Mapping[str, str],
    tags: Mapping[str, str] = NO_TAGS,
) -> dict[str, str]:
    """Values of the arguments that are bound when a run is created.

    ``stable`` and ``latest`` are pod hashes, ``fields`` maps the paths of field arguments to values, ``tags``
    those that arguments of an experiment name.

    Raises
    ------
    PolicyError : a field that the rollout does not have.
    """
    values: dict[str, str] = {}
    for argument in analysis.late:
        if isinstance(argument, PodHashArgument):
            values[argument.name] = latest if argument.latest else stable
        elif isinstance(argument, FieldArgument):
            if argument.path not in fields:
                raise PolicyError(
                    f"the argument {argument.name} needs the field {argument.path}, which is not known",
                    fix="give its value with the release, or use an argument with a value",
                )
            values[argument.name] = fields[argument.path]
        elif isinstance(argument, ExperimentArgument):
            values[argument.name] = TAG.sub(lambda tag: tags[tag[1]], argument.text)
    return values


def bound_metrics(analysis: Analysis, bindings: Mapping[str, str]) -> tuple[Metric, ...]:
    """The metrics with every late argument but the secrets filled in.

    Raises
    ------
    PolicyError : an argument has no value (also one that no text uses), or a tag names none.
    """
    secrets = frozenset(argument.name for argument in analysis.late if isinstance(argument, SecretArgument))
    names = [argument.name for argument in analysis.late if argument.name not in secrets]
    if not names:
        return analysis.metrics
    for name in names:
        if name not in bindings:
            raise PolicyError(f'argument "{name}" was not supplied')
    values = {name: bindings[name] for name in names}
    quoted = {name: json.dumps(value)[1:-1] for name, value in values.items()}
    return tuple(_filled(metric, values, quoted, secrets) for metric in analysis.metrics)


def _filled(
    item: Plain, values: Mapping[str, str], quoted: Mapping[str, str], secrets: frozenset[str]
) -> Plain:
    """A copy of a dataclass with all its texts interpolated; JSON texts get the quoted values."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(item):  # type: ignore[arg-type]
        value = getattr(item, field.name)
        if isinstance(value, str):
            changes[field.name] = interpolate(
                value, quoted if field.name.endswith("_json") else values, secrets
            )
        elif dataclasses.is_dataclass(value):
            changes[field.name] = _filled(value, values, quoted, secrets)
    return dataclasses.replace(item, **changes)  # type: ignore[type-var]


def refusal(analysis: Analysis, metrics: tuple[Metric, ...]) -> tuple[str, tuple[MetricState, ...]]:
    """Why a run of these metrics cannot start (empty if it can), and its metrics as they start."""
    problem = _problem(metrics)
    names = [metric.name for metric in metrics]
    dry_run: set[str] = set()
    retain: dict[str, int] = {}
    for index, pattern in enumerate(analysis.dry_run):
        found = _matching(pattern, names)
        problem = problem or _unmatched("dryRun", index, found)
        dry_run.update(found)
    for index, rule in enumerate(analysis.retention):
        found = _matching(rule.pattern, names)
        problem = problem or _unmatched("measurementRetention", index, found)
        retain.update((name, rule.limit if rule.limit > 0 else KEPT_MEASUREMENTS) for name in found)
    states = tuple(
        MetricState(metric, metric.name in dry_run, retain.get(metric.name, KEPT_MEASUREMENTS))
        for metric in metrics
    )
    return f"Analysis spec invalid: {problem}" if problem else "", states


def dry_runs(analysis: Analysis) -> frozenset[str]:
    """Names of the metrics of an analysis that are dry runs."""
    names = [metric.name for metric in analysis.metrics]
    return frozenset(name for pattern in analysis.dry_run for name in _matching(pattern, names))


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    expression = _compiled(pattern)
    return [] if expression is None else [name for name in names if expression.search(name)]


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """The regular expression, unanchored; None if it is none (which the controller takes as no match)."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _unmatched(rules: str, index: int, found: list[str]) -> str:
    return "" if found else f"{rules}[{index}]: Rule didn't match any metric name(s)"


def _problem(metrics: tuple[Metric, ...]) -> str:
    if not metrics:
        return "no metrics specified"
    seen: set[str] = set()
    for index, metric in enumerate(metrics):
        if metric.name in seen:
            return f"metrics[{index}]: duplicate name '{metric.name}'"
        seen.add(metric.name)
        problem = metric_problem(metric)
        if problem:
            return f"metrics[{index}]: {problem}"
    return ""


def metric_problem(metric: Metric) -> str:
    """The first thing that makes a metric invalid, in the controller's words; empty if valid."""
    if isinstance(metric.provider, GatedCounts) and metric.interval_ms is None:
        return "interval must be specified for a gate"
    successes, failures = metric.consecutive_success_limit, metric.failure_limit
    count = metric.count or 0
    if successes < 0:
        return "consecutiveSuccessLimit must be >= 0"
    if failures < -1:
        return "failureLimit must be >= -1"
    if failures == -1 and successes == 0:
        return "consecutiveSuccessLimit must be > 0 if failureLimit is -1"
    if metric.inconclusive_limit < 0:
        return "inconclusiveLimit must be >= 0"
    if metric.consecutive_error_limit < 0:
        return "consecutiveErrorLimit must be >= 0"
    if count > 0:
        if failures == -1 and count < successes:
            return "count must be >= consecutiveSuccessLimit"
        if failures >= 0 and count < failures + successes:
            sums = f"({failures} + {successes})"
            return f"count ({count}) must be >= failureLimit + consecutiveSuccessLimit {sums} if both >= 0"
        if count < metric.inconclusive_limit:
            return "count must be >= inconclusiveLimit"
    if count > 1 and metric.interval_ms is None:
        return "interval must be specified when count > 1"
    return ""
