"""Rules about statistical gates: evidence that the steps leave no time for, tests looked at too often.

How long a gate needs depends on the service, so that rule needs its traffic and error rate
(``lint --service``); counts are then drawn, from a fixed key, for the smallest effect that it is to catch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rolloutsim.engine.binding import dry_runs
from rolloutsim.engine.gates.boundaries import peeking_risk
from rolloutsim.engine.gates.planning import smallest_rate
from rolloutsim.engine.gates.streams import Streams, first_verdicts
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import Rollout, Traffic
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.gate_plan import Plan, gate_plans
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


def _underpowered(subject: Rollout) -> Iterator[Hit]:
    traffic = subject.scrapes.traffic
    if traffic is None:
        return
    for metric, plan in gate_plans(subject.policy):
        counts = metric.provider
        if not isinstance(counts, GatedCounts) or counts.canary.fast or not plan:
            continue
        wanted = 1.0 - counts.gate.beta
        effect = smallest_rate(counts.gate, traffic.error_rate)
        chance = _chances(counts.gate, plan, traffic, effect)[-1]
        if chance >= wanted - 0.03:  # what 400 streams cannot tell apart
            continue
        minutes = sum(length for length, _ in plan) / 60_000
        reason = (
            f"at {traffic.rate_rps:g} requests a second and {traffic.error_rate:.3%} errors the gate "
            f"{metric.name!r} catches {effect:.3%} in {chance:.0%} of the rollouts within the "
            f"{minutes:g} min of its steps, and is to catch {wanted:.0%}"
        )
        document, path = _place(subject, metric)
        yield Hit(document, path, reason, _what_would_do(counts.gate, plan, traffic, effect, wanted))


def _chances(gate: Gate, plan: Plan, traffic: Traffic, worse: float) -> list[float]:
    """Share of the rollouts of a release with ``worse`` bad requests that have failed by each look."""
    generator = np.random.Generator(np.random.Philox(key=1))
    weights = np.array([weight for _, weight in plan])
    expected = traffic.rate_rps * np.array([length / 1000 for length, _ in plan])
    shape = (STREAMS, len(plan))
    canary = np.broadcast_to(expected * weights / 100, shape)
    stable = np.broadcast_to(expected * (1 - weights / 100), shape)
    if isinstance(gate, GroupSequential):
        n_c, n_s = np.rint(canary).astype(np.int64), np.rint(stable).astype(np.int64)
    else:
        n_c, n_s = generator.poisson(canary), generator.poisson(stable)
    k_c, k_s = generator.binomial(n_c, worse), generator.binomial(n_s, traffic.error_rate)
    n_c, k_c, n_s, k_s = (np.cumsum(part, axis=1) for part in (n_c, k_c, n_s, k_s))
    failed = first_verdicts(gate, Streams(n_c, k_c, n_s, k_s, weights)).failed
    return [float((failed <= look).mean()) for look in range(len(plan))]


def _what_would_do(gate: Gate, plan: Plan, traffic: Traffic, worse: float, wanted: float) -> str:
    found = []
    longer = (*plan, *[plan[-1]] * (len(plan) * (LONGEST - 1)))
    enough = next((i for i, p in enumerate(_chances(gate, longer, traffic, worse)) if p >= wanted), None)
    if enough is not None:
        minutes = sum(length for length, _ in longer[: enough + 1]) / 60_000
        found.append(f"{minutes:.0f} min (the last weight held longer)")
    for weight in WEIGHTS:
        heavier = tuple((length, max(weight, w)) for length, w in plan)
        if heavier != plan and _chances(gate, heavier, traffic, worse)[-1] >= wanted:
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
