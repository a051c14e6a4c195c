"""One run, compiled: requests, scrapes and measurements, along a course of events.

A course is read event by event; `follow` stops where a verdict calls for another course, and may be called
again with that course, whose events are the same up to there. What it takes stands in
`rolloutsim.sim.compiled.layout`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rolloutsim.sim.compiled.layout import (
    ALIVE,
    ASKING,
    BEGIN,
    CHANGE,
    CONDITIONS,
    ERROR,
    FAILED,
    LEFT,
    MARK,
    MARKS,
    MINUTE_MS,
    NEW_ALIVE,
    NOW,
    ORDINAL,
    QUERY,
    ROWS,
    SINCE,
    STABLE_ALIVE,
    STOP,
    SUCCESSFUL,
)
from rolloutsim.sim.compiled.queries import evaluate, letter
from rolloutsim.sim.kernels import account, cell_ends, fill_counts, gamma, uniform

__all__ = ["follow"]


@njit(cache=True, nogil=True)
def follow(world, series, plan, keys, run, first):  # type: ignore[no-untyped-def]
    """Play a run from event ``first`` of a course.

    Returns the event at which it leaves the course, -1 if it does not; the verdict is in ``run.verdicts``.
    """
    # Every array is taken out of its tuple once: to count references to it takes longer than a scrape.
    events, pools, drawn, slots = plan.events, plan.pools, plan.drawn, plan.slots
    asked, limits, phases, tables = plan.asked, plan.limits, plan.phase, plan.tables
    breaks, letters, codes, code, numbers = plan.breaks, plan.letter, plan.codes, plan.code, plan.numbers
    windows, members, member = plan.windows, plan.members, plan.member
    gaps, terms, term, births, birth = series.gaps, series.terms, series.term, series.births, series.birth
    owners, exists, times, values, published = series.owners, run.exists, run.times, run.values, run.published
    at, draws, totals, carry, accounts = run.at, run.keys, run.totals, run.carry, run.accounts
    marks, factors, counters, verdicts = run.marks, run.factors, run.counters, run.verdicts
    means, rows, there, answer = run.means, run.rows, run.answer[0], run.answer[1]
    scraped = np.empty(owners.shape[0], dtype=np.bool_)
    _look(owners, at, scraped)
    for index in range(first, events.shape[0]):
        kind, time, what = events[index, 0], events[index, 1], events[index, 2]
        if _happens_at_once(kind, what, world, owners, at, accounts, scraped, exists, marks):
            continue
        until = time - (time - keys.phase) % world.interval if kind == QUERY else time
        scrapes = 0
        if until > at[NOW]:
            scrapes = _advance(
                world,
                keys,
                draws,
                at,
                pools[at[CONDITIONS]],
                drawn[at[CONDITIONS]],
                slots[at[CONDITIONS]],
                factors,
                carry,
                totals,
                accounts,
                means,
                rows,
                until,
                index <= plan.last,
            )
        elif kind == BEGIN and (until - keys.phase) % world.interval == 0:
            rows[0] = totals
            scrapes = 1
        scrape = at[NOW] - (at[NOW] - keys.phase) % world.interval - scrapes * world.interval
        for j in range(scrapes):
            scrape += world.interval
            if _kept(scrape, gaps, world.missed, keys.missed_low, keys.missed_high):
                times[at[ROWS]] = scrape
                _appear(rows, j, births, birth, exists)
                _publish(rows, j, terms, term, exists, scraped, at[ROWS], values, published)
                at[ROWS] += 1
        if kind != QUERY:
            continue
        query, counted, table, prescribed = asked[what, 0], asked[what, 1], asked[what, 2], asked[what, 3]
        evaluate(
            world,
            codes[query],
            codes[query + 1],
            code,
            numbers,
            windows,
            members,
            member,
            times,
            values,
            published,
            at[ROWS],
            time,
            there,
            answer,
        )
        verdict = letter(tables, table, breaks, letters, there[0] > 0.0, answer[0])
        verdicts[what] = verdict
        decides = _decides(phases[tables[table, 1] + verdict], counted, limits, counters)
        if decides and prescribed != verdict:
            return index
    return -1


@njit(nogil=True, inline="always")
def _happens_at_once(kind, what, world, owners, at, accounts, scraped, exists, marks):  # type: ignore[no-untyped-def]
    """Let an event happen for which no time has to pass; False if it is of another kind."""
    if kind == CHANGE:
        at[CONDITIONS] += 1
        at[SINCE] = at[NOW]
    elif kind == ALIVE:
        at[STABLE_ALIVE], at[NEW_ALIVE] = what & 1, what >> 1
        _look(owners, at, scraped)
        if world.from_zero:
            exists |= scraped
    elif kind == MARK:
        marks[at[MARKS]] = accounts[:-1, 0]
        at[MARKS] += 1
    elif kind == STOP:
        at[ASKING] = 0
    else:
        return False
    return True


@njit(nogil=True, inline="always")
def _decides(phase, counted, limits, counters):  # type: ignore[no-untyped-def]
    """Count a measurement that was no success; whether it is one too many."""
    if phase == SUCCESSFUL:
        return False
    if phase == ERROR:
        return True
    counters[counted, phase - FAILED] += 1
    limit = limits[counted, phase - FAILED]
    return 0 <= limit < counters[counted, phase - FAILED]


@njit(cache=True, nogil=True)
def _look(owners, at, scraped):  # type: ignore[no-untyped-def]
    """Which series somebody exports now."""
    for k in range(owners.shape[0]):
        stable, new = owners[k, 0], owners[k, 1]
        by_pods = (stable & at[STABLE_ALIVE]) | (new & at[NEW_ALIVE])
        scraped[k] = by_pods == 1 or (stable == 0 and new == 0)


# --- requests and scrapes ---------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _factor(world, keys, factors, minute):  # type: ignore[no-untyped-def]
    """The random factor of a minute, drawn when it is first asked for."""
    place = minute - world.first_minute
    if math.isnan(factors[place]):
        draw = gamma(keys.dispersion_low, keys.dispersion_high, minute, 0, 0, world.shape)
        factors[place] = draw / world.shape
    return factors[place]


@njit(cache=True, nogil=True)
def _dispersed(world, keys, start, end, factors):  # type: ignore[no-untyped-def]
    """Expected requests between two times, with the random factor of each minute."""
    minute, last = start // MINUTE_MS, (end - 1) // MINUTE_MS
    first_end = min(end, (minute + 1) * MINUTE_MS)
    total = (first_end - start) * world.per_ms * _factor(world, keys, factors, minute)
    if minute == last:
        return total
    # numpy adds the first part to the sum of the others.
    others = 0.0
    while minute < last:
        minute += 1
        part = min(end, (minute + 1) * MINUTE_MS) - minute * MINUTE_MS
        others += part * world.per_ms * _factor(world, keys, factors, minute)
    return total + others


@njit(cache=True, nogil=True)
def _means(world, keys, factors, edges, means):  # type: ignore[no-untyped-def]
    """Expected requests between successive times."""
    for j in range(means.shape[0]):
        if world.shape < 0.0:
            means[j] = (edges[j + 1] - edges[j]) * world.per_ms
        else:
            means[j] = _dispersed(world, keys, edges[j], edges[j + 1], factors)


@njit(cache=True, nogil=True)
def _advance(  # type: ignore[no-untyped-def]
    world,
    keys,
    draws,
    at,
    pools,
    drawn,
    slots,
    factors,
    carry,
    totals,
    accounts,
    room,
    rows,
    until,
    counting,
):
    """Let requests happen up to a later time; unless ``counting`` they are only accounted for.

    Returns the number of scrapes; ``rows`` gets the totals at each.
    """
    now = at[NOW]
    at[NOW] = until
    if not at[ASKING]:
        edges = np.empty(2, dtype=np.int64)
        edges[0], edges[1] = now, until
        room[0] = (until - now) * world.per_ms
        account(edges, at[SINCE], room[:1], pools, accounts)
        return 0
    edges = cell_ends(now, until, keys.phase, world.interval)
    scrapes = edges.shape[0] - 1
    means = room[:scrapes]
    _means(world, keys, factors, edges, means)
    account(edges, at[SINCE], means, pools, accounts)
    if not counting:
        return 0
    rest = means[-1]
    closing = (until - keys.phase) % world.interval == 0
    if not closing:
        remaining = np.empty(2, dtype=np.int64)
        remaining[0] = until
        remaining[1] = until - (until - keys.phase) % world.interval + world.interval
        more = room[scrapes : scrapes + 1]
        _means(world, keys, factors, remaining, more)
        rest += more[0]
        scrapes -= 1
    at[LEFT] = fill_counts(
        draws,
        edges,
        keys.phase,
        world.interval,
        at[ORDINAL],
        at[SINCE],
        means,
        rest,
        closing,
        at[LEFT],
        drawn,
        world.exact,
        carry,
        world.icc,
        slots,
        totals,
        rows,
    )
    at[ORDINAL] = 0 if closing else 1 if scrapes else at[ORDINAL] + 1
    return scrapes


@njit(cache=True, nogil=True)
def _kept(time, gaps, missed, low, high):  # type: ignore[no-untyped-def]
    """Whether a scrape happens."""
    for g in range(gaps.shape[0]):
        if gaps[g, 0] <= time < gaps[g, 1]:
            return False
    return missed <= 0.0 or uniform(low, high, time, 0, 0, 0) >= missed


@njit(cache=True, nogil=True)
def _appear(rows, j, births, birth, exists):  # type: ignore[no-untyped-def]
    """A series exists from its first positive count on."""
    for k in range(exists.shape[0]):
        if not exists[k]:
            exists[k] = _total(rows, j, births, birth, k) > 0


@njit(cache=True, nogil=True)
def _publish(rows, j, terms, term, exists, scraped, row, values, published):  # type: ignore[no-untyped-def]
    """The value of each series at a scrape, and at how many scrapes so far it was there."""
    for k in range(exists.shape[0]):
        values[row, k] = _total(rows, j, terms, term, k)
        published[row, k] = 1 if exists[k] and scraped[k] else 0
        if row > 0:
            published[row, k] += published[row - 1, k]


@njit(cache=True, nogil=True)
def _total(rows, j, starts, terms, k):  # type: ignore[no-untyped-def]
    """A series is a sum of counts: of a pool, from one column to before another."""
    total = 0
    for t in range(starts[k], starts[k + 1]):
        for column in range(terms[t, 1], terms[t, 2]):
            total += rows[j, terms[t, 0], column]
    return total
