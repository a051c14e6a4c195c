"""Queries and verdicts, compiled: what a program finds in the scrapes, and what a table makes of it."""

from __future__ import annotations

import math

from numba import njit

from rolloutsim.sim.compiled.formula import ADD, DIVIDE, FIRST, MULTIPLY, NEGATE, NUMBER, SUBTRACT, SUM

__all__ = ["evaluate", "letter"]


@njit(cache=True, nogil=True)
def letter(tables, table, breaks, letters, there, value):  # type: ignore[no-untyped-def]
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
def evaluate(  # type: ignore[no-untyped-def]
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
