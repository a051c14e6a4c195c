"""Rules about who decides: a person without a deadline, nobody, or a gate that others open.

Source: Argo Rollouts, docs/features/canary (pauses), rollout/canary.go and rollout/pause.go: while an
inconclusive analysis pauses a rollout, a pause step that follows counts as resumed.
"""

from __future__ import annotations

from collections.abc import Iterator

import re2

from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import AnalysisUse, Role, Rollout
from rolloutsim.policy.model import ExperimentStep, Metric, OtherProvider, Pause, PluginStep

__all__ = ["CHECKS", "matches"]

_QUIET = re2.Options()
_QUIET.log_errors = False


def matches(pattern: str, name: str) -> bool:
    """Does a ``dryRun`` or ``measurementRetention`` rule name this metric? A bad pattern names none."""
    try:
        return re2.compile(pattern, _QUIET).search(name) is not None
    except re2.error:
        return False


def _no_expiry(subject: Rollout) -> Iterator[Hit]:
    for index in _manual_pauses(subject):
        reason = "nothing goes on until a person comes: until then users meet both versions"
        yield Hit(subject.document, (*subject.strategy_path, "steps", index, "pause"), reason)
    for index in _endless_experiments(subject):
        reason = "nothing ends this experiment but a failure: the rollout waits until a person goes on"
        fix = "give it a duration, or an analysis that ends and is requiredForCompletion"
        yield Hit(subject.document, (*subject.strategy_path, "steps", index, "experiment"), reason, fix)
    blue_green = subject.blue_green
    if blue_green is not None and not blue_green.auto_promotion_enabled:
        reason = "twice the pods wait until a person comes"
        yield Hit(subject.document, (*subject.strategy_path, "autoPromotionEnabled"), reason)


def _manual_pauses(subject: Rollout) -> list[int]:
    steps = subject.canary.steps if subject.canary else ()
    return [i for i, step in enumerate(steps) if isinstance(step, Pause) and step.duration_ms is None]


def _endless_experiments(subject: Rollout) -> list[int]:
    steps = subject.canary.steps if subject.canary else ()
    return [i for i, step in enumerate(steps) if isinstance(step, ExperimentStep) and _is_endless(step)]


def _is_endless(step: ExperimentStep) -> bool:
    """Without a duration it waits until all its required analyses are over, if it has any."""
    required = [one.analysis for one in step.analyses if one.required]
    ends = bool(required) and all(
        metric.interval_ms is None or metric.count is not None or metric.consecutive_success_limit > 0
        for analysis in required
        for metric in analysis.metrics
    )
    return step.duration_ms is None and not ends


def _lost_gate(subject: Rollout) -> Iterator[Hit]:
    start = (subject.canary.starting_step or 0) if subject.canary else 0
    gates = [index for index in _manual_pauses(subject) if index > start]
    for use in subject.analyses:
        names = [repr(m.metric.name) for m in use.metrics if _can_be_inconclusive(m.metric)]
        if use.role is not Role.BACKGROUND or not names or not gates:
            continue
        reason = (
            f"{', '.join(names)} can be inconclusive while a step before this gate runs: the gate then opens"
        )
        yield Hit(subject.document, (*subject.strategy_path, "steps", gates[0], "pause"), reason)


def _can_be_inconclusive(metric: Metric) -> bool:
    both = bool(metric.success_condition and metric.failure_condition)
    counted = metric.count is not None and metric.consecutive_success_limit > 0
    judge = isinstance(metric.provider, OtherProvider) and metric.provider.kind == "kayenta"
    return both or counted or judge


def _no_gate(subject: Rollout) -> Iterator[Hit]:
    canary, blue_green = subject.canary, subject.blue_green
    if canary is None and blue_green is None:
        return
    by_hand = bool(_manual_pauses(subject) or _endless_experiments(subject)) or (
        blue_green and not blue_green.auto_promotion_enabled
    )
    others = canary is not None and any(isinstance(step, PluginStep) for step in canary.steps)
    if by_hand or others or any(not _only_dry_run(use) for use in subject.analyses):
        return
    if subject.analyses:
        reason = "all metrics are dry runs: none of them can stop a release"
    else:
        reason = "no analysis and no person: pods that get ready are promoted, whatever they answer"
    yield Hit(subject.document, subject.strategy_path, reason)


def _only_dry_run(use: AnalysisUse) -> bool:
    analysis = use.analysis
    return all(any(matches(p, metric.name) for p in analysis.dry_run) for metric in analysis.metrics)


def _plain(subject: Rollout) -> Iterator[Hit]:
    if subject.written:
        return
    if len(subject.policy.target.deployments) > 1:
        reason = "nothing is measured and nothing moves by itself: a person watches, goes on or takes it back"
    else:
        reason = "nothing is measured: pods that get ready take over, whatever they answer"
    yield Hit(subject.document, ("metadata", "name"), reason)


def _paused(subject: Rollout) -> Iterator[Hit]:
    if subject.policy.paused:
        yield Hit(subject.document, ("spec", "paused"), "no step is completed and nothing is scaled")


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS050",
            "no-expiry",
            Severity.WARNING,
            "a gate for a person has no expiry: a forgotten rollout stays half done",
            "give the pause a duration, or put an analysis there and alert on paused rollouts",
        ),
        _no_expiry,
    ),
    Check(
        Rule(
            "RS051",
            "inconclusive-opens-gate",
            Severity.WARNING,
            "an inconclusive background analysis opens the manual gate that follows: the controller skips it",
            "make the metric decide (one condition), or measure it in a step before the gate",
        ),
        _lost_gate,
    ),
    Check(
        Rule(
            "RS052",
            "no-gate",
            Severity.WARNING,
            "nothing judges the new version on the way to all users",
            "add an analysis, or a pause for a person",
        ),
        _no_gate,
    ),
    Check(
        Rule(
            "RS053",
            "plain-objects",
            Severity.NOTE,
            "plain Kubernetes objects have no gate but readiness and people",
            "use a Rollout or a RolloutPolicy with an analysis, if more is wanted",
        ),
        _plain,
    ),
    Check(
        Rule(
            "RS054",
            "paused",
            Severity.WARNING,
            "the manifest itself says paused: a new version never gets anywhere",
            "remove paused; to stop one rollout, pause it by command",
        ),
        _paused,
    ),
)
