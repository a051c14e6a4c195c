"""The request plane on the two workloads that its peers play too: the pool and the balanced pods."""

from __future__ import annotations

import math
import time

import numpy as np

from rolloutsim.sim.requests.layout import STARTED
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Law, Pods, Requests
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route

__all__ = ["attempts_of", "balanced", "balanced_rate", "pool", "pool_rate"]

BOUNDS_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
WINDOW_S = 15


def pool(seed: int, *, general: bool = False) -> RequestPlane:
    """32 slots, 1000 requests/s, exponential work of 25.6 ms, 2 % errors."""
    requests = Requests((Endpoint(25.6, Law.EXPONENTIAL),), Balancing.RANDOM, Pods(32, 1_000))
    plane = RequestPlane(
        requests, seed, 0, expected=lambda edges: np.diff(edges) * 1.0, bounds_ms=BOUNDS_MS, general=general
    )
    plane.route([Route(1.0, (plane.start_pod(warm=True),))])
    plane.conditions([Lane(0.02)])
    return plane


def balanced(seed: int, balancing: Balancing = Balancing.TWO_CHOICES, run: int = 0) -> RequestPlane:
    """Ten pods of 8 slots and 64 places to wait, one of them new; impatient clients that try three times."""
    requests = Requests(
        (Endpoint(64.0, Law.LOGNORMAL, math.sqrt(math.log(2.0))),),
        balancing,
        Pods(8, 64),
        Client(1_000.0, 2, 100.0),
    )
    plane = RequestPlane(
        requests,
        seed,
        run,
        lanes=((0, 1), (0, 1)),
        expected=lambda edges: np.diff(edges) * 1.0,
        bounds_ms=BOUNDS_MS,
    )
    stable = tuple(plane.start_pod(0, warm=True) for _ in range(9))
    plane.route([Route(0.9, stable), Route(0.1, (plane.start_pod(1, warm=True),))])
    plane.conditions([Lane(0.02), Lane(0.04)])
    return plane


def windows(plane: RequestPlane, seconds: int, tick_s: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Advance in ticks; what was answered in each window of 15 s."""
    found, before = [], plane.histogram
    for now_s in range(tick_s, seconds + 1, tick_s):
        plane.advance(1_000.0 * now_s)
        if now_s % WINDOW_S == 0:
            now = plane.histogram
            found.append(now - before)
            before = now
    return found


def attempts_of(plane: RequestPlane) -> int:
    return int(plane.counts[:, STARTED].sum())


def pool_rate(seed: int, seconds: int, tick_s: int, *, general: bool = False) -> float:
    """Requests per CPU second."""
    start = time.process_time()
    plane = pool(seed, general=general)
    windows(plane, seconds, tick_s)
    return attempts_of(plane) / (time.process_time() - start)


def balanced_rate(seed: int, seconds: int, balancing: Balancing) -> float:
    """Attempts per CPU second."""
    start = time.process_time()
    plane = balanced(seed, balancing)
    windows(plane, seconds, WINDOW_S)
    return attempts_of(plane) / (time.process_time() - start)
