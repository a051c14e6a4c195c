"""What faults do to requests, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rolloutsim.sim.faults import (
    Moment,
    breakpoints,
    new_conditions,
    pods_never_ready,
    stable_conditions,
)
from rolloutsim.sim.latency import Tail
from rolloutsim.sim.scenario import Cluster, ConstantRate, Fault, FaultKind, Release, Service, Traffic

SERVICE = Service("api", Traffic(ConstantRate(100.0)), error_rate=0.01)
DEEP = Service("api", SERVICE.traffic, cluster=Cluster(readiness="deep"))


def new(*faults, service=SERVICE, at_ms=60_000, share=0.5, first_pod_ms=0, rate=100.0):
    return new_conditions(service, Release("r", faults), share, Moment(at_ms, first_pod_ms, share, rate))


def stable(*faults, at_ms=60_000, share=0.5):
    return stable_conditions(SERVICE, Release("r", faults), share, Moment(at_ms, 0, 0.5, 100.0))


def test_a_good_release_is_like_stable():
    assert new() == stable()


def test_an_error_step_adds_to_the_services_own_errors():
    step = Fault(FaultKind.ERROR_STEP, 0.2, onset_ms=30_000, end_ms=90_000)
    assert new(step, at_ms=29_999).error_rate == 0.01
    assert new(step, at_ms=30_000).error_rate == pytest.approx(0.21)
    assert new(step, at_ms=90_000).error_rate == 0.01
    assert stable(step).error_rate == 0.01


def test_the_onset_counts_from_the_first_pod():
    step = Fault(FaultKind.ERROR_STEP, 0.2, onset_ms=30_000)
    assert new(step, at_ms=60_000, first_pod_ms=40_000).error_rate == 0.01
    assert new(step, at_ms=60_000, first_pod_ms=None).error_rate == 0.01
    assert breakpoints(Release("r", (step,)), 40_000) == [70_000]
    assert breakpoints(Release("r", (step,)), None) == []


def test_a_leak_grows():
    leak = Fault(FaultKind.LEAK, 0.5, onset_ms=60_000, ramp_ms=100_000)
    halfway = new(leak, at_ms=110_000)
    assert halfway.error_rate == pytest.approx(0.26)
    assert halfway.error_slope_per_ms == pytest.approx(0.5 / 100_000)
    assert new(leak, at_ms=200_000).error_slope_per_ms == 0.0
    assert breakpoints(Release("r", (leak,)), 0)[0] == 60_000
    assert breakpoints(Release("r", (leak,)), 0)[-1] == 160_000


def test_a_dependency_hits_both_and_is_nobodys_fault():
    blip = Fault(FaultKind.DEPENDENCY_BLIP, 0.3, onset_ms=0, end_ms=120_000)
    assert new(blip).error_rate == stable(blip).error_rate == pytest.approx(0.31)
    assert Release("r", (blip,)).healthy
    assert breakpoints(Release("r", (blip,)), None) == [0, 120_000]


def test_wrong_answers_do_not_fail():
    wrong = new(Fault(FaultKind.SILENT_WRONG, 0.4))
    assert (wrong.error_rate, wrong.wrong_rate) == (0.01, 0.4)


def test_latency_is_multiplied():
    assert new(Fault(FaultKind.LATENCY_SHIFT, 4.0)).latency_factor == 4.0
    ramp = Fault(FaultKind.LATENCY_SHIFT, 4.0, ramp_ms=100_000)
    assert new(ramp, at_ms=50_000).latency_factor == pytest.approx(2.5)


def test_a_tail_hits_a_share_of_the_requests_and_leaves_the_others():
    tail = Fault(FaultKind.LATENCY_TAIL, 20.0, ramp_ms=100_000, above_weight=0.25, share=0.004)
    assert new(tail, at_ms=200_000).tails == (Tail(0.004, 20.0),)
    assert new(tail, at_ms=50_000).tails == (Tail(pytest.approx(0.002), 20.0),)
    assert new(tail, share=0.2).tails == ()
    assert new(tail, at_ms=0) == new()
    assert new(tail).latency_factor == 1.0
    assert stable(tail) == stable()
    assert breakpoints(Release("r", (tail,)), 0) == list(range(0, 100_001, 10_000))
    assert not Release("r", (tail,)).healthy
    assert Release("r", (replace(tail, share=0.0),)).healthy


def test_a_request_is_in_one_tail_at_most():
    two = Fault(FaultKind.LATENCY_TAIL, 20.0, share=0.7), Fault(FaultKind.LATENCY_TAIL, 3.0, share=0.7)
    found = new(*two, Fault(FaultKind.LATENCY_SHIFT, 2.0))
    assert found.tails == (Tail(0.7, 20.0), Tail(pytest.approx(0.3), 3.0))
    assert found.paces == ((pytest.approx(0.0), 2.0), (0.7, 40.0), (pytest.approx(0.3), 6.0))


def test_triggers():
    weight = Fault(FaultKind.ERROR_STEP, 0.2, above_weight=0.25)
    assert new(weight, share=0.2).error_rate == 0.01
    assert new(weight, share=0.25).error_rate == pytest.approx(0.21)
    load = Fault(FaultKind.ERROR_STEP, 0.2, above_rps=150.0)
    assert new(load).error_rate == 0.01
    assert new(load, rate=150.0).error_rate == pytest.approx(0.21)


def test_probes_see_what_they_look_at():
    broken = Fault(FaultKind.BROKEN_AT_START, 0.5)
    crash = Fault(FaultKind.CRASH_AT_START, 0.4)
    assert pods_never_ready(Release("r", (broken,)), SERVICE) == 0.0
    assert new(broken).error_rate == pytest.approx(0.51)
    assert pods_never_ready(Release("r", (broken,)), DEEP) == 0.5
    assert new(broken, service=DEEP).error_rate == DEEP.error_rate
    assert pods_never_ready(Release("r", (broken, crash)), DEEP) == pytest.approx(0.9)
