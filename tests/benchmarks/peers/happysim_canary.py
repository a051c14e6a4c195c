"""A canary by happysim's own deployer, on the same load: less work than ours, nobody gives up or tries again.

It needs Python 3.13 or newer.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any

from happysimulator import Entity, Instant, Server, Simulation, Source
from happysimulator.components.deployment.canary_deployer import CanaryDeployer, CanaryStage
from happysimulator.components.load_balancer import LoadBalancer
from happysimulator.components.load_balancer.strategies import WeightedRoundRobin
from happysimulator.distributions import ExponentialLatency

from tests.benchmarks.peers.windows import ERROR_RATE, RATE, Windows, report

STABLE_PODS, SLOTS, WORK_S, LOOK_S = 9, 8, 0.064, 5.0
SHARES = (0.05, 0.25, 0.5, 1.0)


class Answers(Entity):
    """Counts what has been answered."""

    def __init__(self, windows: Windows, rng: random.Random) -> None:
        super().__init__("answers")
        self.windows = windows
        self.rng = rng

    def handle_event(self, event: Any) -> list[Any]:
        latency = (event.time - event.context["created_at"]).to_seconds()
        self.windows.add(event.time.to_seconds(), latency, self.rng.random() < ERROR_RATE)
        return []


def main(until_s: float, seed: int) -> None:
    random.seed(seed)
    windows = Windows(until_s)
    answers = Answers(windows, random.Random(seed))

    def pod(name: str) -> Server:
        return Server(name, concurrency=SLOTS, service_time=ExponentialLatency(WORK_S), downstream=answers)

    pods = [pod(f"stable-{number}") for number in range(STABLE_PODS)]
    router = LoadBalancer("router", backends=pods, strategy=WeightedRoundRobin())
    deployer = CanaryDeployer(
        "canary",
        load_balancer=router,
        server_factory=pod,
        stages=[
            CanaryStage(traffic_percentage=share, evaluation_period=until_s / len(SHARES)) for share in SHARES
        ],
        evaluation_interval=LOOK_S,
    )
    simulation = Simulation(
        sources=[Source.poisson(rate=RATE, target=router)],
        entities=[*pods, router, deployer, answers],
        end_time=Instant.from_seconds(until_s),
    )
    simulation.schedule(deployer.deploy())
    start = time.process_time()
    simulation.run()
    cpu_s = time.process_time() - start
    report(sum(windows.answers), cpu_s, sum(windows.errors), windows.latency_s)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
