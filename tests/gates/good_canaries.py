"""Streams of good canaries: constant and diurnal traffic, weights that change, bursts, and pods that differ.

Each is (S, T) cumulative counts, a look after every scrape of 15 s. ``ratio`` is the true ratio of the error
rates; bursts and spread are what the gates' promises do not cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.streams import Streams

LOOKS = 60
REQUESTS = 300
"""A scrape's worth at 1,200 requests a minute."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How a good canary's counts come about.

    odds : odds of a request to reach the canary, times those of the weight.
    icc : correlation of the errors of one arm within a scrape (beta-binomial). ``shared_bursts``: both arms
        have the same bursts, as a common dependency gives them.
    spread : deviation of the logarithm of the canary's own error rate, drawn once a rollout.
    diurnal : traffic and errors swing over the day; ``steady_errors``: traffic alone.
    rising : errors of both arms rise from a fifth of the rate to nearly twice the rate.
    planned : request counts are those planned instead of drawn.
    """

    name: str
    ratio: float = 1.0
    odds: float = 1.0
    error_rate: float = 0.01
    steps: bool = False
    diurnal: bool = False
    steady_errors: bool = False
    rising: bool = False
    icc: float = 0.0
    shared_bursts: bool = False
    spread: float = 0.0
    planned: bool = False
    looks: int = LOOKS

    def draw(self, streams: int, seed: int) -> Streams:
        generator = np.random.Generator(np.random.Philox(key=seed))
        look = np.arange(self.looks)
        weights = np.full(self.looks, 5.0)
        if self.steps:
            weights = np.array([5.0, 25.0, 50.0])[np.minimum(3 * look // self.looks, 2)]
        rate = np.full(self.looks, float(REQUESTS))
        errors = np.full(self.looks, self.error_rate)
        if self.diurnal:
            rate *= 1.0 + 0.6 * np.sin(2 * np.pi * look / self.looks)
            swing = 0.0 if self.steady_errors else 0.8
            errors *= 1.0 + swing * np.cos(2 * np.pi * look / self.looks)
        if self.rising:
            errors *= 1.0 - 0.8 * np.cos(np.pi * look / self.looks)
        shape = (streams, self.looks)
        share = self.odds * weights / (self.odds * weights + 100 - weights)
        canary, stable = np.broadcast_to(rate * share, shape), np.broadcast_to(rate * (1 - share), shape)
        if self.planned:
            n_c, n_s = np.rint(canary).astype(np.int64), np.rint(stable).astype(np.int64)
        else:
            n_c, n_s = generator.poisson(canary), generator.poisson(stable)
        p_s = np.broadcast_to(errors, shape)
        own = np.exp(generator.normal(0.0, self.spread, (streams, 1))) if self.spread else 1.0
        p_c = np.minimum(p_s * self.ratio * own, 1.0)
        if self.icc:
            size = 1.0 / self.icc - 1.0
            burst = generator.beta(p_s * size, (1.0 - p_s) * size)
            p_c = burst * p_c / p_s if self.shared_bursts else generator.beta(p_c * size, (1 - p_c) * size)
            p_s, p_c = burst, np.minimum(p_c, 1.0)
        k_c, k_s = generator.binomial(n_c, p_c), generator.binomial(n_s, p_s)
        return Streams(*(np.cumsum(part, axis=1) for part in (n_c, k_c, n_s, k_s)), weights)
