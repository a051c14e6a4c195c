"""What scrapes read of requests that are played: counters, and how long answers took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.requests.compiled import compiled
from rolloutsim.sim.requests.layout import CUT, REJECTED, TIMED_OUT, State

__all__ = ["Counters"]


class Counters:
    """The counters of each pool, whose lane has the pool's number.

    ``totals`` : (V, 2 + 2 B) successes, errors, buckets of each, from before the run; B is 0 without
    ``latency``. With ``by_router`` they are what a proxy in front of the pods sees: an attempt that was
    rejected or cut off is an error that took no time, one that timed out an error in bucket ``patience``.
    """

    def __init__(self, totals: NDArray[np.int64], *, by_router: bool, patience: int, latency: bool) -> None:
        self.before = totals
        self._by_router = by_router
        self._patience = patience
        self._latency = latency
        self._answers = np.zeros(len(totals), dtype=np.int64)
        self._seconds = np.zeros(len(totals))

    def rows(self, scrapes: int) -> NDArray[np.int64]:
        """(R, V, 2 + 2 B), to be filled by `read` at each of the scrapes."""
        return np.empty((scrapes, *self.before.shape), dtype=np.int64)

    def read(self, s: State, totals: NDArray[np.int64]) -> None:
        """Fill ``totals``, (V, 2 + 2 B), with what was there before the run and what came since."""
        _count(s.counts, s.hist, self.before, self._by_router, self._patience, self._latency, totals)

    def mean_s(self, s: State) -> NDArray[np.float64]:
        """Per pool: mean latency of the answers since this was last asked."""
        mean_s = np.empty(len(self._seconds))
        _means(s.hist, s.time_ns, self._answers, self._seconds, mean_s)
        return mean_s


@compiled
def _count(counts, hist, before, by_router, patience, latency, totals):  # type: ignore[no-untyped-def]
    buckets = hist.shape[2]
    for pool in range(totals.shape[0]):
        for error in range(2):
            counted = 0
            for bucket in range(buckets):
                n = hist[pool, error, bucket]
                if by_router and error == 1:
                    if bucket == 0:
                        n += counts[pool, REJECTED] + counts[pool, CUT]
                    if bucket == patience:
                        n += counts[pool, TIMED_OUT]
                counted += n
                if latency:
                    column = 2 + error * buckets + bucket
                    totals[pool, column] = before[pool, column] + n
            totals[pool, error] = before[pool, error] + counted


@compiled
def _means(hist, time_ns, answers, seconds, mean_s):  # type: ignore[no-untyped-def]
    """Fill ``mean_s``, and move answers and seconds so far to what they are now."""
    for pool in range(mean_s.shape[0]):
        n = 0
        for error in range(2):
            for bucket in range(hist.shape[2]):
                n += hist[pool, error, bucket]
        took = time_ns[pool, 0] * 1e-9 + time_ns[pool, 1] * 1e-9
        mean_s[pool] = (took - seconds[pool]) / max(n - answers[pool], 1)
        answers[pool], seconds[pool] = n, took
