"""What stands in the cluster before a rollout: a shop's Deployments, Services and routes; and policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rolloutsim.engine import Role
from rolloutsim.live.port import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INGRESS,
    REPLICA_SET,
    SERVICE,
    Kind,
    Kubernetes,
    Object,
    Ref,
)
from rolloutsim.live.slots import template_id
from rolloutsim.policy.model import BlueGreen, Canary, Policy, Target, TrafficRouting

SLOTS = ("api-a", "api-b")
CONTROLLER_S = 5.0


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def template(image: str, labels: dict[str, str] | None = None) -> Object:
    return {
        "metadata": {"labels": labels or {"app": "api"}},
        "spec": {"containers": [{"name": "api", "image": image, "ports": [{"containerPort": 3000}]}]},
    }


def deployment(name: str, labels: dict[str, str], image: str, replicas: int = 0) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"team": "checkout"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template(image, labels),
        },
    }


def service(name: str, selector: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 3000}]},
    }


def http_route(stable_weight: int = 1, canary_weight: int = 0) -> Object:
    backends = [
        {"name": "api-stable", "port": 80, "weight": stable_weight},
        {"name": "api-canary", "port": 80, "weight": canary_weight},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "api"},
        "spec": {
            "parentRefs": [{"name": "public"}],
            "hostnames": ["api.example.com"],
            "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends},
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/admin"}}],
                    "backendRefs": [{"name": "admin", "port": 80, "weight": 7}],
                },
            ],
        },
    }


def ingress(name: str, backend: str, annotations: dict[str, str] | None = None) -> Object:
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": backend, "port": {"number": 80}}},
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"rules": [{"host": "api.example.com", "http": {"paths": [path]}}]},
    }


def canary_policy(route: str, *, max_weight: int = 100, **target: Any) -> Policy:
    return Policy(
        name="api",
        kind="RolloutPolicy",
        strategy=Canary(
            stable_service="api-stable",
            canary_service="api-canary",
            routing=TrafficRouting(("httproute",), max_weight, verifies=True),
        ),
        target=Target(**{"deployments": SLOTS, "revision_label": "slot", "route": route, **target}),
    )


def blue_green_policy(**target: Any) -> Policy:
    return Policy(
        name="api",
        kind="RolloutPolicy",
        strategy=BlueGreen(active_service="api-stable", preview_service="api-canary"),
        target=Target(**{"deployments": SLOTS, "revision_label": "slot", **target}),
    )


def roles(policy: Policy) -> tuple[Role, Role]:
    """The role of the Service that users reach, and of the other."""
    if isinstance(policy.strategy, BlueGreen):
        return Role.ACTIVE, Role.PREVIEW
    return Role.STABLE, Role.CANARY


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace of a cluster. ``controllers``: the cluster may have a Deployment controller."""

    api: Kubernetes
    namespace: str
    controllers: bool

    def ref(self, kind: Kind, name: str) -> Ref:
        return Ref(kind, self.namespace, name)

    def put(self, *bodies: Object) -> None:
        """Create objects as a user of the cluster does."""
        kinds = {kind.name: kind for kind in (DEPLOYMENT, SERVICE, HTTP_ROUTE, INGRESS, REPLICA_SET)}
        for body in bodies:
            ref = self.ref(kinds[body["kind"]], body["metadata"]["name"])
            self.api.create(ref, body)
            if ref.kind == DEPLOYMENT:
                self.caught_up(ref)

    def put_slots(self) -> None:
        """Two Deployments that differ by the label ``slot``, the first with pods, and two Services."""
        self.put(deployment("api-a", {"app": "api", "slot": "a"}, "shop/api:1", replicas=2))
        self.put(deployment("api-b", {"app": "api", "slot": "b"}, "shop/api:0"))
        self.put(service("api-stable", {"app": "api", "slot": "a"}))
        self.put(service("api-canary", {"app": "api", "slot": "b"}))

    def caught_up(self, ref: Ref, ready: int | None = None) -> None:
        """Let the status of a Deployment be that of its present spec: its controller does it, or this."""
        deadline = time.monotonic() + CONTROLLER_S * self.controllers
        while True:
            body = self.api.get(ref)
            generation = body["metadata"]["generation"]
            if body.get("status", {}).get("observedGeneration", 0) >= generation and ready is None:
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(0.1)
        pods = body["spec"]["replicas"] if ready is None else ready
        status = {
            "observedGeneration": generation,
            "replicas": body["spec"]["replicas"],
            "updatedReplicas": body["spec"]["replicas"],
            "readyReplicas": pods,
            "availableReplicas": pods,
        }
        self.api.merge_patch(ref, {"status": status}, subresource="status")

    def replica_set(self, ref: Ref, value: str, number: str = "1") -> None:
        """What a Deployment controller makes for the present template, with this hash."""
        body = self.api.get(ref)
        mark = {"deployment.kubernetes.io/revision": number}
        self.api.merge_patch(ref, {"metadata": {"annotations": mark}})
        labels = {**body["spec"]["selector"]["matchLabels"], "pod-template-hash": value}
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": ref.name,
            "uid": body["metadata"]["uid"],
            "controller": True,
        }
        name = f"{ref.name}-{value}"
        self.api.create(
            self.ref(REPLICA_SET, name),
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": name,
                    "labels": labels,
                    "annotations": mark,
                    "ownerReferences": [owner],
                },
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": labels},
                    "template": template("shop/api:1", labels),
                },
            },
        )

    def held(self, name: str) -> str:
        """The id of the template that a Deployment has, computed anew."""
        body = self.api.get(self.ref(DEPLOYMENT, name))
        return template_id(body["spec"]["template"], {*body["spec"]["selector"]["matchLabels"], "slot"})
