"""Judging `TwoProportionZ`, `FisherExact` and `BetaPosterior`: tests made for one look.

Whoever looks again is told what the repetition costs. The first two pass when Newcombe's hybrid score
interval of the difference lies below the smallest difference that matters (R. G. Newcombe, Statistics in
Medicine 17, 1998, 873-890, method 10), the posterior by its own probability. Under several weights the first
two compare weight by weight (`rolloutsim.engine.gates.strata`); the posterior pools, and warns of it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from rolloutsim.engine.gates.boundaries import peeking_risk
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.planning import before_any_verdict, more_requests, requests_for_difference
from rolloutsim.engine.gates.posterior import posterior_worse
from rolloutsim.engine.gates.samples import Arm, Sample
from rolloutsim.engine.gates.state import GateState, Stratum
from rolloutsim.engine.gates.strata import Comparison, compare_all, tail_of
from rolloutsim.policy.gates import BetaPosterior, FisherExact, TwoProportionZ

__all__ = [
    "NORMAL",
    "FixedGate",
    "difference_interval",
    "fisher_p",
    "judge_fixed",
    "pooled_z",
]

FixedGate = TwoProportionZ | FisherExact | BetaPosterior

NORMAL = NormalDist()
_NEGLIGIBLE = 1e-17
_ENOUGH_BAD = 100
"""Bad canary requests from which a normal approximation is good."""


def judge_fixed(gate: FixedGate, state: GateState, strata: tuple[Stratum, ...]) -> tuple[Verdict, Evidence]:
    """The verdict of one look at the counts so far; before ``min_requests`` there is no look.

    ``strata`` are those of a gate that compares weight by weight.
    """
    sample = state.sample
    compared = _Compared(sample.stable, sample.canary, None)
    if not isinstance(gate, BetaPosterior):
        compared = _by_weight(strata)
    ready = sample.canary.requests >= gate.min_requests and compared.stable.requests > 0
    estimate, low, high = _difference(compared, gate.beta)
    statistic, value, limit, p = _statistic(gate, compared)
    verdict = Verdict.CONTINUE
    if ready:
        verdict = _verdict(gate, value, limit, high, compared)
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        missing, requests = _missing(gate, sample, ready)
    effect = Effect(
        measure="rate difference",
        estimate=estimate,
        low=low,
        high=high,
        confidence=1.0 - 2.0 * gate.beta,
        method="Mantel-Haenszel, holds at one look" if compared.strata else "Newcombe, holds at one look",
    )
    evidence = Evidence(
        statistic=statistic,
        value=value,
        limit=limit,
        p=p,
        effect=effect,
        canary=sample.canary,
        stable=sample.stable,
        looks=state.looks,
        missing=missing,
        missing_requests=requests,
        warnings=_warnings(gate, state),
    )
    return verdict, evidence


class _Compared(NamedTuple):
    """The arms, if they met under one weight; ``strata`` sums up several."""

    stable: Arm
    canary: Arm
    strata: Comparison | None


def _by_weight(strata: tuple[Stratum, ...]) -> _Compared:
    both = [one for one in strata if one.canary.requests and one.stable.requests]
    if not both:
        return _Compared(Arm(), Arm(), None)
    if len(both) == 1:
        return _Compared(both[0].stable, both[0].canary, None)
    stable, canary = (
        Arm(sum(arm.requests for arm in arms), sum(arm.bad for arm in arms))
        for arms in ([one.stable for one in both], [one.canary for one in both])
    )
    return _Compared(stable, canary, compare_all(both))


def pooled_z(canary: Arm, stable: Arm) -> float:
    """Pooled two-proportion z, positive where the canary is worse; 0 without information."""
    total = canary.requests + stable.requests
    bad = canary.bad + stable.bad
    if not (canary.requests and stable.requests and 0 < bad < total):
        return 0.0
    pooled = bad / total
    deviation = math.sqrt(pooled * (1.0 - pooled) * (1.0 / canary.requests + 1.0 / stable.requests))
    return (canary.rate - stable.rate) / deviation


def fisher_p(canary: Arm, stable: Arm) -> float:
    """One-sided p of Fisher's exact test: so many bad requests or more on the canary, the margins given."""
    bad = canary.bad + stable.bad
    total = canary.requests + stable.requests
    first = max(0, bad - stable.requests)
    last = min(bad, canary.requests)
    # Sum the tail that falls off monotonically, so that it may be cut where terms no longer count.
    if canary.bad * total > bad * canary.requests:
        tail = _tail(canary.bad, 1, last, canary.requests, stable.requests, bad)
        return min(tail, 1.0)  # of hundreds of millions of requests it is known to six digits
    if canary.bad == first:
        return 1.0
    return max(0.0, 1.0 - _tail(canary.bad - 1, -1, first, canary.requests, stable.requests, bad))


def difference_interval(canary: Arm, stable: Arm, beta: float) -> tuple[float, float]:
    """Newcombe's interval of canary rate minus stable rate, each end at level ``beta``."""
    if not (canary.requests and stable.requests):
        return -1.0, 1.0
    z = NORMAL.inv_cdf(1.0 - beta)
    low_c, high_c = _wilson(canary, z)
    low_s, high_s = _wilson(stable, z)
    gap = canary.rate - stable.rate
    return (
        gap - math.hypot(canary.rate - low_c, high_s - stable.rate),
        gap + math.hypot(high_c - canary.rate, stable.rate - low_s),
    )


def _difference(compared: _Compared, beta: float) -> tuple[float | None, float, float]:
    """Canary rate minus stable rate, None without data, and its interval."""
    strata = compared.strata
    if strata is not None:
        estimate = float(strata.difference)
        half = NORMAL.inv_cdf(1.0 - beta) * float(strata.deviation)
        return estimate, max(estimate - half, -1.0), min(estimate + half, 1.0)
    both = compared.canary.requests and compared.stable.requests
    estimate_or_none = compared.canary.rate - compared.stable.rate if both else None
    return estimate_or_none, *difference_interval(compared.canary, compared.stable, beta)


def _statistic(gate: FixedGate, compared: _Compared) -> tuple[str, float, float, float | None]:
    """Name, value, the value at which the gate fails, and the p-value."""
    stable, canary, strata = compared
    if isinstance(gate, BetaPosterior):
        return "posterior probability", posterior_worse(canary, stable, gate.margin), 1.0 - gate.alpha, None
    if isinstance(gate, FisherExact):
        p = fisher_p(canary, stable) if strata is None else float(tail_of(strata)[0])
        return "p-value", p, gate.alpha, p
    z = pooled_z(canary, stable) if strata is None else float(strata.z)
    return "z", z, NORMAL.inv_cdf(1.0 - gate.alpha), 0.5 * math.erfc(z / math.sqrt(2.0))


def _verdict(gate: FixedGate, value: float, limit: float, high: float, compared: _Compared) -> Verdict:
    fails = value <= limit if isinstance(gate, FisherExact) else value >= limit
    if fails:
        return Verdict.FAIL
    if isinstance(gate, BetaPosterior):
        passes = posterior_worse(compared.canary, compared.stable, gate.smallest_difference) <= gate.beta
    elif compared.strata is not None:
        passes = bool(compared.strata.rules_out(gate.smallest_difference, NORMAL.inv_cdf(1.0 - gate.beta)))
    else:
        passes = high < gate.smallest_difference
    return Verdict.PASS if passes else Verdict.INCONCLUSIVE


def _missing(gate: FixedGate, sample: Sample, ready: bool) -> tuple[str, int | None]:
    if not ready:
        if sample.canary.requests < gate.min_requests:
            return before_any_verdict(gate.min_requests, sample)
        return "no stable requests to compare with", None
    planned = requests_for_difference(sample, gate.smallest_difference, gate.alpha, gate.beta)
    count = planned - sample.canary.requests
    if count <= 0:
        return (
            f"{sample.canary.requests:,} canary requests can tell {gate.smallest_difference:.2%} from none, "
            "but the canary lies in between",
            None,
        )
    return f"needs {more_requests(count)} to tell {gate.smallest_difference:.2%} from none", count


def _warnings(gate: FixedGate, state: GateState) -> tuple[str, ...]:
    if isinstance(gate, BetaPosterior):
        pooled = (
            "the weight changed while counting: if the error rate of the service changed too, the arms saw "
            "different hours; a RateRatio gate is exact here",
        )
        return (
            *(pooled if state.weight_changed else ()),
            "a posterior probability is not a false-abort rate: with repeated looks it stops good canaries "
            f"about as often as a one-sided z, {peeking_risk(state.looks, gate.alpha):.1%} at "
            f"{max(state.looks, 1)} looks",
        )
    warnings: tuple[str, ...] = ()
    if state.looks > 1:
        warnings += (
            f"looked at {state.looks} times: made for one look at {gate.alpha:.1%}, it then stops about "
            f"{peeking_risk(state.looks, gate.alpha):.1%} of good canaries (evenly spaced looks)",
        )
    if isinstance(gate, TwoProportionZ) and state.looks > 0 and state.sample.canary.bad < _ENOUGH_BAD:
        warnings += (
            f"{state.sample.canary.bad:,} bad canary requests: with fewer than {_ENOUGH_BAD} the normal "
            f"approximation stops more good canaries than {gate.alpha:.1%}; a FisherExact gate does not",
        )
    return warnings


def _wilson(arm: Arm, z: float) -> tuple[float, float]:
    n, p = arm.requests, arm.rate
    centre = (p + z * z / (2 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _tail(start: int, step: int, end: int, canary: int, stable: int, bad: int) -> float:
    """Hypergeometric probabilities of bad requests on the canary, from ``start`` away to ``end``."""
    term = math.exp(
        _log_choose(canary, start) + _log_choose(stable, bad - start) - _log_choose(canary + stable, bad)
    )
    total, x = 0.0, start
    while term > _NEGLIGIBLE * total or x == start:
        total += term
        if x == end or term == 0.0:
            break
        if step > 0:
            term *= (canary - x) * (bad - x) / ((x + 1) * (stable - bad + x + 1))
        else:
            term *= x * (stable - bad + x) / ((canary - x + 1) * (bad - x + 1))
        x += step
    return total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
