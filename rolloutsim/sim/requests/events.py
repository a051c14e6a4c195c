"""The general kernel: a loop over completions, time-outs, retries and arrivals, each when it happens.

What is in flight is a record; a completion heap holds the busy slots, each pod has its waiting requests in
a linked list, the attempts that may time out are linked in the order of their deadlines (all clients wait
equally long), and a second heap holds the retries that are to come. Outcomes are counted when they happen,
so the state at the end of a stretch is the true one: pods can start, drain, be killed or slow down there.

Ties are settled as completion, time-out, arrival, retry. Everything up to and at ``until`` happens.
"""

from __future__ import annotations

import math

from rolloutsim.sim.requests.arrivals import refill
from rolloutsim.sim.requests.choice import pace, pod_of, route_of, work_of
from rolloutsim.sim.requests.compiled import compiled, index, inlined
from rolloutsim.sim.requests.deadlines import link, unlink
from rolloutsim.sim.requests.heap import pop, push, replace_top
from rolloutsim.sim.requests.layout import (
    ALIVE,
    BORN,
    BUSY,
    CHANCE,
    CUT,
    DONE,
    FIRST,
    GONE,
    ID,
    LANE,
    LAST,
    LIMIT,
    LOST,
    MORE_RECORDS,
    N_BUSY,
    N_FREE,
    N_RETRY,
    NEXT,
    OLDEST,
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
    TIMED_OUT,
    TOKENS,
    TRY,
    VERSION,
    WAITING,
    WORK,
)
from rolloutsim.sim.requests.outcomes import again, answered, began_after, release, take
from rolloutsim.sim.requests.sessions import mark_exposed, settled_route
from rolloutsim.sim.requests.words import CHOICE, chance_of, words
from rolloutsim.sim.requests.words import WORK as FOR_WORK

__all__ = ["play"]

FEWEST_FREE = 2
"""An event needs at most two records."""


@inlined
def _complete(t, timed, rules, tables, s):  # type: ignore[no-untyped-def]
    """A slot becomes free: its client has an answer, if it still waits; the next request begins."""
    n, records = s.n, s.records_i
    record = index(s.busy_records[0])
    pod = index(records[record, POD])
    if s.pods_i[pod, QUEUED] > 0:
        waiting = index(s.pods_i[pod, FIRST])
        s.pods_i[pod, FIRST] = records[waiting, NEXT]
        s.pods_i[pod, QUEUED] -= 1
        records[waiting, STATUS] = SERVED
        waited = t - s.records_f[waiting, SINCE]
        began_after(waited, index(records[waiting, LANE]), rules, tables, s.waits, s.time_ns)
        until = t + s.records_f[waiting, WORK] * pace(pod, t, s.pods_f)
        replace_top(s.busy_times, s.busy_records, n[N_BUSY], until, waiting)
    else:
        pop(s.busy_times, s.busy_records, n[N_BUSY])
        n[N_BUSY] -= 1
        s.pods_i[pod, BUSY] -= 1
    if records[record, STATUS] == GONE:
        release(record, n, records)
        return
    if timed:
        unlink(record, n, records)
    f = s.records_f
    if answered(
        index(records[record, LANE]),
        t,
        f[record, SINCE],
        f[record, BORN],
        f[record, CHANCE],
        tables.fails,
        rules,
        tables,
        s.counts,
        s.hist,
        s.time_ns,
    ):
        again(record, t, rules, tables.key, s)
    else:
        release(record, n, records)


@compiled
def _expire(t, rules, tables, s):  # type: ignore[no-untyped-def]
    """The oldest attempt times out: it leaves its queue, or its slot works on for nobody."""
    n, records = s.n, s.records_i
    record = index(n[OLDEST])
    unlink(record, n, records)
    s.counts[records[record, LANE], TIMED_OUT] += 1
    if records[record, STATUS] == WAITING:
        # first come, first served, and equal patience: it is the first of its queue
        pod = index(records[record, POD])
        s.pods_i[pod, FIRST] = records[record, NEXT]
        s.pods_i[pod, QUEUED] -= 1
        again(record, t, rules, tables.key, s)
        return
    records[record, STATUS] = GONE
    if n[N_FREE] == 0:
        s.counts[records[record, LANE], LOST] += 1
        return
    other = take(n, records)
    for column in (ID, TRY, LANE):
        records[other, column] = records[record, column]
    s.records_f[other, BORN] = s.records_f[record, BORN]
    again(other, t, rules, tables.key, s)


@inlined
def _attempt(record, t, a, b, c, d, timed, rules, tables, s):  # type: ignore[no-untyped-def]
    """A request comes, for the first time or again, and is served, waits, or is turned away."""
    n, records = s.n, s.records_i
    route = 0
    if rules.wide:
        route = route_of(c, tables.shares, rules.exact, s.owed)
    if rules.users > 0:
        route = settled_route(
            route,
            records[record, ID],
            records[record, TRY],
            tables.key,
            rules.users,
            rules.session_end,
            n,
            s.cookies,
            tables.shares,
            tables.keeps,
        )
    if route >= len(tables.shares) or tables.sizes[index(route)] == 0:
        _turned_away(record, len(s.counts) - 1, REJECTED, t, rules, tables, s)
        return
    way = index(route)
    pod = index(pod_of(d, way, rules.balancing, tables.members, tables.sizes, s.pods_i, s.cursors))
    pods = s.pods_i
    lane = index(tables.lanes[way, index(pods[pod, VERSION])])
    if rules.users > 0 and pods[pod, VERSION] > 0:
        mark_exposed(records[record, ID], tables.key, rules.users, n, s.cookies)
    free = pods[pod, BUSY] < pods[pod, SLOTS]
    if pods[pod, ALIVE] == 0 or (not free and pods[pod, QUEUED] >= pods[pod, LIMIT]):
        why = REJECTED if pods[pod, ALIVE] else CUT
        _turned_away(record, lane, why, t, rules, tables, s)
        return
    s.counts[lane, STARTED] += 1
    records[record, POD] = pod
    records[record, LANE] = lane
    s.records_f[record, SINCE] = t
    s.records_f[record, CHANCE] = chance_of(a, b)
    work = work_of(
        b,
        c,
        tables.key,
        records[record, ID],
        records[record, TRY],
        lane,
        tables.classes,
        tables.work,
        tables.tails,
    )
    if timed:
        link(record, n, records)
    if free:
        records[record, STATUS] = SERVED
        pods[pod, BUSY] += 1
        push(s.busy_times, s.busy_records, n[N_BUSY], t + work * pace(pod, t, s.pods_f), record)
        n[N_BUSY] += 1
        return
    records[record, STATUS] = WAITING
    s.records_f[record, WORK] = work
    if pods[pod, QUEUED] > 0:
        records[index(pods[pod, LAST]), NEXT] = record
    else:
        pods[pod, FIRST] = record
    pods[pod, LAST] = record
    pods[pod, QUEUED] += 1


@compiled
def _turned_away(record, lane, why, t, rules, tables, s):  # type: ignore[no-untyped-def]
    s.counts[lane, STARTED] += 1
    s.counts[lane, why] += 1
    s.records_i[record, LANE] = lane
    again(record, t, rules, tables.key, s)


@compiled
def _shed(counts):  # type: ignore[no-untyped-def]
    """Memory is bounded: a request that no record is left for is lost at the door."""
    for column in (STARTED, REJECTED, LOST):
        counts[-1, column] += 1


@compiled
def play(until, rules, tables, s):  # type: ignore[no-untyped-def]
    """Let everything happen up to a time; return why it stopped."""
    n, x, records = s.n, s.x, s.records_i
    key, timed = tables.key, rules.timeout < math.inf
    words_ = s.tape_words
    while True:
        if n[TAPE_AT] == n[TAPE_END]:
            refill(
                n, x, s.tape_times, words_, key, tables.rates, tables.first_block, tables.trace, rules.wide
            )
        coming = s.tape_times[index(n[TAPE_AT])] if n[TAPE_AT] < n[TAPE_END] else math.inf
        retry = s.retry_times[0]
        done = s.busy_times[0]
        late = math.inf
        if timed and n[OLDEST] >= 0:
            late = s.records_f[index(n[OLDEST]), SINCE] + rules.timeout
        t = min(min(done, late), min(coming, retry))
        if t > until:
            return DONE
        if n[N_FREE] < FEWEST_FREE and not rules.full:
            return MORE_RECORDS
        if done == t:
            _complete(t, timed, rules, tables, s)
            continue
        if late == t:
            _expire(t, rules, tables, s)
            continue
        if coming == t:
            at = index(n[TAPE_AT])
            n[TAPE_AT] += 1
            n[REQUESTS] += 1
            if n[N_FREE] == 0:
                _shed(s.counts)
                continue
            record = take(n, records)
            records[record, ID] = n[TAPE_FIRST] + n[TAPE_AT] - 1
            records[record, TRY] = 0
            s.records_f[record, BORN] = t
            if x[TOKENS] < rules.tokens_most:
                x[TOKENS] = min(x[TOKENS] + rules.budget, rules.tokens_most)
            a, b, c, d = words_[0, at], words_[1, at], words_[2, at], words_[3, at]
        else:
            record = index(s.retry_records[0])
            pop(s.retry_times, s.retry_records, n[N_RETRY])
            n[N_RETRY] -= 1
            a, b = words(key, records[record, ID], records[record, TRY], FOR_WORK, 0)
            c, d = words(key, records[record, ID], records[record, TRY], CHOICE, 0)
        _attempt(record, t, a, b, c, d, timed, rules, tables, s)
