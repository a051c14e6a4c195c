"""What the pool's Python peers count, and the line that each prints."""

from __future__ import annotations

import json
from bisect import bisect_left

__all__ = ["BOUNDS_S", "ERROR_RATE", "MEAN_S", "RATE", "SERVERS", "WINDOW_S", "Windows", "report"]

RATE, SERVERS, MEAN_S, ERROR_RATE, WINDOW_S = 1000.0, 32, 0.0256, 0.02, 15.0
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Windows:
    """Answers, errors and latencies per window, by the time of the answer."""

    def __init__(self, until_s: float) -> None:
        count = int(until_s / WINDOW_S) + 1
        self.until_s = until_s
        self.answers = [0] * count
        self.errors = [0] * count
        self.histogram = [[0] * (len(BOUNDS_S) + 1) for _ in range(count)]
        self.latency_s = 0.0

    def add(self, at: float, latency: float, failed: bool) -> None:
        if at < self.until_s:
            window = int(at / WINDOW_S)
            self.answers[window] += 1
            self.histogram[window][bisect_left(BOUNDS_S, latency)] += 1
            self.latency_s += latency
            if failed:
                self.errors[window] += 1


def report(requests: int, cpu_s: float, errors: int, latency_s: float) -> None:
    """One line: requests, CPU seconds, share of errors, mean latency."""
    means = {"errors": round(errors / requests, 5), "latency_s": round(latency_s / requests, 6)}
    print(json.dumps({"requests": requests, "cpu_s": cpu_s, **means}))
