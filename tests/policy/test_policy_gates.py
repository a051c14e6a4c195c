"""Gates in a RolloutPolicy: what a manifest says, what it may not say, and the way back."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import digest, load_policy_text
from rolloutsim.policy.export import export_policy
from rolloutsim.policy.gate_shape import GATE, GATE_CHOICES, GATE_NOTES, TESTS
from rolloutsim.policy.gate_telemetry import edge_s, preset_counters
from rolloutsim.policy.gated import GatedCounts, NoData, OnFail, Scope
from rolloutsim.policy.gates import RateRatio, SampleRatio, Spending
from rolloutsim.policy.model import Canary, Metric, PodHashArgument, Policy
from rolloutsim.policy.schema import policy_schema
from rolloutsim.telemetry import PRESETS

POLICY = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: api}
spec:
  replicas: 10
  target:
    deployments: [api-a, api-b]
    service: api-stable
    route: {kind: HTTPRoute, name: api}
  strategy:
    canary:
      canaryService: api-canary
      steps:
        - setWeight: 5
        - pause: {duration: 20m}
        - setWeight: 50
        - pause: {duration: 10m}
      analysis:
        metrics:
"""
WEIGHTS = "        - setWeight: 5\n        - pause: {duration: 20m}\n        - setWeight: 50\n"
GATED = "          - name: errors\n            interval: 15s\n            gate:\n"
TELEMETRY = "              telemetry: {preset: app, service: api}\n"
COUNTERS = """\
              counters:
                canary: {requests: 'r{v="new"}', errors: 'r{v="new", code="500"}'}
                stable: {requests: 'r{v="old"}', errors: 'r{v="old", code="500"}'}
"""


def with_gate(*lines: str, counters: str = TELEMETRY, metric: str = GATED) -> str:
    return POLICY + metric + counters + "".join(f"              {line}\n" for line in lines)


def load(*lines: str, **more: str) -> tuple[Policy, Metric, GatedCounts]:
    policy = load_policy_text(with_gate(*lines, **more), "policy.yaml")
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.background is not None
    metric = policy.strategy.background.metrics[0]
    assert isinstance(metric.provider, GatedCounts)
    return policy, metric, metric.provider


def test_the_default_gate() -> None:
    policy, metric, counts = load()
    assert counts.gate == RateRatio(alpha=0.05)
    assert metric.interval_ms == 15_000
    assert counts.watches
    assert (counts.on_no_data, counts.on_fail, counts.scope) == (NoData.WAIT, OnFail.ABORT, Scope.ROLLOUT)
    assert counts.canary.errors.endswith('status=~"5.."}')
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.background is not None
    assert policy.strategy.background.late == (
        PodHashArgument("canary-hash", latest=True),
        PodHashArgument("stable-hash", latest=False),
    )


def test_every_field_has_its_place() -> None:
    _, metric, counts = load(
        "prometheus: {address: 'http://p:9090', timeout: 5, insecure: true}",
        "falseAbortRate: 1%",
        "missRate: 0.2",
        "margin: 1.5",
        "smallestRatio: 3",
        "harmlessRate: 0.1%",
        "minRequests: 200",
        "maxRequests: 90000",
        "onNoData: hold",
        "onFail: hold",
        "scope: step",
        "expiresAfter: 45m",
        "approvers: [anna, team-sre]",
    )
    assert counts.gate == RateRatio(0.01, 0.2, 1.5, 3.0, 0.001, 200, 90_000)
    assert (counts.on_no_data, counts.on_fail, counts.scope) == (NoData.HOLD, OnFail.HOLD, Scope.STEP)
    assert counts.expires_after_ms == 45 * 60_000
    assert counts.approvers == ("anna", "team-sre")
    assert (counts.address, counts.timeout_ms, counts.settings_json) == (
        "http://p:9090",
        5_000,
        '{"insecure":true}',
    )
    assert metric.success_condition == ""


@pytest.mark.parametrize("test", list(TESTS))
def test_every_test_loads_and_comes_back_from_an_export(test: str) -> None:
    needed = {"goodRate": "1%", "badRate": "3%", "plannedRequests": "5000"}
    lines = [f"test: {test}", *(f"{field}: {needed[field]}" for field in TESTS[test].required)]
    if test == "groupSequential":
        lines += ["spending: pocock", "looks: 7"]
    policy, _, counts = load(*lines)
    assert type(counts.gate) is TESTS[test].gate
    if test == "groupSequential":
        assert counts.gate.spending is Spending.POCOCK  # type: ignore[union-attr]
    exported = export_policy(policy, "native")
    assert exported.losses == ()
    assert digest(exported.policy) == digest(policy)


def test_gates_that_state_no_rate_share_five_percent() -> None:
    text = with_gate() + "".join(
        f"          - name: {name}\n            interval: 15s\n            gate:\n{TELEMETRY}{rate}"
        for name, rate in (
            ("slow", ""),
            ("strict", "              falseAbortRate: 0.1%\n"),
            ("routing", "              test: sampleRatio\n"),
        )
    )
    policy = load_policy_text(text, "policy.yaml")
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.background is not None
    gates = [
        m.provider.gate for m in policy.strategy.background.metrics if isinstance(m.provider, GatedCounts)
    ]
    assert [gate.alpha for gate in gates] == [0.025, 0.025, 0.001, SampleRatio().alpha]


def test_an_export_to_argo_names_the_gates_that_it_leaves_out() -> None:
    policy, _, _ = load()
    losses = [loss for loss in export_policy(policy, "argo").losses if loss.decides]
    assert any("no statistical gates: errors is left out" in loss.why for loss in losses)


def test_an_analysis_template_has_no_gates() -> None:
    template = """\
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  metrics:
    - name: errors
      gate: {telemetry: {preset: app, service: api}}
"""
    text = (
        POLICY.replace("        metrics:\n", "        templates: [{templateName: errors}]\n---\n") + template
    )
    with pytest.raises(PolicyError, match="unknown field 'gate'"):
        load_policy_text(text, "policy.yaml")


@pytest.mark.parametrize(
    ("lines", "path", "why"),
    [
        (("test: tTest",), "gate.test", "expected rateRatio or"),
        (("falseAbortRate: 0",), "gate.falseAbortRate", "falseAbortRate and missRate must lie between"),
        (("falseAbortRate: 70%",), "gate.falseAbortRate", "between 1e-12 and 0.5"),
        (("falseAbortRate: .nan",), "gate.falseAbortRate", "expected a number"),
        (("falseAbortRate: often",), "gate.falseAbortRate", "expected a share"),
        (("margin: 0.5",), "gate.margin", "1 <= margin < smallestRatio"),
        (("margin: 3",), "gate.margin", "margin < smallestRatio"),
        (("harmlessRate: 120%",), "gate.harmlessRate", "below 1"),
        (("minRequests: -5",), "gate.minRequests", "0 <= minRequests"),
        (("minRequests: 50", "maxRequests: 10"), "gate.minRequests", "minRequests <= maxRequests"),
        (("goodRate: 1%",), "gate.goodRate", "the test rateRatio has no goodRate"),
        (("test: waldSprt",), "gate.goodRate", "the test waldSprt needs goodRate"),
        (("test: waldSprt", "goodRate: 5%", "badRate: 1%"), "gate.goodRate", "goodRate < badRate"),
        (("test: groupSequential", "plannedRequests: 3"), "gate.plannedRequests", "plannedRequests >= looks"),
        (("onNoData: shrug",), "gate.onNoData", "expected wait or hold or fail or pass"),
        (("onFail: fail",), "gate.onFail", "expected abort or hold"),
        (("scope: day",), "gate.scope", "expected step or rollout"),
        (("expiresAfter: soon",), "gate.expiresAfter", "invalid duration"),
        (("prometheus: {timeout: 0}",), "gate.prometheus.timeout", "has to be positive"),
        (("alpha: 5%",), "gate.alpha", "unknown field"),
    ],
)
def test_wrong_values_are_refused_at_their_place(lines: tuple[str, ...], path: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        load(*lines)
    assert caught.value.path.endswith(path)
    assert caught.value.at is not None


@pytest.mark.parametrize(
    ("counters", "path", "why"),
    [
        ("              minRequests: 5\n", "gate", "either telemetry or counters"),
        (TELEMETRY + COUNTERS, "gate", "either telemetry or counters"),
        (TELEMETRY.replace("app", "nagios"), "telemetry.preset", "no telemetry preset 'nagios'"),
        (TELEMETRY.replace("app", "envoy-gateway"), "telemetry.preset", "not at all"),
        (TELEMETRY.replace("api}", "api, slowerThan: 300ms}"), "telemetry.slowerThan", "no bucket edge"),
        (COUNTERS.replace('r{v="new"}\'', "rate(r[5m])'"), "canary.requests", "no function"),
        (COUNTERS.replace('r{v="new"}\'', "r offset 5m'"), "canary.requests", "no function"),
        (COUNTERS.replace('r{v="new"}\'', "r{v='"), "canary.requests", "does not compile"),
        (
            COUNTERS.replace(', errors: \'r{v="new", code="500"}\'', ""),
            "counters.canary",
            "either errors, or",
        ),
        (COUNTERS[: COUNTERS.index("                stable")], "counters.stable", "compares with stable"),
    ],
)
def test_wrong_counters_are_refused_at_their_place(counters: str, path: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        load(counters=counters)
    assert caught.value.path.endswith(path)


@pytest.mark.parametrize(
    ("metric", "path", "why"),
    [
        (GATED.replace("            interval: 15s\n", ""), "interval", "how often to look"),
        (GATED.replace("15s", "0s"), "interval", "shorter than 1 ms"),
        (
            GATED.replace("15s\n", "15s\n            failureLimit: 3\n"),
            "failureLimit",
            "goes without failureLimit",
        ),
        (GATED.replace("15s\n", "15s\n            count: 9\n"), "count", "until the rollout ends"),
        (
            GATED.replace("15s\n", "15s\n            successCondition: result[0] < 1\n"),
            "successCondition",
            "judges by itself",
        ),
    ],
)
def test_what_does_not_go_with_a_gate_is_refused(metric: str, path: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        load(metric=metric)
    assert caught.value.path.endswith(path)


def test_an_inline_gate_has_to_end() -> None:
    head, _, gate = with_gate().partition("      analysis:\n")
    inline = head + "        - analysis:\n" + "".join(f"    {line}\n" for line in gate.splitlines())
    with pytest.raises(PolicyError, match="may never decide") as caught:
        load_policy_text(inline, "policy.yaml")
    assert "expiresAfter" in caught.value.fix
    assert load_policy_text(inline + "                  expiresAfter: 1h\n", "policy.yaml").name == "api"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "        - setWeight: 5\n        - pause: {duration: 20m}\n        - setWeight: 50\n",
            "",
            "needs a step",
        ),
        ("      analysis:\n", "      analysis:\n        startingStep: 4\n", "start after step 3"),
    ],
)
def test_gates_need_a_step_to_hold_at(old: str, new: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        load_policy_text(with_gate().replace(old, new), "policy.yaml")


def test_in_blue_green_only_absolute_gates_make_sense() -> None:
    start = POLICY.index("    canary:")
    blue_green = (
        POLICY[:start].replace("    route: {kind: HTTPRoute, name: api}\n", "")
        + "    blueGreen:\n      previewService: api-preview\n"
        + "      postPromotionAnalysis:\n        metrics:\n"
    )
    with pytest.raises(PolicyError, match="compares two versions"):
        load_policy_text(blue_green + GATED + TELEMETRY + "              expiresAfter: 1h\n", "policy.yaml")
    absolute = "              test: waldSprt\n              goodRate: 1%\n              badRate: 3%\n"
    text = blue_green + GATED + TELEMETRY + absolute + "              expiresAfter: 1h\n"
    assert load_policy_text(text, "policy.yaml").name == "api"


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.tells_versions_apart])
def test_a_preset_reads_each_version_apart(name: str) -> None:
    canary, stable = preset_counters(name, "api", canary_revision="new", stable_revision="old")
    assert canary != stable
    assert canary.requests != canary.errors
    edge = PRESETS[name].bounds_s[2]
    slow, _ = preset_counters(name, "api", canary_revision="new", stable_revision="old", slower_than_s=edge)
    assert "_bucket{" in slow.fast
    assert edge_s(slow) == edge
    assert edge_s(canary) is None


def test_the_schema_explains_every_field_of_a_gate() -> None:
    gate: dict[str, Any] = policy_schema()["definitions"]["metric"]["properties"]["gate"]["properties"]
    assert set(gate) == set(GATE.fields) == set(GATE_NOTES)
    assert all(field["description"] for field in gate.values())
    assert gate["test"]["enum"] == list(GATE_CHOICES["test"])
