"""The pool in ciw."""

from __future__ import annotations

import random
import sys
import time

import ciw

from tests.benchmarks.peers.windows import ERROR_RATE, MEAN_S, RATE, SERVERS, Windows, report


def main(until_s: float, seed: int) -> None:
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(RATE)],
        service_distributions=[ciw.dists.Exponential(1 / MEAN_S)],
        number_of_servers=[SERVERS],
    )
    ciw.seed(seed)
    rng, windows = random.Random(seed), Windows(until_s)
    start = time.process_time()
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(until_s)
    for record in simulation.get_all_records():
        windows.add(record.exit_date, record.exit_date - record.arrival_date, rng.random() < ERROR_RATE)
    cpu_s = time.process_time() - start
    report(sum(windows.answers), cpu_s, sum(windows.errors), windows.latency_s)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
