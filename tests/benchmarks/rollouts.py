"""Whole rollouts through the public API, against a loop written by hand for the same rollout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import rolloutsim as rs
from rolloutsim.outcomes import End
from rolloutsim.sim.scenario import Delay

from .measure import ROOT, Contestant, Goal, Row, Sizes, rates, ratio
from .naive import ArticleCanary, GatedCanary

__all__ = ["article", "article_inputs", "gated", "gated_inputs"]

HERE = Path(__file__).parent
NAIVE_PER_ROLLOUT = 3
"""The loops by hand are faster in one of the benchmarks: they play more, to last about as long."""


def article_inputs() -> tuple[rs.Policy, rs.Scenario]:
    """The guide's canary and a good release; pods are ready in 5 s, a person promotes after 10 minutes."""
    policy = rs.load_policy(ROOT / "scenarios" / "article" / "canary.yaml")
    scenario = rs.load_scenario(ROOT / "scenarios" / "article" / "worlds" / "good.yaml")
    cluster = replace(scenario.service.cluster, pod_ready=Delay(5_000))
    return policy, replace(scenario, service=replace(scenario.service, cluster=cluster))


def gated_inputs() -> tuple[rs.Policy, rs.Scenario]:
    """A canary with a gate at each of its 360 scrapes, and a release as good as what runs."""
    return rs.load_policy(HERE / "gated-canary.yaml"), rs.load_scenario(HERE / "busy-service.yaml")


def article(sizes: Sizes) -> list[Row]:
    """The guide's canary with its AnalysisTemplate, from the release to the end of the rollout."""
    naive = Contestant("SimPy + numpy by hand", _article_by_hand, sizes.article_rollouts * NAIVE_PER_ROLLOUT)
    ours = _ours(*article_inputs(), sizes.article_rollouts)
    return _rows("article canary", ours, naive, sizes.rounds, Goal(120.0, at_least=True))


def gated(sizes: Sizes) -> list[Row]:
    """A gate every 5 s for half an hour, through the engine and PromQL."""
    naive = Contestant("SimPy + numpy by hand", _gated_by_hand, sizes.gated_rollouts * NAIVE_PER_ROLLOUT)
    ours = _ours(*gated_inputs(), sizes.gated_rollouts)
    return _rows("360 gates", ours, naive, sizes.rounds, None)


def _ours(policy: rs.Policy, scenario: rs.Scenario, count: int) -> Contestant:
    end = rs.play(policy, scenario).end
    if end is not End.PROMOTED:
        raise RuntimeError(f"the rollout to be measured should be promoted, and was {end}")
    return Contestant("rolloutsim", lambda runs: rs.simulate(policy, scenario, runs=runs), count)


def _article_by_hand(count: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(count):
        ArticleCanary(rng).play()


def _gated_by_hand(count: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(count):
        GatedCanary(rng).play()


def _rows(name: str, ours: Contestant, naive: Contestant, rounds: int, goal: Goal | None) -> list[Row]:
    ours_rates, naive_rates = rates((ours, naive), rounds)
    return [
        Row(f"{name}, {ours.name}", "rollouts/s", ours_rates, goal),
        Row(f"{name}, {naive.name}", "rollouts/s", naive_rates),
        Row(f"{name}, {ours.name} / by hand", "x", ratio(ours_rates, naive_rates)),
    ]
