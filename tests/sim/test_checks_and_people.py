"""Smoke tests before users, people who promote, and signals beside request counters."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from rolloutsim.outcomes import CaughtBy, End
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.sim.operators import working_wait_ms
from rolloutsim.sim.run import simulate, trace_run
from rolloutsim.sim.scenario import (
    Check,
    ConstantRate,
    Delay,
    Fault,
    FaultKind,
    Logs,
    Operators,
    Release,
    Resources,
    Scenario,
    Service,
    Telemetry,
    Traffic,
    WorkingHours,
)

SCENARIOS = Path(__file__).parents[2] / "scenarios"
HOUR = 3_600_000


@pytest.fixture(scope="module")
def checked():
    return load_policy(SCENARIOS / "policies" / "blue-green-checked.yaml")


@pytest.fixture(scope="module")
def guarded():
    return load_policy(SCENARIOS / "policies" / "canary-guarded.yaml")


@pytest.fixture(scope="module")
def canary():
    return load_policy(SCENARIOS / "article" / "canary.yaml")


def scenario(*faults, rate=100.0, **service):
    return Scenario("s", Service("api", Traffic(ConstantRate(rate)), **service), Release("r", faults))


# --- smoke tests ----------------------------------------------------------------------------------


def smoke(finds, false_failure=0.0, minutes=2):
    return (Check("smoke-test", finds, false_failure, minutes * 60_000),)


def test_a_smoke_test_finds_a_kind_of_fault_as_often_as_it_says(checked):
    kinds = (("broken-at-start", 0.8), ("error-step", 0.25))
    broken = scenario(Fault(FaultKind.BROKEN_AT_START, 1.0), checks=smoke(kinds))
    rows = simulate(checked, broken, runs=120).runs
    untouched = rows[rows["requests_exposed"] == 0.0]
    assert len(untouched) / len(rows) == pytest.approx(0.8, abs=0.1)
    assert (untouched["end"] == End.ABORTED).all()
    assert (untouched["bad_requests"] == 0.0).all()


def test_a_smoke_test_finds_nothing_that_shows_under_load_only(checked):
    load = Fault(FaultKind.ERROR_STEP, 0.2, above_weight=0.5)
    rows = simulate(checked, scenario(load, checks=smoke((("broken-at-start", 1.0),))), runs=10).runs
    assert (rows["requests_exposed"] > 0.0).all()


def test_false_failures_of_a_smoke_test_stop_good_releases(checked):
    rows = simulate(checked, scenario(checks=smoke((), false_failure=0.3)), runs=120).runs
    assert rows["false_abort"].mean() == pytest.approx(0.3, abs=0.1)


def test_a_slow_suite_delays_the_switch(checked):
    fast = simulate(checked, scenario(checks=smoke((), minutes=2)), runs=3).runs
    slow = simulate(checked, scenario(checks=smoke((), minutes=45)), runs=3).runs
    assert (slow["duration_s"] - fast["duration_s"]).tolist() == [43 * 60.0] * 3


# --- people ---------------------------------------------------------------------------------------

NINE_TO_FIVE = WorkingHours(9 * HOUR, 17 * HOUR, released_ms=14 * HOUR)


@pytest.mark.parametrize(
    ("now_h", "work_h", "wait_h"),
    [
        (0, 1, 1),  # Monday 14:00
        (2, 2, 1 + 16 + 1),  # Monday 16:00: one hour today, one tomorrow
        (4, 1, 15 + 1),  # Monday 18:00
        (4 * 24 + 2, 2, 1 + 64 + 1),  # Friday 16:00
        (5 * 24, 1, 43 + 1),  # Saturday 14:00
    ],
)
def test_promotions_have_working_hours(now_h, work_h, wait_h):
    assert working_wait_ms(NINE_TO_FIVE, now_h * HOUR, work_h * HOUR) == wait_h * HOUR


def test_a_rollout_that_asks_in_the_evening_waits_until_the_morning(canary):
    late = replace(NINE_TO_FIVE, released_ms=17 * HOUR)
    people = Operators(promote=Delay(600_000), hours=late)
    rows = simulate(canary, scenario(operators=people, horizon_ms=20 * HOUR), runs=3).runs
    assert rows["duration_s"].between(16 * 3600, 16 * 3600 + 1200).all()


def test_who_waves_things_through_promotes_what_others_stop(canary):
    """A fault that the gate does not see and that a person does: 30 % of half of the requests is wrong."""
    late = Fault(FaultKind.ERROR_STEP, 0.12, above_weight=0.4)
    looks = Operators(promote=Delay(200_000), notice_excess=0.05, notice_after_ms=HOUR)
    stamps = replace(looks, rubber_stamp=1.0)
    blind = load_policy_text(
        (SCENARIOS / "article" / "canary.yaml").read_text().replace("result[0] < 0.05", "result[0] < 0.9")
    )
    careful = simulate(blind, scenario(late, operators=looks), runs=5).runs
    careless = simulate(blind, scenario(late, operators=stamps), runs=5).runs
    assert (careful["caught_by"] == CaughtBy.PERSON).all()
    assert (careless["end"] == End.PROMOTED).all()
    assert (careful["human_waits"] == 1).all()


# --- labels ---------------------------------------------------------------------------------------

ERRORS = Fault(FaultKind.ERROR_STEP, 0.2)


@pytest.mark.parametrize("where", ["unlabelled", "mislabelled"])
def test_without_its_label_a_canary_is_not_seen(guarded, where):
    lost = Telemetry(**{where: 1.0})
    people = Operators(notice_excess=None)
    rows = simulate(guarded, scenario(ERRORS, telemetry=lost, operators=people), runs=5).runs
    assert (rows["end"] == End.PROMOTED).all()
    half = Telemetry(**{where: 0.5})
    assert (simulate(guarded, scenario(ERRORS, telemetry=half), runs=5).runs["detected"]).all()


def samples(records, name, **labels):
    found = {}
    for record in records:
        if record["kind"] != "sample" or record["labels"].get("__name__") != name:
            continue
        fits = all(record["labels"].get(key) == value for key, value in labels.items())
        if fits and isinstance(record["value"], float):  # the mark of a series' end is no number
            found.setdefault(record["at"], []).append(record["value"])
    return found


def totals(policy, world, **labels):
    _, records = trace_run(policy, world)
    return samples(records, "http_requests_total", **labels)


def test_no_request_is_lost_or_counted_twice(canary):
    plain = totals(canary, scenario())
    strayed = totals(canary, scenario(telemetry=Telemetry(unlabelled=0.3, mislabelled=0.2)))
    both = [at for at in plain if len(plain[at]) == 4]
    assert len(both) > 50
    assert [sum(strayed[at]) for at in both] == [sum(plain[at]) for at in both]
    own = totals(canary, scenario(telemetry=Telemetry(unlabelled=0.3)), app_version="v2")
    whole = totals(canary, scenario(), app_version="v2")
    last = max(whole)
    assert sum(own[last]) == pytest.approx(0.7 * sum(whole[last]), rel=0.01)


def test_counters_begin_again_when_pods_restart(canary):
    """All new pods crash every five minutes."""
    loop = Fault(FaultKind.CRASH_LOOP, 1.0, ramp_ms=300_000)
    found = totals(canary, scenario(loop), app_version="v2", status="200")
    series = [sum(found[at]) for at in sorted(found)]
    falls = [after < before for before, after in pairwise(series)]
    assert any(falls)
    assert min(series) >= 0.0


# --- gauges ---------------------------------------------------------------------------------------


def test_a_leak_fills_memory_before_it_fails(canary):
    leak = Fault(FaultKind.LEAK, 0.3, onset_ms=1_200_000, ramp_ms=600_000)
    world = scenario(leak, telemetry=Telemetry(resources=Resources()))
    _, records = trace_run(canary, world)
    memory = samples(records, "container_memory_working_set_bytes", rollouts_pod_template_hash="v2")
    values = [memory[at][0] for at in sorted(memory)]
    assert values == sorted(values)
    assert values[0] < 300e6
    stable = samples(records, "container_memory_working_set_bytes", rollouts_pod_template_hash="v1")
    assert {value for (value,) in stable.values()} == {256e6}
    cpu = samples(records, "container_cpu_usage_seconds_total", rollouts_pod_template_hash="v1")
    first, last = min(cpu), max(cpu)
    assert 0.3 < (cpu[last][0] - cpu[first][0]) / ((last - first) / 1000) < 0.5


GATE = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: logs}
spec:
  replicas: 10
  target: {deployment: api, service: api, route: {kind: HTTPRoute, name: api}}
  strategy:
    canary:
      canaryService: api-canary
      steps: [{setWeight: 10}, {pause: {duration: 30m}}]
      analysis:
        metrics:
          - name: new-classes
            initialDelay: 1m
            interval: 1m
            successCondition: len(result) == 0 || result[0] < 1
            failureLimit: 0
            provider:
              prometheus:
                address: http://prometheus:9090
                query: log_new_error_classes{service="api", hits="HITS"}
"""


def alarms(hits, *faults, rate=20.0, runs=60):
    policy = load_policy_text(GATE.replace("HITS", hits))
    logs = Telemetry(logs=Logs())
    rows = simulate(policy, scenario(*faults, rate=rate, telemetry=logs), runs=runs).runs
    return (rows["end"] == End.ABORTED).mean()


def test_any_new_class_alarms_on_good_releases_and_three_hits_hardly():
    once, thrice = alarms("1"), alarms("3")
    assert once > 0.2
    assert thrice < 0.5 * once


def test_a_class_that_is_really_new_is_seen_by_both():
    fault = Fault(FaultKind.NEW_LOG_CLASS, 0.02)
    assert alarms("1", fault, runs=10) == 1.0
    assert alarms("3", fault, runs=10) == 1.0
