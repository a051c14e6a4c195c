"""One run, compiled: requests, scrapes, windows, queries and verdicts, along a course of events.

`Plan` is what a course and the policy's queries come to, `World` what a scenario says about requests and
scrapes; both are the same for many runs. `Keys` and `Run` belong to one run. All times are ms from the
release. A course is read event by event; `follow` stops where a verdict calls for another course, and may
be called again with that course, whose events are the same up to there.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rolloutsim.sim.compiled.formula import (
    ADD,
    DIVIDE,
    FIRST,
    MULTIPLY,
    NEGATE,
    NUMBER,
    SUBTRACT,
    SUM,
)
from rolloutsim.sim.kernels import account, cell_ends, fill_counts, gamma, uniform

__all__ = [
    "ADVANCE",
    "ALIVE",
    "BEGIN",
    "CHANGE",
    "MARK",
    "MINUTE_MS",
    "QUERY",
    "STOP",
    "Keys",
    "Plan",
    "Run",
    "Series",
    "World",
    "follow",
]

ADVANCE: Final = 0
"""Requests happen up to a time."""
CHANGE: Final = 1
"""The next conditions hold from now on."""
ALIVE: Final = 2
"""Which versions have a pod to scrape."""
QUERY: Final = 3
"""A measurement, at a time."""
MARK: Final = 4
"""Keep what was exposed so far."""
STOP: Final = 5
"""No query comes any more."""
BEGIN: Final = 6
"""The history begins, with a scrape if it is the time for one."""

MINUTE_MS: Final = 60_000

NOW, SINCE, LEFT, ORDINAL, ROWS, ASKING, CONDITIONS, STABLE_ALIVE, NEW_ALIVE, MARKS, QUERIES = range(11)
"""Places in ``Run.at``."""

SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR = range(4)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class World(NamedTuple):
    """What a scenario says about requests and scrapes.

    ``per_ms`` : requests per ms. ``shape`` : of the gamma factor of a minute, below 0 if there is none.
    ``first_minute`` : of the history.
    """

    interval: int
    per_ms: float
    shape: float
    icc: float
    exact: bool
    lag: int
    missed: float
    from_zero: bool
    left_closed: int
    first_minute: int


class Series(NamedTuple):
    """The series that queries read, and when nothing is scraped.

    Series k is the sum of ``term[terms[k]]`` to before ``term[terms[k + 1]]``: of a pool, from one column of
    its totals to before another. It exists once the same sum over ``birth`` is positive. ``owners`` : (K, 2)
    whether each version's pods export it; if none does, the router. ``gaps`` : (G, 2).
    """

    gaps: Ints
    terms: Ints
    term: Ints
    births: Ints
    birth: Ints
    owners: Ints


class Plan(NamedTuple):
    """A course of events and what is asked and judged in it.

    ``events`` : (E, 3), kind, time, and what the kind needs: whether versions are alive (1 stable, 2 new), or
    the number of the measurement. ``pools`` and ``drawn`` : (C, V, 5) conditions, in the order of the
    changes; in the latter no pool that nobody looks at has errors. ``slots`` : (C, V, B). ``last`` : the
    event of the last measurement. ``asked`` : (Q, 4), for each measurement its query, its counters, its table
    and the verdict that the course prescribes, below 0 for one that changes nothing. ``limits`` : failures
    and inconclusive ones that each counter stands. The rest are the programs of the queries (`formula`) and
    the tables of the conditions (`judgement`), one after the other.
    """

    events: Ints
    pools: Floats
    drawn: Floats
    slots: Floats
    last: int
    asked: Ints
    limits: Ints
    codes: Ints
    code: Ints
    numbers: Floats
    windows: Ints
    members: Ints
    member: Ints
    tables: Ints
    breaks: Floats
    letter: Ints
    phase: Ints


class Keys(NamedTuple):
    """The phase of the scrapes of a run, and the keys of its draws beside those of the counts."""

    phase: int
    dispersion_low: int
    dispersion_high: int
    missed_low: int
    missed_high: int


class Run(NamedTuple):
    """How far a run has come.

    ``at`` : see `NOW` and its neighbours. ``times``, ``values`` and ``published`` have a row for each scrape;
    the last counts the scrapes up to it at which a series was there. ``verdicts`` : of each measurement.
    ``means``, ``rows`` and ``answer`` are room to work in.
    """

    at: Ints
    keys: Ints
    totals: Ints
    carry: Floats
    accounts: Floats
    marks: Floats
    factors: Floats
    exists: Ints
    times: Ints
    values: Floats
    published: Ints
    counters: Ints
    verdicts: Ints
    means: Floats
    rows: Ints
    answer: Floats


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
        _evaluate(
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
        verdict = _letter(tables, table, breaks, letters, there[0] > 0.0, answer[0])
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


# --- queries and verdicts ---------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _letter(tables, table, breaks, letters, there, value):  # type: ignore[no-untyped-def]
    """The verdict of a table on a value."""
    first, start, count = tables[table, 0], tables[table, 1], tables[table, 2]
    if not there:
        return letters[start + 1]
    if math.isnan(value):
        return letters[start]
    if math.isinf(value):
        return letters[start + (3 if value > 0 else 2)]
    place = 0
    while place < count and breaks[first + place] < value:
        place += 1
    met = place < count and breaks[first + place] == value
    return letters[start + 4 + 2 * place + (1 if met else 0)]


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(  # type: ignore[no-untyped-def]
    world,
    begin,
    stop,
    code,
    numbers,
    windows,
    members,
    member,
    times,
    values,
    published,
    rows,
    time,
    there,
    answer,
):
    """Evaluate a query: the first of ``answer`` is its one element, if the first of ``there`` is 1."""
    top = -1
    for c in range(begin, stop):
        operation, place = code[c, 0], code[c, 1]
        if operation == NUMBER:
            top += 1
            there[top], answer[top] = 1.0, numbers[place]
        elif operation == SUM:
            top += 1
            end = time - windows[place, 1]
            start = end - windows[place, 0]
            low, high = _window(times, rows, start - world.left_closed, min(end, time - world.lag))
            first, last = members[place], members[place + 1]
            per_second = windows[place, 2]
            there[top], answer[top] = _sum(
                times, values, published, member, first, last, low, high, start, end, per_second
            )
        elif operation == NEGATE:
            answer[top] = -answer[top]
        else:
            top -= 1
            a, b = answer[top], answer[top + 1]
            if operation == FIRST:
                if there[top] == 0.0:
                    there[top], answer[top] = there[top + 1], b
                continue
            there[top] *= there[top + 1]
            if operation == ADD:
                answer[top] = a + b
            elif operation == SUBTRACT:
                answer[top] = a - b
            elif operation == MULTIPLY:
                answer[top] = a * b
            elif operation == DIVIDE:
                answer[top] = a / b


@njit(cache=True, nogil=True)
def _window(times, rows, after, until):  # type: ignore[no-untyped-def]
    """The scrapes after one time and up to another: the first, and the one after the last."""
    high = rows
    while high > 0 and times[high - 1] > until:
        high -= 1
    low = high
    while low > 0 and times[low - 1] > after:
        low -= 1
    return low, high


@njit(cache=True, nogil=True)
def _sum(  # type: ignore[no-untyped-def]
    times, values, published, member, first, last, low, high, start, end, per_second
):
    """The compensated sum of the rates or increases of some series (`rolloutsim.promql.sums`)."""
    there = 0.0
    total, error = 0.0, 0.0
    for m in range(first, last):
        found, value = _change(times, values, published, member[m], low, high, start, end, per_second)
        if not found:
            continue
        if there == 0.0:
            there, total = 1.0, value
            continue
        new = total + value
        if abs(total) >= abs(value):
            error += (total - new) + value
        else:
            error += (value - new) + total
        total = new
    return there, total + error


@njit(cache=True, nogil=True)
def _change(times, values, published, k, low, high, start, end, per_second):  # type: ignore[no-untyped-def]
    """The rate or increase of a counter that never falls (`rolloutsim.promql.windows.extrapolated`)."""
    if high - low < 2:
        return False, 0.0
    before_all = published[low - 1, k] if low > 0 else 0
    count = published[high - 1, k] - before_all
    if count < 2:
        return False, 0.0
    first, last = low, high - 1
    while published[first, k] == before_all:
        first += 1
    while published[last - 1, k] == published[high - 1, k]:
        last -= 1
    begun = values[first, k]
    change = values[last, k] - begun
    sampled = (times[last] - times[first]) / 1000
    distance = sampled / (count - 1)
    before = (times[first] - start) / 1000
    after = (end - times[last]) / 1000
    if before >= distance * 1.1:
        before = distance / 2
    if change > 0 and begun >= 0:
        before = min(before, sampled * (begun / change))
    if after >= distance * 1.1:
        after = distance / 2
    factor = (sampled + before + after) / sampled
    if per_second:
        factor /= (end - start) / 1000
    return True, change * factor
