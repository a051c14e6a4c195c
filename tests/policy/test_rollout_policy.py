"""RolloutPolicy, our own kind: targets, routes, metrics of its own, the four strategies."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import digest, load_policy, load_policy_text
from rolloutsim.policy.model import (
    AnalysisStep,
    BlueGreen,
    Canary,
    IntOrPercent,
    Pause,
    PodHashArgument,
    Policy,
    PrometheusProvider,
    Recreate,
    RollingUpdate,
    SetWeight,
    Target,
    TrafficRouting,
)
from tests.policy.policy_manifests import NATIVE, SCENARIOS, changed

PARTS = (SCENARIOS / "policies" / "httproute-canary.yaml").read_text(encoding="utf-8")
METRIC = "metrics: [{name: m, count: 1, provider: {prometheus: {query: 'up{h=\"{{args.h}}\"}'}}}]"


def with_strategy(strategy: str) -> str:
    """A policy over one Deployment and a Service, without a route."""
    return changed(NATIVE.split("  strategy:")[0], "    route: {kind: HTTPRoute, name: api}\n", "") + (
        f"  strategy:\n    {strategy}\n"
    )


def test_a_canary_over_a_route() -> None:
    assert load_policy_text(NATIVE) == Policy(
        name="api",
        kind="RolloutPolicy",
        replicas=4,
        strategy=Canary(
            steps=(SetWeight(20), Pause(None)),
            stable_service="api",
            canary_service="api-canary",
            routing=TrafficRouting(("httproute",), verifies=True),
            scale_down_delay_ms=30_000,
        ),
        target=Target(("api-a", "api-b"), "api", "httproute/api"),
    )


def test_an_ingress_as_route_and_finer_weights() -> None:
    text = changed(NATIVE, "HTTPRoute", "Ingress")
    text = changed(text, "steps:", "trafficRouting: {maxTrafficWeight: 1000}\n      steps:")
    policy = load_policy_text(changed(text, "setWeight: 20", "setWeight: 1000"))
    assert policy.target.route == "ingress/api"
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.routing == TrafficRouting(("nginx",), 1000, verifies=True)


def test_a_canary_by_replicas() -> None:
    policy = load_policy_text(with_strategy("canary: {maxSurge: 1, steps: [{setWeight: 25}]}"))
    assert policy.strategy == Canary(steps=(SetWeight(25),), max_surge=IntOrPercent(1))


def test_one_deployment_and_a_label() -> None:
    text = changed(NATIVE, "deployments: [api-a, api-b]", "deployment: api\n    revisionLabel: slot")
    assert load_policy_text(text).target == Target(("api",), "api", "httproute/api", "slot")


@pytest.mark.parametrize(
    ("written", "strategy"),
    [
        ("blueGreen: {}", BlueGreen("api", scale_down_delay_ms=30_000)),
        (
            "blueGreen: {activeService: api, previewService: p, autoPromotionEnabled: no}",
            BlueGreen("api", "p", auto_promotion_enabled=False, scale_down_delay_ms=30_000),
        ),
        ("rollingUpdate: {}", RollingUpdate()),
        (
            "rollingUpdate: {maxSurge: 50%, maxUnavailable: 0}",
            RollingUpdate(IntOrPercent(50, True), IntOrPercent(0)),
        ),
        ("recreate: {}", Recreate()),
    ],
)
def test_the_other_strategies(written: str, strategy: object) -> None:
    policy = load_policy_text(with_strategy(written))
    assert policy.strategy == strategy
    assert policy.target == Target(("api-a", "api-b"), "api")


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("rollingUpdate: {maxSurge: 0, maxUnavailable: 0}", "cannot both be 0"),
        ("rollingUpdate: {maxSurge: many}", "a number of pods or a percentage"),
        ("blueGreen: {activeService: other}", "names 'api' instead"),
        ("blueGreen: {previewService: api}", "two different services are required"),
        ("canary: {trafficRouting: {}, steps: [{setWeight: 5}]}", "without a route there are no weights"),
        ("canary: {steps: [{setCanaryScale: {replicas: 1}}]}", "SetCanaryScale requires TrafficRouting"),
        (
            "canary: {scaleDownDelaySeconds: 5, steps: [{setWeight: 5}]}",
            "can only be used with traffic routing",
        ),
        ("{}", "exactly one of canary, blueGreen, rollingUpdate, recreate"),
    ],
)
def test_damaged_strategies(written: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        load_policy_text(with_strategy(written))


def test_a_route_has_no_part_in_other_strategies() -> None:
    text = NATIVE.split("  strategy:")[0] + "  strategy:\n    blueGreen: {}\n"
    with pytest.raises(PolicyError, match="a route has no part in the strategy 'blueGreen'"):
        load_policy_text(text)


def test_metrics_of_its_own_declare_their_arguments_by_giving_them() -> None:
    given = "args: [{name: h, valueFrom: {podTemplateHashValue: Latest}}]"
    policy = load_policy_text(changed(NATIVE, "- pause: {}", f"- analysis: {{{given}, {METRIC}}}"))
    assert isinstance(policy.strategy, Canary)
    step = policy.strategy.steps[1]
    assert isinstance(step, AnalysisStep)
    assert step.analysis.late == (PodHashArgument("h", latest=True),)
    (metric,) = step.analysis.metrics
    assert metric.provider == PrometheusProvider('up{h="{{args.h}}"}')
    with pytest.raises(PolicyError, match=r"failed to resolve \{\{args\.h\}\}") as caught:
        load_policy_text(changed(NATIVE, "- pause: {}", f"- analysis: {{{METRIC}}}"))
    assert caught.value.path == "spec.strategy.canary.steps[1].analysis.metrics[0].provider.prometheus.query"


def test_metrics_of_its_own_beside_a_template() -> None:
    template = (
        "---\napiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: t}\n"
        "spec: {metrics: [{name: t, provider: {web: {url: x}}}]}\n"
    )
    analysis = f"{{templates: [{{templateName: t}}], args: [{{name: h, value: x}}], {METRIC}}}"
    policy = load_policy_text(changed(NATIVE, "- pause: {}", f"- analysis: {analysis}") + template)
    assert isinstance(policy.strategy, Canary)
    step = policy.strategy.steps[1]
    assert isinstance(step, AnalysisStep)
    assert [metric.name for metric in step.analysis.metrics] == ["m", "t"]


def test_metrics_of_its_own_are_not_argos() -> None:
    argo = changed(
        PARTS, "rolloutsim.dev/v1alpha1\nkind: RolloutPolicy", "argoproj.io/v1alpha1\nkind: Rollout"
    )
    with pytest.raises(PolicyError, match="unknown field"):
        load_policy_text(argo)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("deployments: [api-a, api-b]", "deployments: [api-a, api-x]", "no Deployment 'api-x' in the files"),
        ("canaryService: api-canary", "canaryService: api-canry", "no Service 'api-canry' in the files"),
        (
            "      name: api\n    revisionLabel",
            "      name: web\n    revisionLabel",
            "no HTTPRoute 'web' in the files",
        ),
        (
            "        - name: api-canary\n          port",
            "        - name: other\n          port",
            "no backend for this",
        ),
    ],
)
def test_what_the_files_hold_is_compared(old: str, new: str, why: str) -> None:
    assert load_policy_text(PARTS).not_modelled == ()
    with pytest.raises(PolicyError, match=why):
        load_policy_text(changed(PARTS, old, new))


def test_an_ingress_route_is_compared_too() -> None:
    ingress = (
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: api}\n"
        "spec: {rules: [{http: {paths: [{backend: {service: {name: SERVICE}}}]}}]}\n"
    )
    text = changed(NATIVE, "HTTPRoute", "Ingress") + ingress
    assert load_policy_text(text.replace("SERVICE", "api")).not_modelled == ()
    with pytest.raises(PolicyError, match="Ingress 'api' has no backend for this Service"):
        load_policy_text(text.replace("SERVICE", "other"))


def test_the_same_strategy_as_a_deployment_has_the_same_digest() -> None:
    rolling = load_policy(SCENARIOS / "article" / "rolling.yaml")
    text = with_strategy("rollingUpdate: {}").replace("deployments: [api-a, api-b]", "deployment: api")
    assert digest(load_policy_text(changed(text, "replicas: 4", "replicas: 10"))) == digest(rolling)
