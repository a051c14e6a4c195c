"""The analyses that a policy runs, wherever its strategy keeps them."""

from __future__ import annotations

from collections.abc import Iterator

from rolloutsim.policy.model import Analysis, AnalysisStep, BlueGreen, Canary, ExperimentStep, Policy

__all__ = ["analyses_of"]


def analyses_of(policy: Policy) -> Iterator[Analysis]:
    """All analyses of a policy."""
    strategy = policy.strategy
    found: list[Analysis | None] = []
    if isinstance(strategy, Canary):
        found = [strategy.background]
        for step in strategy.steps:
            if isinstance(step, AnalysisStep):
                found.append(step.analysis)
            elif isinstance(step, ExperimentStep):
                found += [one.analysis for one in step.analyses]
    elif isinstance(strategy, BlueGreen):
        found = [strategy.pre_promotion, strategy.post_promotion]
    yield from (analysis for analysis in found if analysis is not None)
