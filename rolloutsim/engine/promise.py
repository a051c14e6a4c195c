"""What the gates of a policy promise together: how many good releases they may fail.

The sum over gates of what each may spend (Bonferroni; no assumption about dependence). A gate that counts
since the rollout began spends once, however many analyses repeat it, since all of them look at one and the
same evidence; one that counts anew at each weight spends at each. A sample-ratio gate fails no release.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rolloutsim.engine.binding import dry_runs
from rolloutsim.policy.gated import GatedCounts, Scope
from rolloutsim.policy.gates import (
    BetaPosterior,
    FisherExact,
    SampleRatio,
    TwoProportionZ,
    WaldSprt,
)
from rolloutsim.policy.model import Analysis, AnalysisStep, BlueGreen, Canary, Metric, Policy, SetWeight

__all__ = ["Promise", "promise"]


@dataclass(frozen=True, slots=True)
class Promise:
    """``rate`` bounds the share of good releases that the gates fail, without those in ``unbounded``.

    ``approximate`` names those whose part of it is a normal approximation, which is good at a hundred bad
    canary requests and stops 5.8 % instead of 5 % at nine. ``unbounded`` names gates that promise nothing as
    they are used: a posterior probability, or a test made for one look that is looked at again. ``others``
    names metrics that conditions judge: no bound either.
    """

    rate: float
    approximate: tuple[str, ...] = ()
    unbounded: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"gates fail at most {self.rate:.3g} of the good releases ({self.rate:.1%})"
        for names, why in (
            (self.unbounded, "without bound"),
            (self.others, "judged by conditions, no bound"),
        ):
            if names:
                text += f"; {', '.join(names)}: {why}"
        return text


def promise(policy: Policy) -> Promise:
    """The promise of all gates of a policy that are no dry run."""
    rate = 0.0
    seen: set[tuple[str, GatedCounts]] = set()
    approximate: dict[str, None] = {}
    unbounded: dict[str, None] = {}
    others: dict[str, None] = {}
    for metric, weights in _metrics(policy):
        counts = metric.provider
        if not isinstance(counts, GatedCounts):
            others[metric.name] = None
            continue
        if isinstance(counts.gate, SampleRatio):
            continue
        one_look = isinstance(counts.gate, TwoProportionZ | FisherExact) and metric.count != 1
        if isinstance(counts.gate, BetaPosterior) or one_look:
            unbounded[metric.name] = None
            continue
        if counts.scope is Scope.ROLLOUT and (metric.name, counts) in seen:
            continue
        seen.add((metric.name, counts))
        if isinstance(counts.gate, TwoProportionZ):
            approximate[metric.name] = None
        once = counts.gate.alpha
        if isinstance(counts.gate, WaldSprt):
            once /= 1.0 - counts.gate.beta
        rate += once * (weights if counts.scope is Scope.STEP else 1)
    return Promise(min(1.0, rate), tuple(approximate), tuple(unbounded), tuple(others))


def _metrics(policy: Policy) -> Iterator[tuple[Metric, int]]:
    """Each metric that counts, and at how many weights its analysis runs."""
    strategy = policy.strategy
    if isinstance(strategy, Canary):
        if strategy.background is not None:
            later = strategy.steps[strategy.starting_step or 0 :]
            weights = sum(isinstance(step, SetWeight) and step.weight > 0 for step in later)
            yield from ((metric, max(weights, 1)) for metric in _counting(strategy.background))
        for step in strategy.steps:
            if isinstance(step, AnalysisStep):
                yield from ((metric, 1) for metric in _counting(step.analysis))
    elif isinstance(strategy, BlueGreen):
        for analysis in (strategy.pre_promotion, strategy.post_promotion):
            if analysis is not None:
                yield from ((metric, 1) for metric in _counting(analysis))


def _counting(analysis: Analysis) -> Iterator[Metric]:
    ignored = dry_runs(analysis)
    return (metric for metric in analysis.metrics if metric.name not in ignored)
