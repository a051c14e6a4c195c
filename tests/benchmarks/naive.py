"""The loops that somebody writes without this package: SimPy processes and numpy draws, one canary each.

No policy file, no engine, no PromQL: steps, pods and people are generators, counters are lists, and the
query is arithmetic on these lists. They do the same work as the rollouts that they are compared with.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from math import ceil, log
from statistics import NormalDist
from typing import Any

import numpy as np
import simpy

__all__ = ["ArticleCanary", "GatedCanary"]

STABLE, NEW = 0, 1
Process = Generator[simpy.Event, Any, None]


class ArticleCanary:
    """The guide's canary: 10 pods, four weights, a person, an error rate once a minute.

    ``play`` returns whether it was promoted; ``measurements`` counts the queries.
    """

    PODS = 10
    POD_READY_S = 5.0
    STEPS = ((5, 300.0), (25, 600.0), (50, None), (100, 0.0))
    PERSON_S = 600.0
    RATE_RPS = 100.0
    ERROR_RATE = 0.001
    HISTORY_S = 900.0
    SCRAPE_S = 15.0
    INTERVAL_S, WINDOW_S, THRESHOLD, FAILURE_LIMIT = 60.0, 120.0, 0.05, 3

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.env = simpy.Environment(initial_time=-self.HISTORY_S)
        self.ready = [self.PODS, 0]
        self.scraped_at: list[float] = []
        self.requests: tuple[list[int], list[int]] = ([], [])
        self.errors: tuple[list[int], list[int]] = ([], [])
        self.failures = 0
        self.measurements = 0
        self.promotion = self.env.event()
        self.aborted = self.env.event()

    def play(self) -> bool:
        self.env.process(self.scrapes())
        rollout = self.env.process(self.rollout())
        self.env.run(until=rollout | self.aborted)
        return not self.aborted.triggered

    def rollout(self) -> Process:
        yield self.env.timeout(self.HISTORY_S)
        for index, (weight, pause_s) in enumerate(self.STEPS):
            yield from self.set_weight(weight)
            if index == 0:
                self.env.process(self.analysis())
            if pause_s is None:
                self.env.process(self.person())
                yield self.promotion
            else:
                yield self.env.timeout(pause_s)

    def set_weight(self, weight: int) -> Process:
        wanted = ceil(self.PODS * weight / 100)
        starting = [self.env.process(self.pod()) for _ in range(wanted - self.ready[NEW])]
        yield self.env.all_of(starting)
        self.ready[STABLE] = self.PODS - wanted

    def pod(self) -> Process:
        yield self.env.timeout(self.POD_READY_S)
        self.ready[NEW] += 1

    def person(self) -> Process:
        yield self.env.timeout(self.PERSON_S)
        self.promotion.succeed()

    def scrapes(self) -> Process:
        yield self.env.timeout(self.rng.uniform(0.0, self.SCRAPE_S))
        total = [[0, 0], [0, 0]]
        while True:
            pods = sum(self.ready)
            for version in (STABLE, NEW):
                mean = self.RATE_RPS * self.SCRAPE_S * self.ready[version] / pods
                requests = self.rng.poisson(mean)
                total[version][0] += requests
                total[version][1] += self.rng.binomial(requests, self.ERROR_RATE)
                self.requests[version].append(total[version][0])
                self.errors[version].append(total[version][1])
            self.scraped_at.append(self.env.now)
            yield self.env.timeout(self.SCRAPE_S)

    def analysis(self) -> Process:
        while True:
            self.measurements += 1
            if self.error_rate() >= self.THRESHOLD:
                self.failures += 1
                if self.failures > self.FAILURE_LIMIT:
                    self.aborted.succeed()
                    return
            yield self.env.timeout(self.INTERVAL_S)

    def error_rate(self) -> float:
        first = bisect_right(self.scraped_at, self.env.now - self.WINDOW_S)
        requests = sum(counts[-1] - counts[first] for counts in self.requests)
        errors = sum(counts[-1] - counts[first] for counts in self.errors)
        return errors / requests if requests else 0.0


class GatedCanary:
    """Four weights of 7.5 minutes; each scrape draws 12 buckets per version and ends in a gate.

    ``play`` returns whether it was promoted; ``measurements`` counts the gates.
    """

    WEIGHTS = (5, 25, 50, 100)
    STEP_S = 450.0
    RATE_RPS = 1000.0
    ERROR_RATE = 0.02
    MEDIAN_S, SIGMA = 0.06, 0.6
    BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    SCRAPE_S, WINDOW, THRESHOLD = 5.0, 12, 0.1

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.env = simpy.Environment()
        latency = NormalDist(log(self.MEDIAN_S), self.SIGMA)
        self.shares = np.diff([0.0, *(latency.cdf(log(bound)) for bound in self.BOUNDS_S), 1.0])
        self.weight = 0
        self.buckets: tuple[list[Any], list[Any]] = ([], [])
        self.requests: tuple[list[int], list[int]] = ([], [])
        self.errors: tuple[list[int], list[int]] = ([], [])
        self.measurements = 0
        self.aborted = self.env.event()

    def play(self) -> bool:
        rollout = self.env.process(self.rollout())
        self.env.process(self.scrapes())
        self.env.run(until=rollout | self.aborted)
        return not self.aborted.triggered

    def rollout(self) -> Process:
        for weight in self.WEIGHTS:
            self.weight = weight
            yield self.env.timeout(self.STEP_S)

    def scrapes(self) -> Process:
        while True:
            yield self.env.timeout(self.SCRAPE_S)
            for version, weight in ((STABLE, 100 - self.weight), (NEW, self.weight)):
                requests = self.rng.poisson(self.RATE_RPS * self.SCRAPE_S * weight / 100)
                self.buckets[version].append(self.rng.multinomial(requests, self.shares))
                self.requests[version].append(requests)
                self.errors[version].append(self.rng.binomial(requests, self.ERROR_RATE))
            self.gate()

    def gate(self) -> None:
        self.measurements += 1
        requests = sum(self.requests[NEW][-self.WINDOW :])
        errors = sum(self.errors[NEW][-self.WINDOW :])
        if requests and errors / requests >= self.THRESHOLD and not self.aborted.triggered:
            self.aborted.succeed()
