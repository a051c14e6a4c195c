"""A namespace of some Kubernetes API, spoken to over plain HTTP, and the objects that the tests put there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

GROUPS = {
    "configmaps": "/api/v1",
    "services": "/api/v1",
    "deployments": "/apis/apps/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "ingresses": "/apis/networking.k8s.io/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    code: int
    body: Json

    @property
    def failure(self) -> tuple[int, str | None]:
        return self.code, self.body.get("reason")

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.body["items"])


@dataclass(frozen=True)
class Api:
    """The verbs of the API on the objects of one namespace: ``resource`` is a plural or ``plural/name``."""

    connect: Callable[[], httpx.Client]
    http: httpx.Client
    namespace: str

    def path(self, resource: str) -> str:
        return f"{GROUPS[resource.split('/')[0]]}/namespaces/{self.namespace}/{resource}"

    def _ask(self, method: str, resource: str, body: Any, media: str, query: Json) -> Answer:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": media, "Accept": "application/json"}
        found = self.http.request(method, self.path(resource), content=content, params=query, headers=headers)
        return Answer(found.status_code, found.json())

    def get(self, resource: str, **query: Any) -> Answer:
        return self._ask("GET", resource, None, "application/json", query)

    def create(self, resource: str, body: Json, **query: Any) -> Answer:
        return self._ask("POST", resource, body, "application/json", query)

    def put(self, resource: str, body: Json) -> Answer:
        return self._ask("PUT", resource, body, "application/json", {})

    def patch(self, resource: str, patch: Any, media: str = MERGE, **query: Any) -> Answer:
        return self._ask("PATCH", resource, patch, media, query)

    def apply(self, resource: str, body: Json, manager: str, **query: Any) -> Answer:
        return self.patch(resource, body, APPLY, fieldManager=manager, **query)

    def delete(self, resource: str, options: Json | None = None) -> Answer:
        return self._ask("DELETE", resource, options, "application/json", {})

    def race(self, racers: int, act: Callable[[Api, int], Answer]) -> list[int]:
        """The codes of ``racers`` simultaneous calls, each over a connection that is already open."""
        barrier = threading.Barrier(racers)
        codes = [0] * racers

        def run(index: int) -> None:
            with self.connect() as http:
                http.get("/version")
                barrier.wait()
                codes[index] = act(replace(self, http=http), index).code

        threads = [threading.Thread(target=run, args=(index,)) for index in range(racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return codes

    def watch(
        self, resource: str, events: int | None = None, wait_s: float = 3.0, **query: Any
    ) -> list[Json]:
        """What a watch says: the first ``events``, or all until it is closed or ``wait_s`` are over."""
        seen: list[Json] = []
        end = time.monotonic() + wait_s
        try:
            with self.http.stream(
                "GET", self.path(resource), params={"watch": "true", **query}, timeout=wait_s
            ) as stream:
                for line in stream.iter_lines():
                    seen.append(json.loads(line))
                    if len(seen) == events or time.monotonic() > end:
                        break
        except httpx.TimeoutException:
            pass
        return seen


def named(api_version: str, kind: str, name: str, **rest: Any) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Json:
    body = named("v1", "ConfigMap", name, data=data)
    if labels:
        body["metadata"]["labels"] = labels
    return body


def service(name: str, port: int = 80, **selector: str) -> Json:
    ports = [{"name": "http", "port": port, "targetPort": 8080}]
    return named("v1", "Service", name, spec={"selector": selector, "ports": ports})


def deployment(name: str) -> Json:
    """Two containers and no pods."""
    containers = [{"name": each, "image": f"{each}:1"} for each in ("server", "proxy")]
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
    }
    return named("apps/v1", "Deployment", name, spec=spec)


def lease(name: str, holder: str) -> Json:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return named("coordination.k8s.io/v1", "Lease", name, spec=spec)


def route(name: str, **weights: int) -> Json:
    backends = [{"name": each, "port": 80, "weight": weight} for each, weight in weights.items()]
    return named(
        "gateway.networking.k8s.io/v1", "HTTPRoute", name, spec={"rules": [{"backendRefs": backends}]}
    )
