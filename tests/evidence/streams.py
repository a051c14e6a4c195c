"""Streams of a single gate under steady traffic."""

from __future__ import annotations

import math

import numpy as np

from rolloutsim.evidence.stream import Look, Rule, Stream, at_least

__all__ = ["steady"]


def steady(
    *,
    threshold: float = 0.05,
    window_s: int = 60,
    interval_s: int = 60,
    looks: int = 10,
    limit: int = 0,
    rate_rps: float,
    error_rate: float,
    rule: Rule | None = None,
) -> Stream:
    """Looks every ``interval_s``, the first after one window; more than ``limit`` failed ones kill."""
    slice_s = math.gcd(window_s, interval_s)
    window, step = window_s // slice_s, interval_s // slice_s
    slices = window + (looks - 1) * step
    requests = np.full(slices, rate_rps * slice_s)
    return Stream(
        requests * error_rate,
        requests * (1.0 - error_rate),
        tuple(Look(at * step, at * step + window, 0, limit) for at in range(looks)),
        rule or at_least(threshold),
    )
