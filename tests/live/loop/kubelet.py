"""Controllers for the embedded API server that act at once: pods are ready, weights are accepted."""

from __future__ import annotations

from typing import Any

from rolloutsim.lab import Server

NAMESPACE = "shop"


def template(version: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "api"}},
        "spec": {"containers": [{"name": "api", "image": f"registry.example/api:{version}"}]},
    }


def stand_up(server: Server, *, route: bool = True, replicas: int = 2) -> None:
    """Two slots (the first one serves), two Services and a route, with controllers that act in no time."""
    for name, slot, size in (("api-a", "a", replicas), ("api-b", "b", 0)):
        body = template("1")
        body["metadata"]["labels"]["slot"] = slot
        server.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": size,
                    "selector": {"matchLabels": {"app": "api", "slot": slot}},
                    "template": body,
                },
            },
            NAMESPACE,
        )
        run_pods(server, name)
    for name in ("api-stable", "api-canary"):
        server.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": "api", "slot": "a"}, "ports": [{"port": 80}]},
            },
            NAMESPACE,
        )
    if route:
        backends = [
            {"name": "api-stable", "port": 80, "weight": 100},
            {"name": "api-canary", "port": 80, "weight": 0},
        ]
        server.apply(
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": {"name": "api"},
                "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": backends}]},
            },
            NAMESPACE,
        )
        _accept(server)
    server.after_write(lambda kind, body: _follow(server, kind, body))


def _follow(server: Server, kind: str, body: dict[str, Any]) -> None:
    if kind == "Deployment":
        run_pods(server, body["metadata"]["name"])
    elif kind == "HTTPRoute":
        _accept(server)


def run_pods(server: Server, name: str) -> None:
    """All pods of a Deployment are ready."""
    body = server.get("Deployment", name, NAMESPACE)
    assert body is not None
    count = body["spec"]["replicas"]
    keys = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    status = {"observedGeneration": body["metadata"]["generation"], **dict.fromkeys(keys, count)}
    server.write_status("Deployment", name, status, NAMESPACE)


def _accept(server: Server) -> None:
    route = server.get("HTTPRoute", "api", NAMESPACE)
    assert route is not None
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": "2026-01-05T00:00:00Z",
            "observedGeneration": route["metadata"]["generation"],
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parent = {"parentRef": {"name": "public"}, "controllerName": "x.example/g", "conditions": conditions}
    server.write_status("HTTPRoute", "api", {"parents": [parent]}, NAMESPACE)


def weights(server: Server) -> tuple[int, int]:
    """What the route says: stable and canary."""
    route = server.get("HTTPRoute", "api", NAMESPACE)
    assert route is not None
    stable, canary = route["spec"]["rules"][0]["backendRefs"]
    return stable["weight"], canary["weight"]


def replicas(server: Server) -> tuple[int, int]:
    """Pods asked for in the two slots."""
    found = [server.get("Deployment", name, NAMESPACE) for name in ("api-a", "api-b")]
    first, second = (one["spec"]["replicas"] for one in found if one is not None)
    return first, second
