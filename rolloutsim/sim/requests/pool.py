"""The faster kernel for plain pools: when a request begins is known when it comes.

Where no client gives up or tries again, and the choice of a pod does not look at the load, a pod with c
slots that serves in order of arrival is the recursion of Kiefer and Wolfowitz ("On the theory of queues
with many servers", Trans. AMS 78, 1955): a request begins when it comes or when the first slot is free. The
slots' times are kept in order; to insert one takes a minimum and a maximum per slot, and no branch.

It takes and leaves the same state as the general kernel, and counts the same, bit by bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.requests.arrivals import refill
from rolloutsim.sim.requests.choice import pace, pod_of, route_of, work_of
from rolloutsim.sim.requests.compiled import compiled, index, inlined
from rolloutsim.sim.requests.heap import push
from rolloutsim.sim.requests.layout import (
    BORN,
    BUSY,
    CHANCE,
    FIRST,
    ID,
    LANE,
    LAST,
    LIMIT,
    LOST,
    N_BUSY,
    NEXT,
    POD,
    QUEUED,
    REJECTED,
    REQUESTS,
    SERVED,
    SINCE,
    SLOTS,
    STARTED,
    STATUS,
    TAPE_AT,
    TAPE_END,
    TAPE_FIRST,
    TRY,
    VERSION,
    WAITING,
    WORK,
)
from rolloutsim.sim.requests.outcomes import answered, began_after, release, take
from rolloutsim.sim.requests.words import chance_of

__all__ = ["Room", "play_pool", "room"]

NOBODY = -1


class Room(NamedTuple):
    """Working space: for each pod when its slots are free, and when those who have waited began.

    ``begins`` is a ring of as many as may wait: if the oldest of them has not yet begun, the queue is full.
    """

    free_at: NDArray[np.float64]
    """(P, most slots + 1), rising; infinite after the last slot."""
    begins: NDArray[np.float64]
    """(P, most who may wait)"""
    oldest: NDArray[np.int64]


def room(pods: int, slots: int, limit: int) -> Room:
    """Working space for so many pods of at most so many slots and places to wait."""
    return Room(
        np.full((pods, slots + 1), math.inf),
        np.full((pods, max(1, limit)), -math.inf),
        np.zeros(pods, dtype=np.int64),
    )


@inlined
def _insert(free_at, pod, slots, time):  # type: ignore[no-untyped-def]
    """Replace the first of a pod's ordered times by another one."""
    for i in range(slots):
        here, following = free_at[pod, i], free_at[pod, i + 1]
        later = here if here > time else time
        free_at[pod, i] = following if following < later else later


@inlined
def _must_wait(pod, t, begin, limit, room):  # type: ignore[no-untyped-def]
    """Keep a place in the queue; False if there is none."""
    oldest = room.oldest[pod]
    if limit == 0 or room.begins[pod, oldest] > t:
        return False
    room.begins[pod, oldest] = begin
    room.oldest[pod] = oldest + 1 if oldest + 1 < limit else 0
    return True


@compiled
def _forget_waits(pod, limit, room):  # type: ignore[no-untyped-def]
    """Nobody waits: those who come next are put in line again."""
    at = room.oldest[pod]
    for _ in range(limit):
        at = at - 1 if at > 0 else limit - 1
        if room.begins[pod, at] == -math.inf:
            return
        room.begins[pod, at] = -math.inf


@compiled
def _settle(record, begin, finish, until, rules, tables, s):  # type: ignore[no-untyped-def]
    """A request that was there before: count what happens to it by ``until``, else put it back."""
    f, lane, pod = s.records_f, index(s.records_i[record, LANE]), index(s.records_i[record, POD])
    since = f[record, SINCE]
    if begin <= until and s.records_i[record, STATUS] == WAITING:
        began_after(begin - since, lane, rules, tables, s.waits, s.time_ns)
    if finish > until:
        _leave(record, pod, begin, finish, until, s)
        return
    chance, born = f[record, CHANCE], f[record, BORN]
    if answered(lane, finish, since, born, chance, tables.fails, rules, tables, s.counts, s.hist, s.time_ns):
        s.counts[lane, LOST] += 1
    release(record, s.n, s.records_i)


@compiled
def _leave(record, pod, begin, finish, until, s):  # type: ignore[no-untyped-def]
    """A request that is still there at the end: in its slot, or waiting."""
    if begin <= until:
        s.records_i[record, STATUS] = SERVED
        push(s.busy_times, s.busy_records, s.n[N_BUSY], finish, record)
        s.n[N_BUSY] += 1
        s.pods_i[pod, BUSY] += 1
        return
    s.records_i[record, STATUS] = WAITING
    s.records_i[record, NEXT] = NOBODY
    if s.pods_i[pod, QUEUED] > 0:
        s.records_i[s.pods_i[pod, LAST], NEXT] = record
    else:
        s.pods_i[pod, FIRST] = record
    s.pods_i[pod, LAST] = record
    s.pods_i[pod, QUEUED] += 1


@compiled
def _take_over(until, rules, tables, room, s):  # type: ignore[no-untyped-def]
    """Begin with what is being served and what waits."""
    pods, n = s.pods_i, s.n
    for pod in range(len(pods)):
        slots = pods[pod, SLOTS]
        for slot in range(room.free_at.shape[1]):
            room.free_at[pod, slot] = -math.inf if slot < slots else math.inf
        _forget_waits(pod, pods[pod, LIMIT], room)
        pods[pod, BUSY] = 0
    size = n[N_BUSY]
    n[N_BUSY] = 0
    for i in range(size):
        # the heap is filled again from its beginning, never beyond what has been read
        record, finish = s.busy_records[i], s.busy_times[i]
        s.busy_times[i] = math.inf
        pod = s.records_i[record, POD]
        _insert(room.free_at, pod, pods[pod, SLOTS], finish)
        _settle(record, -math.inf, finish, until, rules, tables, s)
    for pod in range(len(pods)):
        record, count = pods[pod, FIRST], pods[pod, QUEUED]
        pods[pod, QUEUED] = 0
        pods[pod, FIRST] = NOBODY
        for _ in range(count):
            following = s.records_i[record, NEXT]
            begin = room.free_at[pod, 0]
            finish = begin + s.records_f[record, WORK] * pace(pod, begin, s.pods_f)
            _must_wait(pod, -math.inf, begin, pods[pod, LIMIT], room)
            _insert(room.free_at, pod, pods[pod, SLOTS], finish)
            _settle(record, begin, finish, until, rules, tables, s)
            record = following


@compiled
def _stays(number, t, work, chance, lane, pod, begin, finish, until, s):  # type: ignore[no-untyped-def]
    """A request that came in this stretch and is still there at its end."""
    record = take(s.n, s.records_i)
    s.records_i[record, ID] = number
    s.records_i[record, TRY] = 0
    s.records_i[record, POD] = pod
    s.records_i[record, LANE] = lane
    s.records_f[record, SINCE] = t
    s.records_f[record, WORK] = work
    s.records_f[record, CHANCE] = chance
    s.records_f[record, BORN] = t
    _leave(record, pod, begin, finish, until, s)


@compiled
def play_pool(until, rules, tables, room, s):  # type: ignore[no-untyped-def]
    """Let everything happen up to and at a time. There must be records for all who can be there."""
    n, key, words = s.n, tables.key, s.tape_words
    nowhere, routes = len(s.counts) - 1, len(tables.shares)
    _take_over(until, rules, tables, room, s)
    route, pod = 0, index(tables.members[0, 0])
    lane = index(tables.lanes[0, index(s.pods_i[pod, VERSION])])
    slots, limit = s.pods_i[pod, SLOTS], s.pods_i[pod, LIMIT]
    while True:
        at, end, first = n[TAPE_AT], n[TAPE_END], n[TAPE_FIRST]
        n[REQUESTS] -= at
        begun = at
        while at < end and s.tape_times[at] <= until:
            here = index(at)
            t, a, b, c = s.tape_times[here], words[0, here], words[1, here], words[2, here]
            at += 1
            if rules.wide:
                route = route_of(c, tables.shares, rules.exact, s.owed)
                if route >= routes or tables.sizes[index(route)] == 0:
                    s.counts[nowhere, STARTED] += 1
                    s.counts[nowhere, REJECTED] += 1
                    s.counts[nowhere, LOST] += 1
                    continue
                d, which = words[3, here], index(route)
                pod = pod_of(d, which, rules.balancing, tables.members, tables.sizes, s.pods_i, s.cursors)
                lane = index(tables.lanes[index(route), index(s.pods_i[pod, VERSION])])
                slots, limit = s.pods_i[pod, SLOTS], s.pods_i[pod, LIMIT]
                s.counts[lane, STARTED] += 1
            begin = room.free_at[pod, 0]
            if begin > t:
                if not _must_wait(pod, t, begin, limit, room):
                    s.counts[lane, REJECTED] += 1
                    s.counts[lane, LOST] += 1
                    continue
                if begin <= until:
                    began_after(begin - t, lane, rules, tables, s.waits, s.time_ns)
            else:
                begin = t
            number = first + np.int64(here)
            work = work_of(b, c, key, number, 0, lane, tables.classes, tables.work, tables.tails)
            finish = begin + work * pace(pod, begin, s.pods_f)
            _insert(room.free_at, pod, slots, finish)
            chance = chance_of(a, b)
            if finish > until:
                _stays(number, t, work, chance, lane, pod, begin, finish, until, s)
            elif answered(
                lane, finish, t, t, chance, tables.fails, rules, tables, s.counts, s.hist, s.time_ns
            ):
                s.counts[lane, LOST] += 1
        if not rules.wide:
            s.counts[lane, STARTED] += at - begun
        n[TAPE_AT] = at
        n[REQUESTS] += at
        if at < end:
            return
        refill(n, s.x, s.tape_times, words, key, tables.rates, tables.first_block, tables.trace, rules.wide)
        if n[TAPE_END] == 0:
            return
