"""Judging `RateRatio`, `EventShare` and `SampleRatio`: gates that look at which arm each event fell on."""

from __future__ import annotations

import math
from functools import lru_cache

from rolloutsim.engine.gates.confidence import requests_until_below, surely_below
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.mixtures import EITHER, Mixture, ratio_sequence, share_log_e, share_of, wins
from rolloutsim.engine.gates.planning import before_any_verdict, more_requests
from rolloutsim.engine.gates.samples import Sample, compares
from rolloutsim.engine.gates.state import GateState, Tallied, Tally
from rolloutsim.policy.gates import EventShare, RateRatio, SampleRatio

__all__ = ["RatioGate", "judge_ratio", "mixtures_of", "tally"]

RatioGate = RateRatio | EventShare | SampleRatio

_OVERFLOW = 700.0


def tally(gate: RatioGate, memory: Tallied, before: Sample, now: Sample) -> Tallied:
    """Attribute what happened since ``before`` to the weight that was in force.

    At a weight of 0 or 100 one arm has no traffic to compare with, and nothing is attributed.
    """
    weight = now.weight_percent
    if isinstance(gate, SampleRatio):
        canary = now.canary.requests - before.canary.requests
        stable = now.stable.requests - before.stable.requests
    else:
        canary = now.canary.bad - before.canary.bad
        stable = now.stable.bad - before.stable.bad
    if not ((canary or stable) and compares(weight)):
        return memory
    tallies, found = [], False
    for old in memory.tallies:
        if old.weight_percent == weight:
            old, found = Tally(weight, old.canary + canary, old.stable + stable), True
        tallies.append(old)
    if not found:
        tallies.append(Tally(weight, canary, stable))
    return Tallied(tuple(tallies), memory.against_good, memory.against_bad)


def judge_ratio(gate: RatioGate, state: GateState, memory: Tallied) -> tuple[Tallied, Verdict, Evidence]:
    """The verdict on what has been tallied, with the largest e-values so far brought up to date."""
    good, bad, either = _e_values(gate, memory.tallies)
    memory = Tallied(memory.tallies, max(memory.against_good, good), max(memory.against_bad, bad))
    verdict = _verdict(gate, state.sample, memory)
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        missing, requests = _missing(gate, state.sample, memory.tallies, bad)
    evidence = Evidence(
        statistic="e-value",
        value=math.exp(min(good, _OVERFLOW)),
        limit=1.0 / gate.alpha,
        p=min(1.0, math.exp(-memory.against_good)),
        effect=_effect(gate, memory.tallies, either),
        canary=state.sample.canary,
        stable=state.sample.stable,
        looks=state.looks,
        missing=missing,
        missing_requests=requests,
    )
    return memory, verdict, evidence


def _e_values(gate: RatioGate, tallies: tuple[Tally, ...]) -> tuple[float, float, float]:
    """Natural logarithms: against a tolerable canary, against a bad one, and of the two-sided mixture."""
    if isinstance(gate, RateRatio):
        good, bad, either = wins(mixtures_of(gate), tallies)
        return good, bad, either
    if isinstance(gate, SampleRatio):
        above, below, not_above, not_below, either = wins(mixtures_of(gate), tallies)
        top = max(above, below)
        return (
            top + math.log(0.5 * (math.exp(above - top) + math.exp(below - top))),
            min(not_above, not_below),
            either,
        )
    (either,) = wins((EITHER,), tallies)
    good = bad = 0.0
    for t in tallies:
        tolerated = share_of(gate.margin, t.weight_percent)
        refused = share_of(gate.smallest_ratio, t.weight_percent)
        good += share_log_e(t.canary, t.stable, tolerated, gate.concentration, 1)
        bad += share_log_e(t.canary, t.stable, refused, gate.concentration, -1)
    return good, bad, either


@lru_cache(maxsize=256)
def mixtures_of(gate: RateRatio | SampleRatio) -> tuple[Mixture, ...]:
    """The mixtures behind a gate: against a tolerable canary, against a bad one, and two-sided, in order."""
    if isinstance(gate, RateRatio):
        return Mixture(gate.margin, 1), Mixture(gate.smallest_ratio, -1), EITHER
    return (
        Mixture(gate.tolerance, 1),
        Mixture(1.0 / gate.tolerance, -1),
        Mixture(gate.largest, -1),
        Mixture(1.0 / gate.largest, 1),
        EITHER,
    )


def _verdict(gate: RatioGate, sample: Sample, memory: Tallied) -> Verdict:
    requests = sample.canary.requests
    if not isinstance(gate, SampleRatio) and requests < max(gate.min_requests, 1):
        return Verdict.CONTINUE
    if memory.against_good >= -math.log(gate.alpha):
        return Verdict.FAIL
    if _passes(gate, sample, memory):
        return Verdict.PASS
    if isinstance(gate, SampleRatio) or gate.max_requests is None or requests < gate.max_requests:
        return Verdict.CONTINUE
    return Verdict.INCONCLUSIVE


def _passes(gate: RatioGate, sample: Sample, memory: Tallied) -> bool:
    harmless = gate.harmless_rate if isinstance(gate, RateRatio) else 0.0
    if not harmless:
        return memory.against_bad >= -math.log(gate.beta)
    # Two ways to pass share beta: then a bad canary passes by either with probability beta at most.
    if memory.against_bad >= -math.log(gate.beta / 2.0):
        return True
    return surely_below(sample.canary.bad, sample.canary.requests, harmless, gate.beta / 2.0)


def _effect(gate: RatioGate, tallies: tuple[Tally, ...], either: float) -> Effect:
    low, high, estimate = ratio_sequence(tallies, gate.alpha, either)
    return Effect(
        measure="odds ratio" if isinstance(gate, SampleRatio) else "rate ratio",
        estimate=estimate,
        low=low,
        high=high,
        confidence=1.0 - gate.alpha,
        method="confidence sequence, holds at any time",
    )


def _missing(
    gate: RatioGate, sample: Sample, tallies: tuple[Tally, ...], against_bad: float
) -> tuple[str, int | None]:
    if not sample.canary.requests + sample.stable.requests:
        return "no requests in either arm yet", None
    if isinstance(gate, SampleRatio):
        return _to_pass(gate, sample, gate.largest, against_bad)
    if sample.canary.requests < gate.min_requests:
        return before_any_verdict(gate.min_requests, sample)
    if not sample.canary.requests:
        return f"no canary requests yet, against {sample.stable.requests:,} of stable", None
    if tallies:
        return _to_pass(gate, sample, gate.smallest_ratio, against_bad)
    if isinstance(gate, RateRatio) and gate.harmless_rate:
        short = max(requests_until_below(gate.harmless_rate, gate.beta / 2.0) - sample.canary.requests, 1)
        return f"no bad request yet; without any, needs {more_requests(short)} to be surely harmless", short
    return (
        f"no bad request in either arm to compare, in {sample.canary.requests:,} canary and "
        f"{sample.stable.requests:,} stable requests",
        None,
    )


def _to_pass(gate: RatioGate, sample: Sample, refused: float, against_bad: float) -> tuple[str, int | None]:
    """Requests until a canary like stable has refuted the ratio ``refused``, by its growth per event."""
    weight = sample.weight_percent
    if not compares(weight):
        return f"the weight is {weight:g} %: there are no two arms to compare", None
    p, q = share_of(1.0, weight), share_of(refused, weight)
    growth = p * math.log(p / q) + (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
    level = gate.beta / 2.0 if isinstance(gate, RateRatio) and gate.harmless_rate else gate.beta
    events = max(-math.log(level) - against_bad, 0.0) / growth
    if isinstance(gate, SampleRatio):
        count = max(math.ceil(events * weight / 100.0), 1)
        return f"a router true to the weight needs {more_requests(count)} to pass", count
    total = sample.canary.requests + sample.stable.requests
    rate = (sample.canary.bad + sample.stable.bad) / total
    count = max(math.ceil(events / rate * weight / 100.0), 1)
    return f"a canary like stable needs {more_requests(count)} to pass", count
