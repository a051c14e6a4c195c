"""Nine claims of a guide as hypotheses, each with the rule that would refute it.

The rules were written down before the runs. A claim that a run refutes stays here with the answer that the
run gave. ``told`` prints the numbers: pytest -s.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from rolloutsim.estimates import mean_interval
from rolloutsim.evidence.choosing import Judgement, judge, load_choices
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.policy.model import Canary, SetWeight
from rolloutsim.sim.clients import Sessions, Sticky
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.platform import Cluster, Delay, Probe
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import (
    Change,
    Check,
    ConstantRate,
    Fault,
    FaultKind,
    Logs,
    Operators,
    Release,
    Scenario,
    SchemaChange,
    Service,
    Telemetry,
    Traffic,
)

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CHOOSING = SCENARIOS / "choosing"
NOBODY = Operators(promote=None, notice_excess=None)
RUNS = 40


def policy(name):
    return load_policy(CHOOSING / "policies" / f"{name}.yaml")


def world(*faults, rate=100.0, **service):
    given = {"cluster": Cluster(pod_ready=Delay(10_000), router_delay=Delay(100)), "operators": NOBODY}
    return Scenario(
        "s", Service("api", Traffic(ConstantRate(rate)), **(given | service)), Release("r", faults)
    )


def mean(one, scenario, column="bad_requests", runs=RUNS):
    return float(simulate(one, scenario, runs=runs).runs[column].mean())


def told(text):
    print(text)  # noqa: T201


def at_weight(name, weight):
    """A canary of one step at a weight that its router sets exactly."""
    base = policy(name)
    routed = load_policy(SCENARIOS / "policies" / "httproute-canary.yaml").strategy
    assert isinstance(base.strategy, Canary)
    assert isinstance(routed, Canary)
    steps = (SetWeight(weight), *(step for step in base.strategy.steps if not isinstance(step, SetWeight)))
    strategy = replace(
        base.strategy,
        steps=steps,
        routing=replace(routed.routing, verifies=False),
        stable_service="api",
        canary_service="api-canary",
    )
    return replace(base, strategy=strategy)


# --- H1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [25, *(pytest.param(w, marks=pytest.mark.slow) for w in (5, 10))])
def test_h1_a_fixed_time_costs_one_over_w_more_and_a_fixed_sample_the_same(weight):
    """Refuted when a ratio is more than a tenth off. It is not."""
    bad = Fault(FaultKind.ERROR_STEP, 0.2)
    switch = mean(policy("blue-green"), world(bad), runs=10)
    few = {"rate": 20.0, "telemetry": Telemetry(scrape_interval_ms=5_000), "horizon_ms": 8 * 3_600_000}
    small = Fault(FaultKind.ERROR_STEP, 0.01)
    counted = mean(policy("blue-green-sample"), world(small, **few))
    by_time = switch / mean(at_weight("canary", weight), world(bad), runs=10)
    by_sample = mean(at_weight("canary-sample", weight), world(small, **few)) / counted
    told(f"H1 w={weight} %: by time x{by_time:.2f} (1/w = {100 / weight:.0f}), by sample x{by_sample:.2f}")
    assert by_time == pytest.approx(100 / weight, rel=0.1)
    assert by_sample == pytest.approx(1.0, rel=0.1)


# --- H2 -------------------------------------------------------------------------------------------


def test_h2_smoke_tests_help_with_what_shows_without_load_and_with_nothing_else():
    """Refuted when the gain is below the share that they find, or load-dependent faults gain too."""
    checked = load_policy(SCENARIOS / "policies" / "blue-green-checked.yaml")
    finds = (("error-step", 0.8),)
    at_once = Fault(FaultKind.ERROR_STEP, 0.2)
    under_load = replace(at_once, above_weight=0.5)

    def hurt(fault, kinds):
        checks = (Check("smoke-test", kinds, 0.0, 120_000),)
        return simulate(checked, world(fault, checks=checks), runs=100).runs["bad_requests"]

    gain = 1.0 - hurt(at_once, finds) / hurt(at_once, ())
    none = hurt(under_load, ()) - hurt(under_load, finds)
    told(f"H2 gain {gain.mean():.2f} where 0.80 of the faults are found; under load {none.abs().max():.2g}")
    low, high = (lambda e: (e.low, e.high))(mean_interval(gain))
    assert low <= 0.8 <= high
    assert (none == 0.0).all()


# --- H3 -------------------------------------------------------------------------------------------


def alert_ms(size):
    """When rate[5m] passes 1 % from 0.1 %, half an evaluation of 30 s and a scrape of 15 s included."""
    return round(1000 * (300 * 0.009 / size + 15 + 15))


def test_h3_a_rollback_is_instant_only_until_the_old_pods_are_gone():
    """Refuted when 10 % of the faults below +5 points take the warm path under the default of 30 s."""
    warm = {}
    for size in (0.011, 0.02, 0.049, 0.2, 0.8):
        people = Operators(promote=None, notice_excess=0.01, notice_after_ms=alert_ms(size), respond=Delay(0))
        rows = simulate(
            policy("blue-green-ungated"),
            world(Fault(FaultKind.ERROR_STEP, size), operators=people),
            runs=RUNS,
        ).runs
        warm[size] = (rows["restore_s"] < 5.0).mean()
        told(f"H3 +{100 * size:.1f} points: alert after {alert_ms(size) / 1000:.0f} s, warm {warm[size]:.0%}")
    assert all(share < 0.1 for size, share in warm.items() if size < 0.05)
    kept = Operators(promote=None, notice_excess=0.01, notice_after_ms=alert_ms(0.02), respond=Delay(0))
    rows = simulate(
        policy("blue-green-ten-minutes"),
        world(Fault(FaultKind.ERROR_STEP, 0.02), operators=kept),
        runs=RUNS,
    ).runs
    assert (rows["restore_s"] < 5.0).all()


# --- H4 -------------------------------------------------------------------------------------------


def test_h4_no_strategy_survives_a_one_step_rename_and_both_survive_expand_and_contract():
    """Refuted when either reaches 0 violations without, or not with, expand and contract."""
    found = {}
    for change in Change:
        schema = SchemaChange(change, touches=0.2)
        for name in ("canary", "blue-green", "maintenance-window"):
            scenario = replace(world(), release=Release("r", schema=schema))
            rows = simulate(policy(name), scenario, runs=10).runs
            found[change, name] = rows
            told(
                f"H4 {change} {name}: violations {rows['schema_violations'].mean():.0f}, "
                f"both versions serve {rows['mixed_s'].mean():.0f} s, unserved {rows['unserved'].mean():.0f}"
            )
    for name in ("canary", "blue-green"):
        assert (found[Change.ONE_STEP, name]["schema_violations"] > 0).all()
        assert (found[Change.EXPAND_CONTRACT, name]["schema_violations"] == 0).all()
    assert (found[Change.ONE_STEP, "maintenance-window"]["schema_violations"] == 0).all()
    wide, narrow = (found[Change.EXPAND_CONTRACT, name]["mixed_s"] for name in ("canary", "blue-green"))
    assert wide.min() > narrow.max()


# --- H5 -------------------------------------------------------------------------------------------

STARTER = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: starter}
spec:
  replicas: 10
  target: {deployment: api, service: api, route: {kind: HTTPRoute, name: api}}
  strategy:
    canary:
      canaryService: api-canary
      steps: [{setWeight: 50}, {pause: {duration: 11m}}]
      analysis:
        startingStep: 1
        args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
        metrics:
          - name: error-rate
            initialDelay: 1m
            interval: 1m
            count: 10
            successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < LIMIT
            failureLimit: STRIKES
            provider:
              prometheus:
                address: http://prometheus:9090
                query: |
                  sum(rate(http_requests_total{app_version="{{args.hash}}", status=~"5.."}[1m]))
                  / sum(rate(http_requests_total{app_version="{{args.hash}}"}[1m]))
"""


def aborts(limit, strikes, rps, noise, worse=0.0, runs=150):
    gate = load_policy_text(STARTER.replace("LIMIT", limit).replace("STRIKES", str(strikes)))
    faults = (Fault(FaultKind.ERROR_STEP, worse),) if worse else ()
    scenario = world(
        *faults,
        rate=2.0 * rps,
        error_rate=noise,
        telemetry=Telemetry(counters_from_zero=True),
        horizon_ms=1_200_000,
    )
    (row,) = simulate(gate, scenario, runs=runs).rows
    return row.p_abort


def test_h5_starter_gates_are_jumpy_or_blind():
    """Refuted when one keeps false aborts to 5 % at the stated noise and still catches the regression."""
    jumpy = aborts("0.01", 0, rps=1.0, noise=0.001)
    blind = aborts("0.05", 0, rps=5.0, noise=0.001, worse=0.02)
    told(f"H5 99 % form, 1 rps: false aborts {jumpy.value:.2f}; 95 % form catches 2.1 %: {blind.value:.3f}")
    assert jumpy.low > 0.05
    assert blind.high < 0.1


# --- H6 -------------------------------------------------------------------------------------------


def test_h6_five_percent_of_the_requests_are_forty_percent_of_the_users():
    """Refuted when the exposure of users excludes 1 - (1 - w)^k."""
    guide = load_policy(SCENARIOS / "article" / "ingress-nginx.yaml")
    quick = Cluster(pod_ready=Delay(0), router_delay=Delay(0))
    for k in (1, 10, 50):
        for sticky in Sticky if k == 10 else (Sticky.NONE,):
            scenario = world(cluster=quick, sessions=Sessions(k, 10_000, sticky))
            exposed = mean(guide, scenario, "users_exposed", runs=3) / (100.0 * 7_200 / k)
            told(f"H6 w = 5 %, k = {k}, sticky {sticky}: {exposed:.1%} of the users")
            if sticky is Sticky.NONE:
                assert exposed == pytest.approx(1.0 - 0.95**k, rel=0.02)
            if sticky is Sticky.BOTH:
                assert exposed == pytest.approx(0.05, rel=0.02)


# --- H7 -------------------------------------------------------------------------------------------


def test_h7_deep_checks_trade_broken_starts_for_total_outages():
    """Refuted when deep readiness does not cut the one or does not raise the other."""
    rolling = load_policy(SCENARIOS / "article" / "rolling.yaml")
    broken = Fault(FaultKind.BROKEN_AT_START, 1.0)
    blip = Fault(FaultKind.DEPENDENCY_BLIP, 0.9, onset_ms=900_000, end_ms=1_200_000)
    people = Operators()
    hurt = {}
    for name, probe in (
        ("shallow", Probe()),
        ("deep", Probe(finds=(("broken-at-start", 0.95),), coupling=1.0)),
    ):
        cluster = Cluster(pod_ready=Delay(10_000), probe=probe)
        rows = simulate(rolling, world(broken, cluster=cluster, operators=people), runs=100).runs
        starts = rows["bad_requests"].mean()
        outages = simulate(rolling, world(blip, cluster=cluster, operators=people), runs=100).runs["unserved"]
        hurt[name] = starts, outages.mean(), outages.quantile(0.95)
        told(
            f"H7 {name}: broken start {starts:.0f}, outage mean {outages.mean():.0f}, p95 {hurt[name][2]:.0f}"
        )
    cut = hurt["shallow"][0] - hurt["deep"][0]
    raised = hurt["deep"][1] - hurt["shallow"][1]
    told(f"H7 deep pays while outages are fewer than {cut / raised:.1f} per broken start")
    assert cut > 0.8 * hurt["shallow"][0]
    assert hurt["deep"][2] > hurt["shallow"][2] == 0.0


# --- H8 -------------------------------------------------------------------------------------------


def power(weight, labelled, seconds, healthy, worse, rps=1_000.0, runs=400):
    """Chance that the errors of a stretch pass the level that only 5 % of good releases pass."""
    service = Service("api", Traffic(ConstantRate(rps)), error_rate=healthy)
    counts = {}
    for rate in (healthy, worse):
        found = []
        for run in range(runs):
            plane = DataPlane(service, 1, run, [0, 1], (), start_ms=0, phase_ms=0)
            plane.change((Conditions(1 - weight, healthy), Conditions(weight, rate)))
            plane.advance(round(seconds * 1000))
            errors = plane.now().totals[0, :, 1]
            found.append(errors[1] if labelled else errors.sum())
        counts[rate] = np.array(found)
    level = np.quantile(counts[healthy], 0.95)
    return (counts[worse] > level).mean()


def needed_s(weight, labelled, healthy, worse, rps=1_000.0):
    """Seconds for a power of 90 % at a level of 5 %, by the normal approximation."""
    z_level, z_power = (NormalDist().inv_cdf(p) for p in (0.95, 0.9))
    share = weight if labelled else 1.0
    before = healthy
    after = worse if labelled else (1 - weight) * healthy + weight * worse
    spread = z_level * math.sqrt(before) + z_power * math.sqrt(after)
    return (spread / (after - before)) ** 2 / (rps * share)


def test_h8_without_the_label_requests_grow_as_one_over_w_squared():
    """Refuted when the fitted growth excludes 1/w^2 in requests, or 1/w in time against a labelled canary."""
    weights = (0.05, 0.1, 0.2, 0.4)
    times = {}
    for labelled in (True, False):
        times[labelled] = [needed_s(w, labelled, 0.01, 0.012) for w in weights]
        reached = [power(w, labelled, t, 0.01, 0.012) for w, t in zip(weights, times[labelled], strict=True)]
        told(f"H8 labelled {labelled}: seconds {np.round(times[labelled], 1)}, power {reached}")
        assert np.array(reached) == pytest.approx(0.9, abs=0.06)
    slope = np.polyfit(np.log(weights), np.log(times[False]), 1)[0]
    ratio = np.polyfit(np.log(weights), np.log(np.array(times[False]) / times[True]), 1)[0]
    told(f"H8 requests grow as w^{slope:.2f}, time against a labelled canary as w^{ratio:.2f}")
    assert slope == pytest.approx(-2.0, abs=0.1)
    assert ratio == pytest.approx(-1.0, abs=0.1)


# --- H9 -------------------------------------------------------------------------------------------

LOG_GATE = STARTER.replace("hash, valueFrom", "unused, valueFrom").split("successCondition")[0]


def alarms(hits, rps, runs=60):
    query = f'log_new_error_classes{{service="api", hits="{hits}"}}'
    text = (
        LOG_GATE
        + "successCondition: len(result) == 0 || result[0] < 1\n            failureLimit: 0\n"
        + "            provider: {prometheus: {address: 'http://p:9090', query: '"
        + query
        + "'}}\n"
    )
    gate = load_policy_text(text.replace("setWeight: 50", "setWeight: 10").replace("11m", "30m"))
    gate_count = text.count("count: 10")
    assert gate_count == 1
    scenario = world(rate=rps, telemetry=Telemetry(logs=Logs()), horizon_ms=3_600_000)
    (row,) = simulate(gate, scenario, runs=runs).rows
    return row.p_false_abort


@pytest.mark.parametrize("rps", [5.0, *(pytest.param(r, marks=pytest.mark.slow) for r in (20.0, 49.0))])
def test_h9_any_new_error_class_alarms_on_good_releases(rps):
    """Refuted when at most 20 % of the good releases are alarmed below 50 rps with an hour's baseline."""
    once, thrice = alarms(1, rps), alarms(3, rps)
    told(f"H9 {rps:.0f} rps: any new class {once.value:.2f}, three hits {thrice.value:.2f}")
    assert once.low > 0.2
    assert thrice.value < 0.5 * once.value


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_table_row_by_row():
    """The cases in which the advice holds (h), decides nothing (a) or turns (t)."""
    expected = {
        "instant-rollback": "ahtahh",
        "early-signal": "hhhaat",
        "schema-change": "hhhh",
        "observability": "hhhthh",
        "limited-budget": "hhhthth",
        "long-lived-connections": "ttttttttha",
    }
    letters = {Judgement.HOLDS: "h", Judgement.ALIKE: "a", Judgement.TURNS: "t", Judgement.UNKNOWN: "u"}
    for question in load_choices(CHOOSING):
        row = judge(question, runs=60)
        assert "".join(letters[one.judgement] for one in row.findings) == expected[question.name], (
            row.to_json()
        )
