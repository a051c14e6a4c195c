"""What a gate is fed: counts of both arms since the step or the rollout began.

A count of bad requests is whatever the metric calls bad: errors, or requests slower than a bucket edge of a
latency histogram. Counts are cumulative, so that a sample that is lost, repeated or late does no harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["NOTHING", "Arm", "Sample", "arm_above_edge", "compares"]

_MOST_REQUESTS = 10**13
_LEAST_WEIGHT_PERCENT = 1e-9
"""Below one request in a hundred billion an arm counts as one without traffic."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Requests of one arm, and how many of them were bad, since the gate started.

    Raises
    ------
    ValueError : a negative count, more bad requests than requests, or more than ten trillion, which no
        service has and beyond which double precision loses the evidence of single requests.
    """

    requests: int = 0
    bad: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.bad <= self.requests <= _MOST_REQUESTS:
            raise ValueError(f"an arm needs 0 <= bad <= requests <= 1e13, not {self.bad} of {self.requests}")

    @property
    def rate(self) -> float:
        """Share of bad requests; NaN without requests."""
        return self.bad / self.requests if self.requests else math.nan


@dataclass(frozen=True, slots=True)
class Sample:
    """Both arms, and the weight (0 to 100) that was in force since the previous sample.

    Whoever samples takes one more sample when the weight is about to change: what happened since the sample
    before is attributed to ``weight_percent``.

    Raises
    ------
    ValueError : a weight outside 0 to 100.
    """

    stable: Arm
    canary: Arm
    weight_percent: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight_percent <= 100.0:
            raise ValueError(f"a weight is 0 to 100 percent, not {self.weight_percent}")


NOTHING = Sample(Arm(), Arm(), 0.0)
"""Before anything was counted."""


def compares(weight_percent: float) -> bool:
    """Whether both arms have traffic at this weight, so that they can be compared."""
    return _LEAST_WEIGHT_PERCENT <= weight_percent <= 100.0 - _LEAST_WEIGHT_PERCENT


def arm_above_edge(buckets: tuple[tuple[float, int], ...], edge_s: float) -> Arm:
    """Requests slower than ``edge_s`` as the bad ones of an arm: exact, nothing is interpolated.

    Parameters
    ----------
    buckets : pairs (upper bound in seconds, cumulative count) of a Prometheus histogram, with the bound +Inf.
    edge_s : one of the bounds.

    Raises
    ------
    ValueError : ``edge_s`` is no finite bound of this histogram, or +Inf is missing.
    """
    counts = dict(buckets)
    total = counts.get(math.inf)
    if total is None:
        raise ValueError("a histogram without its +Inf bucket has no total: add the bucket le=+Inf")
    if edge_s not in counts or math.isinf(edge_s):
        edges = ", ".join(f"{edge:g}" for edge in sorted(counts) if math.isfinite(edge))
        raise ValueError(f"{edge_s:g} s is no bucket edge; choose one of {edges}")
    return Arm(total, total - counts[edge_s])
