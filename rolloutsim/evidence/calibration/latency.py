"""The lognormal latency of a service from its histogram, and how well it fits; how pods differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.calibration.reads import Reads
from rolloutsim.evidence.calibration.source import Points, Source

__all__ = ["Fit", "PodSpread", "bucket_counts", "fit_lognormal", "pod_spread", "pods_of"]

HOUR_MS = 3_600_000
POOR = 0.05
"""A fitted share that is this far from the counted one at some bound is a poor fit."""
LEAST_REQUESTS = 100.0
LEAST_PODS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """A lognormal law: median in seconds and sigma of the logarithm.

    ``distance`` is the largest difference between the fitted and the counted share of requests at a bound,
    and stands at ``worst_s``; ``bounds_s`` are the finite bounds that had requests on both sides.
    """

    median_s: float
    sigma: float
    distance: float
    worst_s: float
    bounds_s: tuple[float, ...]
    requests: float

    @property
    def poor(self) -> bool:
        return self.distance > POOR


@dataclass(frozen=True, slots=True)
class PodSpread:
    """Standard deviation between pods of the logarithm of their mean latency; sampling noise taken out."""

    sigma: float
    pods: int


def bucket_counts(source: Source, reads: Reads, first_ms: int, last_ms: int) -> list[tuple[float, float]]:
    """Upper bounds in seconds (infinity last) and how many requests took at most so long, all hours together.

    Raises
    ------
    ExecutorError : the source cannot be asked.
    """
    if reads.latency is None:
        return []
    window = min(HOUR_MS, last_ms - first_ms)
    query = f"sum by (le) (increase({reads.histogram('bucket')}[{window}ms]))"
    found = source.over(query, first_ms + window, last_ms, window)
    counted = {float(one.labels["le"]): float(np.nansum(one.values)) for one in found if "le" in one.labels}
    if counted and math.inf not in counted:
        query = f"sum(increase({reads.histogram('count')}[{window}ms]))"
        whole = source.over(query, first_ms + window, last_ms, window)
        counted[math.inf] = sum(float(np.nansum(one.values)) for one in whole) or max(counted.values())
    return [(bound / reads.unit_per_s, counted[bound]) for bound in sorted(counted)]


def fit_lognormal(buckets: Sequence[tuple[float, float]]) -> Fit | None:
    """The lognormal law under which the counts of the buckets are likeliest (interval-censored data).

    Starts from the straight line through the normal quantiles of the counted shares, which is the law itself
    if there are two bounds. None if fewer than two bounds have requests on both sides: the median and the
    sigma cannot both be told then.
    """
    from scipy.optimize import minimize
    from scipy.special import log_ndtr, ndtr, ndtri

    bounds = np.array([bound for bound, _ in buckets if 0.0 < bound < math.inf])
    # a bucket that one version lacks makes the sums fall: they count at least what the smaller ones count
    cumulated = np.maximum.accumulate([count for bound, count in buckets if bound > 0.0] or [0.0])
    total = float(cumulated[-1])
    if total < LEAST_REQUESTS or len(cumulated) != len(bounds) + 1:
        return None
    shares = cumulated[:-1] / total
    inner = (shares > 0.0) & (shares < 1.0)
    if inner.sum() < 2:
        return None
    logs = np.log(bounds)
    sigma, centre = np.polyfit(ndtri(shares[inner]), logs[inner], 1)
    if not (math.isfinite(sigma) and sigma > 0.0):
        return None
    counts = np.diff(np.concatenate(([0.0], cumulated))) / total

    def surprise(at: Floats) -> float:
        z = (logs - at[0]) / math.exp(at[1])
        below = np.concatenate(([-np.inf], z))
        above = np.concatenate((z, [np.inf]))
        # log(Phi(b) - Phi(a)) by the tail in which it is not cancelled
        left, right = np.where(below > 0, -above, below), np.where(below > 0, -below, above)
        high, low = log_ndtr(right), log_ndtr(left)
        masses = high + np.log1p(-np.exp(np.minimum(low - high, -1e-300)))
        return -float(counts[counts > 0.0] @ masses[counts > 0.0])

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        best = minimize(surprise, np.array([centre, math.log(sigma)]), method="Nelder-Mead", tol=1e-9)
    centre, sigma = float(best.x[0]), math.exp(float(best.x[1]))
    apart = np.abs(ndtr((logs - centre) / sigma) - shares)
    worst = int(np.argmax(apart))
    return Fit(
        median_s=math.exp(centre),
        sigma=sigma,
        distance=float(apart[worst]),
        worst_s=float(bounds[worst]),
        bounds_s=tuple(bounds[inner].tolist()),
        requests=total,
    )


def pods_of(
    source: Source, reads: Reads, label: str, first_ms: int, last_ms: int
) -> list[tuple[float, float]]:
    """Requests and total seconds of each pod.

    Raises
    ------
    ExecutorError : the source cannot be asked.
    """
    if reads.latency is None or not label:
        return []
    window = min(HOUR_MS, last_ms - first_ms)

    def totals(part: str) -> dict[str, float]:
        query = f"sum by ({label}) (increase({reads.histogram(part)}[{window}ms]))"
        found: list[Points] = source.over(query, first_ms + window, last_ms, window)
        return {one.labels.get(label, ""): float(np.nansum(one.values)) for one in found}

    counts, sums = totals("count"), totals("sum")
    return [(counts[pod], sums[pod] / reads.unit_per_s) for pod in sorted(counts) if pod and pod in sums]


def pod_spread(pods: Sequence[tuple[float, float]], sigma: float) -> PodSpread | None:
    """How much pods differ in speed, beyond chance; None for fewer than three pods with traffic.

    The moment estimator of a variance between groups (R. DerSimonian, N. Laird, Controlled Clinical Trials
    7, 1986, 177-188) on the logarithms of the means; ``sigma`` is that of a request's latency.
    """
    known = [(n, seconds) for n, seconds in pods if n >= LEAST_REQUESTS and seconds > 0.0]
    if len(known) < LEAST_PODS:
        return None
    n = np.array([one for one, _ in known])
    y = np.log(np.array([seconds for _, seconds in known]) / n)
    weights = n / math.expm1(sigma**2)
    centre = float(weights @ y / weights.sum())
    scatter = float(weights @ (y - centre) ** 2)
    scale = float(weights.sum() - (weights @ weights) / weights.sum())
    return PodSpread(math.sqrt(max(0.0, (scatter - (len(known) - 1)) / scale)), len(known))
