"""Rules about PromQL queries: windows, what they count, and whose requests.

Sources: Prometheus 3.5, promql/functions.go (rate needs two samples in its window); Argo Rollouts,
metricproviders/prometheus (the resolved query is kept in the status of the run).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import MetricUse, Role, Rollout
from rolloutsim.lint.weights import share_of_pods
from rolloutsim.lint.words import duration, percent
from rolloutsim.policy.document import Path
from rolloutsim.policy.expressions import LATE_TAG, STAND_INS
from rolloutsim.policy.model import (
    ExperimentArgument,
    Metric,
    PodHashArgument,
    PrometheusProvider,
    SecretArgument,
    SetWeight,
)
from rolloutsim.promql import PromQLError, Query, compile_query
from rolloutsim.promql.parse import parse
from rolloutsim.promql.tree import Aggregate, Binary, Call, Node, Number, children
from rolloutsim.telemetry import PRESETS

__all__ = ["CHECKS", "METRIC_CHECKS", "can_be_nan", "longest_window_ms", "query_of", "query_path"]

SCRAPES_PER_WINDOW = 4
"""Two samples make a rate; a scrape late or missed on either end must not leave fewer."""
COUNTING = ("rate", "irate", "increase", "delta", "idelta")
WITHOUT_OBSERVATIONS = ("histogram_quantile", "histogram_fraction", "scalar")
"""Functions that give NaN where there is nothing to work on."""


def query_of(metric: Metric) -> Query | None:
    """The compiled query of a Prometheus metric; stand-ins take the place of late arguments."""
    return None if (text := _filled(metric)) is None else compile_query(text)


def can_be_nan(metric: Metric) -> bool:
    """Can the query give NaN where there is no traffic (0/0, a quantile of nothing)?"""
    text = _filled(metric)
    return text is not None and any(_gives_nan(node) for node in _nodes(_tree(text)))


def longest_window_ms(metric: Metric) -> int | None:
    """The longest range of the query's selectors; None without one."""
    query = query_of(metric)
    ranges = [s.range_ms for s in query.selectors if s.range_ms is not None] if query else []
    return max(ranges, default=None)


def query_path(item: MetricUse) -> Path:
    """Where the query stands."""
    return (*item.path, "provider", "prometheus", "query")


def _filled(metric: Metric) -> str | None:
    return _with_stand_ins(metric.provider.query) if isinstance(metric.provider, PrometheusProvider) else None


@lru_cache(maxsize=1024)
def _with_stand_ins(text: str) -> str | None:
    for stand_in in STAND_INS if LATE_TAG.search(text) else ("",):
        filled = LATE_TAG.sub(stand_in, text)
        try:
            compile_query(filled)
        except PromQLError:
            continue
        return filled
    return None


@lru_cache(maxsize=1024)
def _tree(text: str) -> Node:
    return parse(text)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in children(node):
        yield from _nodes(child)


def _gives_nan(node: Node) -> bool:
    if isinstance(node, Binary) and node.operator in ("/", "%"):
        return not (isinstance(node.right, Number) and node.right.value)
    return isinstance(node, Call) and node.function in WITHOUT_OBSERVATIONS


# --- windows ------------------------------------------------------------------------------------------


def _short_window(item: MetricUse) -> Iterator[Hit]:
    query, every = query_of(item.metric), item.scrapes.interval_ms
    ranges = [s.range_ms for s in query.selectors if s.range_ms is not None] if query else []
    if not ranges or min(ranges) >= SCRAPES_PER_WINDOW * every:
        return
    window = min(ranges)
    held = window // every
    samples = "at most one sample" if held < 2 else f"{held} samples"
    result = "a rate of it is always empty" if held < 2 else "a missed scrape or two leave no rate"
    assumed = " (assumed)" if item.scrapes.assumed else ""
    yield Hit(
        item.document,
        query_path(item),
        f"[{duration(window)}] with a scrape every {duration(every)}{assumed} holds {samples}: {result}",
        f"make the window at least {duration(SCRAPES_PER_WINDOW * every)}",
    )


def _overlapping_windows(item: MetricUse) -> Iterator[Hit]:
    metric, window = item.metric, longest_window_ms(item.metric)
    repeated = metric.count is None or metric.count > 1
    if window is None or metric.interval_ms is None or not repeated or metric.interval_ms >= window:
        return
    looks = -(-window // metric.interval_ms)
    reason = (
        f"measured every {duration(metric.interval_ms)} over the last {duration(window)}: "
        f"one burst of errors is seen {looks} times"
    )
    if metric.failure_limit > 0:
        reason += f", and can be {looks} of the {metric.failure_limit + 1} failures that abort"
    yield Hit(item.document, (*item.path, "interval"), reason, f"interval: {duration(window)}")


def _secret_in_query(item: MetricUse) -> Iterator[Hit]:
    provider = item.metric.provider
    if not isinstance(provider, PrometheusProvider):
        return
    named = set(LATE_TAG.findall(provider.query))
    for argument in item.late:
        if isinstance(argument, SecretArgument) and argument.name in named:
            reason = (
                f"the value of args.{argument.name}, out of Secret {argument.secret!r}, "
                "can be read in the status of each AnalysisRun (ResolvedPrometheusQuery)"
            )
            yield Hit(item.document, query_path(item), reason)


# --- whose requests -----------------------------------------------------------------------------------


def _version_labels() -> frozenset[str]:
    """Labels that tell versions apart, in the telemetry that is known and by convention."""
    known = {name for preset in PRESETS.values() for name, v in preset.labels if "{revision}" in v}
    known |= {name for preset in PRESETS.values() for name, _ in preset.canary_labels}
    return frozenset(known | {"version", "track", "slot", "replicaset", "canary"})


VERSION_LABELS = _version_labels()


def _looks_at_new_version(subject: Rollout, item: MetricUse) -> bool:
    provider = item.metric.provider
    assert isinstance(provider, PrometheusProvider)
    names = {
        argument.name
        for argument in item.late
        if isinstance(argument, PodHashArgument)
        or (isinstance(argument, ExperimentArgument) and "templates." in argument.text)
    }
    if names & set(LATE_TAG.findall(provider.query)):
        return True
    labels = VERSION_LABELS | {re.sub(r"\W", "_", subject.policy.target.revision_label)}
    strategy = subject.canary or subject.blue_green
    own = getattr(strategy, "canary_service", "") or getattr(strategy, "preview_service", "")
    query = query_of(item.metric)
    return query is None or any(
        matcher.name in labels or "canary" in matcher.value or (own and own in matcher.value)
        for selector in query.selectors
        for matcher in selector.matchers
    )


def _no_version_label(subject: Rollout) -> Iterator[Hit]:
    for use in subject.analyses:
        if use.role is Role.AFTER_SWITCH:
            continue  # by then all requests are the new version's
        for item in use.metrics:
            if not isinstance(item.metric.provider, PrometheusProvider):
                continue
            if _looks_at_new_version(subject, item):
                continue
            if use.role is Role.EXPERIMENT:
                reason = "no label of the query tells the experiment's pods from the others"
                fix = "pass {{templates.NAME.podTemplateHash}} as an argument and select by it"
            elif use.role is Role.BEFORE_SWITCH:
                reason = "before the switch all users are on the old version: the query judges that one"
                fix = "select the new version's own requests, or use a job or web check against the preview"
            else:
                reason = _dilution(subject)
                fix = (
                    "pass podTemplateHashValue: Latest as an argument and select by it, "
                    'for example rollouts_pod_template_hash="{{args.canary-hash}}"'
                )
            yield Hit(item.document, query_path(item), reason, fix)


def _dilution(subject: Rollout) -> str:
    reason = "no label of the query tells the new version from the old one"
    canary, replicas = subject.canary, subject.policy.replicas
    weights = [step.weight for step in _weights(subject) if step.weight > 0]
    if canary is None or not weights or replicas == 0:
        return reason
    if canary.routing is None:
        share = share_of_pods(canary, replicas, min(weights))
    else:
        share = 100 * min(weights) / canary.routing.max_weight
    if not 0 < share < 100:
        return reason
    return f"{reason}: with {percent(share)} of the traffic, {percent(share)} of its error rate shows"


def _weights(subject: Rollout) -> Iterator[SetWeight]:
    if subject.canary is not None:
        yield from (step for step in subject.canary.steps if isinstance(step, SetWeight))


def _raw_counts(subject: Rollout) -> Iterator[Hit]:
    weights = sorted({step.weight for step in _weights(subject) if step.weight > 0})
    if len(weights) < 2:
        return
    for use in subject.analyses:
        if use.role is not Role.BACKGROUND:
            continue
        for item in use.metrics:
            text = _filled(item.metric)
            if text is None or not _counts(_tree(text)):
                continue
            reason = (
                "the query counts and divides by nothing: with the same error rate it shows "
                f"{weights[-1] / weights[0]:.3g} times as many at weight {weights[-1]} as at {weights[0]}"
            )
            yield Hit(item.document, query_path(item), reason)


def _counts(tree: Node) -> bool:
    nodes = list(_nodes(tree))
    if any(isinstance(node, Binary) and node.operator == "/" for node in nodes):
        return False
    if any(isinstance(node, Aggregate) and node.operator in ("avg", "quantile") for node in nodes):
        return False
    calls = {node.function for node in nodes if isinstance(node, Call)}
    return bool(calls & set(COUNTING)) and not any(call.startswith("histogram_") for call in calls)


METRIC_CHECKS: tuple[Check[MetricUse], ...] = (
    Check(
        Rule(
            "RS070",
            "short-rate-window",
            Severity.WARNING,
            f"the window is shorter than {SCRAPES_PER_WINDOW} scrapes: a rate needs two samples, and scrapes "
            "are late or missed",
            f"make the window at least {SCRAPES_PER_WINDOW} scrape intervals long",
        ),
        _short_window,
    ),
    Check(
        Rule(
            "RS071",
            "overlapping-windows",
            Severity.WARNING,
            "the metric is measured more often than its window is long: one burst is counted several times",
            "make the interval as long as the window",
        ),
        _overlapping_windows,
    ),
    Check(
        Rule(
            "RS072",
            "secret-in-query",
            Severity.ERROR,
            "a secret in the text of a query ends up in clear in the status of the AnalysisRun",
            "use authentication or headers of the provider for it",
        ),
        _secret_in_query,
    ),
)

CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS073",
            "no-version-label",
            Severity.WARNING,
            "the query adds up both versions, which get unequal traffic: errors of the new one are diluted",
            "select the new version by a label, for example by its pod template hash",
        ),
        _no_version_label,
    ),
    Check(
        Rule(
            "RS074",
            "raw-count",
            Severity.WARNING,
            "the query counts instead of comparing: its limit means something else at each weight and load",
            "divide by all requests of the same version",
        ),
        _raw_counts,
    ),
)
