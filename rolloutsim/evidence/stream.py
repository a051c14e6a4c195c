"""What a threshold gate sees, as counts: slices of time with Poisson counts, and looks at windows of them.

The stream is the whole of what decides about a rollout as long as requests are independent and a window
holds exactly what fell into it: `rolloutsim.evidence.windows` sums its law up, and where windows overlap too
much for that, `rolloutsim.evidence.rare` samples it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Look", "Rule", "Stream", "at_least"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST = 2**50


@dataclass(frozen=True, slots=True)
class Rule:
    """When a look fails: ``fails(bad, good)`` of counts, elementwise; the fewer good requests the rather.

    ``threshold`` is the share of bad requests at which it begins to, 0 < threshold < 1.
    """

    threshold: float
    fails: Callable[[Ints, Ints], NDArray[np.bool_]]

    def most_good(self, bad: Ints) -> Ints:
        """The most good requests beside so many bad ones with which a look fails; -1: it never does."""
        # bracketed around the threshold, then halved: arithmetic decides about ties, not algebra
        low = np.full(bad.shape, -1, dtype=np.int64)
        high = np.minimum(_MOST, np.ceil(bad * (1.0 / self.threshold - 1.0)).astype(np.int64) + 2)
        while np.any(high - low > 1):
            middle = (low + high) // 2
            failing = self.fails(bad, middle)
            low, high = np.where(failing, middle, low), np.where(failing, high, middle)
        return low


def at_least(threshold: float) -> Rule:
    """The rule of a gate that fails where the share of bad requests is at least ``threshold``."""

    def fails(bad: Ints, good: Ints) -> NDArray[np.bool_]:
        total = bad + good
        found: NDArray[np.bool_] = (total > 0) & (bad / np.maximum(total, 1) >= threshold)
        return found

    return Rule(threshold, fails)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the slices from ``first`` to before ``end``.

    Looks of one ``run`` share the count of failures; the release is killed by the one that makes it more than
    ``limit``.
    """

    first: int
    end: int
    run: int
    limit: int


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Expected bad and good requests of successive slices, and the looks at them, in order.

    ``rule`` is that of all looks.
    """

    bad: Floats
    good: Floats
    looks: tuple[Look, ...]
    rule: Rule
