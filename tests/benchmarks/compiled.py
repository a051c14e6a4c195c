"""Rollouts by the compiled path, against a loop written by hand for the same rollout.

Every course of events has been rehearsed by the engine before, in the round that warms up; rows of results
are made, tables are not. Latency buckets are not drawn here, since no query reads them; by hand they are.
"""

from __future__ import annotations

import numpy as np

import rolloutsim as rs
from rolloutsim.sim.compiled import Courses

from .measure import Contestant, Goal, Row, Sizes, rates, ratio
from .naive import ArticleCanary, GatedCanary
from .rollouts import article_inputs, gated_inputs

__all__ = ["compiled"]

OURS, BY_HAND = 25, 8
"""Rollouts that are this much shorter than those by the engine are played this many times as often."""


def compiled(sizes: Sizes) -> list[Row]:
    """360 gates, and the guide's canary."""
    goal = Goal(4.0, at_least=True)
    gated = _rows("360 gates", gated_inputs(), GatedCanary, sizes, goal)
    return gated + _rows("article canary", article_inputs(), ArticleCanary, sizes, None)


def _rows(
    name: str,
    inputs: tuple[rs.Policy, rs.Scenario],
    by_hand: type[GatedCanary] | type[ArticleCanary],
    sizes: Sizes,
    goal: Goal | None,
) -> list[Row]:
    courses = Courses(*inputs)

    def play(count: int) -> None:
        for run in range(count):
            if courses.play(1, run) is None:
                raise RuntimeError(f"the compiled path refuses {courses.refused}")

    def play_by_hand(count: int) -> None:
        rng = np.random.default_rng(1)
        for _ in range(count):
            by_hand(rng).play()

    ours, naive = rates(
        (
            Contestant("compiled", play, sizes.gated_rollouts * OURS),
            Contestant("SimPy + numpy by hand", play_by_hand, sizes.gated_rollouts * BY_HAND),
        ),
        sizes.rounds,
    )
    return [
        Row(f"{name}, compiled", "rollouts/s", ours),
        Row(f"{name}, SimPy + numpy by hand", "rollouts/s", naive),
        Row(f"{name}, compiled / by hand", "x", ratio(ours, naive), goal),
    ]
