"""What holds in every queue: conservation, Little's law, PASTA, monotonicity, rescaling of time; and W1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rolloutsim.sim.requests.layout import BAD, CUT, DENIED, LOST, REJECTED, STARTED, TIMED_OUT
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Law, Pods, Requests
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route

from .stations import BOUNDS_MS, advance_in, blocked, canary, constant, queue, tables

IMPATIENT = Client(timeout_ms=80.0, retries=2, backoff_ms=50.0)


@pytest.mark.parametrize("balancing", list(Balancing))
def test_flow_is_conserved(balancing: Balancing) -> None:
    """Attempts = answered + failed + in flight; requests = good + lost + in flight + about to be retried."""
    plane = canary(balancing, rate_per_s=1300.0, client=IMPATIENT)
    for until in range(500, 10_001, 500):
        plane.advance(float(until))
        counts, histogram = plane.counts, plane.histogram
        loads = plane.loads()
        waiting = int(loads[:, 1].sum())
        assert waiting <= plane.in_flight <= int(loads.sum())
        good, lost = int(histogram[:, 0].sum()), int(counts[:, LOST].sum())
        assert plane.arrived == good + lost + plane.in_flight + plane.to_retry
        failed = histogram[:, 1].sum() + counts[:, [TIMED_OUT, REJECTED, CUT]].sum()
        assert plane.counts[:, STARTED].sum() == plane.arrived + failed - lost - plane.to_retry


def test_littles_law() -> None:
    """Mean number in the system (looked at), arrival rate (counted), mean time (summed)."""
    plane = queue(1000.0, Endpoint(25.6, Law.EXPONENTIAL), 32)
    plane.advance(10_000.0)
    before, arrived = plane.seconds[0, :2].sum(), plane.arrived
    looks = []
    for step in range(40_000):
        plane.advance(10_000.0 + 10.0 * (step + 1))
        looks.append(plane.loads().sum())
    seconds = 400.0
    rate = (plane.arrived - arrived) / seconds
    latency = (plane.seconds[0, :2].sum() - before) / (plane.arrived - arrived)
    assert np.mean(looks) == pytest.approx(rate * latency, rel=0.003)


def test_arrivals_see_time_averages() -> None:
    """PASTA: the share of arrivals that find a full system is the share of time in which it is full."""
    plane = queue(5.0, Endpoint(1000.0, Law.EXPONENTIAL), 4, 6)
    looks = 60_000
    full = 0
    for step in range(looks):
        plane.advance(500.0 * (step + 1))
        full += int(plane.loads().sum()) == 10
    # successive looks are dependent: relaxation takes about a second, two looks
    tolerance = 4.0 * math.sqrt(2 * 4 * 0.25 / looks)
    assert blocked(plane) == pytest.approx(full / looks, abs=tolerance)


@pytest.mark.parametrize("balancing", list(Balancing))
def test_balancers_are_ordered(balancing: Balancing) -> None:
    """Who looks at the load waits less; nobody beats a common queue."""
    slots, pods, mean_ms = 2, 8, 50.0
    requests = Requests((Endpoint(mean_ms, Law.EXPONENTIAL),), balancing, Pods(slots, 10_000))
    plane = RequestPlane(requests, 1, 0, expected=constant(0.85 * slots * pods / mean_ms))
    plane.route([Route(1.0, tuple(plane.start_pod(warm=True) for _ in range(pods)))])
    plane.advance(2_000_000.0)
    latency_ms = 1000.0 * plane.seconds[0, :2].sum() / plane.histogram.sum()
    common = mean_wait_ms(0.85, slots * pods, mean_ms) + mean_ms
    apart = mean_wait_ms(0.85, slots, mean_ms) + mean_ms
    assert latency_ms > common
    if balancing is Balancing.RANDOM:
        assert latency_ms == pytest.approx(apart, rel=0.03)
    else:
        assert latency_ms < 0.85 * apart


def mean_wait_ms(load: float, slots: int, mean_ms: float) -> float:
    """Mean wait of an M/M/c queue (Erlang C)."""
    offered, blocking = load * slots, 1.0
    for k in range(1, slots + 1):
        blocking = offered * blocking / (k + offered * blocking)
    waits = blocking / (1.0 - load * (1.0 - blocking))
    return waits * mean_ms / (slots * (1.0 - load))


def test_erlang_c_of_the_first_workload() -> None:
    assert 25.6 + mean_wait_ms(0.8, 32, 25.6) == pytest.approx(26.242, abs=5e-4)


@pytest.mark.parametrize("general", [False, True])
def test_mean_latency_of_the_first_workload(general: bool) -> None:
    """M/M/32 at 1000 requests/s: 26.242 ms within 0.5 %, over an hour."""
    plane = queue(1000.0, Endpoint(25.6, Law.EXPONENTIAL), 32, 1_000, general=general)
    plane.conditions([Lane(0.02)])
    plane.advance(3_600_000.0)
    histogram = plane.histogram[0]
    assert plane.seconds[0, :2].sum() / histogram.sum() == pytest.approx(0.026242, rel=0.005)
    share = histogram[1].sum() / histogram.sum()
    assert abs(share - 0.02) < 4.0 * math.sqrt(0.02 * 0.98 / histogram.sum())


def test_more_load_and_more_faults_are_never_better() -> None:
    lost = []
    for rate in (600.0, 1000.0, 1150.0, 1400.0):
        plane = canary(rate_per_s=rate, client=IMPATIENT, errors=(0.0, 0.0))
        plane.advance(30_000.0)
        lost.append(plane.counts[:, LOST].sum() / plane.arrived)
    assert lost == sorted(lost)
    assert lost[-1] > lost[0]
    errors = []
    for rate in (0.0, 0.01, 0.1, 0.5, 1.0):
        plane = canary(errors=(0.0, rate), client=Client(1000.0))
        plane.advance(10_000.0)
        errors.append(plane.histogram[1, 1].sum())
    assert errors == sorted(errors)  # the same draws: not only on average


def test_rescaling_time_changes_nothing_but_the_clock() -> None:
    """Half of all rates and twice all times, laws compared over many requests."""
    found = []
    for scale in (1.0, 2.0):
        plane = canary(scale=scale, rate_per_s=1200.0, client=Client(100.0 * scale, 1, 50.0 * scale))
        plane.advance(300_000.0 * scale)
        started = plane.counts[:2, STARTED].sum()
        timed_out = plane.counts[:2, TIMED_OUT].sum() / started
        found.append((timed_out, plane.histogram[0, 0] / plane.histogram[0].sum()))
    assert found[0][0] == pytest.approx(found[1][0], rel=0.05)
    assert found[0][1] == pytest.approx(found[1][1], abs=0.003)


def test_labels_of_versions_can_be_swapped() -> None:
    """Equal versions at equal weights: the difference has no sign."""
    differences = []
    for run in range(40):
        plane = canary(run=run, weight=0.1, errors=(0.02, 0.02), client=Client(1000.0))
        plane.advance(10_000.0)
        answers, errors = plane.histogram.sum(axis=(1, 2)), plane.histogram[:, 1].sum(axis=1)
        differences.append(errors[1] / answers[1] - errors[0] / answers[0])
    mean, error = np.mean(differences), np.std(differences, ddof=1) / math.sqrt(len(differences))
    assert abs(mean) < 4.0 * error


def test_retries_mask_failures() -> None:
    """Re-routed at random, R retries: p_eff ** (R + 1) of the requests are lost."""
    weight, bad, retries = 0.5, 0.4, 2
    plane = canary(weight=weight, errors=(0.0, bad), rate_per_s=100.0, client=Client(None, retries, 10.0))
    plane.advance(1_000_000.0)
    p = weight * bad
    expected, n = p ** (retries + 1), plane.arrived
    lost = plane.counts[:, LOST].sum() / n
    assert abs(lost - expected) < 4.0 * math.sqrt(expected / n)
    attempts = plane.counts[:, STARTED].sum() / n
    assert attempts == pytest.approx((1.0 - p ** (retries + 1)) / (1.0 - p), rel=0.01)


def test_a_budget_bounds_retries() -> None:
    client = Client(None, 5, 10.0, budget=0.1, burst=20.0)
    plane = canary(errors=(0.5, 0.5), rate_per_s=200.0, client=client)
    plane.advance(60_000.0)
    retried = plane.counts[:, STARTED].sum() - plane.arrived
    assert retried <= 0.1 * plane.arrived + 20.0
    assert plane.counts[:, DENIED].sum() > 0


def test_an_exact_split_is_exact_and_a_random_one_is_not() -> None:
    """Traefik and HAProxy: weight 5 gave 500 of 10,000; nginx and Envoy 503 and 510."""
    shares = {}
    for exact in (True, False):
        plane = canary(weight=0.05, exact=exact, client=Client(), errors=(0.0, 0.0), rate_per_s=500.0)
        plane.advance(25_000.0)
        counts = plane.counts
        shares[exact] = counts[1, STARTED] - 0.05 * counts[:, STARTED].sum()
    assert abs(shares[True]) < 1.0
    assert 1.0 < abs(shares[False]) < 4.0 * math.sqrt(12_500 * 0.05 * 0.95)


def test_a_killed_pod_cuts_what_it_serves() -> None:
    """After a drain of grace g, Poisson(rate * E[S] * exp(-g / E[S])) requests are cut."""
    mean_ms, grace_ms, rate = 200.0, 300.0, 0.1
    cut = []
    for run in range(600):
        requests = Requests((Endpoint(mean_ms, Law.EXPONENTIAL),), pods=Pods(1_000, 0))
        plane = RequestPlane(requests, 1, run, expected=constant(rate))
        pod = plane.start_pod(warm=True)
        plane.route([Route(1.0, (pod,))])
        plane.advance(3_000.0)
        plane.route([Route(1.0, ())])
        plane.advance(3_000.0 + grace_ms)
        cut.append(plane.kill_pod(pod))
    expected = rate * mean_ms * math.exp(-grace_ms / mean_ms)
    assert abs(np.mean(cut) - expected) < 4.0 * math.sqrt(expected / len(cut))
    assert np.var(cut) == pytest.approx(expected, rel=0.3)


def test_wrong_and_late_answers_are_counted_as_bad() -> None:
    plane = canary(rate_per_s=200.0, client=Client(), slow_ms=100.0)
    plane.conditions([Lane(0.0), Lane(0.0, wrong_rate=1.0)])
    plane.advance(60_000.0)
    good = plane.histogram[:, 0].sum(axis=1)
    assert plane.counts[1, BAD] == good[1]
    late = plane.histogram[0, 0, 5:].sum()  # above 100 ms
    assert plane.counts[0, BAD] == late > 0


def test_overload_is_bounded_and_counted() -> None:
    """Twice the capacity, forever: memory stays, half of the requests are turned away."""
    plane = queue(2000.0, Endpoint(32.0, Law.EXPONENTIAL), 32, 200)
    advance_in(plane, 120_000.0, 1_000.0)
    assert plane.capacity <= 1_024
    assert blocked(plane) == pytest.approx(0.5, abs=0.01)


def test_memory_has_a_bound_even_if_queues_have_none() -> None:
    requests = Requests(
        (Endpoint(1_000.0),), pods=Pods(1, 10**9), client=Client(None, 3, 1e6), most_in_flight=2_000
    )
    plane = RequestPlane(requests, 1, 0, expected=constant(1.0), bounds_ms=BOUNDS_MS)
    plane.route([Route(1.0, (plane.start_pod(warm=True),))])
    plane.advance(60_000.0)
    assert plane.capacity < 4_000
    assert plane.counts[-1, REJECTED] > 50_000
    assert plane.arrived == plane.histogram.sum() + plane.counts[:, LOST].sum() + plane.in_flight


def test_cold_pods_are_slow_at_first() -> None:
    requests = Requests((Endpoint(10.0, Law.DETERMINISTIC),), pods=Pods(8, 100, cold=4.0, warm_ms=1_000.0))
    plane = RequestPlane(requests, 1, 0, expected=constant(0.05))
    plane.route([Route(1.0, (plane.start_pod(),))])
    means = []
    for second in (1, 2, 10):
        before, answers = plane.seconds[0, 0], plane.histogram.sum()
        plane.advance(1000.0 * second)
        means.append(1000.0 * (plane.seconds[0, 0] - before) / (plane.histogram.sum() - answers))
    assert means[0] > means[1] > means[2] > 10.0
    assert means[0] == pytest.approx(10.0 * (1.0 + 4.0 * (1.0 - math.exp(-1.0))), rel=0.15)


def test_pods_differ_by_their_spread() -> None:
    requests = Requests((Endpoint(10.0),), pods=Pods(spread=0.2))
    plane = RequestPlane(requests, 1, 0, expected=constant(1.0))
    for _ in range(500):
        plane.start_pod()
    factors = np.log(plane._s.pods_f[:500, 0])
    assert abs(factors.mean()) < 4.0 * 0.2 / math.sqrt(500)
    assert factors.std() == pytest.approx(0.2, rel=0.15)


def test_the_same_tables_again() -> None:
    first, second = canary(), canary()
    for plane in (first, second):
        plane.advance(3_000.0)
    assert tables(first) == tables(second)
