"""Many rollouts at once, for gates that use the request counts of both arms, or of the canary alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rolloutsim.engine.gates.boundaries import spending_bounds
from rolloutsim.engine.gates.fixed import NORMAL
from rolloutsim.engine.gates.groups import stage_of
from rolloutsim.engine.gates.objective import wald_bounds
from rolloutsim.engine.gates.strata import Comparison, compare_at, tail_of, tail_z
from rolloutsim.engine.gates.stream_arrays import (
    Counts,
    FirstVerdicts,
    Flags,
    Floats,
    Streams,
    ended,
    first,
    log_mixtures,
    rises,
    tallies,
)
from rolloutsim.policy.gates import FisherExact, GroupSequential, TwoProportionZ, TwoSampleBlocks, WaldSprt

__all__ = ["by_blocks", "by_groups", "by_objective", "by_one_look"]

_HALVINGS = 50


def by_objective(gate: WaldSprt, streams: Streams) -> FirstVerdicts:
    """`WaldSprt`."""
    bad_step = math.log(gate.bad_rate / gate.good_rate)
    good_step = math.log((1.0 - gate.bad_rate) / (1.0 - gate.good_rate))
    bad, requests = streams.canary_bad, streams.canary_requests
    log_ratio = bad * bad_step + (requests - bad) * good_step
    ready = requests >= max(gate.min_requests, 1)
    fails, passes = wald_bounds(gate)
    return ended(first(ready & (log_ratio >= fails)), first(ready & (log_ratio <= passes)), streams.looks)


# --- blocks -----------------------------------------------------------------------------------------


def by_blocks(gate: TwoSampleBlocks, streams: Streams) -> FirstVerdicts:
    """`TwoSampleBlocks`."""
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
    more_n_c, more_k_c, more_n_s, more_k_s = rises(n_c), rises(k_c), rises(n_s), rises(k_s)
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
    failed = first(ready & (largest >= -math.log(gate.alpha)))
    return FirstVerdicts(failed, _narrow(gate, streams, ready, failed))


def _narrow(gate: TwoSampleBlocks, streams: Streams, ready: Flags, failed: Counts) -> Counts:
    """The first look at which `confidence.difference_sequence` lies below the smallest difference.

    That is where the canary's e-value refutes the rate that lies this difference above the lower end of
    stable's interval. That end is searched for only where one no lower than stable's rate itself would do.
    """
    never = streams.looks
    passed = np.full(len(failed), never, dtype=np.int64)
    for look in range(never):
        rows = np.flatnonzero(
            ready[:, look] & (streams.stable_requests[:, look] > 0) & (failed > look) & (passed == never)
        )
        n_s, k_s = streams.stable_requests[rows, look], streams.stable_bad[rows, look]
        n_c, k_c = streams.canary_requests[rows, look], streams.canary_bad[rows, look]
        near = _surely_below(k_c, n_c, k_s / n_s + gate.smallest_difference, gate.beta / 2.0)
        rows, n_c, k_c, n_s, k_s = (part[near] for part in (rows, n_c, k_c, n_s, k_s))
        low = _lower_ends(k_s, n_s, gate.beta / 2.0)
        passed[rows[_surely_below(k_c, n_c, low + gate.smallest_difference, gate.beta / 2.0)]] = look
    return passed


def _surely_below(bad: Counts, requests: Counts, rate: Floats, alpha: float) -> Flags:
    """`confidence.surely_below`."""
    rate = np.minimum(rate, 1.0 - 1e-12)
    refuted = log_mixtures(bad, requests, rate, alpha) > -math.log(alpha)
    return np.asarray((bad < rate * requests) & refuted)


def _lower_ends(bad: Counts, requests: Counts, alpha: float) -> Floats:
    """`confidence.rate_lower`, by halving."""
    level = -math.log(alpha)
    low, high = np.zeros(len(bad)), bad / requests
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        some = middle > 0.0
        refuted = np.ones(len(bad), dtype=bool)
        refuted[some] = log_mixtures(bad[some], requests[some], middle[some], alpha) > level
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return np.where(bad > 0, low, 0.0)


# --- a planned number of looks ----------------------------------------------------------------------


def by_groups(gate: GroupSequential, streams: Streams) -> FirstVerdicts:
    """`GroupSequential`."""
    n_c, n_s = streams.canary_requests, streams.stable_requests
    if (n_c != n_c[0]).any() or (n_s != n_s[0]).any():
        raise ValueError("a group-sequential gate needs streams whose request counts are the same")
    never = streams.looks
    failed = np.full(len(n_c), never, dtype=np.int64)
    passed = failed.copy()
    counted = _by_weight(streams)
    information = _compared([[column[:1] for column in part] for part in counted]).information
    fractions = np.minimum(np.broadcast_to(information, (1, never))[0] / gate.planned_requests, 1.0)
    stages = np.array([stage_of(gate, fraction) for fraction in fractions.tolist()])
    taken = np.flatnonzero(np.diff(stages, prepend=0) > 0)
    bounds = spending_bounds(fractions[taken].tolist(), gate.alpha, gate.spending)
    for look, bound in zip(taken.tolist(), bounds, strict=True):
        found = _compared([[column[:, look] for column in part] for part in counted])
        failed = np.where((failed == never) & (tail_z(found) >= bound), look, failed)
        if stages[look] >= gate.looks:
            passes = found.rules_out(gate.smallest_difference, NORMAL.inv_cdf(1.0 - gate.beta))
            passed = np.where(passes & (failed == never), look, never)
    return FirstVerdicts(failed, passed)


def _by_weight(streams: Streams) -> list[tuple[Counts, ...]]:
    """Sums so far of requests and bad requests, canary's and stable's, under each weight that compares."""
    columns = streams.canary_requests, streams.canary_bad, streams.stable_requests, streams.stable_bad
    return [part for _, part in tallies(streams, *(rises(column) for column in columns))]


def _compared(counted: Sequence[Sequence[Counts]]) -> Comparison:
    return sum((compare_at(*part) for part in counted), Comparison())


def by_one_look(gate: TwoProportionZ | FisherExact, streams: Streams) -> FirstVerdicts:
    """`TwoProportionZ` and `FisherExact`, looked at every time, as whoever peeks does."""
    counted = _by_weight(streams)
    if not counted:
        never = np.full(len(streams.canary_bad), streams.looks, dtype=np.int64)
        return FirstVerdicts(never, never)
    met = np.asarray(sum(((part[0] > 0) & (part[2] > 0)).astype(np.int64) for part in counted))
    found = _compared(counted)
    ready = (streams.canary_requests >= gate.min_requests) & (met > 0)
    alone, several = ready & (met == 1), ready & (met > 1)
    if isinstance(gate, FisherExact):
        worse = _unlikely(found, alone, gate.alpha)
        worse[several] = tail_of(found)[0][several] <= gate.alpha
    else:
        worse = np.where(several, found.z, _z(found)) >= NORMAL.inv_cdf(1.0 - gate.alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_weight = found.rules_out(gate.smallest_difference, NORMAL.inv_cdf(1.0 - gate.beta))
    by_one = _newcombe_high(found, gate.beta) < gate.smallest_difference
    passes = np.where(several, by_weight, by_one)
    return FirstVerdicts(first(ready & worse), first(ready & passes & ~worse))


def _z(found: Comparison) -> Floats:
    """Pooled two-proportion z; 0 without information."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = found.bad / (found.canary + found.stable)
        gap = found.canary_bad / found.canary - (found.bad - found.canary_bad) / found.stable
        z = gap / np.sqrt(pooled * (1.0 - pooled) * (1.0 / found.canary + 1.0 / found.stable))
    return np.asarray(np.where(np.isfinite(z), z, 0.0))


def _unlikely(found: Comparison, ready: Flags, alpha: float) -> Flags:
    """Where, of those that are ready, `fixed.fisher_p` is at most ``alpha``; added up until it is more."""
    from scipy.special import gammaln

    # The median of a hypergeometric variable is no further than 1 from its mean: below, p is above one half.
    flags = ready & (found.canary_bad * (found.canary + found.stable) > found.bad * found.canary)
    place = np.flatnonzero(flags)
    x, n_c, n_s, bad = (
        part.ravel()[place] for part in (found.canary_bad, found.canary, found.stable, found.bad)
    )

    def log_choose(n: Any, k: Any) -> Any:
        return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))

    term = np.exp(log_choose(n_c, x) + log_choose(n_s, bad - x) - log_choose(n_c + n_s, bad))
    tail = np.zeros(len(place))
    out = flags.ravel()
    while len(place):
        tail += term
        likely = tail > alpha
        out[place[likely]] = False
        term = term * (n_c - x) * (bad - x) / ((x + 1.0) * (n_s - bad + x + 1.0))
        x = x + 1.0
        # Terms fall off faster from one to the next: what is left is no more than a geometric series.
        going = ~likely & (term > 1e-17 * tail)
        place, x, n_c, n_s, bad, term, tail = (part[going] for part in (place, x, n_c, n_s, bad, term, tail))
    return np.asarray(out.reshape(flags.shape))


def _newcombe_high(found: Comparison, beta: float) -> Floats:
    """Upper end of Newcombe's hybrid score interval of the difference (see `fixed.difference_interval`)."""
    z = NORMAL.inv_cdf(1.0 - beta)

    def wilson(bad: Floats, requests: Floats) -> tuple[Floats, Floats, Floats]:
        n = np.maximum(requests, 1)
        p = bad / n
        centre = (p + z * z / (2 * n)) / (1.0 + z * z / n)
        half = z / (1.0 + z * z / n) * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
        return p, np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)

    p_c, _, high_c = wilson(found.canary_bad, found.canary)
    p_s, low_s, _ = wilson(found.bad - found.canary_bad, found.stable)
    return np.asarray(p_c - p_s + np.hypot(high_c - p_c, p_s - low_s))
