"""Judging `WaldSprt`: the canary alone against an absolute objective.

``L = k ln(p1 / p0) + (n - k) ln((1 - p1) / (1 - p0))``; fails at ``ln((1 - beta) / alpha)``, passes at
``ln(beta / (1 - alpha))`` (A. Wald, Annals of Mathematical Statistics 16, 1945).
"""

from __future__ import annotations

import math

from rolloutsim.engine.gates.confidence import rate_sequence
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.planning import before_any_verdict, more_requests
from rolloutsim.engine.gates.samples import Arm
from rolloutsim.engine.gates.state import GateState
from rolloutsim.policy.gates import WaldSprt

__all__ = ["judge_objective", "wald_bounds"]


def judge_objective(gate: WaldSprt, state: GateState) -> tuple[Verdict, Evidence]:
    """Fail or pass where the log likelihood ratio leaves Wald's bounds."""
    canary = state.sample.canary
    bad_step = math.log(gate.bad_rate / gate.good_rate)
    good_step = math.log((1.0 - gate.bad_rate) / (1.0 - gate.good_rate))
    log_ratio = canary.bad * bad_step + (canary.requests - canary.bad) * good_step
    fails, passes = wald_bounds(gate)
    verdict = Verdict.CONTINUE
    if canary.requests >= max(gate.min_requests, 1):
        if log_ratio >= fails:
            verdict = Verdict.FAIL
        elif log_ratio <= passes:
            verdict = Verdict.PASS
        elif gate.max_requests is not None and canary.requests >= gate.max_requests:
            verdict = Verdict.INCONCLUSIVE
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        growth = gate.good_rate * bad_step + (1.0 - gate.good_rate) * good_step
        missing, requests = _missing(gate, state, (log_ratio - passes) / -growth)
    evidence = Evidence(
        statistic="log likelihood ratio",
        value=log_ratio,
        limit=fails,
        p=None,
        effect=_effect(canary, gate.alpha),
        canary=canary,
        stable=state.sample.stable,
        looks=state.looks,
        missing=missing,
        missing_requests=requests,
    )
    return verdict, evidence


def wald_bounds(gate: WaldSprt) -> tuple[float, float]:
    """Log likelihood ratios at which the gate fails, and passes."""
    return math.log((1.0 - gate.beta) / gate.alpha), math.log(gate.beta / (1.0 - gate.alpha))


def _effect(canary: Arm, alpha: float) -> Effect:
    low, high = rate_sequence(canary.bad, canary.requests, alpha) if canary.requests else (0.0, 1.0)
    return Effect(
        measure="rate",
        estimate=canary.rate if canary.requests else None,
        low=low,
        high=high,
        confidence=1.0 - alpha,
        method="confidence sequence, holds at any time",
    )


def _missing(gate: WaldSprt, state: GateState, distance: float) -> tuple[str, int | None]:
    canary = state.sample.canary
    if not canary.requests:
        return "no canary requests yet", None
    if canary.requests < gate.min_requests:
        return before_any_verdict(gate.min_requests, state.sample)
    count = max(math.ceil(distance), 1)
    return f"a canary at {gate.good_rate:.2%} needs {more_requests(count)} to pass", count
