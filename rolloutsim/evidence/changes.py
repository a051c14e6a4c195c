"""Small changes to a policy: the grid in which the nearest passing one is looked for.

Limits of failures, numbers in conditions, windows of queries, durations of pauses and the first weight. Each
change has a distance: the logarithm of the factor by which it moves a number, so that halving a window and
doubling it are equally far.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rolloutsim.conditions import tree
from rolloutsim.conditions.parse import parse
from rolloutsim.lint.words import duration
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentStep,
    Metric,
    Pause,
    Policy,
    PrometheusProvider,
    SetWeight,
    Step,
)

__all__ = ["Change", "apply", "small_changes"]

_FACTORS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.5, 2.0, 3.0)
_LIMITS = (0, 1, 2, 3, 5)
_WINDOWS = (0.5, 2.0, 2.5, 5.0)
_PAUSES = (0.5, 2.0, 4.0)
_FIRST_WEIGHTS = (2.0, 4.0)
_COMPARISONS = frozenset({"<", "<=", ">", ">="})
_RANGE = re.compile(r"\[([0-9]+[smh])\]")
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Change:
    """One number of a policy, moved: ``what`` it is, in words, from ``before`` to ``after``."""

    what: str
    before: str
    after: str
    distance: float
    apply: Callable[[Policy], Policy]

    def __str__(self) -> str:
        return f"{self.what} {self.before} -> {self.after}"


def apply(policy: Policy, changes: tuple[Change, ...]) -> Policy:
    """The policy with all of these changes."""
    for change in changes:
        policy = change.apply(policy)
    return policy


def small_changes(policy: Policy) -> Iterator[Change]:
    """Changes of one number each, the nearest first among those of one kind."""
    for name in dict.fromkeys(metric.name for metric in _metrics(policy)):
        metric = next(one for one in _metrics(policy) if one.name == name)
        yield from _limits(metric)
        yield from _thresholds(metric)
        yield from _windows(metric)
    if isinstance(policy.strategy, Canary):
        yield from _pauses(policy.strategy)
        yield from _first_weights(policy.strategy)


# --- metrics --------------------------------------------------------------------------------------


def _limits(metric: Metric) -> Iterator[Change]:
    for limit in _LIMITS:
        enough = metric.count is None or metric.count >= limit + metric.consecutive_success_limit
        if limit != metric.failure_limit >= 0 and enough:
            yield Change(
                f"failureLimit of {metric.name}",
                str(metric.failure_limit),
                str(limit),
                abs(math.log((limit + 1) / (metric.failure_limit + 1))),
                _on_metric(metric.name, _setting("failure_limit", limit)),
            )


def _thresholds(metric: Metric) -> Iterator[Change]:
    for field in ("success_condition", "failure_condition"):
        text: str = getattr(metric, field)
        for at, written in _compared_numbers(text, metric):
            for factor in _FACTORS:
                number = f"{float(written) * factor:.3g}"
                changed = text[:at] + number + text[at + len(written) :]
                yield Change(
                    f"threshold of {metric.name}",
                    written,
                    number,
                    abs(math.log(factor)),
                    _on_metric(metric.name, _setting(field, changed)),
                )


def _setting(field: str, value: Any) -> Callable[[Metric], Metric]:
    def change(metric: Metric) -> Metric:
        return replace(metric, **{field: value})

    return change


def _compared_numbers(text: str, metric: Metric) -> Iterator[tuple[int, str]]:
    """Place and text of the positive numbers that a condition compares something other than a count with."""
    if not text:
        return
    for node in _nodes(parse(text, metric.dialect)):
        if isinstance(node, tree.Binary) and node.operator in _COMPARISONS:
            for number, other in ((node.left, node.right), (node.right, node.left)):
                counted = isinstance(other, tree.Builtin) and other.name in ("len", "count")
                literal = isinstance(number, tree.Integer | tree.Float) and number.value > 0
                match = _NUMBER.match(text, number.at)
                if literal and not counted and match is not None:
                    yield number.at, match.group()


def _nodes(node: tree.Node) -> Iterator[tree.Node]:
    yield node
    for child in tree.children(node):
        yield from _nodes(child)


def _windows(metric: Metric) -> Iterator[Change]:
    if not isinstance(metric.provider, PrometheusProvider):
        return
    provider = metric.provider
    windows = set(_RANGE.findall(provider.query))
    if len(windows) != 1:
        return
    (written,) = windows
    window_ms = go_duration_ns(written) // 1_000_000
    for factor in _WINDOWS:
        new_ms = round(window_ms * factor)
        text = duration(new_ms)
        query = _RANGE.sub(f"[{text}]", provider.query)

        def widened(one: Metric, query: str = query, new_ms: int = new_ms) -> Metric:
            # a delay of one window waits until the window is full: it goes along
            delay = new_ms if one.initial_delay_ms == window_ms else one.initial_delay_ms
            return replace(one, provider=replace(provider, query=query), initial_delay_ms=delay)

        if new_ms >= 1000 and new_ms % 1000 == 0:
            yield Change(
                f"window of {metric.name}",
                written,
                text,
                abs(math.log(factor)),
                _on_metric(metric.name, widened),
            )


# --- steps ----------------------------------------------------------------------------------------


def _pauses(canary: Canary) -> Iterator[Change]:
    timed = [step.duration_ms for step in canary.steps if isinstance(step, Pause) and step.duration_ms]
    if not timed:
        return
    for factor in _PAUSES:

        def longer(step: Step, factor: float = factor) -> Step:
            if isinstance(step, Pause) and step.duration_ms:
                return Pause(1000 * max(1, round(step.duration_ms * factor / 1000)))
            return step

        after = ", ".join(duration(1000 * max(1, round(ms * factor / 1000))) for ms in timed)
        before = ", ".join(map(duration, timed))
        yield Change("pauses", before, after, abs(math.log(factor)), _on_steps(longer))


def _first_weights(canary: Canary) -> Iterator[Change]:
    weights = [step.weight for step in canary.steps if isinstance(step, SetWeight)]
    if not weights or weights[0] <= 0:
        return
    highest = min((weight for weight in weights if weight > weights[0]), default=100)
    for factor in _FIRST_WEIGHTS:
        weight = round(weights[0] * factor)
        if weight <= highest:

            def raised(step: Step, weight: int = weight) -> Step:
                first = isinstance(step, SetWeight) and step.weight == weights[0]
                return SetWeight(weight) if first else step

            yield Change("first weight", f"{weights[0]}", f"{weight}", math.log(factor), _on_steps(raised))


# --- where they act -------------------------------------------------------------------------------


def _metrics(policy: Policy) -> Iterator[Metric]:
    for analysis in analyses_of(policy):
        yield from analysis.metrics


def _on_metric(name: str, change: Callable[[Metric], Metric]) -> Callable[[Policy], Policy]:
    """The change of every metric of this name, wherever the strategy keeps it."""

    def in_analysis(analysis: Analysis | None) -> Analysis | None:
        if analysis is None:
            return None
        return replace(
            analysis, metrics=tuple(change(one) if one.name == name else one for one in analysis.metrics)
        )

    def in_step(step: Step) -> Step:
        if isinstance(step, ExperimentStep):
            ones = [
                replace(one, analysis=changed)
                for one in step.analyses
                if (changed := in_analysis(one.analysis))
            ]
            return replace(step, analyses=tuple(ones))
        if not isinstance(step, AnalysisStep):
            return step
        found = in_analysis(step.analysis)
        assert found is not None
        return AnalysisStep(found)

    def in_policy(policy: Policy) -> Policy:
        strategy = policy.strategy
        if isinstance(strategy, Canary):
            steps = tuple(in_step(step) for step in strategy.steps)
            changed = replace(strategy, background=in_analysis(strategy.background), steps=steps)
            return replace(policy, strategy=changed)
        if isinstance(strategy, BlueGreen):
            before, after = in_analysis(strategy.pre_promotion), in_analysis(strategy.post_promotion)
            return replace(policy, strategy=replace(strategy, pre_promotion=before, post_promotion=after))
        return policy

    return in_policy


def _on_steps(change: Callable[[Step], Step]) -> Callable[[Policy], Policy]:
    def in_policy(policy: Policy) -> Policy:
        strategy = policy.strategy
        assert isinstance(strategy, Canary)
        return replace(
            policy, strategy=replace(strategy, steps=tuple(change(step) for step in strategy.steps))
        )

    return in_policy
