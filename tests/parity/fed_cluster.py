"""The simulated world behind a Kubernetes API: the embedded server, and a kubelet and a gateway in lock-step.

Each write that the executor makes over HTTP is carried into the simulated world before its answer is sent,
and the status that follows at once is there with it. What the simulated world does later (pods that become
ready, a weight that reaches traffic) is written into the API server when it happens, and the harness waits
until the executor's own watches have brought it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from rolloutsim.engine import Role
from rolloutsim.lab import Server
from rolloutsim.live.inbox import Command, Verb
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.memory import command_json
from rolloutsim.live.observer import Observer
from rolloutsim.live.port import DEPLOYMENT, HTTP_ROUTE, Ref, ref_of
from rolloutsim.live.routers.service import service_names
from rolloutsim.live.slots import REVISION_ANNOTATION
from rolloutsim.live.state import StateStore
from rolloutsim.live.writes import version_of
from rolloutsim.policy.model import Canary, Policy
from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.world import OPERATOR
from tests.parity.virtual import ANSWER_S, FedWorld, WatchedInbox

NAMESPACE = "default"
LABEL = "slot"
VALUES = {STABLE: "a", NEW: "b"}
"""Value of the revision label in each revision's slot."""


def template(revision: str) -> dict[str, Any]:
    """A pod template as a release brings it."""
    return {
        "metadata": {"labels": {"app": "api"}},
        "spec": {"containers": [{"name": "api", "image": f"registry.example/api:{revision}"}]},
    }


def connection(server: Server) -> HttpKubernetes:
    access = Access("emulator", server.url, NAMESPACE, credentials=Credentials(token=server.token))
    return HttpKubernetes(access)


class FedCluster:
    """Objects of one policy in an embedded API server, moved by the simulated world."""

    def __init__(self, server: Server, policy: Policy, world: FedWorld, inbox: WatchedInbox) -> None:
        self._server = server
        self._policy = policy
        self._world = world
        self._inbox = inbox
        first, second = policy.target.deployments
        self._names = {STABLE: first, NEW: second}
        self._roles = {name: role for role, name in reversed(service_names(policy).items())}
        self._selected: dict[str, str] = {}
        self._weight = 0
        self._asked = 0
        self.observer: Observer | None = None
        self._people = connection(server)
        self._commands = StateStore(self._people, NAMESPACE, policy.name)
        self._create()
        server.after_write(self._written)
        world.command = self.command  # type: ignore[method-assign]

    def connect(self, inbox: WatchedInbox) -> None:
        """From now on another executor listens; nothing is waited for until its watches are known."""
        self._inbox = inbox
        self.observer = None

    # --- the objects ------------------------------------------------------------------------------

    def _create(self) -> None:
        for revision, name in self._names.items():
            replicas = self._policy.replicas if revision == STABLE else 0
            body = template(revision)
            body["metadata"]["labels"][LABEL] = VALUES[revision]
            self._server.apply(
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {
                        "name": name,
                        "annotations": {REVISION_ANNOTATION: revision} if revision == STABLE else {},
                    },
                    "spec": {
                        "replicas": replicas,
                        "selector": {"matchLabels": {"app": "api", LABEL: VALUES[revision]}},
                        "template": body,
                    },
                }
            )
        self._write_status(STABLE)
        self._server.write_status("Deployment", self._names[NEW], {"observedGeneration": 1})
        for name in self._roles:
            self._selected[name] = STABLE
            self._server.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name},
                    "spec": {
                        "selector": {"app": "api", LABEL: VALUES[STABLE]},
                        "ports": [{"port": 80, "targetPort": 3000}],
                    },
                }
            )
        if self._policy.target.route:
            self._create_route()

    def _create_route(self) -> None:
        strategy = self._policy.strategy
        assert isinstance(strategy, Canary)
        backends = [
            {"name": strategy.stable_service, "port": 80, "weight": 100},
            {"name": strategy.canary_service, "port": 80, "weight": 0},
        ]
        self._server.apply(
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": {"name": self._route},
                "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": backends}]},
            }
        )
        self._accept()

    @property
    def _route(self) -> str:
        return self._policy.target.route.partition("/")[2]

    # --- kubelet and gateway ----------------------------------------------------------------------

    def _written(self, kind: str, body: dict[str, Any]) -> None:
        """Something was written over HTTP: the world follows before the answer is sent."""
        name = body["metadata"]["name"]
        if kind == "Deployment":
            self._deployment_written(name, body)
        elif kind == "Service" and name in self._roles:
            self._service_written(name, body)
        elif kind == "HTTPRoute":
            self._route_written(body)

    def _deployment_written(self, name: str, body: dict[str, Any]) -> None:
        revision = body["metadata"].get("annotations", {}).get(REVISION_ANNOTATION)
        if revision is None or self._names.get(revision) != name:
            return
        cluster = self._world.wire.cluster
        if revision not in cluster.pools:
            cluster.create(revision)
        if cluster.pools[revision].desired != body["spec"]["replicas"]:
            cluster.scale(revision, body["spec"]["replicas"])
        self._world.wire.changed.pop(revision, None)
        self._write_status(revision)

    def _service_written(self, name: str, body: dict[str, Any]) -> None:
        value = body["spec"]["selector"].get(LABEL)
        revision = next(one for one, known in VALUES.items() if known == value)
        if self._selected[name] != revision:
            self._selected[name] = revision
            role = self._roles[name]
            self._world.routes.set_service(Role(role), revision)

    def _route_written(self, body: dict[str, Any]) -> None:
        weight = body["spec"]["rules"][0]["backendRefs"][1]["weight"]
        if weight != self._weight:
            self._weight = weight
            self._world.routes.set_weight(weight)

    def _accept(self) -> dict[str, Any]:
        """The gateway has brought the weight to traffic, and says so."""
        route = self._server.get("HTTPRoute", self._route)
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
        parent = {
            "parentRef": {"name": "public"},
            "controllerName": "simulated.example/gateway",
            "conditions": conditions,
        }
        return self._server.write_status("HTTPRoute", self._route, {"parents": [parent]})

    def _write_status(self, revision: str) -> dict[str, Any]:
        pods = self._world.wire.pods(revision)
        name = self._names[revision]
        body = self._server.get("Deployment", name)
        assert body is not None
        return self._server.write_status(
            "Deployment",
            name,
            {
                "observedGeneration": body["metadata"]["generation"],
                "replicas": pods.created,
                "updatedReplicas": pods.created,
                "readyReplicas": pods.ready,
                "availableReplicas": pods.available,
            },
        )

    # --- what happens later -----------------------------------------------------------------------

    def flush(self) -> None:
        """Bring what changed in the world into the API server, and wait until the executor knows of it."""
        wire = self._world.wire
        moved, wire.moved = wire.moved, None
        written = []
        if moved is not None and moved.weight == self._weight:
            written.append((HTTP_ROUTE, self._accept()))
        while wire.changed:
            revision = next(iter(wire.changed))
            del wire.changed[revision]
            written.append((DEPLOYMENT, self._write_status(revision)))
        for kind, body in written:
            self._await_seen(ref_of(kind, body), int(body["metadata"]["resourceVersion"]))

    def _await_seen(self, ref: Ref, version: int) -> None:
        ends = time.monotonic() + ANSWER_S
        while True:
            body = self.observer.last(ref) if self.observer is not None else None
            if self.observer is None or (body is not None and int(version_of(body)) >= version):
                self._inbox.ring()
                return
            if time.monotonic() > ends:
                raise AssertionError(f"the executor did not hear of {ref}")
            time.sleep(0.0005)

    def command(self, verb: Verb) -> None:
        """A person leaves a command in the ConfigMap."""
        self._asked += 1
        command = Command(verb, OPERATOR, f"command {self._asked}")
        before = self._inbox.count(command)
        assert self._commands.ask(command_json(command))
        self._inbox.await_fact(command, before)

    def close(self) -> None:
        self._people.close()

    def finish(self) -> dict[str, Any]:
        """The objects at the end, for assertions."""
        kinds = ("Deployment", "Service", "HTTPRoute", "ConfigMap", "Lease")
        return json.loads(json.dumps({kind: self._server.list(kind, NAMESPACE) for kind in kinds}))


__all__ = ["NAMESPACE", "FedCluster", "connection", "template"]
