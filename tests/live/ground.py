"""A service ``api`` in a namespace of any cluster, before its rollout: two slots, two Services and a route.

On the embedded server a hook catches Deployments and routes up after each write. On another cluster its own
controllers do, and a thread does what none of them does there.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rolloutsim.lab import Server
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.port import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    JOB,
    LEASE,
    SECRET,
    SERVICE,
    ApiError,
    NotFound,
    Object,
    Ref,
)

__all__ = ["NEW", "NEXT", "OLD", "Ground", "available", "populate", "tend_embedded", "tended"]

OLD, NEW, NEXT = (f"registry.k8s.io/pause:3.{minor}" for minor in (8, 9, 10))
"""Images of three versions: they need nothing, and every node can pull them where images are run at all."""
KINDS = {kind.name: kind for kind in (CONFIG_MAP, DEPLOYMENT, EVENT, HTTP_ROUTE, JOB, LEASE, SECRET, SERVICE)}
TEND_S = 0.05


class Ground:
    """One namespace, read and written as a person does, by kind and name."""

    def __init__(self, api: HttpKubernetes, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def ref(self, kind: str, name: str) -> Ref:
        return Ref(KINDS[kind], self.namespace, name)

    def find(self, kind: str, name: str) -> Object | None:
        try:
            return self.get(kind, name)
        except NotFound:
            return None

    def get(self, kind: str, name: str) -> Object:
        return self.api.get(self.ref(kind, name))

    def list(self, kind: str) -> list[Object]:
        return list(self.api.list(KINDS[kind], self.namespace).items)

    def put(self, body: Object) -> Object:
        return self.api.create(self.ref(body["kind"], body["metadata"]["name"]), body)

    def patch(self, kind: str, name: str, patch: Object) -> Object:
        return self.api.merge_patch(self.ref(kind, name), patch)

    # what the rollout is about

    def weights(self) -> tuple[int, int]:
        """What the route says: stable and canary."""
        stable, canary = self.get("HTTPRoute", "api")["spec"]["rules"][0]["backendRefs"]
        return stable["weight"], canary["weight"]

    def replicas(self) -> dict[str, int]:
        """Pods asked for in the two slots."""
        return {body["metadata"]["name"]: body["spec"]["replicas"] for body in self.list("Deployment")}

    def image(self, deployment: str) -> str:
        (container,) = self.get("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return str(container["image"])

    def selected(self, service: str = "api-stable") -> str:
        """The slot that a Service selects."""
        return str(self.get("Service", service)["spec"]["selector"]["slot"])

    def versions(self) -> dict[str, str]:
        """The resourceVersions of everything that somebody could have written on, Events apart."""
        return {
            f"{kind}/{body['metadata']['name']}": body["metadata"]["resourceVersion"]
            for kind in KINDS
            if kind != "Event"
            for body in self.list(kind)
        }


def available(ground: Ground, deployment: str) -> int:
    """Pods of a Deployment that serve."""
    return int(ground.get("Deployment", deployment).get("status", {}).get("availableReplicas", 0))


def populate(ground: Ground, secret: str = "") -> None:
    """Two Deployments of which one serves, their Services, a route, and a Secret if there is one."""
    ground.put(_deployment("api-a", "a", OLD, 2))
    ground.put(_deployment("api-b", "b", NEXT, 0))
    ground.put(_service("api-stable", "a"))
    ground.put(_service("api-canary", "a"))
    ground.put(_route())
    if secret:
        data = {"token": base64.b64encode(secret.encode()).decode()}
        ground.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "metrics"}, "data": data})


def _deployment(name: str, slot: str, image: str, replicas: int) -> Object:
    labels = {"app": "api", "slot": slot}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "api", "image": image}]},
            },
        },
    }


def _service(name: str, slot: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "api", "slot": slot}, "ports": [{"port": 80}]},
    }


def _route() -> Object:
    backends = [
        {"name": "api-stable", "port": 80, "weight": 100},
        {"name": "api-canary", "port": 80, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "api"},
        "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": backends}]},
    }


# --- controllers ----------------------------------------------------------------------------------


def caught_up(kind: str, body: Object) -> Object | None:
    """The status that a controller would write for an object as it is; None: it is there, or nobody's."""
    generation = body["metadata"]["generation"]
    if kind == "Deployment":
        if body.get("status", {}).get("observedGeneration") == generation:
            return None
        keys = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        return {"observedGeneration": generation, **dict.fromkeys(keys, body["spec"]["replicas"])}
    if kind != "HTTPRoute":
        return None
    parents = body.get("status", {}).get("parents") or [{}]
    conditions = parents[0].get("conditions") or [{}]
    if conditions[0].get("observedGeneration") == generation:
        return None
    said = {
        "status": "True",
        "message": "",
        "lastTransitionTime": "2026-01-05T00:00:00Z",
        "observedGeneration": generation,
    }
    accepted = [{"type": one, "reason": one, **said} for one in ("Accepted", "ResolvedRefs")]
    parent = {"parentRef": {"name": "public"}, "controllerName": "x.example/g", "conditions": accepted}
    return {"parents": [parent]}


def tend_embedded(server: Server, ground: Ground) -> None:
    """On the embedded server each write is followed by what a controller would write."""

    def tend(kind: str, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        present = server.get(kind, name, ground.namespace) if kind in ("Deployment", "HTTPRoute") else None
        status = caught_up(kind, present) if present else None
        if status is not None:
            server.write_status(kind, name, status, ground.namespace)

    server.after_write(tend)


@contextmanager
def tended(ground: Ground, *, controllers: bool) -> Iterator[None]:
    """Another cluster: nobody serves the route there; ``controllers``: its Deployments are cared for."""
    kinds = ("HTTPRoute",) if controllers else ("HTTPRoute", "Deployment")
    over = threading.Event()

    def tend() -> None:
        while not over.wait(TEND_S):
            for kind in kinds:
                try:
                    for body in ground.list(kind):
                        status = caught_up(kind, body)
                        if status is not None:
                            ref = ground.ref(kind, body["metadata"]["name"])
                            ground.api.merge_patch(ref, {"status": status}, subresource="status")
                except ApiError:
                    continue

    thread = threading.Thread(target=tend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
