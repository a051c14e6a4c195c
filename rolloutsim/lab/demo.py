"""The objects that ``rolloutsim lab up`` puts into the cluster: three services, one for each kind of routing.

``api``
    A Deployment and its idle partner, Services for stable and canary, and an HTTPRoute with weights.
``shop``
    The guide's blue and green, and a Service that selects one of them.
``store``
    Stable and new behind a pair of Ingresses with the annotations of ingress-nginx.
"""

from __future__ import annotations

from collections.abc import Mapping

from rolloutsim.lab.objects import Object
from rolloutsim.lab.traefik import GATEWAY

__all__ = ["HOSTS", "demo_objects", "deployment", "ingress", "route", "service"]

HOSTS = ("api.localhost", "shop.localhost", "store.localhost")
"""Where the demo's services are asked; names that end in localhost lead to this machine."""
_PORT = 8080


def demo_objects() -> list[Object]:
    """All of them, in the order in which they are applied."""
    return [
        deployment("api", {"app": "api"}, "demo/api:1", 4),
        service("api-stable", {"app": "api"}),
        service("api-canary", {"app": "api"}),
        route("api", HOSTS[0], {"api-stable": 100, "api-canary": 0}),
        deployment("shop-blue", {"app": "shop", "slot": "blue"}, "demo/shop:1", 3),
        deployment("shop-green", {"app": "shop", "slot": "green"}, "demo/shop:1", 0),
        service("shop", {"app": "shop", "slot": "blue"}),
        route("shop", HOSTS[1], {"shop": 100}),
        deployment("store-stable", {"app": "store", "track": "stable"}, "demo/store:1", 2),
        deployment("store-new", {"app": "store", "track": "new"}, "demo/store:2", 2),
        service("store-stable", {"app": "store", "track": "stable"}),
        service("store-new", {"app": "store", "track": "new"}),
        ingress("store", HOSTS[2], "store-stable"),
        ingress(
            "store-canary",
            HOSTS[2],
            "store-new",
            {
                "nginx.ingress.kubernetes.io/canary": "true",
                "nginx.ingress.kubernetes.io/canary-weight": "0",
            },
        ),
    ]


def deployment(
    name: str,
    labels: Mapping[str, str],
    image: str,
    replicas: int,
    environment: Mapping[str, str] | None = None,
) -> Object:
    """A Deployment whose pods answer on port 8080; ``environment`` as in `rolloutsim.lab.pods.profile`."""
    container: Object = {
        "name": "app",
        "image": image,
        "ports": [{"name": "http", "containerPort": _PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
    }
    if environment:
        container["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}},
        },
    }


def service(name: str, selector: Mapping[str, str]) -> Object:
    """A Service on port 80."""
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": dict(selector), "ports": ports},
    }


def route(name: str, host: str, weights: Mapping[str, int]) -> Object:
    """An HTTPRoute at the lab's Gateway with a weight for each Service."""
    backends = [{"name": backend, "port": 80, "weight": weight} for backend, weight in weights.items()]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": GATEWAY, "namespace": "default"}],
            "hostnames": [host],
            "rules": [{"backendRefs": backends}],
        },
    }


def ingress(name: str, host: str, backend: str, annotations: Mapping[str, str] | None = None) -> Object:
    """An Ingress of class nginx that sends all requests for a host to one Service."""
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": backend, "port": {"number": 80}}},
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": dict(annotations or {})},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [path]}}]},
    }
