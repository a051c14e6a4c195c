"""Many rollouts at once, for gates that look at which arm each event fell on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rolloutsim.engine.gates.mixtures import Mixture, log_ratios, log_weights, share_of
from rolloutsim.engine.gates.ratios import mixtures_of
from rolloutsim.engine.gates.stream_arrays import (
    Counts,
    FirstVerdicts,
    Flags,
    Floats,
    Streams,
    first,
    log_mixtures,
    rises,
    tallies,
)
from rolloutsim.policy.gates import EventShare, RateRatio, SampleRatio

__all__ = ["by_mixture", "by_routing", "by_share"]

Tallies = list[tuple[float, tuple[Counts, ...]]]


def by_mixture(gate: RateRatio, streams: Streams) -> FirstVerdicts:
    """`RateRatio`."""
    good, bad = _mixture_wins(gate, streams, _events(streams))
    return _by_wins(gate, streams, good, bad, _harmless(gate, streams))


def by_share(gate: EventShare, streams: Streams) -> FirstVerdicts:
    """`EventShare`."""
    shape = streams.canary_bad.shape
    good, bad = np.zeros(shape), np.zeros(shape)
    for weight, (canary, stable) in _events(streams):
        tolerated, refused = share_of(gate.margin, weight), share_of(gate.smallest_ratio, weight)
        good += _share_log_e(canary, stable, tolerated, gate.concentration, 1)
        bad += _share_log_e(canary, stable, refused, gate.concentration, -1)
    return _by_wins(gate, streams, good, bad, None)


def by_routing(gate: SampleRatio, streams: Streams) -> FirstVerdicts:
    """`SampleRatio`."""
    requests = list(tallies(streams, rises(streams.canary_requests), rises(streams.stable_requests)))
    above, below, not_above, not_below = _mixture_wins(gate, streams, requests)
    against_good = np.maximum.accumulate(np.maximum(np.logaddexp(above, below) - math.log(2.0), 0.0), axis=1)
    against_bad = np.maximum.accumulate(np.maximum(np.minimum(not_above, not_below), 0.0), axis=1)
    failed = against_good >= -math.log(gate.alpha)
    return FirstVerdicts(first(failed), first((against_bad >= -math.log(gate.beta)) & ~failed))


def _events(streams: Streams) -> Tallies:
    return list(tallies(streams, rises(streams.canary_bad), rises(streams.stable_bad)))


def _mixture_wins(gate: RateRatio | SampleRatio, streams: Streams, events: Tallies) -> tuple[Floats, ...]:
    """Natural logarithm of each one-sided mixture's e-value at each look: (S, T)."""
    mixtures = [mixture for mixture in mixtures_of(gate) if mixture.side]
    return tuple(_wins(mixture, events, streams.canary_bad.shape) for mixture in mixtures)


def _wins(mixture: Mixture, events: Tallies, shape: tuple[int, ...]) -> Floats:
    gains = [ratios for weight, _ in events for ratios in log_ratios(mixture, weight)]
    counts = [part.ravel() for _, arms in events for part in arms]
    if not counts:
        return np.zeros(shape)
    total = np.column_stack(counts).astype(np.float64) @ np.array(gains)
    total += log_weights(mixture)
    largest = total.max(axis=1, keepdims=True)
    total -= largest
    np.exp(total, out=total)
    return np.asarray((largest[:, 0] + np.log(total.sum(axis=1))).reshape(shape))


def _share_log_e(canary: Counts, stable: Counts, share: float, concentration: float, side: int) -> Floats:
    from scipy.special import betainc, betaln

    a, b = concentration * share, concentration * (1.0 - share)

    def tail(more_a: Any, more_b: Any) -> Any:
        if side > 0:
            return betainc(b + more_b, a + more_a, 1.0 - share)
        return betainc(a + more_a, b + more_b, share)

    with np.errstate(divide="ignore"):
        kept = np.log(tail(canary, stable) / tail(0.0, 0.0))
    both = betaln(a + canary, b + stable) - betaln(a, b)
    return np.asarray(both - canary * math.log(share) - stable * math.log1p(-share) + kept)


def _by_wins(
    gate: RateRatio | EventShare, streams: Streams, good: Floats, bad: Floats, harmless: Flags | None
) -> FirstVerdicts:
    ready = streams.canary_requests >= max(gate.min_requests, 1)
    against_good = np.maximum.accumulate(np.maximum(good, 0.0), axis=1)
    against_bad = np.maximum.accumulate(np.maximum(bad, 0.0), axis=1)
    failed = ready & (against_good >= -math.log(gate.alpha))
    beta = gate.beta if harmless is None else gate.beta / 2.0
    passed = against_bad >= -math.log(beta)
    if harmless is not None:
        passed |= harmless
    return FirstVerdicts(first(failed), first(ready & passed & ~failed))


def _harmless(gate: RateRatio, streams: Streams) -> Flags | None:
    """Where the canary's rate is surely below the harmless one: `confidence.surely_below`."""
    rate = gate.harmless_rate
    if not rate:
        return None
    bad, requests = streams.canary_bad, streams.canary_requests
    level = -math.log(gate.beta / 2.0)
    below = bad < rate * requests
    return np.asarray(below & (log_mixtures(bad, requests, rate, gate.beta / 2.0) > level))
