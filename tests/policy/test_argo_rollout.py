"""Argo's Rollout: each field, each default, each step, and what a simulation does not play."""

from __future__ import annotations

import json

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import (
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentStep,
    ExperimentTemplate,
    IntOrPercent,
    Pause,
    PluginStep,
    Policy,
    ProgressThreshold,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    Step,
    TrafficRouting,
)
from tests.policy.policy_manifests import BLUE_GREEN, CANARY, changed

PLAIN = CANARY.split("      analysis:\n")[0]
SERVICES = """\
---
apiVersion: v1
kind: Service
metadata: {name: stable}
spec: {selector: {app: api}}
---
apiVersion: v1
kind: Service
metadata: {name: canary}
spec: {selector: {app: api, rollouts-pod-template-hash: abc}}
"""
ROUTED = changed(
    PLAIN,
    "      steps:\n",
    "      stableService: stable\n      canaryService: canary\n"
    "      trafficRouting:\n        plugins: {fake: {}}\n"
    "      steps:\n",
)


def canary_of(policy: Policy) -> Canary:
    assert isinstance(policy.strategy, Canary)
    return policy.strategy


def step_of(text: str) -> Step:
    """The step that is written as ``text``, in a canary with a router that can do everything."""
    manifest = changed(
        ROUTED, "plugins: {fake: {}}", "plugins: {fake: {}}\n        managedRoutes: [{name: r}]"
    )
    rollout = changed(manifest, "- setWeight: 20", f"- {text}")
    return canary_of(load_policy_text(rollout + SERVICES)).steps[0]


def test_defaults_of_a_canary_by_replicas() -> None:
    policy = load_policy_text(PLAIN)
    assert policy == Policy(
        name="api",
        replicas=4,
        strategy=Canary(steps=(SetWeight(20), Pause(300_000))),
    )


def test_defaults_with_a_router() -> None:
    policy = load_policy_text(ROUTED + SERVICES)
    assert policy.not_modelled == ()
    assert policy.strategy == Canary(
        steps=(SetWeight(20), Pause(300_000)),
        stable_service="stable",
        canary_service="canary",
        routing=TrafficRouting(("plugins/fake",), settings_json='{"plugins":{"fake":{}}}'),
        scale_down_delay_ms=30_000,
    )


def test_every_field_of_the_spec_arrives() -> None:
    fields = (
        "replicas: 4\n  minReadySeconds: 5\n  progressDeadlineSeconds: 120\n  progressDeadlineAbort: true\n"
        "  revisionHistoryLimit: 3\n  rollbackWindow: {revisions: 2}\n  paused: true\n"
        "  restartAt: '1970-01-01T00:01:00Z'"
    )
    policy = load_policy_text(
        changed(changed(PLAIN, "replicas: 4", fields), "name: api", "name: api\n  namespace: shop")
    )
    assert (policy.min_ready_ms, policy.progress_deadline_ms, policy.progress_deadline_abort) == (
        5000,
        120_000,
        True,
    )
    assert (policy.revision_history_limit, policy.rollback_window_revisions, policy.paused) == (3, 2, True)
    assert (policy.restart_at_ms, policy.namespace) == (60_000, "shop")
    assert policy.not_modelled == ("restartAt: a simulation does not restart pods one by one",)


def test_every_field_of_a_canary_arrives() -> None:
    fields = (
        "maxSurge: 2\n      maxUnavailable: '3'\n"
        "      scaleDownDelaySeconds: 0\n      scaleDownDelayRevisionLimit: 1\n"
        "      abortScaleDownDelaySeconds: 7\n      minPodsPerReplicaSet: 2\n"
        "      replicaProgressThreshold: {type: Percent, value: 90}\n"
        "      canaryMetadata: {labels: {role: canary}}\n"
        "      antiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}\n"
        "      steps:"
    )
    policy = load_policy_text(changed(ROUTED, "steps:", fields) + SERVICES)
    canary = canary_of(policy)
    assert (canary.max_surge, canary.max_unavailable) == (IntOrPercent(2), IntOrPercent(3, percent=True))
    assert (canary.scale_down_delay_ms, canary.scale_down_delay_revision_limit) == (0, 1)
    assert (canary.abort_scale_down_delay_ms, canary.min_pods_per_replica_set) == (7000, 2)
    assert canary.progress_threshold == ProgressThreshold(90, percent=True)
    assert set(json.loads(canary.extra_json)) == {"canaryMetadata", "antiAffinity"}
    assert policy.not_modelled == ("antiAffinity: pods of a simulation are not placed on nodes",)


def test_dynamic_stable_scale() -> None:
    text = changed(ROUTED, "steps:", "dynamicStableScale: true\n      steps:")
    assert canary_of(load_policy_text(text + SERVICES)).dynamic_stable_scale


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("setWeight: 0", SetWeight(0)),
        ("pause: {}", Pause(None)),
        ("pause: {duration: 0}", Pause(0)),
        ("pause: {duration: 90}", Pause(90_000)),
        ("pause: {duration: '90'}", Pause(90_000)),
        ("pause: {duration: 1.5s}", Pause(1000)),
        ("pause: {duration: 1h30m}", Pause(5_400_000)),
        ("setCanaryScale: {replicas: 3}", SetCanaryScale(replicas=3)),
        ("setCanaryScale: {replicas: 3, weight: 5}", SetCanaryScale(replicas=3)),
        ("setCanaryScale: {weight: 5}", SetCanaryScale(weight=5)),
        (
            "setCanaryScale: {matchTrafficWeight: true, replicas: 3}",
            SetCanaryScale(match_traffic_weight=True),
        ),
        ("setCanaryScale: {matchTrafficWeight: false, replicas: 3}", SetCanaryScale(replicas=3)),
        ("setCanaryScale: {}", SetCanaryScale(match_traffic_weight=True)),
        ("setHeaderRoute: {name: r}", SetHeaderRoute("r")),
        (
            "setHeaderRoute: {name: r, match: [{headerName: a, headerValue: {exact: b}}]}",
            SetHeaderRoute("r", '[{"headerName":"a","headerValue":{"exact":"b"}}]'),
        ),
        (
            "setMirrorRoute: {name: r, percentage: 5, match: [{method: {exact: GET}}]}",
            SetMirrorRoute("r", '[{"method":{"exact":"GET"}}]', 5),
        ),
        ("plugin: {name: p, config: {b: 1, a: 2}}", PluginStep("p", '{"a":2,"b":1}')),
        (
            "experiment: {duration: 5m, templates: [{name: a, specRef: stable}]}",
            ExperimentStep((ExperimentTemplate("a", canary=False),), duration_ms=300_000),
        ),
    ],
)
def test_steps(text: str, step: Step) -> None:
    assert step_of(text) == step


@pytest.mark.parametrize("kind", ["setHeaderRoute", "setMirrorRoute", "plugin"])
def test_steps_that_a_simulation_does_not_play_are_said_once(kind: str) -> None:
    body = "{name: r}" if kind != "setMirrorRoute" else "{name: r, match: [{method: {exact: GET}}]}"
    manifest = changed(
        ROUTED, "plugins: {fake: {}}", "plugins: {fake: {}}\n        managedRoutes: [{name: r}]"
    )
    text = changed(manifest, "- setWeight: 20", f"- {kind}: {body}\n        - {kind}: {body}")
    notes = load_policy_text(text + SERVICES).not_modelled
    assert len(notes) == 1
    assert kind in notes[0]


def test_an_empty_step_list_is_a_rolling_update() -> None:
    text = PLAIN.split("      steps:")[0] + "      steps: []\n"
    assert canary_of(load_policy_text(text)).steps == ()


def test_a_step_analysis_has_to_end() -> None:
    step = "- analysis: {templates: [{templateName: errors}], args: [{name: service, value: api}]}"
    text = changed(CANARY, "- setWeight: 20", step)
    with pytest.raises(PolicyError, match=r"spec\.metrics\[0\]: the metric 'errors' never ends"):
        load_policy_text(text)
    ended = canary_of(load_policy_text(changed(text, "interval: 1m", "interval: 1m\n      count: 3")))
    assert isinstance(ended.steps[0], AnalysisStep)
    assert ended.steps[0].analysis.metrics[0].count == 3


def test_blue_green_defaults() -> None:
    policy = load_policy_text(BLUE_GREEN)
    assert policy.replicas == 1
    assert policy.strategy == BlueGreen("api", "api-preview", scale_down_delay_ms=30_000)


def test_every_field_of_blue_green_arrives() -> None:
    fields = (
        "previewReplicaCount: 1\n      autoPromotionSeconds: 60\n      scaleDownDelaySeconds: 0\n"
        "      scaleDownDelayRevisionLimit: 2\n      abortScaleDownDelaySeconds: 0\n      maxUnavailable: 1\n"
        "      activeMetadata: {labels: {role: active}}\n      activeService"
    )
    strategy = load_policy_text(changed(BLUE_GREEN, "activeService", fields)).strategy
    assert strategy == BlueGreen(
        "api",
        "api-preview",
        preview_replica_count=1,
        auto_promotion_ms=60_000,
        scale_down_delay_ms=0,
        scale_down_delay_revision_limit=2,
        abort_scale_down_delay_ms=0,
        max_unavailable=IntOrPercent(1),
        extra_json='{"activeMetadata":{"labels":{"role":"active"}}}',
    )


def test_seconds_until_promotion_count_only_when_it_is_automatic() -> None:
    fields = "autoPromotionEnabled: false\n      autoPromotionSeconds: 60\n      activeService"
    strategy = load_policy_text(changed(BLUE_GREEN, "activeService", fields)).strategy
    assert isinstance(strategy, BlueGreen)
    assert (strategy.auto_promotion_enabled, strategy.auto_promotion_ms) == (False, 0)


INGRESS = """\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: main}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: SERVICE}}}]}}]}
"""
NGINX = changed(ROUTED, "plugins: {fake: {}}", "nginx: {stableIngress: main}")


def test_the_ingress_of_a_router_is_checked_when_it_is_there() -> None:
    assert load_policy_text(NGINX + SERVICES + INGRESS.replace("SERVICE", "stable")).not_modelled == ()
    assert load_policy_text(NGINX + SERVICES).not_modelled == (
        "Ingress 'main' is not in the files: its rules were not checked",
    )
    with pytest.raises(PolicyError, match="Ingress 'main' has no rule for Service 'stable'"):
        load_policy_text(NGINX + SERVICES + INGRESS.replace("SERVICE", "other"))
    old = changed(INGRESS, "{service: {name: SERVICE}}", "{serviceName: SERVICE, servicePort: 80}")
    assert load_policy_text(NGINX + SERVICES + old.replace("SERVICE", "stable")).not_modelled == ()
    with pytest.raises(PolicyError, match="either 'stableIngress' or 'stableIngresses'"):
        load_policy_text(changed(NGINX, "{stableIngress: main}", "{annotationPrefix: x}") + SERVICES)


def test_a_service_of_another_rollout_is_refused() -> None:
    owner = "argo-rollouts.argoproj.io/managed-by-rollouts"
    text = ROUTED + changed(SERVICES, "{name: stable}", f"{{name: stable, annotations: {{{owner}: OWNER}}}}")
    assert load_policy_text(text.replace("OWNER", "api")).name == "api"
    with pytest.raises(PolicyError, match="another Rollout manages the Service"):
        load_policy_text(text.replace("OWNER", "web"))


def test_one_virtual_service_or_several() -> None:
    for router, fine in (
        ("{virtualService: {name: v}}", True),
        ("{virtualServices: [{name: v}]}", True),
        ("{virtualService: {name: v}, virtualServices: [{name: v}]}", False),
        ("{}", False),
    ):
        text = changed(ROUTED, "plugins: {fake: {}}", f"istio: {router}") + SERVICES
        if fine:
            assert load_policy_text(text).not_modelled == ()
        else:
            with pytest.raises(PolicyError, match="either 'virtualService' or 'virtualServices'"):
                load_policy_text(text)


def test_what_only_labels_or_keeps_runs_is_said() -> None:
    text = changed(CANARY, "replicas: 4", "replicas: 4\n  analysis: {successfulRunHistoryLimit: 1}")
    text = changed(text, "        args:\n", "        analysisRunMetadata: {labels: {a: b}}\n        args:\n")
    assert load_policy_text(text).not_modelled == (
        "analysisRunMetadata: the runs of a simulation carry no labels",
        "analysis: a simulation keeps every finished run",
    )


def test_routers_in_the_controllers_order() -> None:
    text = changed(
        ROUTED, "plugins: {fake: {}}", "plugins: {b: {}, a: {}}\n        nginx: {stableIngress: main}"
    )
    routing = canary_of(load_policy_text(text + SERVICES)).routing
    assert routing is not None
    assert routing.routers == ("nginx", "plugins/a", "plugins/b")
    assert not routing.verifies


def test_what_is_not_used_is_said() -> None:
    other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
    template = CANARY.split("---\n")[1]
    assert load_policy_text(PLAIN + other + "---\n" + template).not_modelled == (
        "ConfigMap 'settings' is not used by the policy",
        "AnalysisTemplate 'errors' is not used by the policy",
    )


def test_a_list_of_objects_is_read_like_several_documents() -> None:
    items = ", ".join(
        f"{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: api}}}}}}"
        for name in ("stable", "canary")
    )
    as_list = f"---\napiVersion: v1\nkind: List\nitems: [{items}]\n"
    assert load_policy_text(ROUTED + as_list) == load_policy_text(ROUTED + SERVICES)


def test_ping_pong_and_workload_reference_are_noted() -> None:
    ping_pong = changed(
        ROUTED,
        "stableService: stable\n      canaryService: canary",
        "pingPong: {pingService: a, pongService: b}",
    )
    services = SERVICES.replace("stable", "a").replace("canary", "b")
    policy = load_policy_text(ping_pong + services)
    assert canary_of(policy).ping_pong == ("a", "b")
    with pytest.raises(PolicyError, match=r"canary\.pingPong\.pingService: no Service 'a'"):
        load_policy_text(ping_pong + SERVICES)
    assert policy.not_modelled[0].startswith("pingPong")
    reference = "workloadRef: {apiVersion: apps/v1, kind: Deployment, name: api}"
    text = PLAIN.replace("selector: {matchLabels: {app: api}}", reference).replace(
        "  template: {metadata: {labels: {app: api}}}\n", ""
    )
    assert load_policy_text(text).not_modelled == (
        "workloadRef: the pod template of the other workload is not read",
    )
