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

from rolloutsim.sim.kernels import fill_counts, minute_factors
from rolloutsim.sim.randomness import Stream, stream
from rolloutsim.sim.scenario import Latency, Service, Split
from rolloutsim.sim.traffic import expected_per_cell, mean_rps, minute_shape

__all__ = ["Conditions", "DataPlane", "Scrapes", "bucket_shares"]

MINUTE_MS = 60_000

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one pool does to its requests from a moment on.

    ``share`` is its share of all requests. A request fails with probability ``error_rate``, which
    changes by ``error_slope_per_ms`` while a fault ramps up; it is wrong with status 200 with
    probability ``wrong_rate``; ``latency_factor`` multiplies its time.
    """

    share: float = 0.0
    error_rate: float = 0.0
    error_slope_per_ms: float = 0.0
    wrong_rate: float = 0.0
    latency_factor: float = 1.0

    def error_after(self, ms: Floats) -> Floats:
        """Probability of failure ``ms`` after the conditions began."""
        return np.clip(self.error_rate + self.error_slope_per_ms * ms, 0.0, 1.0)


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
    the stable one. Two pools of a version share its random numbers. ``exposed`` and ``bad`` hold, per
    pool, the expected requests that reached it and those among them that were bad (failed, wrong, or
    slower than people bear) beyond what the stable version would have had; ``unserved`` counts requests
    for which there was no pod.
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
    ) -> None:
        self._service = service
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
        self._conditions: tuple[Conditions, ...] = (Conditions(),) * pools
        self._shares = np.zeros(pools)
        self._slots = np.zeros((pools, buckets))
        self._slow = np.zeros(pools)
        self._mean_s = np.zeros(pools)
        self.exposed = np.zeros(pools)
        self.bad = np.zeros(pools)
        self.unserved = 0.0

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
        self._conditions = conditions
        self._since_ms = self.now_ms
        self._shares = np.array([c.share for c in conditions])
        latency = self._service.latency
        slow_s = self._service.operators.slow_s
        mean_s = latency.median_s * math.exp(latency.sigma**2 / 2)
        self._mean_s = np.array([mean_s * c.latency_factor for c in conditions])
        self._slow = np.array([_slower_than(latency, c.latency_factor, slow_s) for c in conditions])
        if self._bounds:
            self._slots = np.array(
                [bucket_shares(latency, c.latency_factor, self._bounds) for c in conditions]
            )

    def next_scrape_ms(self, after_ms: int) -> int:
        """Time of the first scrape after this time."""
        return after_ms + self._interval - (after_ms - self._phase) % self._interval

    def last_scrape_ms(self, until_ms: int) -> int:
        """Time of the last scrape not after this time."""
        return until_ms - (until_ms - self._phase) % self._interval

    def advance(self, until_ms: int) -> Scrapes | None:
        """Draw all requests up to a time; None when time does not pass."""
        if until_ms <= self.now_ms:
            return None
        edges, closes = self._edges(until_ms)
        means, rests = self._expected(edges, closes)
        middle = (edges[:-1] + edges[1:]) * 0.5 - self._since_ms
        errors = np.stack([c.error_after(middle) for c in self._conditions], axis=1)
        self._account(means, errors)
        cells, ordinals = self._addresses(edges, closes)
        rows = np.empty((int(closes.sum()), *self._totals.shape), dtype=np.int64)
        self._left = fill_counts(
            self._keys,
            cells,
            ordinals,
            edges[:-1] // MINUTE_MS,
            means,
            rests,
            closes,
            self._left,
            self._shares,
            self._service.cluster.split is Split.EXACT,
            self._carry,
            errors,
            self._service.error_icc,
            self._slots,
            self._totals,
            rows,
        )
        self._ordinal = 0 if closes[-1] else int(ordinals[-1]) + 1
        self.now_ms = until_ms
        return Scrapes(edges[1:][closes], rows, self._mean_s)

    def now(self) -> Scrapes:
        """A scrape at this very moment."""
        return Scrapes(np.array([self.now_ms]), self._totals[None].copy(), self._mean_s)

    def skip(self, until_ms: int) -> None:
        """Account for the requests up to a time without drawing them: nobody will look again."""
        if until_ms <= self.now_ms:
            return
        edges = np.array([self.now_ms, until_ms], dtype=np.int64)
        middle = (edges[:-1] + edges[1:]) * 0.5 - self._since_ms
        errors = np.stack([c.error_after(middle) for c in self._conditions], axis=1)
        self._account(expected_per_cell(self._service.traffic, edges), errors)
        self.now_ms = until_ms

    def bad_rates(self, at_ms: int) -> Floats:
        """Per pool: probability that a request is visibly bad (failed or slow) at a time."""
        elapsed = np.array([float(at_ms - self._since_ms)])
        errors = np.array([c.error_after(elapsed)[0] for c in self._conditions])
        return np.asarray(1.0 - (1.0 - errors) * (1.0 - self._slow))

    def _edges(self, until_ms: int) -> tuple[Times, NDArray[np.bool_]]:
        """Ends of the pieces up to a time, and which of them are scrapes."""
        first = self.next_scrape_ms(self.now_ms)
        scrapes = np.arange(first, until_ms + 1, self._interval, dtype=np.int64)
        closing = len(scrapes) > 0 and scrapes[-1] == until_ms
        ends = scrapes if closing else np.append(scrapes, until_ms)
        closes = np.ones(len(ends), dtype=np.bool_)
        closes[-1] = closing
        return np.concatenate(([self.now_ms], ends)), closes

    def _expected(self, edges: Times, closes: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Expected requests of each piece, and from its start to the end of its cell."""
        if closes[-1]:
            means = self._intensity(edges)
            return means, means
        cell_end = edges[-2] if len(edges) > 2 else self.last_scrape_ms(int(edges[0]))
        whole = self._intensity(np.append(edges, cell_end + self._interval))
        means = whole[:-1]
        rests = means.copy()
        rests[-1] += whole[-1]
        return means, rests

    def _intensity(self, edges: Times) -> Floats:
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

    def _addresses(self, edges: Times, closes: NDArray[np.bool_]) -> tuple[Times, Times]:
        cells = (edges[:-1] - self._phase) // self._interval
        ordinals = np.zeros(len(closes), dtype=np.int64)
        ordinals[0] = self._ordinal
        return cells, ordinals

    def _account(self, means: Floats, errors: Floats) -> None:
        wrong = np.array([c.wrong_rate for c in self._conditions])
        bad = 1.0 - (1.0 - errors) * (1.0 - wrong) * (1.0 - self._slow)
        reached = means[:, None] * self._shares
        stable = bad[:, :1]
        self.exposed += reached.sum(axis=0)
        self.bad += (reached * (bad - stable)).sum(axis=0)
        nowhere = max(0.0, 1.0 - float(self._shares.sum()))
        self.unserved += float((means * nowhere * (1.0 - stable[:, 0])).sum())


def bucket_shares(latency: Latency, factor: float, bounds_s: Sequence[float]) -> Floats:
    """Probability of each bucket (previous bound, bound], and of what is above the last bound."""
    centre = math.log(latency.median_s * factor)
    below = [_normal_cdf((math.log(bound) - centre) / latency.sigma) for bound in bounds_s]
    return np.diff(np.array([0.0, *below, 1.0]))


def _slower_than(latency: Latency, factor: float, seconds: float) -> float:
    return _normal_cdf((math.log(latency.median_s * factor) - math.log(seconds)) / latency.sigma)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
