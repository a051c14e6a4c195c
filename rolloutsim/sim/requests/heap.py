"""Binary heaps of times with a payload, in flat arrays padded with infinity.

Because what is beyond the end is infinite, the smaller child is found without asking where the end is, by
a comparison that compiles to no branch. Unsigned indices cost no test for negative ones.
"""

from __future__ import annotations

import math

import numpy as np

from rolloutsim.sim.requests.compiled import inlined

__all__ = ["pop", "push", "replace_top"]

_1, _2 = np.uint64(1), np.uint64(2)


@inlined
def push(times, payload, size, time, item):  # type: ignore[no-untyped-def]
    """Add an item to a heap of ``size`` items."""
    j = np.uint64(size)
    while j > np.uint64(0):
        parent = (j - _1) >> _1
        if times[parent] <= time:
            break
        times[j] = times[parent]
        payload[j] = payload[parent]
        j = parent
    times[j] = time
    payload[j] = item


@inlined
def replace_top(times, payload, size, time, item):  # type: ignore[no-untyped-def]
    """Take the first item away and add another."""
    n = np.uint64(size)
    j = np.uint64(0)
    while True:
        left = _2 * j + _1
        if left >= n:
            break
        a, b = times[left], times[left + _1]
        child = left + (_1 if b < a else np.uint64(0))
        value = b if b < a else a
        if value >= time:
            break
        times[j] = value
        payload[j] = payload[child]
        j = child
    times[j] = time
    payload[j] = item


@inlined
def pop(times, payload, size):  # type: ignore[no-untyped-def]
    """Take the first item away from a heap of ``size`` items."""
    last = np.uint64(size) - _1
    time, item = times[last], payload[last]
    times[last] = math.inf
    if last > np.uint64(0):
        replace_top(times, payload, size - 1, time, item)
