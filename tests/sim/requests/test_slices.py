"""The same counts however time is sliced, whichever kernel plays, whoever else asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.sim.requests.model import (
    Balancing,
    Endpoint,
    Law,
    Pods,
    Requests,
    Sessions,
    Stickiness,
)
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route

from .stations import BOUNDS_MS, advance_in, canary, constant, tables

UNTIL_MS = 20_000.0
BALANCERS = list(Balancing)


@pytest.mark.parametrize("balancing", BALANCERS)
@pytest.mark.parametrize("step_ms", [3.0, 977.0, 5_000.0])
def test_slices_do_not_show(balancing: Balancing, step_ms: float) -> None:
    whole, sliced = canary(balancing), canary(balancing)
    whole.advance(UNTIL_MS)
    advance_in(sliced, UNTIL_MS, step_ms)
    assert tables(whole) == tables(sliced)


@pytest.mark.parametrize("stickiness", list(Stickiness))
def test_slices_do_not_show_in_sessions(stickiness: Stickiness) -> None:
    def sticky() -> RequestPlane:
        requests = Requests((Endpoint(20.0),), sessions=Sessions(300, 10.0, stickiness))
        plane = RequestPlane(requests, 1, 0, lanes=((0, 1), (0, 1)), expected=constant(0.5))
        pods = [plane.start_pod(version, warm=True) for version in (0, 0, 1)]
        keeps = stickiness is Stickiness.BOTH
        plane.route([Route(0.9, tuple(pods[:2]), keeps), Route(0.1, (pods[2],), True)])
        plane.conditions([Lane(0.0), Lane(0.5)])
        return plane

    whole, sliced = sticky(), sticky()
    whole.advance(UNTIL_MS)
    advance_in(sliced, UNTIL_MS, 7.0)
    assert tables(whole) == tables(sliced)
    begun, exposed, harmed = whole.sessions
    assert begun > exposed > harmed > 0


@settings(max_examples=25, deadline=None)
@given(
    slots=st.integers(1, 20),
    waiting=st.sampled_from([0, 1, 5, 1000]),
    pods=st.integers(1, 6),
    balancing=st.sampled_from([Balancing.RANDOM, Balancing.ROUND_ROBIN]),
    law=st.sampled_from(list(Law)),
    exact=st.booleans(),
    load=st.floats(0.1, 1.5),
    step_ms=st.sampled_from([11.0, 400.0, 10_000.0]),
    spread=st.sampled_from([0.0, 0.3]),
    run=st.integers(0, 10**6),
)
def test_both_kernels_count_the_same(
    slots: int,
    waiting: int,
    pods: int,
    balancing: Balancing,
    law: Law,
    exact: bool,
    load: float,
    step_ms: float,
    spread: float,
    run: int,
) -> None:
    mean_ms = 30.0
    requests = Requests((Endpoint(mean_ms, law),), balancing, Pods(slots, waiting, 0.5, 3_000.0, spread))
    rate = load * slots * pods / mean_ms

    def pool(**options: Any) -> RequestPlane:
        plane = RequestPlane(
            requests,
            5,
            run,
            lanes=((0, 1), (0, 1)),
            expected=constant(rate),
            bounds_ms=BOUNDS_MS,
            exact=exact,
            slow_ms=100.0,
            **options,
        )
        stable, new = [plane.start_pod(0) for _ in range(pods)], plane.start_pod(1)
        plane.route([Route(0.9, tuple(stable)), Route(0.1, (new,))])
        plane.conditions([Lane(0.03, 1e-6), Lane(0.1, 0.0, 0.02)])
        return plane

    general, fast = pool(general=True), pool()
    general.advance(6_000.0)
    advance_in(fast, 6_000.0, step_ms)
    assert tables(general) == tables(fast)


def test_the_kernels_take_turns_on_one_state() -> None:
    """A pool stops being plain while a killed pod is still sent requests, and is plain again after."""

    def story(**options: Any) -> RequestPlane:
        requests = Requests((Endpoint(30.0),), Balancing.RANDOM, Pods(4, 50))
        plane = RequestPlane(requests, 5, 0, expected=constant(0.3), bounds_ms=BOUNDS_MS, **options)
        pods = [plane.start_pod(warm=True) for _ in range(3)]
        plane.route([Route(1.0, tuple(pods))])
        plane.advance(3_000.0)
        plane.kill_pod(pods[0])
        plane.advance(4_000.0)
        plane.route([Route(1.0, tuple(pods[1:]))])
        plane.remove_pod(pods[0])
        plane.advance(6_000.0)
        plane.slow_pod(pods[1], 2.0)
        plane.advance(9_000.0)
        return plane

    assert tables(story()) == tables(story(general=True))


def test_runs_and_seeds_differ_and_repeat() -> None:
    found = []
    for seed, run in ((1, 0), (1, 1), (2, 0), (1, 0)):
        plane = canary(seed=seed, run=run)
        plane.advance(5_000.0)
        found.append(tables(plane))
    assert found[0] == found[3]
    assert found[0] != found[1] != found[2] != found[0]


def test_arrivals_do_not_depend_on_what_becomes_of_them() -> None:
    """Common random numbers: another policy meets the same requests."""
    one, other = canary(weight=0.1), canary(Balancing.RANDOM, weight=0.5, errors=(0.3, 0.3))
    for until in range(1_000, 20_000, 1_000):
        one.advance(until)
        other.advance(until)
        assert one.arrived == other.arrived


def test_given_arrivals_come_when_they_come() -> None:
    times = np.sort(np.random.default_rng(1).uniform(0.0, 10_000.0, 5_000))
    requests = Requests((Endpoint(1e-3, Law.DETERMINISTIC),))
    plane = RequestPlane(requests, 1, 0, arrivals=times)
    plane.route([Route(1.0, (plane.start_pod(warm=True),))])
    for until in (0.0, 1.0, 2_500.0, 9_999.0, 20_000.0):
        plane.advance(until)
        assert plane.arrived == (times <= until).sum()


def test_time_does_not_go_back() -> None:
    plane = canary()
    plane.advance(10.0)
    with pytest.raises(ValueError, match="time cannot go back"):
        plane.advance(9.0)
