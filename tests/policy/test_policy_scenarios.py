"""Every policy file that comes with the project loads, and means what its comment says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rolloutsim.policy import digest, load_policy
from rolloutsim.policy.model import (
    AnalysisStep,
    BlueGreen,
    Canary,
    IntOrPercent,
    JobProvider,
    Pause,
    PodHashArgument,
    PrometheusProvider,
    RollingUpdate,
    SetWeight,
    Target,
    TrafficRouting,
)
from tests.policy.policy_manifests import ARTICLE, SCENARIOS

GUIDE = ("all-at-once", "blue-green", "canary", "ingress-nginx", "rolling")
FILES = [ARTICLE / f"{name}.yaml" for name in GUIDE] + sorted((SCENARIOS / "policies").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loads_with_ten_replicas_and_nothing_left_aside(path: Path) -> None:
    policy = load_policy(path)
    assert policy.replicas == 10
    assert policy.name == "api"
    assert policy.not_modelled == ()


def test_all_policies_differ() -> None:
    assert len({digest(load_policy(path)) for path in FILES}) == len(FILES) >= 11


def test_the_guides_canary() -> None:
    policy = load_policy(ARTICLE / "canary.yaml")
    assert isinstance(policy.strategy, Canary)
    assert policy.kind == "Rollout"
    assert policy.strategy.steps == (
        SetWeight(5),
        Pause(300_000),
        SetWeight(25),
        Pause(600_000),
        SetWeight(50),
        Pause(None),
        SetWeight(100),
    )
    assert policy.strategy.starting_step == 1
    assert policy.strategy.routing is None
    background = policy.strategy.background
    assert background is not None
    assert background.late == ()
    (metric,) = background.metrics
    assert (metric.name, metric.interval_ms, metric.count) == ("error-rate", 60_000, None)
    assert (metric.success_condition, metric.failure_limit) == ("result[0] < 0.05", 3)
    assert isinstance(metric.provider, PrometheusProvider)
    assert metric.provider.address == "http://prometheus:9090"
    assert metric.provider.query.count('service="api"') == 2
    assert metric.provider.query.count("[2m]") == 2


def test_the_guides_blue_green() -> None:
    policy = load_policy(ARTICLE / "blue-green.yaml")
    assert policy.kind == "Deployment"
    assert policy.strategy == BlueGreen(
        active_service="api", auto_promotion_enabled=False, scale_down_delay_ms=0, abort_scale_down_delay_ms=0
    )
    assert policy.target == Target(("api-blue", "api-green"), "api", revision_label="slot")


def test_the_guides_ingress_pair() -> None:
    policy = load_policy(ARTICLE / "ingress-nginx.yaml")
    assert policy.kind == "Ingress"
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.steps == (SetWeight(5), Pause(None))
    assert policy.strategy.routing == TrafficRouting(routers=("nginx",))
    assert (policy.strategy.stable_service, policy.strategy.canary_service) == ("api-stable", "api-new")
    assert policy.strategy.background is None
    assert policy.target == Target(("api-stable", "api-new"), "api-stable", "ingress/api")


def test_rolling_and_all_at_once() -> None:
    rolling = load_policy(ARTICLE / "rolling.yaml")
    at_once = load_policy(ARTICLE / "all-at-once.yaml")
    assert rolling.strategy == RollingUpdate()
    assert at_once.strategy == RollingUpdate(IntOrPercent(100, percent=True), IntOrPercent(0))
    assert rolling.target == Target(("api",), "api")


def test_analyses_wait_for_the_pod_hash() -> None:
    policy = load_policy(SCENARIOS / "policies" / "canary-success-rate.yaml")
    assert isinstance(policy.strategy, Canary)
    first = policy.strategy.steps[2]
    assert isinstance(first, AnalysisStep)
    assert first.analysis.late == (PodHashArgument("canary-hash", latest=True),)
    (metric,) = first.analysis.metrics
    assert isinstance(metric.provider, PrometheusProvider)
    assert metric.provider.query.count('rollouts_pod_template_hash="{{args.canary-hash}}"') == 2
    assert metric.count == 5
    # the anchor repeats the analysis in two more steps
    assert policy.strategy.steps[2] == policy.strategy.steps[5] == policy.strategy.steps[8]


def test_blue_green_with_both_gates() -> None:
    policy = load_policy(SCENARIOS / "policies" / "blue-green-checked.yaml")
    assert isinstance(policy.strategy, BlueGreen)
    pre, post = policy.strategy.pre_promotion, policy.strategy.post_promotion
    assert pre is not None
    assert post is not None
    assert isinstance(pre.metrics[0].provider, JobProvider)
    assert "http://api-preview" in pre.metrics[0].provider.spec_json
    assert post.metrics[0].initial_delay_ms == 60_000
    assert policy.strategy.scale_down_delay_ms == 900_000


def test_the_guarded_canary_differs_from_the_guides_only_in_its_analysis() -> None:
    guide = load_policy(ARTICLE / "canary.yaml")
    guarded = load_policy(SCENARIOS / "policies" / "canary-guarded.yaml")
    assert isinstance(guide.strategy, Canary)
    assert isinstance(guarded.strategy, Canary)
    assert guarded.strategy.steps == guide.strategy.steps
    assert guarded.strategy.starting_step == guide.strategy.starting_step
    assert guarded.strategy.background != guide.strategy.background


def test_the_guides_canary_loads_in_less_than_50_ms() -> None:
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        load_policy(ARTICLE / "canary.yaml")
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.05
