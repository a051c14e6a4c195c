"""The share of events among cases that come in clusters, such as the starts of one day.

E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24, 1998, 193-201.
"""

from __future__ import annotations

from collections.abc import Sequence

from rolloutsim.estimates import CONFIDENCE, Estimate, clopper_pearson

__all__ = ["clustered_rate"]

LEAST_CLUSTERS = 5


def clustered_rate(happened: Sequence[bool], clusters: Sequence[int], conf: float = CONFIDENCE) -> Estimate:
    """The share of events among cases that come in clusters, after Korn and Graubard.

    The exact interval for as many independent cases as have the variance that the clusters show, made wider
    for how few clusters there are; never more cases than there are. Where nothing or all happened clusters
    show nothing of their variance, and each counts as one case. No interval for fewer than five clusters.
    """
    from scipy.special import stdtrit

    n, k = len(happened), sum(happened)
    groups: dict[int, list[bool]] = {}
    for event, cluster in zip(happened, clusters, strict=True):
        groups.setdefault(cluster, []).append(event)
    count = len(groups)
    if n == 0:
        return Estimate(None, None, None, 0, "none")
    p = k / n
    if count < LEAST_CLUSTERS:
        return Estimate(p, None, None, n, "none")
    if k in (0, n):
        low, high = clopper_pearson(0 if k == 0 else count, count, conf)
        return Estimate(p, low, high, n, "korn-graubard")
    scatter = sum((sum(group) - p * len(group)) ** 2 for group in groups.values())
    variance = count / (count - 1) * scatter / n**2
    tail = 0.5 + conf / 2.0
    wider = (float(stdtrit(n - 1, tail)) / float(stdtrit(count - 1, tail))) ** 2
    effective = min(float(n), p * (1.0 - p) / variance * wider) if variance > 0.0 else float(n)
    return Estimate(p, *_beta_interval(p * effective, effective, conf), n, "korn-graubard")


def _beta_interval(k: float, n: float, conf: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for numbers that are not whole."""
    from scipy.special import betaincinv

    tail = (1.0 - conf) / 2.0
    low = float(betaincinv(k, n - k + 1.0, tail)) if k > 0.0 else 0.0
    high = float(betaincinv(k + 1.0, n - k, 1.0 - tail)) if k < n else 1.0
    return low, high
