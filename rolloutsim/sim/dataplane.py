"""Requests and their fates, in aggregate: exact counts per scrape and version, no queueing.

Time is cut into cells that end at the scrapes; a change of conditions (a weight, a pod, a fault) cuts a
cell into pieces. Draws are addressed by cell and piece, so neither a policy nor the moment at which
somebody looks can change another draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.kernels import ERROR, SLOPE, SLOW, account, cell_ends, fill_counts, minute_factors
from rolloutsim.sim.latency import Paces, Tail, bucket_shares, mean_factor, paces, slower_than
from rolloutsim.sim.randomness import Stream, stream
from rolloutsim.sim.scenario import Service, Split
from rolloutsim.sim.traffic import expected_per_cell, mean_rps, minute_shape

__all__ = ["Conditions", "DataPlane", "Scrapes"]

MINUTE_MS = 60_000

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one pool does to its requests from a moment on.

    ``share`` is its share of all requests. A request fails with probability ``error_rate``, which
    changes by ``error_slope_per_ms`` while a fault ramps up; it is wrong with status 200 with
    probability ``wrong_rate``; ``latency_factor`` multiplies its time, and that of those in ``tails`` once
    more: a request is in one of them at most.
    """

    share: float = 0.0
    error_rate: float = 0.0
    error_slope_per_ms: float = 0.0
    wrong_rate: float = 0.0
    latency_factor: float = 1.0
    tails: tuple[Tail, ...] = ()

    @property
    def paces(self) -> Paces:
        """What becomes of the service's latency."""
        return paces(self.latency_factor, self.tails)


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Totals of each pool at the scrapes of a stretch of time.

    ``times_ms`` : (R,), from the release. ``totals`` : (R, V, 2 + 2 B) successes, errors, and the
    successes and the errors in each latency bucket (not cumulated). ``mean_s`` : (V,) mean time of a
    request during this stretch.
    """

    times_ms: Times
    totals: NDArray[np.int64]
    mean_s: Floats


class DataPlane:
    """The requests of one run, advanced from one change of conditions to the next.

    A *pool* is a version reached in one way; ``versions`` names the version of each pool, and pool 0 is
    the stable one. Two pools of a version share its random numbers. The last ``copies`` pools get copies of
    requests that others have: nobody waits for their answers.
    """

    def __init__(
        self,
        service: Service,
        seed: int,
        run: int,
        versions: Sequence[int],
        bounds_s: Sequence[float],
        *,
        start_ms: int,
        phase_ms: int,
        copies: int = 0,
    ) -> None:
        self._service = service
        self._copies = copies
        self._interval = service.telemetry.scrape_interval_ms
        self._phase = phase_ms
        self._shape = minute_shape(service.traffic)
        self.mean_rate_rps = mean_rps(service.traffic)
        self._dispersion: Stream = stream(seed, run, "dispersion")
        names = ["arrivals", "routing"]
        names += [f"errors/{version}" for version in versions]
        names += [f"latency/{version}" for version in versions]
        keys = [stream(seed, run, name) for name in names]
        self._keys = np.array([(key.low, key.high) for key in keys], dtype=np.int64)
        self._bounds = tuple(bounds_s)
        pools, buckets = len(versions), len(self._bounds) + 1 if bounds_s else 0
        self._totals = np.zeros((pools, 2 + 2 * buckets), dtype=np.int64)
        self._carry = np.zeros(pools)
        self._left = 0
        self._ordinal = 0
        self.now_ms = start_ms
        self._since_ms = start_ms
        self._pools = np.zeros((pools, 5))
        self._slots = np.zeros((pools, buckets))
        self._mean_s = np.zeros(pools)
        self._accounts = np.zeros((pools + 1, 2))
        self._exact = service.cluster.split is Split.EXACT

    @property
    def exposed(self) -> Floats:
        """Per pool: expected requests that reached it so far."""
        return self._accounts[:-1, 0]

    @property
    def bad(self) -> Floats:
        """Per pool: those that failed, were wrong or too slow, beyond what the stable version had had."""
        return self._accounts[:-1, 1]

    @property
    def unserved(self) -> float:
        """Expected requests that found no pod and that the stable version would have served."""
        return float(self._accounts[-1, 0])

    def seed_totals(self, pool: int, successes: int, errors: int) -> None:
        """Let a pool have served requests, under its present conditions, before the run began."""
        buckets = self._slots.shape[1]
        self._totals[pool, :2] = successes, errors
        for first, count in ((2, successes), (2 + buckets, errors)):
            if buckets:
                spread = np.floor(self._slots[pool] * count)
                spread[-1] += count - spread.sum()
                self._totals[pool, first : first + buckets] = spread

    def change(self, conditions: tuple[Conditions, ...]) -> None:
        """New conditions hold from now on; `advance` must have been called up to now."""
        self._since_ms = self.now_ms
        latency, slow_s = self._service.latency, self._service.operators.slow_s
        mean_s = latency.median_s * math.exp(latency.sigma**2 / 2)
        for v, c in enumerate(conditions):
            paces = c.paces
            slow = slower_than(latency, paces, slow_s)
            self._pools[v] = c.share, c.error_rate, c.error_slope_per_ms, c.wrong_rate, slow
            self._mean_s[v] = mean_s * mean_factor(paces)
            if self._bounds:
                self._slots[v] = bucket_shares(latency, paces, self._bounds)

    def last_scrape_ms(self, until_ms: int) -> int:
        """Time of the last scrape not after this time."""
        return until_ms - (until_ms - self._phase) % self._interval

    def advance(self, until_ms: int) -> Scrapes | None:
        """Draw all requests up to a time; None when time does not pass."""
        if until_ms <= self.now_ms:
            return None
        edges = cell_ends(self.now_ms, until_ms, self._phase, self._interval)
        closing = (until_ms - self._phase) % self._interval == 0
        means, rest = self._expected(edges, closing)
        scrapes = len(means) if closing else len(means) - 1
        account(edges, self._since_ms, means, self._pools, self._accounts, self._copies)
        rows = np.empty((scrapes, *self._totals.shape), dtype=np.int64)
        self._left = fill_counts(
            self._keys,
            edges,
            self._phase,
            self._interval,
            self._ordinal,
            self._since_ms,
            means,
            rest,
            closing,
            self._left,
            self._pools,
            self._exact,
            self._carry,
            self._service.error_icc,
            self._slots,
            self._totals,
            rows,
            self._copies,
        )
        self._ordinal = 0 if closing else 1 if scrapes else self._ordinal + 1
        self.now_ms = until_ms
        return Scrapes(edges[1 : scrapes + 1], rows, self._mean_s.copy())

    def now(self) -> Scrapes:
        """A scrape at this very moment."""
        return Scrapes(np.array([self.now_ms]), self._totals[None].copy(), self._mean_s.copy())

    def skip(self, until_ms: int) -> None:
        """Account for the requests up to a time without drawing them: nobody will look again."""
        if until_ms <= self.now_ms:
            return
        edges = np.array([self.now_ms, until_ms], dtype=np.int64)
        means = expected_per_cell(self._service.traffic, edges)
        account(edges, self._since_ms, means, self._pools, self._accounts, self._copies)
        self.now_ms = until_ms

    def bad_rates(self, at_ms: int) -> Floats:
        """Per pool: probability that a request is visibly bad (failed or slow) at a time."""
        elapsed = at_ms - self._since_ms
        errors = np.minimum(np.maximum(self._pools[:, ERROR] + self._pools[:, SLOPE] * elapsed, 0.0), 1.0)
        return np.asarray(1.0 - (1.0 - errors) * (1.0 - self._pools[:, SLOW]))

    @property
    def slow_shares(self) -> Floats:
        """Per pool: probability that an answer takes too long, under the present conditions."""
        return self._pools[:, SLOW].copy()

    def _expected(self, edges: Times, closing: bool) -> tuple[Floats, float]:
        """Expected requests of each piece, and from the last piece's start to the end of its cell."""
        if closing:
            means = self.expected(edges)
            return means, float(means[-1])
        cell_end = self.last_scrape_ms(int(edges[-1])) + self._interval
        whole = self.expected(np.append(edges, cell_end))
        return whole[:-1], float(whole[-2] + whole[-1])

    def expected(self, edges: Times) -> Floats:
        """Expected requests between successive times, the random factor of each minute included."""
        traffic = self._service.traffic
        if self._shape is None:
            return expected_per_cell(traffic, edges)
        first, last = int(edges[0]) // MINUTE_MS, (int(edges[-1]) - 1) // MINUTE_MS
        minutes = np.arange(first + 1, last + 1, dtype=np.int64) * MINUTE_MS
        fine = np.union1d(edges, minutes)
        key = self._dispersion
        factors = minute_factors(key.low, key.high, first, last - first + 1, self._shape)
        parts = expected_per_cell(traffic, fine) * factors[fine[:-1] // MINUTE_MS - first]
        return np.asarray(np.add.reduceat(parts, np.searchsorted(fine, edges[:-1])))
