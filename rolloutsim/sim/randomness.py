"""Keyed randomness: every draw is a function of what it is for, never of who asked first.

A stream is named by the root seed, the replication and a purpose; its 128-bit key is the BLAKE2b hash of
the three. A draw is addressed inside its stream by a counter (which time cell, which pod, which wait).
Two policies played under one seed therefore meet the same world (common random numbers), and adding a
draw anywhere changes no other.

The generator is Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
3", SC'11), the one behind ``numpy.random.Philox``.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from statistics import NormalDist

from rolloutsim.sim.kernels import uniform
from rolloutsim.sim.scenario import Delay

__all__ = ["Stream", "stream"]

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Stream:
    """A named source of draws. ``low`` and ``high`` are the words of its Philox key, as signed integers."""

    low: int
    high: int

    def uniform(self, index: int, ordinal: int = 0) -> float:
        """The draw at this address, uniform on (0, 1)."""
        return float(uniform(self.low, self.high, index, ordinal, 0, 0))

    def delay_ms(self, delay: Delay, index: int, ordinal: int = 0) -> int:
        """A lognormal time in whole milliseconds, at least 0, by inversion of one uniform draw."""
        if delay.sigma == 0.0:
            return delay.median_ms
        z = _NORMAL.inv_cdf(self.uniform(index, ordinal))
        return round(delay.median_ms * math.exp(delay.sigma * z))


def stream(seed: int, run: int, name: str) -> Stream:
    """The stream of one purpose in one replication."""
    digest = hashlib.blake2b(f"{seed}/{run}/{name}".encode(), digest_size=16).digest()
    return Stream(*struct.unpack("<qq", digest))
