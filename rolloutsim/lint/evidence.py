"""Rules about statistical gates: evidence that the steps leave no time for, tests looked at too often.

How long a gate needs depends on the service, so that rule needs its traffic and error rate
(``lint --service``); counts are then drawn, from a fixed key, for the smallest effect that it is to catch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from rolloutsim.engine.binding import dry_runs
from rolloutsim.engine.gates.boundaries import peeking_risk
from rolloutsim.engine.gates.planning import smallest_rate
from rolloutsim.engine.gates.streams import Streams, first_verdicts
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import Rollout, Traffic
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.gate_plan import Plan, gate_plans
from rolloutsim.policy.gate_telemetry import edge_s
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.gates import (
    BetaPosterior,
    FisherExact,
    Gate,
    GroupSequential,
    TwoProportionZ,
)
from rolloutsim.policy.model import Metric

__all__ = ["CHECKS"]

STREAMS = 400
LONGEST = 12
"""A plan is stretched to so many times its length in the search for what would do."""
WEIGHTS = (10.0, 20.0, 30.0, 50.0)

Rates = tuple[float, float]
"""Shares of bad requests: stable's, and the one that is to be caught."""


def _underpowered(subject: Rollout) -> Iterator[Hit]:
    traffic = subject.scrapes.traffic
    if traffic is None:
        return
    for metric, plan in gate_plans(subject.policy):
        counts = metric.provider
        bad = _bad_rate(counts, traffic) if isinstance(counts, GatedCounts) else None
        if not isinstance(counts, GatedCounts) or bad is None or not plan:
            continue
        wanted = 1.0 - counts.gate.beta
        rates = bad, smallest_rate(counts.gate, bad)
        chance = _chances(counts.gate, plan, traffic.rate_rps, rates)[-1]
        if chance >= wanted - 0.03:  # what 400 streams cannot tell apart
            continue
        minutes = sum(length for length, _ in plan) / 60_000
        reason = (
            f"at {traffic.rate_rps:g} requests a second and {bad:.3%} "
            f"{'slow answers' if counts.canary.fast else 'errors'} the gate "
            f"{metric.name!r} catches {rates[1]:.3%} in {chance:.0%} of the rollouts within the "
            f"{minutes:g} min of its steps, and is to catch {wanted:.0%}"
        )
        document, path = _place(subject, metric)
        yield Hit(document, path, reason, _what_would_do(counts.gate, plan, traffic.rate_rps, rates, wanted))


def _bad_rate(counts: GatedCounts, traffic: Traffic) -> float | None:
    """Share of stable's requests that the gate calls bad; None where nobody said, or the edge is unclear."""
    if not counts.canary.fast:
        return traffic.error_rate
    edge = edge_s(counts.canary)
    if edge is None or traffic.median_s is None:
        return None
    return 1.0 - NormalDist(math.log(traffic.median_s), traffic.sigma).cdf(math.log(edge))


def _chances(gate: Gate, plan: Plan, rate_rps: float, rates: Rates) -> list[float]:
    """Share of the rollouts of the worse release that have failed by each look."""
    generator = np.random.Generator(np.random.Philox(key=1))
    weights = np.array([weight for _, weight in plan])
    expected = rate_rps * np.array([length / 1000 for length, _ in plan])
    shape = (STREAMS, len(plan))
    canary = np.broadcast_to(expected * weights / 100, shape)
    stable = np.broadcast_to(expected * (1 - weights / 100), shape)
    if isinstance(gate, GroupSequential):
        n_c, n_s = np.rint(canary).astype(np.int64), np.rint(stable).astype(np.int64)
    else:
        n_c, n_s = generator.poisson(canary), generator.poisson(stable)
    k_s, k_c = generator.binomial(n_s, rates[0]), generator.binomial(n_c, rates[1])
    n_c, k_c, n_s, k_s = (np.cumsum(part, axis=1) for part in (n_c, k_c, n_s, k_s))
    failed = first_verdicts(gate, Streams(n_c, k_c, n_s, k_s, weights)).failed
    return [float((failed <= look).mean()) for look in range(len(plan))]


def _what_would_do(gate: Gate, plan: Plan, rate_rps: float, rates: Rates, wanted: float) -> str:
    found = []
    longer = (*plan, *[plan[-1]] * (len(plan) * (LONGEST - 1)))
    enough = next((i for i, p in enumerate(_chances(gate, longer, rate_rps, rates)) if p >= wanted), None)
    if enough is not None:
        minutes = sum(length for length, _ in longer[: enough + 1]) / 60_000
        found.append(f"{minutes:.0f} min (the last weight held longer)")
    for weight in WEIGHTS:
        heavier = tuple((length, max(weight, w)) for length, w in plan)
        if heavier != plan and _chances(gate, heavier, rate_rps, rates)[-1] >= wanted:
            found.append(f"a weight of {weight:g} % from the start")
            break
    if not found:
        return "let the gate wait for a larger effect, or measure something that fails more often"
    return "what would do: " + ", or ".join(found)


def _peeking(subject: Rollout) -> Iterator[Hit]:
    for use in subject.analyses:
        ignored = dry_runs(use.analysis)
        for item in use.metrics:
            metric, counts = item.metric, item.metric.provider
            if not isinstance(counts, GatedCounts) or metric.count == 1 or metric.name in ignored:
                continue
            gate = counts.gate
            if not isinstance(gate, TwoProportionZ | FisherExact | BetaPosterior):
                continue
            looks = metric.count or _looks(subject, metric)
            reason = (
                f"{metric.name!r} is made for one look at {gate.alpha:.1%} and is looked at {looks} times: "
                f"it then stops about {peeking_risk(looks, gate.alpha):.0%} of the good releases"
            )
            yield Hit(item.document, (*item.path, "gate"), reason)


def _looks(subject: Rollout, metric: Metric) -> int:
    plans = [plan for one, plan in gate_plans(subject.policy) if one == metric]
    return max((len(plan) for plan in plans), default=2)


def _place(subject: Rollout, metric: Metric) -> tuple[Document, Path]:
    return next(
        (item.document, (*item.path, "gate"))
        for use in subject.analyses
        for item in use.metrics
        if item.metric == metric
    )


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS055",
            "gate-underpowered",
            Severity.WARNING,
            "a gate cannot gather its evidence within the steps at this traffic",
            "give it more time or more weight, or ask it for a larger effect",
        ),
        _underpowered,
    ),
    Check(
        Rule(
            "RS056",
            "one-look-test-peeks",
            Severity.WARNING,
            "a test made for one look is looked at often: its error rate is not what it says",
            "use rateRatio or twoSampleBlocks, made for any number of looks, or a step analysis of count 1",
        ),
        _peeking,
    ),
)
