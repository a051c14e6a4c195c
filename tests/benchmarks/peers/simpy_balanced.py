"""The balanced pods as one writes them in SimPy: a process per request, and one per piece of work."""

from __future__ import annotations

import math
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Generator
from typing import Any

import simpy

from tests.benchmarks.peers.windows import BOUNDS_S, RATE, WINDOW_S, report

PODS, SLOTS, WAITING, PATIENCE_S, BACKOFF_S, RETRIES = 10, 8, 64, 1.0, 0.1, 2
SIGMA = math.sqrt(math.log(2))
MU = math.log(0.064) - SIGMA * SIGMA / 2
ERROR_RATES = (0.02, 0.04)
GOOD, ERROR, TIMED_OUT, REJECTED = range(4)
Process = Generator[simpy.Event, Any, None]


class Balanced:
    def __init__(self, until_s: float, seed: int) -> None:
        self.until_s = until_s
        self.rng = random.Random(seed)
        self.env = simpy.Environment()
        self.pods = [simpy.Resource(self.env, SLOTS) for _ in range(PODS)]
        windows = int(until_s / WINDOW_S) + 1
        self.counts = [[[0] * 16 for _ in range(2)] for _ in range(windows)]
        self.attempts = 0

    def count(self, version: int, latency: float, kind: int) -> None:
        if self.env.now < self.until_s:
            row = self.counts[int(self.env.now / WINDOW_S)][version]
            if kind <= ERROR:
                row[bisect_left(BOUNDS_S, latency)] += 1
            if kind:
                row[11 + kind] += 1
            row[15] += 1

    def choose(self) -> tuple[int, simpy.Resource]:
        if self.rng.random() < 0.1:
            return 1, self.pods[-1]
        one, other = self.pods[self.rng.randrange(PODS - 1)], self.pods[self.rng.randrange(PODS - 1)]
        return 0, other if load(other) < load(one) else one

    def work(self, pod: simpy.Resource, turn: Any, seconds: float) -> Process:
        yield self.env.timeout(seconds)
        pod.release(turn)

    def request(self) -> Process:
        env = self.env
        for attempt in range(RETRIES + 1):
            self.attempts += 1
            version, pod = self.choose()
            came = env.now
            if pod.count >= SLOTS and len(pod.queue) >= WAITING:
                kind = REJECTED
                self.count(version, 0, kind)
            else:
                turn, late = pod.request(), env.timeout(PATIENCE_S)
                yield turn | late
                if not turn.triggered:
                    turn.cancel()
                    kind = TIMED_OUT
                    self.count(version, PATIENCE_S, kind)
                else:
                    work = env.process(self.work(pod, turn, self.rng.lognormvariate(MU, SIGMA)))
                    yield work | late
                    if work.is_alive:
                        kind = TIMED_OUT
                        self.count(version, PATIENCE_S, kind)
                    else:
                        kind = int(self.rng.random() < ERROR_RATES[version])
                        self.count(version, env.now - came, kind)
            if kind == GOOD or attempt == RETRIES:
                return
            yield env.timeout(BACKOFF_S * 2**attempt * (0.5 + self.rng.random()))

    def arrivals(self) -> Process:
        while True:
            yield self.env.timeout(self.rng.expovariate(RATE))
            self.env.process(self.request())


def load(pod: simpy.Resource) -> int:
    return int(pod.count) + len(pod.queue)


def main(until_s: float, seed: int) -> None:
    model = Balanced(until_s, seed)
    model.env.process(model.arrivals())
    start = time.process_time()
    model.env.run(until_s)
    cpu_s = time.process_time() - start
    errors = sum(row[11 + ERROR] for window in model.counts for row in window)
    report(model.attempts, cpu_s, errors, 0.0)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
