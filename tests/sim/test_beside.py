"""Experiments and mirror routes in a simulated rollout: whom they reach, harm, and what the metrics see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rolloutsim.engine import SetWeight, from_json
from rolloutsim.engine.events import Action
from rolloutsim.outcomes import CaughtBy, End
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.promql import Vector, evaluate
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE
from rolloutsim.sim.compiled import courses_of
from rolloutsim.sim.requests.model import Endpoint, Fidelity, Requests
from rolloutsim.sim.run import notes, play, rows, trace_run
from rolloutsim.sim.scenario import ConstantRate, Fault, FaultKind, Release, Scenario, Service, Traffic
from rolloutsim.sim.world import World

ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 10
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    canary:
      ROUTING
      steps:
STEPS
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: hash}]
  metrics:
    - name: error-ratio
      interval: 30s
      count: 4
      initialDelay: 60s
      successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < 0.05
      provider:
        prometheus:
          query: >-
            sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.hash}}",status="500"}[1m]))
            / sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.hash}}"}[1m]))
---
apiVersion: v1
kind: Service
metadata: {name: api-stable}
spec: {selector: {app: api}}
---
apiVersion: v1
kind: Service
metadata: {name: api-canary}
spec: {selector: {app: api}}
"""
ROUTED = (
    "stableService: api-stable\n      canaryService: api-canary\n      trafficRouting: "
    "{plugins: {mesh: {}}, managedRoutes: [{name: copy}]}"
)
EXPERIMENT = """
        - experiment:
            duration: 5m
            templates:
              - {name: baseline, specRef: stable, replicas: 2WEIGHT}
              - {name: trial, specRef: canary, replicas: 2WEIGHT}
            analyses:
              - name: errors
                templateName: errors
                requiredForCompletion: true
                args: [{name: hash, value: "{{templates.trial.podTemplateHash}}"}]
        - setWeight: 20
        - pause: {duration: 60}
"""
MIRROR = """
        - setCanaryScale: {replicas: 2}
        - setMirrorRoute: {name: copy, percentage: 50, match: [{method: {regex: ".*"}}]}
        - analysis:
            templates: [{templateName: errors}]
            args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
        - setMirrorRoute: {name: copy}
        - setWeight: 20
        - pause: {duration: 60}
"""
BAD = Fault(FaultKind.ERROR_STEP, 0.3)


def policy(steps: str, routing: str = ROUTED) -> Policy:
    return load_policy_text(ROLLOUT.replace("ROUTING", routing or "maxSurge: 1").replace("STEPS", steps))


def scenario(*faults, **service):
    return Scenario("s", Service("api", Traffic(ConstantRate(100.0)), **service), Release("r", faults))


def weights_of(records):
    """Weights that were asked for after the release: of the canary, and all others together."""
    did = [from_json(Action, one["value"]) for one in records if one["kind"] == "did"]
    return [(a.weight, sum(w for _, w in a.additional)) for a in did if isinstance(a, SetWeight)]


def rates(world, at_ms):
    """Requests per second by pod hash in the minute before a time from the release."""
    query = "sum by (rollouts_pod_template_hash) (rate(http_requests_total[1m]))"
    found = evaluate(query, world.metrics.store, ORIGIN_MS + at_ms)
    assert isinstance(found, Vector)
    return {dict(labels)["rollouts_pod_template_hash"]: value for labels, value in found.elements}


def trial(weight="", routing=ROUTED):
    return policy(EXPERIMENT.replace("WEIGHT", weight), routing)


def test_an_experiment_stops_a_bad_release_before_any_weight_is_set() -> None:
    """Without weights only pods that one Service selects get requests, so the canary is by replicas."""
    made = trial(routing="")
    played = list(rows([(made, scenario(BAD))], runs=8, seed=3))
    assert all(row.end is End.ABORTED and row.caught_by is CaughtBy.ANALYSIS for row in played)
    world = World(made, scenario(BAD), 3, 0)
    world.play()
    assert "v2" not in world.loop.cluster.pools or not world.loop.cluster.pools["v2"].started
    share = 2 / 14  # two pods of each template beside ten stable ones
    assert rates(world, 65_000)["v2-trial"] == pytest.approx(100 * share, rel=0.2)
    assert world.tally.aborted is not None
    assert "Experiment analysis phase is error/failed" in world.tally.aborted[1]


def test_pods_with_labels_of_their_own_get_no_requests() -> None:
    text = EXPERIMENT.replace(
        "specRef: canary, replicas: 2WEIGHT", "specRef: canary, metadata: {labels: {app: trial}}"
    )
    world = World(policy(text.replace("WEIGHT", ""), ""), scenario(BAD), 1, 0)
    world.play()
    assert world.tally.promoted is not None
    assert "v2-trial" not in rates(world, 65_000)


def test_template_weights_are_seen_in_the_metrics_and_cost_what_they_expose() -> None:
    world = World(trial(", weight: 10"), scenario(), 1, 0)
    world.play()
    seen = rates(world, 120_000)
    assert seen["v1-baseline"] == pytest.approx(10.0, rel=0.2)
    assert seen["v2-trial"] == pytest.approx(10.0, rel=0.2)
    assert seen["v1"] == pytest.approx(80.0, rel=0.1)
    assert sum(seen.values()) == pytest.approx(100.0, rel=0.1)
    assert world.tally.promoted is not None
    assert rates(world, 225_000).keys() <= {"v1", "v2", "v2-trial", "v1-baseline"}
    assert rates(world, 225_000).get("v2-trial", 0.0) == 0.0


def test_only_the_new_versions_pods_of_an_experiment_are_exposure_and_harm() -> None:
    good, bad = (play(trial(", weight: 10"), scenario(*faults), seed=1) for faults in ((), (BAD,)))
    _, records = trace_run(trial(", weight: 10"), scenario(BAD), seed=1)
    assert weights_of(records) == [(0, 20), (0, 0)]
    assert bad.end is End.ABORTED
    # a tenth of 100 requests per second, for the minute until the first measurement
    assert bad.requests_exposed == pytest.approx(600, rel=0.1)
    assert bad.bad_requests == pytest.approx(0.3 * bad.requests_exposed, rel=0.05)
    assert good.bad_requests == 0.0
    assert bad.time_to_detect_s == pytest.approx(60.0, abs=2.0)
    assert bad.peak_pods == 14


def test_experiment_pods_that_crash_fail_the_experiment_at_the_progress_deadline() -> None:
    row = play(trial(), scenario(Fault(FaultKind.CRASH_AT_START, 1.0)), seed=1)
    assert (row.end, row.caught_by) == (End.ABORTED, CaughtBy.DEADLINE)
    assert "Template 'trial' exceeded its progressDeadlineSeconds (600)" in row.message
    assert row.requests_exposed == 0.0


def test_a_mirror_route_shows_a_fault_that_no_user_meets() -> None:
    row = play(policy(MIRROR), scenario(BAD), seed=1)
    assert (row.end, row.caught_by) == (End.ABORTED, CaughtBy.ANALYSIS)
    assert row.requests_exposed == row.bad_requests == row.users_harmed == 0.0
    world = World(policy(MIRROR), scenario(BAD), 1, 0)
    world.play()
    seen = rates(world, 68_000)
    assert seen["v2"] == pytest.approx(50.0, rel=0.15)
    assert seen["v1"] == pytest.approx(100.0, rel=0.1)


def test_a_mirror_route_without_a_match_is_removed() -> None:
    world = World(policy(MIRROR), scenario(), 1, 0)
    world.play()
    assert world.tally.promoted is not None
    # the last measurement comes at about 159 s, the weight with it, and the pause lasts a minute
    seen = rates(world, 218_000)
    assert seen["v1"] == pytest.approx(80.0, rel=0.1)
    assert seen["v2"] == pytest.approx(20.0, rel=0.2)


def test_copies_load_the_canary() -> None:
    """Two pods that take 20 requests per second each get 50: a fifth of the copies fails, of nothing else."""
    cluster = replace(Service("x", Traffic(ConstantRate(1.0))).cluster, pod_capacity_rps=20.0)
    row = play(policy(MIRROR), scenario(cluster=cluster), seed=1)
    assert row.end is End.ABORTED
    assert row.bad_requests == 0.0


def test_the_same_seed_gives_the_same_row_and_nothing_is_compiled() -> None:
    made, world = trial(", weight: 10"), scenario(BAD)
    assert play(made, world, seed=5) == play(made, world, seed=5)
    assert courses_of(made, world).refused == "an experiment or a mirror route"
    assert courses_of(policy(MIRROR), world).refused == "an experiment or a mirror route"


def test_what_cannot_be_played_is_said() -> None:
    asked = scenario(requests=Requests((Endpoint("all", 20.0),), fidelity=Fidelity.REQUEST))
    said = notes([trial()], [asked], 1, 1)
    assert "requests to an experiment or by a mirror route are not played one by one" in said[0]
    assert World(trial(), asked, 1, 0).fidelity is Fidelity.AGGREGATE
    assert any(
        "every request of a simulation matches" in note for note in notes([policy(MIRROR)], [asked], 1, 1)
    )


def test_the_true_latency_of_an_experiments_new_pods_has_the_tail_of_the_canary() -> None:
    tail = Fault(FaultKind.LATENCY_TAIL, 20.0, share=0.3)
    _, records = trace_run(policy(EXPERIMENT.replace("WEIGHT", ", weight: 5")), scenario(tail))
    known = {
        one["revision"]: one["latency_median_s"]
        for one in records
        if one["kind"] == "truth" and one["share"] > 0.0
    }
    stable, new = known.pop(STABLE), known.pop(NEW)
    assert stable == 0.06 < new
    assert sorted(known.values()) == [stable, new]
