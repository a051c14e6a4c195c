"""The same verbs under an installed Argo Rollouts controller, here a stand-in that obeys at once."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.live.argo.kinds import ROLLOUT
from rolloutsim.live.port import Ref
from rolloutsim.trace import read_trace
from tests.live.verbs.stage import NAMESPACE, Stage

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "shop/web:1"}]
  strategy:
    canary:
      steps:
        - setWeight: 50
        - pause: {duration: 10s}
"""
HASH = "rollouts-pod-template-hash"


def image(body: dict[str, Any]) -> str:
    return body["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture
def web(shop: Stage) -> Stage:
    """A Rollout at rest, and a controller that rolls out at once what it is asked for."""
    shop.policy(MANIFEST)

    def controller(kind: str, body: dict[str, Any]) -> None:
        if kind != "Rollout" or body.get("status", {}).get("abort"):
            return
        wanted = image(body).rpartition(":")[2]
        if body.get("status", {}).get("currentPodHash") == wanted:
            return
        status = {
            "currentPodHash": wanted,
            "stableRS": wanted,
            "phase": "Healthy",
            "currentStepIndex": 2,
            "observedGeneration": str(body["metadata"]["generation"]),
        }
        labels = {"app": "web", HASH: wanted}
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"}
        shop.server.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"web-{wanted}",
                    "labels": labels,
                    "annotations": {"rollout.argoproj.io/revision": wanted},
                    "ownerReferences": [{**owner, "uid": body["metadata"]["uid"]}],
                },
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": labels},
                    "template": {**body["spec"]["template"], "metadata": {"labels": labels}},
                },
            },
            NAMESPACE,
        )
        shop.server.write_status("Rollout", "web", status, NAMESPACE)

    shop.server.after_write(controller)
    return shop


def run(web: Stage, tag: str) -> str:
    policy = web.folder / "policy.yaml"
    ran = web.verb("run", policy, "--image", f"shop/web:{tag}", "--unvetted", "a test")
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_run_status_and_commands(web: Stage) -> None:
    policy = web.folder / "policy.yaml"
    assert web.verb("run", policy, "--image", "shop/web:1").exit_code == 5
    run(web, "1")
    output = run(web, "2")
    assert "applied rollout.argoproj.io/web" in output
    status = web.verb("status", "web")
    assert status.exit_code == 0
    assert "executed by the Argo Rollouts controller" in status.output
    aborted = web.verb("abort", "web")
    assert aborted.exit_code == 0, aborted.output
    assert "kubectl --kubeconfig" in aborted.output
    assert "--subresource=status" in aborted.output
    body = web.server.get("Rollout", "web", NAMESPACE)
    assert body is not None
    assert body["status"]["abort"] is True
    assert web.verb("status", "web").exit_code == 1
    assert web.server.list("ConfigMap", NAMESPACE) == []


@pytest.mark.slow
def test_undo_asks_for_the_template_before(web: Stage) -> None:
    run(web, "1")
    run(web, "2")
    undone = web.verb("undo", "web")
    assert undone.exit_code == 0, undone.output
    body = web.server.get("Rollout", "web", NAMESPACE)
    assert body is not None
    assert image(body) == "shop/web:1"
    assert body["spec"]["template"]["metadata"]["labels"] == {"app": "web"}


@pytest.mark.slow
def test_plan_shows_what_would_change(web: Stage) -> None:
    run(web, "1")
    plan = web.verb("plan", web.folder / "policy.yaml", "--image", "shop/web:2")
    assert plan.exit_code == 0, plan.output
    assert "spec.template.spec.containers[web].image: shop/web:1 → shop/web:2" in plan.output
    body = web.server.get("Rollout", "web", NAMESPACE)
    assert body is not None
    assert image(body) == "shop/web:1"


@pytest.mark.slow
def test_a_shadow_applies_nothing(web: Stage) -> None:
    """It waits for somebody else's update, judges it, and keeps a journal."""
    policy = web.folder / "policy.yaml"
    run(web, "1")
    process = web.start("run", policy, "--image", "shop/web:2", "--shadow")
    web.until(lambda: "web  Healthy" in web.errors(process), "it looks on")
    body = web.server.get("Rollout", "web", NAMESPACE)
    assert body is not None
    assert image(body) == "shop/web:1"
    container = {"name": "web", "image": "shop/web:3"}
    asked = {"spec": {"template": {"spec": {"containers": [container]}}}}
    web.ground.api.merge_patch(Ref(ROLLOUT, NAMESPACE, "web"), asked)
    code, out = web.finish(process)
    assert (code, out.split()[:2]) == (0, ["web", "Healthy"]), web.errors(process)
    journals = sorted((web.journals / NAMESPACE / "web").glob("*.jsonl"))
    trace = read_trace(journals[-1])
    assert trace.manifest["world"] == "shadow"
    assert "permit" not in trace.manifest
    assert any(record["value"]["kind"] == "ReleaseAsked" for record in trace.records)
    assert web.verb("explain", journals[-1]).exit_code == 0


def test_no_time_left_for_following(web: Stage) -> None:
    run(web, "1")
    policy = web.folder / "policy.yaml"
    shadow = web.verb("run", policy, "--image", "shop/web:2", "--shadow", "--timeout", "1s")
    assert shadow.exit_code == 7
    assert "rolloutsim abort web" in shadow.output
