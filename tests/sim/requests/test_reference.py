"""The compiled kernels count what a plain loop in Python counts, number by number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rolloutsim.sim.latency import Tail
from rolloutsim.sim.requests.layout import BAD, CUT, LOST, REJECTED, STARTED, TIMED_OUT
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Law, Pods, Requests, Sessions
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route

from .reference import Reference
from .stations import BOUNDS_MS, constant

MIXED = (Endpoint(40.0, Law.LOGNORMAL, 0.9, 0.7), Endpoint(25.0, Law.EXPONENTIAL, 0.0, 0.3))
BUSY = Requests(
    MIXED,
    Balancing.TWO_CHOICES,
    Pods(slots=2, queue=3, cold=1.5, warm_ms=2_000.0),
    Client(timeout_ms=120.0, retries=2, backoff_ms=50.0),
)
CASES: dict[str, tuple[Requests, dict[str, Any]]] = {
    "two choices": (BUSY, {}),
    "random": (replace(BUSY, balancing=Balancing.RANDOM), {}),
    "round robin, exact split": (replace(BUSY, balancing=Balancing.ROUND_ROBIN), {"exact": True}),
    "least connections": (replace(BUSY, balancing=Balancing.LEAST), {"slow_ms": 150.0}),
    "patient": (replace(BUSY, client=Client(None, 1, 30.0)), {}),
    "budget": (replace(BUSY, client=replace(BUSY.client, budget=0.1, burst=3.0)), {}),
    "plain": (replace(BUSY, client=Client(), balancing=Balancing.RANDOM), {}),
    "plain, general kernel": (replace(BUSY, client=Client(), balancing=Balancing.RANDOM), {"general": True}),
    "fixed work": (replace(BUSY, endpoints=(Endpoint(30.0, Law.DETERMINISTIC),)), {}),
    "sessions": (replace(BUSY, sessions=Sessions(40, 6.0)), {}),
    "no queue": (replace(BUSY, pods=Pods(2, 0)), {}),
}


def story(plane: Any) -> int:
    """A rollout in which pods start, slow down, drain and die; returns the attempts that were cut off."""
    stable = [plane.start_pod(0, warm=True) for _ in range(3)]
    new = [plane.start_pod(1)]
    tails = Tail(0.05, 10.0), Tail(0.2, 0.5)
    plane.conditions([Lane(0.05), Lane(0.2, 1e-5, 0.05, 1.5, tails)])
    plane.route([Route(0.8, tuple(stable), True), Route(0.2, tuple(new), True)])
    plane.advance(3_000.0)
    new.append(plane.start_pod(1))
    plane.slow_pod(stable[0], 3.0)
    plane.route([Route(0.5, tuple(stable), True), Route(0.5, tuple(new), True)])
    plane.advance(4_321.0)
    cut = plane.kill_pod(stable[1])  # still named by its route: refused
    plane.advance(5_500.0)
    stable.pop(1)
    plane.route([Route(0.5, tuple(stable), True), Route(0.5, (), True)])  # the new version has no pod
    plane.advance(6_000.0)
    plane.conditions([Lane(0.01), Lane(0.0)])
    plane.route([Route(1.0, tuple(stable[:1]), True), Route(0.0, tuple(new), True)])
    plane.advance(9_999.0)
    return cut + plane.kill_pod(new[0])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("run", [0, 1])
def test_the_kernels_count_what_the_reference_counts(name: str, run: int) -> None:
    requests, options = CASES[name]
    lanes = ((0, 1), (0, 1))
    plane = RequestPlane(
        requests, 3, run, lanes=lanes, expected=constant(0.15), bounds_ms=BOUNDS_MS, **options
    )
    slow = options.get("slow_ms", float("inf"))
    reference = Reference(
        requests, 3, run, 0.15, lanes, BOUNDS_MS, exact=options.get("exact", False), slow=slow
    )
    assert story(plane) == story(reference)
    found = {
        "hist": plane.histogram.tolist(),
        "waits": plane.waits.tolist(),
        "ns": np.rint(plane.seconds * 1e9).astype(int).tolist(),
        "counts": plane.counts.tolist(),
        "arrived": plane.arrived,
        "sessions": plane.sessions,
        "in_flight": plane.in_flight,
        "to_retry": plane.to_retry,
    }
    assert found == reference.tables()
    assert plane.arrived > 1_000


def narrow_story(plane: Any) -> int:
    """One pod, two, none and one again, with changes while arrivals are drawn already."""
    first = plane.start_pod(0, warm=True)
    plane.conditions([Lane(0.05)])
    plane.route([Route(1.0, (first,))])
    plane.advance(1_234.0)
    second = plane.start_pod(0)
    plane.route([Route(1.0, (first, second))])
    plane.advance(2_345.0)
    plane.route([Route(1.0, ())])
    plane.advance(3_456.0)
    plane.route([Route(1.0, (second,))])
    plane.advance(9_999.0)
    return int(plane.kill_pod(second))


@pytest.mark.parametrize("options", [{}, {"general": True}])
@pytest.mark.parametrize("balancing", list(Balancing))
def test_a_choice_may_come_and_go(balancing: Balancing, options: dict[str, Any]) -> None:
    requests = Requests((Endpoint(20.0),), balancing, Pods(8, 50))
    plane = RequestPlane(requests, 3, 0, expected=constant(0.15), bounds_ms=BOUNDS_MS, **options)
    reference = Reference(requests, 3, 0, 0.15, ((0,),), BOUNDS_MS)
    assert narrow_story(plane) == narrow_story(reference)
    tables = reference.tables()
    assert plane.counts.tolist() == tables["counts"]
    assert plane.histogram.tolist() == tables["hist"]
    assert plane.waits.tolist() == tables["waits"]


def test_the_story_exercises_what_it_is_about() -> None:
    """Attempts end in every way, and the killed pods had something to cut."""
    plane = RequestPlane(BUSY, 3, 0, lanes=((0, 1), (0, 1)), expected=constant(0.15), bounds_ms=BOUNDS_MS)
    assert story(plane) > 0
    counts = plane.counts
    assert counts[:-1, [STARTED, TIMED_OUT, REJECTED, CUT, LOST, BAD]].sum(axis=0).all()
    assert counts[-1, REJECTED] > 0
    assert plane.histogram[:, 1].sum() > 0
    assert plane.waits.sum() > 0
