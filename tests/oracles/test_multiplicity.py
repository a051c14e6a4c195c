"""Many checks at once: how often at least one of them fails a good release."""

from __future__ import annotations

import math

from rolloutsim.sim.run import simulate
from tests.oracles.cases import FEWEST_EVENTS, Found, NotPlayed, Oracle, Sampled, adapter, meet, unknown
from tests.oracles.worlds import ANALYSIS, job, routed_canary, world

GROUP = "multiplicity"
FEWEST_RUNS = 500


def independent_metrics(oracle: Oracle) -> Found:
    """Checks that fail by chance, one measurement each, none of which may fail."""
    if oracle.key.startswith("p_score_below_"):
        return NotPlayed("a weighted score of metrics is Kayenta's judgement: no engine here has it")
    if oracle.key in ("bonferroni", "sidak"):
        return NotPlayed("the level at which to test each metric is arithmetic, nothing to play")
    if oracle.key != "p_any":
        return unknown(oracle)
    names = [f"check-{number}" for number in range(oracle.inputs["metrics"])]
    policy = routed_canary([{"analysis": ANALYSIS}], [job(name) for name in names])
    good = world(1.0, 0.0, 60.0, checks=dict.fromkeys(names, 1.0 - oracle.inputs["alpha"]))
    expected = oracle.expected
    runs = max(FEWEST_RUNS, math.ceil(FEWEST_EVENTS / expected))
    count = int(simulate(policy, good, runs=runs).runs["false_abort"].sum())
    return Sampled(count / runs, (expected * (1.0 - expected) / runs) ** 0.5, expected * runs)


ADAPTERS = (adapter("metrics alpha", independent_metrics),)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)
