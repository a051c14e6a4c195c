"""The step of a canary at which its background gates have to have passed."""

from __future__ import annotations

from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import Analysis, Canary, SetWeight, Strategy

__all__ = ["evidence_step", "has_gate"]


def has_gate(analysis: Analysis | None) -> bool:
    """Whether a metric of the analysis has a gate."""
    return analysis is not None and any(isinstance(m.provider, GatedCounts) for m in analysis.metrics)


def evidence_step(strategy: Strategy) -> int | None:
    """Index of the step that needs all background gates passed to complete; None if no step does.

    It is the last one whose weight leaves some traffic to stable: before a setWeight to all, or the end.
    """
    if not isinstance(strategy, Canary) or not has_gate(strategy.background):
        return None
    most = strategy.routing.max_weight if strategy.routing is not None else 100
    weight, last = 0, len(strategy.steps) - 1
    for index, step in enumerate(strategy.steps):
        if isinstance(step, SetWeight):
            weight = step.weight
        following = strategy.steps[index + 1] if index < last else SetWeight(most)
        if 0 < weight < most and isinstance(following, SetWeight) and following.weight >= most:
            return index
    return None
