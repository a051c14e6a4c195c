"""Objects as rows, the form in which ``kubectl get`` asks for them (meta.k8s.io/v1, Table)."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object

__all__ = ["table", "wants_table"]

Cells = Callable[[Object], Sequence[Any]]


def wants_table(accept: str) -> bool:
    """Whether an Accept header prefers a table."""
    return "as=Table" in accept.partition(",")[0]


def table(kind: Kind, things: Sequence[Object], meta: Object, now_ms: int) -> Object:
    """The table of some objects; ``meta`` is the list's or the object's own."""
    names, cells = _COLUMNS.get(kind.kind, ((), _nothing))
    titles = ["Name", *names, "Age"]
    definitions = [
        {"name": title, "type": "string", "format": "name" if title == "Name" else "", "priority": 0}
        | {"description": ""}
        for title in titles
    ]
    rows = [
        {
            "cells": [thing["metadata"]["name"], *map(str, cells(thing)), _age(thing, now_ms)],
            "object": {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": thing["metadata"],
            },
        }
        for thing in things
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _age(thing: Object, now_ms: int) -> str:
    created = calendar.timegm(time.strptime(thing["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))
    age_s = max(0, now_ms // 1000 - created)
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if age_s >= 2 * length_s:
            return f"{age_s // length_s}{unit}"
    return f"{age_s}s"


def _nothing(thing: Object) -> Sequence[Any]:
    return ()


def _deployment(thing: Object) -> Sequence[Any]:
    status, wanted = thing.get("status") or {}, thing["spec"].get("replicas", 0)
    counts = (status.get(name, 0) for name in ("updatedReplicas", "availableReplicas"))
    return (f"{status.get('readyReplicas', 0)}/{wanted}", *counts)


def _replica_set(thing: Object) -> Sequence[Any]:
    status = thing.get("status") or {}
    return thing["spec"].get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)


def _pod(thing: Object) -> Sequence[Any]:
    status = thing.get("status") or {}
    containers = status.get("containerStatuses") or ()
    ready = sum(bool(each.get("ready")) for each in containers)
    phase = "Terminating" if "deletionTimestamp" in thing["metadata"] else status.get("phase", "")
    return f"{ready}/{len(thing['spec']['containers'])}", phase, 0, status.get("podIP", "<none>")


def _service(thing: Object) -> Sequence[Any]:
    spec = thing["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    selector = ",".join(f"{key}={value}" for key, value in (spec.get("selector") or {}).items())
    return spec.get("type", ""), spec.get("clusterIP", ""), ports, selector or "<none>"


def _route(thing: Object) -> Sequence[Any]:
    backends = [
        f"{each['name']}={each.get('weight', 1)}"
        for rule in thing["spec"].get("rules") or ()
        for each in rule.get("backendRefs") or ()
    ]
    return ",".join(thing["spec"].get("hostnames") or ()), ",".join(backends)


def _ingress(thing: Object) -> Sequence[Any]:
    hosts = ",".join(rule.get("host", "*") for rule in thing["spec"].get("rules") or ())
    return thing["spec"].get("ingressClassName", "<none>"), hosts


def _event(thing: Object) -> Sequence[Any]:
    about = thing.get("involvedObject") or {}
    name = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    return thing.get("type", ""), thing.get("reason", ""), name, thing.get("message", "")


_COLUMNS: Mapping[str, tuple[Sequence[str], Cells]] = MappingProxyType(
    {
        "Deployment": (("Ready", "Up-to-date", "Available"), _deployment),
        "ReplicaSet": (("Desired", "Current", "Ready"), _replica_set),
        "Pod": (("Ready", "Status", "Restarts", "IP"), _pod),
        "Service": (("Type", "Cluster-IP", "Port(s)", "Selector"), _service),
        "HTTPRoute": (("Hostnames", "Backends"), _route),
        "Ingress": (("Class", "Hosts"), _ingress),
        "ConfigMap": (("Data",), lambda thing: (len(thing.get("data") or {}),)),
        "Lease": (("Holder",), lambda thing: ((thing.get("spec") or {}).get("holderIdentity", ""),)),
        "Event": (("Type", "Reason", "Object", "Message"), _event),
    }
)
