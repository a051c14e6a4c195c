"""What becomes of an attempt: answered, counted, tried again or lost."""

from __future__ import annotations

import math

import numpy as np

from rolloutsim.sim.requests.compiled import compiled, index, inlined
from rolloutsim.sim.requests.heap import push
from rolloutsim.sim.requests.layout import (
    BAD,
    DENIED,
    FAIL,
    FAIL_PER_MS,
    FAIL_SINCE,
    FREE,
    ID,
    LANE,
    LOST,
    N_FREE,
    N_RETRY,
    NEXT,
    TOKENS,
    TRY,
    WAITED,
    WRONG,
)
from rolloutsim.sim.requests.sessions import mark_harmed
from rolloutsim.sim.requests.words import WORK, words
from rolloutsim.sim.requests.ziggurat import unit48

__all__ = ["again", "answered", "began_after", "release", "take"]

NS = 1e6


@inlined
def bucket_of(value, bounds, first, shift, base):  # type: ignore[no-untyped-def]
    """Place of a positive time among the bounds, by its leading bits: at most one bound shares them."""
    cell = (np.float64(value).view(np.int64) >> shift) - base
    cell = index(max(0, min(cell, len(first) - 1)))
    bucket = index(first[cell])
    return bucket + index(value > bounds[bucket])


@inlined
def answered(lane, t, since, born, chance, fails, rules, tables, counts, hist, time_ns):  # type: ignore[no-untyped-def]
    """Count an answer; True if it is an error."""
    took = t - since
    p = fails[lane, FAIL] + fails[lane, FAIL_PER_MS] * (t - fails[lane, FAIL_SINCE])
    failed = index(chance < p)
    bucket = bucket_of(took, tables.bounds, tables.bound_first, rules.bound_shift, rules.bound_base)
    hist[lane, failed, bucket] += 1
    time_ns[lane, failed] += np.int64(took * NS)
    late = (t - born > rules.slow) | (chance < p + (1.0 - p) * fails[lane, WRONG])
    counts[lane, BAD] += np.int64(late & (chance >= p))
    return chance < p


@inlined
def began_after(waited, lane, rules, tables, waits, time_ns):  # type: ignore[no-untyped-def]
    """Count a request that had to wait before it began."""
    bucket = bucket_of(waited, tables.bounds, tables.bound_first, rules.bound_shift, rules.bound_base)
    waits[lane, bucket] += 1
    time_ns[lane, WAITED] += np.int64(waited * NS)


@inlined
def take(n, records_i):  # type: ignore[no-untyped-def]
    """A free record; there must be one."""
    record = index(n[FREE])
    n[FREE] = records_i[record, NEXT]
    n[N_FREE] -= 1
    return record


@inlined
def release(record, n, records_i):  # type: ignore[no-untyped-def]
    """A record is free again."""
    records_i[record, NEXT] = n[FREE]
    n[FREE] = record
    n[N_FREE] += 1


@compiled
def again(record, t, rules, key, s):  # type: ignore[no-untyped-def]
    """An attempt has failed: try again after a while, or lose the request.

    The wait doubles with each attempt and is multiplied by a draw between 0.5 and 1.5.
    """
    n = s.n
    attempt = s.records_i[record, TRY]
    lane = index(s.records_i[record, LANE])
    if attempt < rules.retries:
        if s.x[TOKENS] >= 1.0:
            s.x[TOKENS] -= 1.0
            word = words(key, s.records_i[record, ID], attempt + 1, WORK, 0)[0]
            wait = rules.backoff * math.ldexp(1.0, attempt) * (0.5 + unit48(word))
            s.records_i[record, TRY] = attempt + 1
            push(s.retry_times, s.retry_records, n[N_RETRY], t + wait, record)
            n[N_RETRY] += 1
            return
        s.counts[lane, DENIED] += 1
    s.counts[lane, LOST] += 1
    if rules.users > 0:
        mark_harmed(s.records_i[record, ID], key, rules.users, n, s.cookies)
    release(record, n, s.records_i)
