"""Counts of many rollouts as arrays, and what is found in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.confidence import REQUESTS_OPT, concentration_of
from rolloutsim.engine.gates.samples import compares

__all__ = [
    "Counts",
    "FirstVerdicts",
    "Flags",
    "Floats",
    "Streams",
    "ended",
    "first",
    "log_mixtures",
    "rises",
    "tallies",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Cumulative counts of S rollouts at T looks, each (S, T); ``weights`` (T,) percent before each look."""

    canary_requests: Counts
    canary_bad: Counts
    stable_requests: Counts
    stable_bad: Counts
    weights: Floats

    @property
    def looks(self) -> int:
        return int(self.canary_requests.shape[1])

    def part(self, rows: slice) -> Streams:
        """Some of the rollouts."""
        return Streams(
            self.canary_requests[rows],
            self.canary_bad[rows],
            self.stable_requests[rows],
            self.stable_bad[rows],
            self.weights,
        )

    def since(self, first: int, end: int) -> Streams:
        """The looks from ``first`` to before ``end``, counting from the look before."""

        def cut(counts: Counts) -> Counts:
            return counts[:, first:end] - (counts[:, first - 1 : first] if first else 0)

        return Streams(
            cut(self.canary_requests),
            cut(self.canary_bad),
            cut(self.stable_requests),
            cut(self.stable_bad),
            self.weights[first:end],
        )


@dataclass(frozen=True, slots=True, eq=False)
class FirstVerdicts:
    """Index of the first look at which a gate has failed, and passed: (S,) each; T where it never did.

    A gate that ends with its verdict (SPRT, group-sequential) has at most one of them.
    """

    failed: Counts
    passed: Counts


def first(flags: Flags) -> Counts:
    """Index of the first true of each row, or the number of columns."""
    never = flags.shape[1]
    return np.asarray(np.where(flags.any(axis=1), flags.argmax(axis=1), never), dtype=np.int64)


def ended(failed: Counts, passed: Counts, never: int) -> FirstVerdicts:
    """For gates that end with their first verdict."""
    return FirstVerdicts(np.where(failed < passed, failed, never), np.where(passed < failed, passed, never))


def rises(counts: Counts) -> Counts:
    """What each look adds."""
    return np.diff(counts, axis=1, prepend=0)


def tallies(streams: Streams, *news: Counts) -> Iterator[tuple[float, tuple[Counts, ...]]]:
    """Each weight that compares, and the sums so far of what the looks added under it: (S, T) each."""
    for weight in dict.fromkeys(streams.weights.tolist()):
        if compares(weight):
            here = streams.weights == weight
            yield weight, tuple(np.cumsum(new * here, axis=1) for new in news)


def log_mixtures(bad: Any, requests: Any, rate: Any, alpha: float) -> Floats:
    """Natural logarithms of the e-values behind `confidence.rate_sequence`, against rates in (0, 1)."""
    from scipy.special import gammaln

    weight = concentration_of(alpha, REQUESTS_OPT)
    a, b = weight * rate, weight * (1.0 - rate)
    good = requests - bad
    return np.asarray(
        gammaln(weight)
        - gammaln(weight + requests)
        + gammaln(a + bad)
        - gammaln(a)
        - bad * np.log(rate)
        + gammaln(b + good)
        - gammaln(b)
        - good * np.log1p(-rate)
    )
