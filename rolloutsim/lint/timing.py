"""Rules about when things are measured: before there is traffic, after the end, too late to matter.

Source: Argo Rollouts, docs/features/analysis (background analysis, startingStep, initialDelay) and
rollout/analysis.go; a background analysis never holds up the last step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rolloutsim.engine.replicas import weight_before
from rolloutsim.lint.queries import longest_window_ms, query_path
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import AnalysisUse, MetricUse, Role, Rollout
from rolloutsim.lint.words import duration, ordinal
from rolloutsim.policy.document import Path
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    Canary,
    ExperimentStep,
    Pause,
    PluginStep,
    PrometheusProvider,
    SetMirrorRoute,
    SetWeight,
    Step,
)

__all__ = ["CHECKS"]


def _analysis_ms(analysis: Analysis) -> int:
    """The least time that a step analysis takes: from the first measurement to the last."""
    return max(
        (m.initial_delay_ms + (m.interval_ms or 0) * ((m.count or 1) - 1) for m in analysis.metrics),
        default=0,
    )


def _step_ms(step: Step) -> int | None:
    """The least time that a step takes once its pods are there; None: until somebody goes on, or unknown."""
    match step:
        case Pause(duration_ms=length):
            return length
        case ExperimentStep(duration_ms=length, analyses=analyses):
            required = [_analysis_ms(one.analysis) for one in analyses if one.required]
            # with a duration it lasts that long, or until the first of its required analyses are over
            return max(required, default=length) if length is None else min([length, *required])
        case PluginStep():
            return None
        case AnalysisStep(analysis=analysis):
            return _analysis_ms(analysis)
    return 0


def _steps_ms(steps: tuple[Step, ...]) -> int | None:
    """The least time of several steps; None when one of them has no known end."""
    lengths = [_step_ms(step) for step in steps]
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def _last_weight(steps: tuple[Step, ...], before: int) -> int | None:
    """Index of the last setWeight above 0 before a step."""
    found = [i for i, step in enumerate(steps[:before]) if isinstance(step, SetWeight) and step.weight > 0]
    return found[-1] if found else None


def _in_role(subject: Rollout, *roles: Role) -> Iterator[tuple[AnalysisUse, MetricUse]]:
    for use in subject.analyses:
        if use.role in roles:
            for metric in use.metrics:
                yield use, metric


def _starting_step(canary: Canary) -> int:
    return canary.starting_step or 0


# --- before there is traffic ------------------------------------------------------------------------


def _before_traffic(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is None:
        return
    for use in subject.analyses:
        if use.role is Role.BACKGROUND:
            start = _starting_step(canary)
            soon = [m.metric for m in use.metrics if m.metric.initial_delay_ms < 2 * m.scrapes.interval_ms]
            if soon and _last_weight(canary.steps, start) is None:
                names = ", ".join(repr(metric.name) for metric in soon)
                reason = f"{names} is measured from the moment that the new version's first pod is created"
                yield Hit(subject.document, use.path, reason, _start_after_weight(canary))
        elif use.role is Role.STEP and use.step is not None and not _reached(canary.steps, use.step):
            measured = [m for m in use.metrics if isinstance(m.metric.provider, PrometheusProvider)]
            if measured:
                reason = "no step before this analysis gives the new version any traffic"
                yield Hit(subject.document, use.path, reason, "put a setWeight and a pause before it")


def _reached(steps: tuple[Step, ...], before: int) -> bool:
    """Whether requests reach the new version before a step, by its weight or as copies of a mirror route."""
    mirrors = {
        step.name: step.match_json != "[]" for step in steps[:before] if isinstance(step, SetMirrorRoute)
    }
    return weight_before(steps, before) > 0 or any(mirrors.values())


def _start_after_weight(canary: Canary) -> str:
    first = next((i for i, s in enumerate(canary.steps) if isinstance(s, SetWeight) and s.weight > 0), None)
    if first is None:
        return "give the metrics an initialDelay as long as pods take to start and the window to fill"
    return f"add startingStep: {first + 1} and an initialDelay as long as the query's window"


def _window_before_step(subject: Rollout) -> Iterator[Hit]:
    """The first window begins before the weight was set, or before the switch."""
    canary = subject.canary
    for use, item in _in_role(subject, Role.BACKGROUND, Role.STEP, Role.AFTER_SWITCH):
        window = longest_window_ms(item.metric)
        elapsed: int | None = 0
        since = "the switch"
        if canary is not None:
            start = _starting_step(canary) if use.step is None else use.step
            weight = _last_weight(canary.steps, start)
            if weight is None:
                continue  # before traffic: a rule of its own
            since = f"step {weight} gives the new version traffic"
            elapsed = _steps_ms(canary.steps[weight:start])
        if window is None or elapsed is None or elapsed + item.metric.initial_delay_ms >= window:
            continue
        seen = duration(elapsed + item.metric.initial_delay_ms)
        reason = f"the first measurement comes {seen} after {since}, and looks {duration(window)} back"
        yield Hit(item.document, query_path(item), reason, f"initialDelay: {duration(window - elapsed)}")


def _window_longer_than_step(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is None:
        return
    stages = list(_stages(canary, _starting_step(canary)))
    for _, item in _in_role(subject, Role.BACKGROUND):
        window = longest_window_ms(item.metric)
        short = [(length, weight) for length, weight in stages if window is not None and length < window]
        if window is not None and short:
            length, weight = min(short)
            reason = (
                f"the query looks {duration(window)} back and weight {weight} lasts {duration(length)}: "
                "its numbers are still mixed with those of the weight before when the next one comes"
            )
            yield Hit(item.document, query_path(item), reason)


def _stages(canary: Canary, start: int) -> Iterator[tuple[int, int]]:
    """Time (ms) and weight of each stage that has a known end and is not over at once."""
    steps = canary.steps
    begins = [i for i, step in enumerate(steps) if isinstance(step, SetWeight)]
    for begin, end in pairwise([*begins, len(steps)]):
        length = _steps_ms(steps[begin:end])
        step = steps[begin]
        if length and end > start and isinstance(step, SetWeight) and step.weight > 0:
            yield length, step.weight


# --- after the end ------------------------------------------------------------------------------------


def _ends_early(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is None:
        return
    rest = _steps_ms(canary.steps[_starting_step(canary) :])
    for use, item in _in_role(subject, Role.BACKGROUND):
        metric = item.metric
        count = metric.count if metric.interval_ms is not None else 1
        if count is None:
            continue
        last = metric.initial_delay_ms + (metric.interval_ms or 0) * (count - 1)
        if rest is None or last + (metric.interval_ms or 0) < rest:
            length = "the steps have no known end" if rest is None else f"the steps take {duration(rest)}"
            looks = "its only measurement" if count == 1 else f"its {ordinal(count)} and last measurement"
            reason = f"{metric.name!r} is done with {looks} at {duration(last)}, and {length}"
            path: Path = (*item.path, "count") if metric.count else item.path
            yield Hit(item.document, path, reason, _endless_fix(use))


def _endless_fix(use: AnalysisUse) -> str:
    return "leave out count and give an interval: a background analysis may run until the rollout ends"


def _over_before_verdict(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is None or not canary.steps:
        return
    rest = _steps_ms(canary.steps[_starting_step(canary) :])
    for _, item in _in_role(subject, Role.BACKGROUND):
        metric = item.metric
        if rest is None or metric.failure_limit < 0 or metric.interval_ms is None:
            continue
        needed = metric.initial_delay_ms + metric.failure_limit * metric.interval_ms
        if rest < needed:
            failure = ordinal(metric.failure_limit + 1)
            reason = (
                f"the {failure} failure of {metric.name!r}, the one that aborts, comes {duration(needed)} "
                f"after the start at the earliest, and the steps are over after {duration(rest)}"
            )
            yield Hit(item.document, (*item.path, "failureLimit"), reason)


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS080",
            "analysis-before-traffic",
            Severity.WARNING,
            "the analysis starts before the new version has traffic: it judges nothing, or the old one",
            "start it after the first setWeight (startingStep) and give the metrics an initialDelay",
        ),
        _before_traffic,
    ),
    Check(
        Rule(
            "RS081",
            "window-reaches-before-step",
            Severity.WARNING,
            "the query's first window begins before the traffic that it is to judge",
            "give the metric an initialDelay as long as the window, or pause before the analysis",
        ),
        _window_before_step,
    ),
    Check(
        Rule(
            "RS082",
            "window-longer-than-step",
            Severity.WARNING,
            "the query looks back further than a weight lasts: no measurement shows that weight alone",
            "make the pause longer or the window shorter",
        ),
        _window_longer_than_step,
    ),
    Check(
        Rule(
            "RS083",
            "background-analysis-ends-early",
            Severity.WARNING,
            "a background analysis that reaches its count is not started again: later steps are not watched",
            "leave out count: a background analysis may run until the rollout ends",
        ),
        _ends_early,
    ),
    Check(
        Rule(
            "RS084",
            "rollout-over-before-verdict",
            Severity.WARNING,
            "the steps are over before the analysis can have failed often enough; promotion does not wait",
            "longer pauses, or smaller interval, initialDelay and failureLimit; or a step analysis",
        ),
        _over_before_verdict,
    ),
)
