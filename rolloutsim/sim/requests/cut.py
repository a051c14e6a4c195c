"""A pod is killed: everything on it ends at once."""

from __future__ import annotations

import math

from rolloutsim.sim.requests.compiled import compiled
from rolloutsim.sim.requests.deadlines import unlink
from rolloutsim.sim.requests.heap import push
from rolloutsim.sim.requests.layout import (
    ALIVE,
    BUSY,
    CUT,
    FIRST,
    GONE,
    LANE,
    LAST,
    N_BUSY,
    NEXT,
    POD,
    QUEUED,
    STATUS,
)
from rolloutsim.sim.requests.outcomes import again, release

__all__ = ["cut_off"]

NOBODY = -1


@compiled
def cut_off(pod, t, rules, tables, s):  # type: ignore[no-untyped-def]
    """Cut off what a pod serves and keeps waiting; how many attempts that were."""
    n, records, pods = s.n, s.records_i, s.pods_i
    pods[pod, ALIVE] = 0
    size, found = n[N_BUSY], 0
    n[N_BUSY] = 0
    for i in range(size):
        # the heap is filled again from its beginning, never beyond what has been read
        record, finish = s.busy_records[i], s.busy_times[i]
        s.busy_times[i] = math.inf
        if records[record, POD] != pod:
            push(s.busy_times, s.busy_records, n[N_BUSY], finish, record)
            n[N_BUSY] += 1
        elif records[record, STATUS] == GONE:
            release(record, n, records)
        else:
            found += _cut_one(record, t, rules, tables, s)
    record = pods[pod, FIRST]
    for _ in range(pods[pod, QUEUED]):
        following = records[record, NEXT]
        found += _cut_one(record, t, rules, tables, s)
        record = following
    pods[pod, BUSY] = 0
    pods[pod, QUEUED] = 0
    pods[pod, FIRST] = NOBODY
    pods[pod, LAST] = NOBODY
    return found


@compiled
def _cut_one(record, t, rules, tables, s):  # type: ignore[no-untyped-def]
    if rules.timeout < math.inf:
        unlink(record, s.n, s.records_i)
    s.counts[s.records_i[record, LANE], CUT] += 1
    again(record, t, rules, tables.key, s)
    return 1
