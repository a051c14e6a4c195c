"""Parts of a scenario that are off unless a file has them: their fields, defaults and refusals."""

from __future__ import annotations

import pytest

from rolloutsim.errors import ScenarioError
from rolloutsim.sim.scenario import (
    Autoscaler,
    Basis,
    Change,
    Check,
    Connections,
    Controller,
    Delay,
    Drain,
    FaultKind,
    Logs,
    Migration,
    PodPhases,
    Probe,
    Resources,
    SchemaChange,
    Sessions,
    Sticky,
    Swap,
    WorkingHours,
)
from rolloutsim.sim.scenario_file import load_scenario_text

HEAD = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
"""


def loaded(service="", release=""):
    text = (
        HEAD + f"  service: {{name: a, traffic: {{rate_rps: 1}}{service}}}\n  release: {{name: b{release}}}\n"
    )
    return load_scenario_text(text)


def test_empty_parts_have_the_defaults_of_the_model():
    cluster = ", cluster: {phases: {}, probe: {}, drain: {}, controller: {}, autoscaler: {}}"
    rest = ", connections: {}, telemetry: {resources: {}, logs: {}}, operators: {hours: {}}"
    scenario = loaded(cluster + rest)
    model = scenario.service.cluster
    phases = PodPhases(Delay(500, 0.3), Delay(4_000, 0.5), Delay(5_000, 0.3), probe_ms=1_000, nodes=3)
    assert model.phases == phases
    assert model.probe == Probe()
    assert model.drain == Drain(endpoints=Delay(150, 0.8))
    assert model.controller == Controller(sync_ms=20, qps=20.0, burst=30)
    assert model.autoscaler == Autoscaler(least=2, most=50)
    assert scenario.service.connections == Connections(1_000, Delay(1_800_000, 1.0))
    assert scenario.service.telemetry.resources == Resources()
    assert scenario.service.telemetry.logs == Logs()
    assert scenario.service.operators.hours == WorkingHours(9 * 3_600_000, 17 * 3_600_000, 14 * 3_600_000)
    bases = {one.path: one.basis for one in scenario.inputs}
    assert bases["service.cluster.drain.endpoints.median"] is Basis.MEASURED
    assert bases["service.cluster.drain.grace"] is Basis.SOURCE
    assert bases["service.connections.open"] is Basis.ASSUMED


def test_what_is_not_given_is_not_modelled_and_no_input():
    scenario = loaded()
    cluster = scenario.service.cluster
    assert (cluster.phases, cluster.probe, cluster.drain, cluster.controller) == (None,) * 4
    assert (cluster.autoscaler, scenario.service.connections, scenario.release.schema) == (None,) * 3
    assert scenario.service.sessions == Sessions()
    assert not any("drain" in one.path or "sessions" in one.path for one in scenario.inputs)


def test_every_field_is_read():
    scenario = loaded(
        ", cluster: {probe: {finds: {broken-at-start: 90%}, coupling: 50%, period: 5s, failures: 2},"
        " pod_capacity_rps: 12}, sessions: {requests: 5, length: 1m, sticky: canary},"
        " connections: {open: 10, lifetime: 1h, swap: drain, drain: 10s, grace: 5s},"
        " telemetry: {unlabelled: 10%, mislabelled: 20%}, operators: {rubber_stamp: 30%},"
        " checks: [{metric: m, finds: {error-step: 0.5}, false_failure: 1%, duration: 2m}]",
        ", faults: [{kind: capacity, size: 1.4}, {kind: cold-start, size: 4, ramp: 5m},"
        " {kind: crash-loop, size: 100%, ramp: 3m}, {kind: new-log-class, size: 1%}],"
        " schema: {change: one-step, touches: 10%, writes: 50%, migration: at-promotion, duration: 2m}",
    )
    service, release = scenario.service, scenario.release
    assert service.cluster.probe == Probe((("broken-at-start", 0.9),), 0.5, 5_000, 2)
    assert service.cluster.pod_capacity_rps == 12.0
    assert service.sessions == Sessions(5, 60_000, Sticky.CANARY)
    assert service.connections == Connections(10, Delay(3_600_000), Swap.DRAIN, 10_000, 5_000)
    assert (service.telemetry.unlabelled, service.telemetry.mislabelled) == (0.1, 0.2)
    assert service.operators.rubber_stamp == 0.3
    assert service.checks == (Check("m", (("error-step", 0.5),), 0.01, 120_000),)
    assert [fault.kind for fault in release.faults][:2] == [FaultKind.CAPACITY, FaultKind.COLD_START]
    assert release.faults[1].healthy
    assert release.schema == SchemaChange(Change.ONE_STEP, 0.1, 0.5, Migration.AT_PROMOTION, 120_000)


@pytest.mark.parametrize(
    ("service", "release", "why"),
    [
        (", cluster: {drain: {presto: 1s}}", "", "did you mean 'pre_stop'"),
        (", cluster: {autoscaler: {least: 5, most: 4}}", "", "fewer than the least"),
        (", cluster: {probe: {finds: {dependency-blip: 1}}}", "", "unknown field 'dependency-blip'"),
        (", sessions: {requests: 2.5}", "", "a whole number"),
        (", connections: {swap: kept}", "", "did you mean 'keep'"),
        (", telemetry: {unlabelled: 60%, mislabelled: 50%}", "", "more than all requests"),
        (", operators: {hours: {start: 17h, end: 9h}}", "", "ends before it starts"),
        (", checks: [{metric: m}, {metric: m}]", "", "given twice"),
        ("", ", schema: {touches: 10%}", "the field 'change' is missing"),
        ("", ", schema: {change: expand-contract, duration: 1m}", "has no 'duration'"),
        ("", ", schema: {change: one-step, contract: 1m}", "has no 'contract'"),
        ("", ", faults: [{kind: crash-loop, size: 100%}]", "the field 'ramp' is missing"),
        ("", ", faults: [{kind: capacity, size: 140%}]", "is a factor"),
    ],
)
def test_parts_that_are_refused(service, release, why):
    with pytest.raises(ScenarioError) as refused:
        loaded(service, release)
    assert why in str(refused.value)
