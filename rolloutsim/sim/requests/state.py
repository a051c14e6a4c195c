"""Empty arrays for the kernels, and the same arrays with more room."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.requests import layout as at

__all__ = ["empty_state", "grown", "pods_grown"]

RECORDS = 1_024
PODS = 16


def empty_state(routes: int, lanes: int, buckets: int, users: int, first_block: int) -> at.State:
    """Nothing in flight; ``lanes`` with the one for requests that find no pod."""
    integers = np.zeros(at.INTEGERS, dtype=np.int64)
    integers[[at.OLDEST, at.NEWEST]] = -1
    integers[at.BLOCK] = first_block
    integers[at.N_FREE] = RECORDS
    records = np.zeros((RECORDS, 8), dtype=np.int64)
    records[:, at.NEXT] = np.arange(1, RECORDS + 1)
    return at.State(
        n=integers,
        x=np.zeros(2),
        tape_times=np.empty(at.CHUNK),
        tape_words=np.zeros((4, at.CHUNK), dtype=np.uint64),
        records_i=records,
        records_f=np.zeros((RECORDS, 4)),
        busy_times=np.full(RECORDS + 2, math.inf),
        busy_records=np.zeros(RECORDS + 2, dtype=np.int64),
        retry_times=np.full(RECORDS + 2, math.inf),
        retry_records=np.zeros(RECORDS + 2, dtype=np.int64),
        pods_i=np.zeros((PODS, 8), dtype=np.int64),
        pods_f=np.zeros((PODS, 4)),
        cursors=np.zeros(routes, dtype=np.int64),
        owed=np.zeros(routes),
        cookies=np.zeros(users, dtype=np.uint8),
        counts=np.zeros((lanes, at.OUTCOMES), dtype=np.int64),
        hist=np.zeros((lanes, 2, buckets), dtype=np.int64),
        waits=np.zeros((lanes, buckets), dtype=np.int64),
        time_ns=np.zeros((lanes, 3), dtype=np.int64),
    )


def grown(s: at.State) -> at.State:
    """Twice as many records."""
    old = len(s.records_i)
    records = np.concatenate((s.records_i, np.zeros_like(s.records_i)))
    records[old:, at.NEXT] = np.arange(old + 1, 2 * old + 1)
    records[-1, at.NEXT] = s.n[at.FREE] if s.n[at.N_FREE] else 2 * old
    s.n[at.FREE] = old
    s.n[at.N_FREE] += old
    return s._replace(
        records_i=records,
        records_f=np.concatenate((s.records_f, np.zeros_like(s.records_f))),
        busy_times=_longer(s.busy_times, old, math.inf),
        busy_records=_longer(s.busy_records, old, 0),
        retry_times=_longer(s.retry_times, old, math.inf),
        retry_records=_longer(s.retry_records, old, 0),
    )


def pods_grown(s: at.State) -> at.State:
    """Room for twice as many pods."""
    return s._replace(
        pods_i=np.concatenate((s.pods_i, np.zeros_like(s.pods_i))),
        pods_f=np.concatenate((s.pods_f, np.zeros_like(s.pods_f))),
    )


def _longer(array: NDArray, count: int, value: float) -> NDArray:  # type: ignore[type-arg]
    return np.concatenate((array, np.full(count, value, dtype=array.dtype)))
