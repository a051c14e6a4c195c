"""The pool as one writes it in SimPy: a process per request."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Generator
from typing import Any

import simpy

from tests.benchmarks.peers.windows import ERROR_RATE, MEAN_S, RATE, SERVERS, Windows, report

Process = Generator[simpy.Event, Any, None]


def request(env: simpy.Environment, servers: simpy.Resource, rng: random.Random, windows: Windows) -> Process:
    came = env.now
    with servers.request() as turn:
        yield turn
        yield env.timeout(rng.expovariate(1 / MEAN_S))
    windows.add(env.now, env.now - came, rng.random() < ERROR_RATE)


def arrivals(
    env: simpy.Environment, servers: simpy.Resource, rng: random.Random, windows: Windows
) -> Process:
    while True:
        yield env.timeout(rng.expovariate(RATE))
        env.process(request(env, servers, rng, windows))


def main(until_s: float, seed: int) -> None:
    rng, env, windows = random.Random(seed), simpy.Environment(), Windows(until_s)
    env.process(arrivals(env, simpy.Resource(env, SERVERS), rng, windows))
    start = time.process_time()
    env.run(until_s)
    cpu_s = time.process_time() - start
    report(sum(windows.answers), cpu_s, sum(windows.errors), windows.latency_s)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
