"""Deployments without a rollout controller: one alone, and two behind a Service."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import BlueGreen, IntOrPercent, Policy, Recreate, RollingUpdate, Target
from tests.policy.policy_manifests import ARTICLE, DEPLOYMENT, changed

PAIR = (ARTICLE / "blue-green.yaml").read_text(encoding="utf-8")
SCALER = """\
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}}
"""


def service(name: str, selector: str) -> str:
    head = f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
    return f"{head}spec: {{selector: {{{selector}}}}}\n"


def test_a_deployment_alone() -> None:
    assert load_policy_text(DEPLOYMENT) == Policy(
        name="api", strategy=RollingUpdate(), replicas=3, kind="Deployment", target=Target(("api",))
    )


def test_its_fields_arrive() -> None:
    fields = (
        "minReadySeconds: 5\n  progressDeadlineSeconds: 60\n  revisionHistoryLimit: 2\n  paused: true\n"
        "  strategy: {rollingUpdate: {maxSurge: 10%, maxUnavailable: 2}}"
    )
    policy = load_policy_text(changed(DEPLOYMENT, "replicas: 3", fields))
    assert policy.strategy == RollingUpdate(IntOrPercent(10, percent=True), IntOrPercent(2))
    assert (policy.replicas, policy.min_ready_ms, policy.progress_deadline_ms) == (1, 5000, 60_000)
    assert (policy.revision_history_limit, policy.paused) == (2, True)


def test_recreate() -> None:
    policy = load_policy_text(changed(DEPLOYMENT, "replicas: 3", "strategy: {type: Recreate}"))
    assert policy.strategy == Recreate()


def test_the_service_in_front_is_found_by_its_selector() -> None:
    text = DEPLOYMENT + service("other", "app: web") + service("front", "app: api")
    policy = load_policy_text(text)
    assert policy.target.service == "front"
    assert policy.not_modelled == ("Service 'other' is not used by the policy",)


def test_two_deployments_without_a_service_between_them_are_two_policies() -> None:
    text = (
        DEPLOYMENT + "---\n" + changed(DEPLOYMENT, "name: api", "name: web").replace("app: api", "app: web")
    )
    with pytest.raises(PolicyError, match="2 rollouts: api, web"):
        load_policy_text(text + service("front", "app: api"))


def test_two_parts_of_one_application_are_no_pair() -> None:
    text = PAIR.replace("slot: blue", "part: web").replace("slot: green", "part: worker")
    assert load_policy_text(text).target.revision_label == "part"
    parts = text.replace(
        "- name: api\n          image: myregistry/api:1.4.3", "- name: worker\n          image: w"
    )
    with pytest.raises(PolicyError, match="2 rollouts: api-blue, api-green"):
        load_policy_text(parts)


def test_the_pair_is_the_same_after_the_cut_over() -> None:
    cut_over = changed(PAIR, "slot: blue # change", "slot: green # change")
    assert load_policy_text(cut_over) == load_policy_text(PAIR)


def test_a_second_service_is_the_preview() -> None:
    preview = service("api-preview", "app: api, slot: green")
    policy = load_policy_text(PAIR + preview)
    assert isinstance(policy.strategy, BlueGreen)
    assert (policy.strategy.active_service, policy.strategy.preview_service) == ("api", "api-preview")
    assert policy.target.service == "api"
    assert policy.not_modelled == ()
    assert load_policy_text(preview + "---\n" + PAIR) == policy


def test_two_services_without_a_name_that_tells_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"cannot tell which of .* users reach; write a RolloutPolicy"):
        load_policy_text(PAIR + service("web", "app: api, slot: green"))


def test_a_service_that_selects_both_tells_nothing_apart() -> None:
    text = PAIR.replace('    slot: blue # change this to "green" to cut over\n', "")
    with pytest.raises(PolicyError, match="2 rollouts: api-blue, api-green"):
        load_policy_text(text)


def test_replicas_are_those_of_the_slot_that_is_reached() -> None:
    text = changed(PAIR, "\n  replicas: 10", "\n  replicas: 7")
    text = changed(text, "\n  replicas: 10", "\n  replicas: 0")
    assert load_policy_text(text).replicas == 7


def test_an_autoscaler_on_a_slot_is_refused() -> None:
    with pytest.raises(PolicyError, match="an autoscaler works against a policy") as caught:
        load_policy_text(PAIR + SCALER.replace("NAME", "api-green"))
    assert caught.value.path == "spec.scaleTargetRef.name"
    assert (
        "HorizontalPodAutoscaler 'scaler'"
        in load_policy_text(PAIR + SCALER.replace("NAME", "web")).not_modelled[0]
    )


def test_an_autoscaler_on_a_rolling_deployment_is_left_aside() -> None:
    policy = load_policy_text(DEPLOYMENT + SCALER.replace("NAME", "api"))
    assert policy.not_modelled == ("HorizontalPodAutoscaler 'scaler' is not used by the policy",)


def test_a_damaged_idle_slot_is_named() -> None:
    text = PAIR.replace("name: api-green\nspec:\n  replicas: 10", "name: api-green\nspec:\n  replicas: ten")
    with pytest.raises(PolicyError, match="whole number"):
        load_policy_text(text)
