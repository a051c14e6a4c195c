"""When requests come: a Poisson process block by block, or given times.

Each block of simulated time has its own draws: gaps of unit rate, divided by the block's rate, until the
block is over. Whoever looks, and when, changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from rolloutsim.sim.requests.compiled import compiled, inlined
from rolloutsim.sim.requests.layout import BLOCK, BLOCK_MS, CHUNK, PLACE, SUM, TAPE_AT, TAPE_END, TAPE_FIRST
from rolloutsim.sim.requests.words import CHOICE, WORK, fill
from rolloutsim.sim.requests.ziggurat import exponential

__all__ = ["refill", "request_number"]

GAP = 4_095
"""The attempt under which spare words of a gap are drawn: no request has so many."""


@inlined
def request_number(block, place):  # type: ignore[no-untyped-def]
    """The number of a request."""
    return np.int64(block) * 4_294_967_296 + np.int64(place)


@compiled
def refill(n, x, times, words, key, rates, first_block, trace, wide):  # type: ignore[no-untyped-def]
    """Draw the next arrivals into an empty tape; it stays empty when the known rates end.

    ``n[BLOCK]`` and ``n[PLACE]`` are the block and place of the first request that is not yet drawn;
    the requests on the tape have successive numbers from ``n[TAPE_FIRST]`` on.
    """
    n[TAPE_AT] = 0
    n[TAPE_END] = 0
    if len(trace):
        count = min(CHUNK, len(trace) - n[PLACE])
        if count <= 0:
            return
        for i in range(count):
            times[i] = trace[n[PLACE] + i]
        n[TAPE_FIRST] = request_number(0, n[PLACE])
        _words(key, n[TAPE_FIRST], count, words, wide)
        n[TAPE_END] = count
        n[PLACE] += count
        return
    while n[TAPE_END] == 0:
        which = n[BLOCK] - first_block
        if which >= len(rates):
            return
        rate = rates[which]
        left = rate * BLOCK_MS - x[SUM]
        if left > 0.0:
            count = min(CHUNK, 8 + 8 * np.int64((left + 3.0 * math.sqrt(left)) / 8.0))
            first = request_number(n[BLOCK], n[PLACE])
            n[TAPE_FIRST] = first
            _words(key, first, count, words, wide)
            n[TAPE_END] = _times(n, x, times, words, key, rate, first, count)
        else:
            _next_block(n, x)


@inlined
def _words(key, first, count, words, wide):  # type: ignore[no-untyped-def]
    fill(key, first, WORK, count, words[0], words[1])
    if wide:
        fill(key, first, CHOICE, count, words[2], words[3])


@inlined
def _next_block(n, x):  # type: ignore[no-untyped-def]
    n[BLOCK] += 1
    n[PLACE] = 0
    x[SUM] = 0.0


@compiled
def _times(n, x, times, words, key, rate, first, count):  # type: ignore[no-untyped-def]
    """Times of the arrivals of a chunk that fall into the block; how many they are."""
    start = n[BLOCK] * BLOCK_MS
    whole = rate * BLOCK_MS
    each = 1.0 / rate
    total = x[SUM]
    gaps = words[0]
    for i in range(count):
        total += exponential(gaps[i], key, first + i, GAP)
        if total >= whole:
            _next_block(n, x)
            return i
        times[i] = start + total * each
    x[SUM] = total
    n[PLACE] += count
    return count
