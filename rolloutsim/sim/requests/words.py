"""Random words by address: Philox4x32-10, one block at a time and many at once.

A request is addressed by its number (time block and place in the block), the attempt, and a purpose, so a
draw depends on nothing but what it is for. Two words of 64 bits come from each block of the generator
(Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11). `fill` is a plain loop
over independent blocks in 64-bit lanes, which compilers turn into vector instructions.
"""

from __future__ import annotations

import numpy as np

from rolloutsim.sim.requests.compiled import compiled, inlined

__all__ = ["CHOICE", "SESSION", "SPARE", "WORK", "chance_of", "fill", "share32", "words"]

WORK, CHOICE, SPARE, SESSION = range(4)
"""Purposes: gap and work; route and pod; a tail (turn 0) and further draws of a rejection; the session."""

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)
_LOW16 = np.uint64(0xFFFF)
_PURPOSES = 4


@inlined
def _block(k0, k1, a, b, c, d):  # type: ignore[no-untyped-def]
    """Philox4x32-10 in 64-bit lanes: two words of a key and a counter of four 32-bit parts."""
    for _ in range(10):
        p0 = _M0 * a
        p1 = _M1 * c
        a, b, c, d = ((p1 >> _32) ^ b ^ k0) & _LOW, p1 & _LOW, ((p0 >> _32) ^ d ^ k1) & _LOW, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return (a << _32) | b, (c << _32) | d


@compiled
def words(key, request, attempt, purpose, turn):  # type: ignore[no-untyped-def]
    """Two words for one purpose of one attempt; ``turn`` counts further draws for the same purpose.

    ``key`` : uint64 (3,), each below 2**32; ``request`` : int64, block in the upper half.
    """
    number = np.uint64(request)
    use = np.uint64((turn * 4096 + attempt) * _PURPOSES + purpose) & _LOW
    return _block(key[0], key[1], number & _LOW, number >> _32, use, key[2])


@compiled
def fill(key, request, purpose, count, first, second):  # type: ignore[no-untyped-def]
    """The words of successive requests' first attempts, into ``first`` and ``second``."""
    number = np.uint64(request)
    place, block, use = number & _LOW, number >> _32, np.uint64(purpose)
    k0, k1, k2 = key[0], key[1], key[2]
    for i in range(count):
        first[i], second[i] = _block(k0, k1, (place + np.uint64(i)) & _LOW, block, use, k2)


@inlined
def share32(part):  # type: ignore[no-untyped-def]
    """Uniform on (0, 1) from the low 32 bits of a word."""
    return (np.float64(np.int64(part & _LOW)) + 0.5) * 2.3283064365386963e-10


@inlined
def chance_of(first, second):  # type: ignore[no-untyped-def]
    """Uniform on (0, 1) from the low 16 bits of two words."""
    bits = ((second & _LOW16) << _16) | (first & _LOW16)
    return (np.float64(np.int64(bits)) + 0.5) * 2.3283064365386963e-10
