"""Small set-ups of the request plane that several tests play."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rolloutsim.sim.requests.layout import REJECTED, STARTED
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Law, Pods, Requests
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route

BOUNDS_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
TABLES = ("hist", "waits", "time_ns", "counts")


def constant(rate_per_ms: float) -> Any:
    """Expected requests of a constant rate."""
    return lambda edges: np.diff(edges) * rate_per_ms


def queue(
    rate_per_s: float,
    endpoint: Endpoint,
    slots: int = 1,
    waiting: int = 100_000,
    *,
    run: int = 0,
    bounds_ms: Sequence[float] = BOUNDS_MS,
    general: bool = False,
) -> RequestPlane:
    """One pod that all requests go to."""
    requests = Requests((endpoint,), Balancing.RANDOM, Pods(slots, waiting))
    plane = RequestPlane(
        requests, 1, run, expected=constant(rate_per_s / 1000.0), bounds_ms=bounds_ms, general=general
    )
    plane.route([Route(1.0, (plane.start_pod(warm=True),))])
    return plane


def canary(
    balancing: Balancing = Balancing.TWO_CHOICES,
    *,
    rate_per_s: float = 1000.0,
    client: Client | None = None,
    seed: int = 1,
    run: int = 0,
    errors: tuple[float, float] = (0.02, 0.04),
    weight: float = 0.1,
    scale: float = 1.0,
    **options: Any,
) -> RequestPlane:
    """Nine stable pods and one new one; ``scale`` stretches all times."""
    patience = client or Client(1000.0 * scale, 2, 100.0 * scale)
    endpoint = Endpoint(64.0 * scale, Law.LOGNORMAL, 0.8325546)
    requests = Requests((endpoint,), balancing, Pods(8, 64), patience)
    plane = RequestPlane(
        requests,
        seed,
        run,
        lanes=((0, 1), (0, 1)),
        expected=constant(rate_per_s / 1000.0 / scale),
        bounds_ms=[bound * scale for bound in BOUNDS_MS],
        **options,
    )
    stable = tuple(plane.start_pod(0, warm=True) for _ in range(9))
    new = (plane.start_pod(1, warm=True),)
    plane.route([Route(1.0 - weight, stable), Route(weight, new)])
    plane.conditions([Lane(errors[0]), Lane(errors[1])])
    return plane


def tables(plane: RequestPlane) -> dict[str, Any]:
    """All counts, as lists that compare."""
    return {
        "hist": plane.histogram.tolist(),
        "waits": plane.waits.tolist(),
        "seconds": plane.seconds.tolist(),
        "counts": plane.counts.tolist(),
        "arrived": plane.arrived,
        "sessions": plane.sessions,
        "in_flight": plane.in_flight,
        "to_retry": plane.to_retry,
    }


def advance_in(plane: RequestPlane, until_ms: float, step_ms: float) -> None:
    """Advance in steps."""
    now = plane.now_ms
    while now < until_ms:
        now = min(until_ms, now + step_ms)
        plane.advance(now)


def blocked(plane: RequestPlane) -> float:
    """Share of the attempts that were turned away."""
    counts = plane.counts
    return float(counts[:, REJECTED].sum() / counts[:, STARTED].sum())
