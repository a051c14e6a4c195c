"""Many rollouts at once: at which look a gate fails first, and passes first, for arrays of counts.

The same rules as `rolloutsim.engine.gates.update`, look by look, as array arithmetic: for studies of error
rates and for detection curves. What a gate says to a person (intervals, what is missing) is not computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.boundaries import spending_bounds
from rolloutsim.engine.gates.confidence import REQUESTS_OPT, concentration_of
from rolloutsim.engine.gates.evidence import Verdict
from rolloutsim.engine.gates.fixed import NORMAL
from rolloutsim.engine.gates.mixtures import Mixture, log_ratios, log_weights, share_of
from rolloutsim.engine.gates.objective import wald_bounds
from rolloutsim.engine.gates.ratios import mixtures_of
from rolloutsim.engine.gates.samples import Arm, Sample
from rolloutsim.engine.gates.update import start_gate, update
from rolloutsim.policy.gates import (
    EventShare,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)

__all__ = ["FirstVerdicts", "Streams", "first_verdicts"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CHUNK = 30_000
"""Rows (a stream at a look) that are worked on at a time: keeps the arrays in tens of megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Cumulative counts of S rollouts at T looks, each (S, T); ``weights`` (T,) percent before each look."""

    canary_requests: Counts
    canary_bad: Counts
    stable_requests: Counts
    stable_bad: Counts
    weights: Floats

    @property
    def looks(self) -> int:
        return int(self.canary_requests.shape[1])

    def part(self, rows: slice) -> Streams:
        """Some of the rollouts."""
        return Streams(
            self.canary_requests[rows],
            self.canary_bad[rows],
            self.stable_requests[rows],
            self.stable_bad[rows],
            self.weights,
        )

    def since(self, first: int, end: int) -> Streams:
        """The looks from ``first`` to before ``end``, counting from the look before."""

        def cut(counts: Counts) -> Counts:
            return counts[:, first:end] - (counts[:, first - 1 : first] if first else 0)

        return Streams(
            cut(self.canary_requests),
            cut(self.canary_bad),
            cut(self.stable_requests),
            cut(self.stable_bad),
            self.weights[first:end],
        )


@dataclass(frozen=True, slots=True, eq=False)
class FirstVerdicts:
    """Index of the first look at which a gate has failed, and passed: (S,) each; T where it never did.

    A gate that ends with its verdict (SPRT, group-sequential) has at most one of them.
    """

    failed: Counts
    passed: Counts


def first_verdicts(gate: Gate, streams: Streams) -> FirstVerdicts:
    """Judge every stream at every look.

    Raises
    ------
    ValueError : a `GroupSequential` gate and streams whose request counts differ: their boundaries would.
    """
    rows = max(1, CHUNK // max(streams.looks, 1))
    parts = [
        _judged(gate, streams.part(slice(start, start + rows)))
        for start in range(0, len(streams.canary_bad), rows)
    ]
    return FirstVerdicts(
        np.concatenate([part.failed for part in parts]), np.concatenate([part.passed for part in parts])
    )


def _judged(gate: Gate, streams: Streams) -> FirstVerdicts:
    match gate:
        case RateRatio():
            good, bad = _mixture_wins(gate, streams, _events(streams))
            return _by_wins(gate, streams, good, bad, _harmless(gate, streams))
        case SampleRatio():
            return _routing(gate, streams)
        case EventShare():
            good, bad = _share_wins(gate, streams)
            return _by_wins(gate, streams, good, bad, None)
        case TwoSampleBlocks():
            return _blocks(gate, streams)
        case WaldSprt():
            return _sprt(gate, streams)
        case GroupSequential():
            return _groups(gate, streams)
        case TwoProportionZ() | FisherExact():
            return _fixed(gate, streams)
    return _one_by_one(gate, streams)


def _first(flags: Flags) -> Counts:
    """Index of the first true of each row, or the number of columns."""
    never = flags.shape[1]
    return np.asarray(np.where(flags.any(axis=1), flags.argmax(axis=1), never), dtype=np.int64)


def _ended(failed: Counts, passed: Counts, never: int) -> FirstVerdicts:
    """For gates that end with their first verdict."""
    return FirstVerdicts(np.where(failed < passed, failed, never), np.where(passed < failed, passed, never))


def _rises(counts: Counts) -> Counts:
    return np.diff(counts, axis=1, prepend=0)


# --- which arm each event fell on -------------------------------------------------------------------


def _events(streams: Streams) -> tuple[Counts, Counts]:
    return _rises(streams.canary_bad), _rises(streams.stable_bad)


def _tallies(streams: Streams, events: tuple[Counts, Counts]) -> list[tuple[float, Counts, Counts]]:
    """Cumulative events of canary and stable under each weight that compares: (S, T) each."""
    out = []
    for weight in dict.fromkeys(streams.weights.tolist()):
        if 0.0 < weight < 100.0:
            here = streams.weights == weight
            out.append((weight, np.cumsum(events[0] * here, axis=1), np.cumsum(events[1] * here, axis=1)))
    return out


def _mixture_wins(
    gate: RateRatio | SampleRatio, streams: Streams, events: tuple[Counts, Counts]
) -> tuple[Floats, ...]:
    """Natural logarithm of each one-sided mixture's e-value at each look: (S, T)."""
    mixtures = [mixture for mixture in mixtures_of(gate) if mixture.side]
    tallies = _tallies(streams, events)
    return tuple(_wins(mixture, tallies, streams.canary_bad.shape) for mixture in mixtures)


def _wins(mixture: Mixture, tallies: list[tuple[float, Counts, Counts]], shape: tuple[int, ...]) -> Floats:
    gains = [ratios for weight, _, _ in tallies for ratios in log_ratios(mixture, weight)]
    counts = [part.ravel() for _, canary, stable in tallies for part in (canary, stable)]
    prior = log_weights(mixture)
    if not counts:
        return np.zeros(shape)
    total = np.column_stack(counts).astype(np.float64) @ np.array(gains)
    total += prior
    largest = total.max(axis=1, keepdims=True)
    total -= largest
    np.exp(total, out=total)
    return np.asarray((largest[:, 0] + np.log(total.sum(axis=1))).reshape(shape))


def _share_wins(gate: EventShare, streams: Streams) -> tuple[Floats, Floats]:
    shape = streams.canary_bad.shape
    good, bad = np.zeros(shape), np.zeros(shape)
    for weight, canary, stable in _tallies(streams, _events(streams)):
        tolerated, refused = share_of(gate.margin, weight), share_of(gate.smallest_ratio, weight)
        good += _share_log_e(canary, stable, tolerated, gate.concentration, 1)
        bad += _share_log_e(canary, stable, refused, gate.concentration, -1)
    return good, bad


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
    return FirstVerdicts(_first(failed), _first(ready & passed & ~failed))


def _harmless(gate: RateRatio, streams: Streams) -> Flags | None:
    """Where the canary's rate is surely below the harmless one: `confidence.surely_below`."""
    rate = gate.harmless_rate
    if not rate:
        return None
    from scipy.special import gammaln

    bad, requests = streams.canary_bad, streams.canary_requests
    alpha = gate.beta / 2.0
    weight = concentration_of(alpha, REQUESTS_OPT)
    a, b = weight * rate, weight * (1.0 - rate)
    good = requests - bad
    log_e = (
        gammaln(weight)
        - gammaln(weight + requests)
        + gammaln(a + bad)
        - gammaln(a)
        - bad * math.log(rate)
        + gammaln(b + good)
        - gammaln(b)
        - good * math.log1p(-rate)
    )
    return np.asarray((bad < rate * requests) & (log_e > math.log(1.0 / alpha)))


def _routing(gate: SampleRatio, streams: Streams) -> FirstVerdicts:
    events = _rises(streams.canary_requests), _rises(streams.stable_requests)
    above, below, not_above, not_below = _mixture_wins(gate, streams, events)
    against_good = np.maximum.accumulate(np.maximum(np.logaddexp(above, below) - math.log(2.0), 0.0), axis=1)
    against_bad = np.maximum.accumulate(np.maximum(np.minimum(not_above, not_below), 0.0), axis=1)
    failed = against_good >= -math.log(gate.alpha)
    return FirstVerdicts(_first(failed), _first((against_bad >= -math.log(gate.beta)) & ~failed))


# --- counts of both arms ----------------------------------------------------------------------------


def _blocks(gate: TwoSampleBlocks, streams: Streams) -> FirstVerdicts:
    """Passes are looked for at the last look only."""
    prior = gate.prior_requests
    n_c, k_c, n_s, k_s = (
        streams.canary_requests,
        streams.canary_bad,
        streams.stable_requests,
        streams.stable_bad,
    )

    def before(counts: Counts) -> Counts:
        return np.concatenate([np.zeros((len(counts), 1), dtype=np.int64), counts[:, :-1]], axis=1)

    stable = (before(k_s) + prior * gate.prior_rate) / (before(n_s) + prior)
    canary = (before(k_c) + prior * gate.prior_rate * gate.prior_ratio) / (before(n_c) + prior)
    canary = np.maximum(canary, stable)
    more_n_c, more_k_c, more_n_s, more_k_s = _rises(n_c), _rises(k_c), _rises(n_s), _rises(k_s)
    total = np.maximum(more_n_c + more_n_s, 1)
    common = (more_n_s * stable + more_n_c * canary) / total
    empty = (more_n_c + more_n_s) == 0
    common[empty] = stable[empty]
    gain = (
        more_k_s * np.log(stable / common)
        + (more_n_s - more_k_s) * np.log((1.0 - stable) / (1.0 - common))
        + more_k_c * np.log(canary / common)
        + (more_n_c - more_k_c) * np.log((1.0 - canary) / (1.0 - common))
    )
    largest = np.maximum.accumulate(np.maximum(np.cumsum(gain, axis=1), 0.0), axis=1)
    ready = n_c >= max(gate.min_requests, 1)
    failed = _first(ready & (largest >= -math.log(gate.alpha)))
    passed = np.full(len(failed), streams.looks, dtype=np.int64)
    return FirstVerdicts(failed, passed)


def _sprt(gate: WaldSprt, streams: Streams) -> FirstVerdicts:
    bad_step = math.log(gate.bad_rate / gate.good_rate)
    good_step = math.log((1.0 - gate.bad_rate) / (1.0 - gate.good_rate))
    bad, requests = streams.canary_bad, streams.canary_requests
    log_ratio = bad * bad_step + (requests - bad) * good_step
    ready = requests >= max(gate.min_requests, 1)
    fails, passes = wald_bounds(gate)
    return _ended(_first(ready & (log_ratio >= fails)), _first(ready & (log_ratio <= passes)), streams.looks)


def _z(streams: Streams) -> Floats:
    """Pooled two-proportion z; 0 without information."""
    n_c, n_s = streams.canary_requests.astype(np.float64), streams.stable_requests.astype(np.float64)
    k_c, k_s = streams.canary_bad, streams.stable_bad
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k_c + k_s) / (n_c + n_s)
        z = (k_c / n_c - k_s / n_s) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / n_c + 1.0 / n_s))
    return np.asarray(np.where(np.isfinite(z), z, 0.0))


def _groups(gate: GroupSequential, streams: Streams) -> FirstVerdicts:
    n_c, n_s = streams.canary_requests, streams.stable_requests
    if (n_c != n_c[0]).any() or (n_s != n_s[0]).any():
        raise ValueError("a group-sequential gate needs streams whose request counts are the same")
    total = np.maximum(n_c[0] + n_s[0], 1)
    fractions = np.minimum(n_c[0] * n_s[0] / total / gate.planned_requests, 1.0)
    stages = (fractions * gate.looks + 1e-9).astype(np.int64)
    taken = np.flatnonzero(np.diff(stages, prepend=0) > 0)
    never = streams.looks
    failed = np.full(len(n_c), never, dtype=np.int64)
    passed = failed.copy()
    if not len(taken):
        return FirstVerdicts(failed, passed)
    bounds = spending_bounds(fractions[taken].tolist(), gate.alpha, gate.spending)
    z = _z(streams)
    for look, bound in zip(taken.tolist(), bounds, strict=True):
        failed = np.where((failed == never) & (z[:, look] >= bound), look, failed)
    last = int(taken[-1])
    if stages[last] >= gate.looks:
        below = _newcombe_high(streams, gate.beta)[:, last] < gate.smallest_difference
        passed = np.where(below & (failed == never), last, never)
    return FirstVerdicts(failed, passed)


def _fixed(gate: TwoProportionZ | FisherExact, streams: Streams) -> FirstVerdicts:
    """Looked at every time, as whoever peeks does."""
    ready = (streams.canary_requests >= gate.min_requests) & (streams.stable_requests > 0)
    if isinstance(gate, FisherExact):
        from scipy.stats import hypergeom

        total = streams.canary_requests + streams.stable_requests
        bad = streams.canary_bad + streams.stable_bad
        p = hypergeom.sf(streams.canary_bad - 1, total, bad, streams.canary_requests)
        worse = np.asarray(p <= gate.alpha)
    else:
        worse = _z(streams) >= NORMAL.inv_cdf(1.0 - gate.alpha)
    failed = _first(ready & worse)
    below = _newcombe_high(streams, gate.beta) < gate.smallest_difference
    return FirstVerdicts(failed, _first(ready & below & ~worse))


def _newcombe_high(streams: Streams, beta: float) -> Floats:
    """Upper end of Newcombe's hybrid score interval of the difference (see `fixed.difference_interval`)."""
    z = NORMAL.inv_cdf(1.0 - beta)

    def wilson(bad: Counts, requests: Counts) -> tuple[Floats, Floats, Floats]:
        n = np.maximum(requests, 1)
        p = bad / n
        centre = (p + z * z / (2 * n)) / (1.0 + z * z / n)
        half = z / (1.0 + z * z / n) * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
        return p, np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)

    p_c, _, high_c = wilson(streams.canary_bad, streams.canary_requests)
    p_s, low_s, _ = wilson(streams.stable_bad, streams.stable_requests)
    return np.asarray(p_c - p_s + np.hypot(high_c - p_c, p_s - low_s))


def _one_by_one(gate: Gate, streams: Streams) -> FirstVerdicts:
    never = streams.looks
    failed = np.full(len(streams.canary_bad), never, dtype=np.int64)
    passed = failed.copy()
    for row in range(len(failed)):
        state = start_gate(gate)
        for look in range(never):
            sample = Sample(
                Arm(int(streams.stable_requests[row, look]), int(streams.stable_bad[row, look])),
                Arm(int(streams.canary_requests[row, look]), int(streams.canary_bad[row, look])),
                float(streams.weights[look]),
            )
            step = update(gate, state, sample)
            state = step.state
            if step.verdict is Verdict.FAIL:
                failed[row] = look
                break
            if step.verdict is Verdict.PASS and passed[row] == never:
                passed[row] = look
    return FirstVerdicts(failed, passed)
