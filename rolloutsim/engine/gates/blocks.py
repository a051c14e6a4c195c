"""Judging `TwoSampleBlocks`: a product of two-sample e-values, one per sample.

``E = prod (th_v / th_0)^k_v ((1 - th_v) / (1 - th_0))^(n_v - k_v)`` over both arms v, where th_0 is the
mean of th_s and th_c weighted by requests and th_c >= th_s come from earlier samples only. Its expectation is
at most 1 for every common rate, by the inequality of arithmetic and geometric means, and for every canary
better than stable, since the canary's factor grows with its rate (R. Turner, A. Ly, P. Grünwald, 2024).
"""

from __future__ import annotations

import math

from rolloutsim.engine.gates.confidence import difference_sequence, requests_for_width
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.planning import before_any_verdict, more_requests
from rolloutsim.engine.gates.samples import Arm, Sample
from rolloutsim.engine.gates.state import GateState, Wealth
from rolloutsim.policy.gates import TwoSampleBlocks

__all__ = ["add_block", "judge_blocks"]

_OVERFLOW = 700.0


def add_block(gate: TwoSampleBlocks, wealth: Wealth, before: Sample, now: Sample) -> Wealth:
    """Multiply by the e-value of what happened since ``before``, guessing the rates from before it."""
    prior = gate.prior_requests
    stable_rate = (before.stable.bad + prior * gate.prior_rate) / (before.stable.requests + prior)
    canary_rate = (before.canary.bad + prior * gate.prior_rate * gate.prior_ratio) / (
        before.canary.requests + prior
    )
    log_e = wealth.log_e + _block(
        _since(before.stable, now.stable),
        _since(before.canary, now.canary),
        stable_rate,
        max(canary_rate, stable_rate),
    )
    return Wealth(log_e, max(wealth.largest, log_e))


def judge_blocks(gate: TwoSampleBlocks, state: GateState, wealth: Wealth) -> tuple[Verdict, Evidence]:
    """Fail by the e-value; pass by a confidence sequence of the difference of the rates."""
    canary, stable = state.sample.canary, state.sample.stable
    low, high = difference_sequence(canary, stable, gate.beta)
    verdict = _verdict(gate, state.sample, wealth, high)
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        missing, requests = _missing(gate, state.sample)
    both = canary.requests and stable.requests
    effect = Effect(
        measure="rate difference",
        estimate=canary.rate - stable.rate if both else None,
        low=low,
        high=high,
        confidence=1.0 - gate.beta,
        method="confidence sequence, holds at any time while the rates are constant",
    )
    evidence = Evidence(
        statistic="e-value",
        value=math.exp(min(wealth.log_e, _OVERFLOW)),
        limit=1.0 / gate.alpha,
        p=min(1.0, math.exp(-wealth.largest)),
        effect=effect,
        canary=canary,
        stable=stable,
        looks=state.looks,
        missing=missing,
        missing_requests=requests,
    )
    return verdict, evidence


def _block(stable: Arm, canary: Arm, stable_rate: float, canary_rate: float) -> float:
    total = stable.requests + canary.requests
    if not total:
        return 0.0
    common = (stable.requests * stable_rate + canary.requests * canary_rate) / total
    return (
        stable.bad * math.log(stable_rate / common)
        + (stable.requests - stable.bad) * math.log((1.0 - stable_rate) / (1.0 - common))
        + canary.bad * math.log(canary_rate / common)
        + (canary.requests - canary.bad) * math.log((1.0 - canary_rate) / (1.0 - common))
    )


def _since(before: Arm, now: Arm) -> Arm:
    return Arm(now.requests - before.requests, now.bad - before.bad)


def _verdict(gate: TwoSampleBlocks, sample: Sample, wealth: Wealth, high: float) -> Verdict:
    requests = sample.canary.requests
    if requests < max(gate.min_requests, 1):
        return Verdict.CONTINUE
    if wealth.largest >= -math.log(gate.alpha):
        return Verdict.FAIL
    if high < gate.smallest_difference:
        return Verdict.PASS
    if gate.max_requests is not None and requests >= gate.max_requests:
        return Verdict.INCONCLUSIVE
    return Verdict.CONTINUE


def _missing(gate: TwoSampleBlocks, sample: Sample) -> tuple[str, int | None]:
    if not sample.canary.requests + sample.stable.requests:
        return "no requests in either arm yet", None
    if sample.canary.requests < gate.min_requests:
        return before_any_verdict(gate.min_requests, sample)
    if not (sample.canary.requests and sample.stable.requests):
        empty = "stable" if sample.canary.requests else "canary"
        return f"no {empty} requests to compare with", None
    requests = requests_for_width(sample.canary, sample.stable, gate.smallest_difference, gate.beta)
    count = max(requests - sample.canary.requests, 1)
    return f"a canary like stable needs {more_requests(count)} to pass", count
