"""EndpointSlices and Endpoints of Services (pkg/controller/endpointslice, pkg/controller/endpoint)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.controllers.replicasets import is_ready, reference_to
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Loop
from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.selectors import matches_selector
from rolloutsim.lab.store import Event

__all__ = ["Endpoints"]

_OPTIONS = Options("kube-controller-manager", strictness="Ignore")
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_SERVICE = "kubernetes.io/service-name"


class Endpoints:
    """Keeps, for each Service with a selector, one slice of the pods that it selects."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._services, self._pods, self._slices, self._endpoints = (
            cluster.kinds.named(name) for name in ("Service", "Pod", "EndpointSlice", "Endpoints")
        )
        self.loop = Loop("endpoints", cluster.store, self._keys, self._sync)

    def start(self) -> None:
        """Begin."""
        self.loop.start()

    def stop(self) -> None:
        """End."""
        self.loop.stop()

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        meta = event.object["metadata"]
        if kind.kind == "Service":
            yield meta["namespace"], meta["name"]
        elif kind.kind == "EndpointSlice" and event.type == "DELETED":
            yield meta["namespace"], meta["labels"].get(_SERVICE, "")
        elif kind.kind == "Pod":
            states = [state for state in (event.object, event.before) if state is not None]
            for service in self._cluster.store.items(self._services, meta["namespace"]):
                if any(_selects(service, pod) for pod in states):
                    yield meta["namespace"], service["metadata"]["name"]

    def _sync(self, namespace: str, name: str) -> float | None:
        service = self._cluster.store.get(self._services, namespace, name)
        if service is None or not service["spec"].get("selector"):
            return None
        pods = [pod for pod in self._cluster.store.items(self._pods, namespace) if _selects(service, pod)]
        pods = [pod for pod in pods if (pod.get("status") or {}).get("podIP")]
        ports = _ports(service, pods)
        self._keep(self._slices, service, self._slice(service, pods, ports))
        self._keep(self._endpoints, service, _legacy(pods, ports))
        return None

    def _slice(self, service: Object, pods: list[Object], ports: list[Object]) -> Object:
        public = service["spec"].get("publishNotReadyAddresses", False)
        endpoints = []
        for pod in pods:
            serving, ending = is_ready(pod), "deletionTimestamp" in pod["metadata"]
            endpoints.append(
                {
                    "addresses": [pod["status"]["podIP"]],
                    "conditions": {
                        "ready": public or (serving and not ending),
                        "serving": serving,
                        "terminating": ending,
                    },
                    "nodeName": pod["spec"].get("nodeName", ""),
                    "targetRef": _reference(pod),
                }
            )
        labels = {_SERVICE: service["metadata"]["name"], _MANAGED_BY: "endpointslice-controller.k8s.io"}
        return {
            "metadata": {"labels": labels},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        }

    def _keep(self, kind: Kind, service: Object, wanted: Object) -> None:
        """Write the object if it is not there or differs."""
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        before = self._cluster.store.get(kind, namespace, name)
        meta = {
            "name": name,
            "labels": wanted.get("metadata", {}).get("labels", {}),
            "ownerReferences": [reference_to(service)],
        }
        if before is None:
            self._cluster.create(kind, namespace, {**wanted, "metadata": meta}, _OPTIONS)
            return
        changed = copied(before) | wanted
        changed["metadata"] = {**before["metadata"], **meta}
        self._cluster.replace(kind, namespace, name, changed, _OPTIONS)


def _selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector")
    return bool(selector) and matches_selector({"matchLabels": selector}, pod["metadata"].get("labels") or {})


def _ports(service: Object, pods: list[Object]) -> list[Object]:
    """The ports of the pods. Those that a name leads to must be the same in all pods."""
    ports = []
    for port in service["spec"].get("ports") or ():
        number: Any = port["targetPort"]
        if isinstance(number, str):
            number = next(filter(None, (_named_port(pod, number) for pod in pods)), None)
        if number is not None:
            ports.append({"name": port.get("name", ""), "port": number, "protocol": port["protocol"]})
    return ports


def _named_port(pod: Object, name: str) -> int | None:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == name:
                number: int = port["containerPort"]
                return number
    return None


def _reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _legacy(pods: list[Object], ports: list[Object]) -> Object:
    ready: list[Object] = []
    waiting: list[Object] = []
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"]:
            place = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod)}
            (ready if is_ready(pod) else waiting).append(place)
    subset: Object = {"ports": ports}
    if ready:
        subset["addresses"] = ready
    if waiting:
        subset["notReadyAddresses"] = waiting
    return {"subsets": [subset] if ready or waiting else []}
