"""When the steps of a policy let its gates look, and at which weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rolloutsim.policy.gate_steps import evidence_step
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.gates import SampleRatio
from rolloutsim.policy.model import AnalysisStep, BlueGreen, Canary, Metric, Pause, Policy, SetWeight

__all__ = ["Plan", "gate_plans"]

UNPLANNED_MS = 600_000
"""A pause without a duration, where nobody says how long people take."""

Plan = tuple[tuple[int, float], ...]
"""For each look: ms since the last one, and the weight (percent) in force."""


def gate_plans(policy: Policy, unplanned_ms: int = UNPLANNED_MS) -> Iterator[tuple[Metric, Plan]]:
    """The gates that can fail a release, and when each looks if nothing goes wrong.

    ``unplanned_ms`` is how long people take where a pause has no duration.
    """
    strategy = policy.strategy
    if isinstance(strategy, BlueGreen):
        for analysis in (strategy.pre_promotion, strategy.post_promotion):
            for metric in () if analysis is None else analysis.metrics:
                if _judges(metric):
                    yield metric, _looks(metric, [(_inline_ms(metric), 100.0)])
    if not isinstance(strategy, Canary):
        return
    most = strategy.routing.max_weight if strategy.routing is not None else 100
    last = evidence_step(strategy)
    weight, planned = 0.0, []
    for index, step in enumerate(strategy.steps):
        if isinstance(step, SetWeight):
            weight = 100.0 * step.weight / most
        length = _step_ms(step, unplanned_ms)
        if index >= (strategy.starting_step or 0) and (last is None or index <= last):
            planned.append((length, weight))
        if isinstance(step, AnalysisStep):
            for metric in step.analysis.metrics:
                if _judges(metric):
                    yield metric, _looks(metric, [(_inline_ms(metric), weight)])
    if strategy.background is not None:
        for metric in strategy.background.metrics:
            if _judges(metric):
                yield metric, _looks(metric, planned)


def _judges(metric: Metric) -> bool:
    return isinstance(metric.provider, GatedCounts) and not isinstance(metric.provider.gate, SampleRatio)


def _step_ms(step: object, unplanned_ms: int) -> int:
    if isinstance(step, Pause):
        return unplanned_ms if step.duration_ms is None else step.duration_ms
    if isinstance(step, AnalysisStep):
        return max((_inline_ms(metric) for metric in step.analysis.metrics), default=0)
    return 0


def _inline_ms(metric: Metric) -> int:
    """The longest that a step waits for this metric."""
    lengths = []
    if isinstance(metric.provider, GatedCounts) and metric.provider.expires_after_ms is not None:
        lengths.append(metric.provider.expires_after_ms)
    if metric.count and metric.interval_ms:
        lengths.append(metric.count * metric.interval_ms)
    return min(lengths, default=UNPLANNED_MS)


def _looks(metric: Metric, planned: Sequence[tuple[int, float]]) -> Plan:
    counts, interval_ms = metric.provider, metric.interval_ms or UNPLANNED_MS
    assert isinstance(counts, GatedCounts)
    looks = []
    for length, weight in planned:
        if counts.compares and not 0.0 < weight < 100.0:
            continue
        looks += [(interval_ms, weight)] * (length // interval_ms)
    return tuple(looks)
