"""ReplicaSets: as many pods as wanted (k8s.io/kubernetes, pkg/controller/replicaset)."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import Any

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.controllers.events import Recorder
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Bucket, Loop
from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.refusals import Refused
from rolloutsim.lab.selectors import matches_selector
from rolloutsim.lab.store import Event

__all__ = ["ReplicaSets", "is_available", "is_ready", "owned_by", "reference_to"]

_SPEC = Options("kube-controller-manager", strictness="Ignore")
_STATUS = Options("kube-controller-manager", strictness="Ignore", subresource="status")


class ReplicaSets:
    """Creates and deletes pods, and counts them."""

    def __init__(self, cluster: Cluster, bucket: Bucket) -> None:
        self._cluster = cluster
        self._sets, self._pods = (cluster.kinds.named(name) for name in ("ReplicaSet", "Pod"))
        self._bucket = bucket
        self._recorder = Recorder(cluster, "replicaset-controller", self._bucket)
        self.loop = Loop("replicasets", cluster.store, self._keys, self._sync)

    def start(self) -> None:
        """Begin."""
        self._recorder.start()
        self.loop.start()

    def stop(self) -> None:
        """End."""
        self.loop.stop()
        self._recorder.stop()

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        """ReplicaSets of one Deployment are attended to together, under its name."""
        meta = event.object["metadata"]
        if kind.kind == "ReplicaSet":
            yield meta["namespace"], _family(event.object)
        elif kind.kind == "Pod":
            for owner in meta.get("ownerReferences") or ():
                found = self._cluster.store.get(self._sets, meta["namespace"], owner["name"])
                if owner["kind"] == "ReplicaSet" and found is not None:
                    yield meta["namespace"], _family(found)

    def _sync(self, namespace: str, family: str) -> float | None:
        with self._cluster.store.lock:
            found = [
                each
                for each in self._cluster.store.items(self._sets, namespace)
                if _family(each) == family and "deletionTimestamp" not in each["metadata"]
            ]
            pods = [self._pods_of(each) for each in found]
        # Pods go before others come, so that there are never more than the Deployment allows.
        for each, those in zip(found, pods, strict=True):
            surplus = len(those) - each["spec"]["replicas"]
            for pod in sorted(those, key=_expendable)[: max(0, surplus)]:
                self._delete(each, pod)
        for each, those in zip(found, pods, strict=True):
            those += [self._create(each) for _ in range(each["spec"]["replicas"] - len(those))]
        waits = [wait_s for each in found if (wait_s := self._count(each)) is not None]
        return min(waits, default=None)

    def _pods_of(self, found: Object) -> list[Object]:
        return [
            pod
            for pod in self._cluster.store.items(self._pods, found["metadata"]["namespace"])
            if owned_by(pod, found)
            and "deletionTimestamp" not in pod["metadata"]
            and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def _create(self, found: Object) -> Object:
        template = copied(found["spec"]["template"])
        meta = template.setdefault("metadata", {})
        meta |= {"generateName": f"{found['metadata']['name']}-", "ownerReferences": [reference_to(found)]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        self._bucket.take()
        pod = self._cluster.create(self._pods, found["metadata"]["namespace"], body, _SPEC).object
        self._recorder.tell(found, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return pod

    def _delete(self, found: Object, pod: Object) -> None:
        meta = pod["metadata"]
        self._bucket.take()
        try:
            self._cluster.delete(self._pods, meta["namespace"], meta["name"], {})
        except Refused as refusal:
            if refusal.code != 404:
                raise
        self._recorder.tell(found, "SuccessfulDelete", f"Deleted pod: {meta['name']}")

    def _count(self, found: Object) -> float | None:
        """Write how many pods there are now."""
        pods = self._pods_of(found)
        now_ms, wait_s = self._cluster.now_ms(), found["spec"].get("minReadySeconds", 0)
        labels = found["spec"]["template"]["metadata"].get("labels") or {}
        status: Object = {
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(
                matches_selector({"matchLabels": labels}, pod["metadata"].get("labels") or {}) for pod in pods
            ),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": sum(is_available(pod, wait_s, now_ms) for pod in pods),
            "observedGeneration": found["metadata"]["generation"],
        }
        status = {name: value for name, value in status.items() if value or name == "replicas"}
        if status != found.get("status"):
            meta, body = found["metadata"], copied(found) | {"status": status}
            body["metadata"].pop("resourceVersion")
            self._bucket.take()
            self._cluster.replace(self._sets, meta["namespace"], meta["name"], body, _STATUS)
        if status.get("readyReplicas", 0) != status.get("availableReplicas", 0):
            return float(min(wait_s, 1))
        return None


def _family(replica_set: Object) -> str:
    owners = replica_set["metadata"].get("ownerReferences") or ()
    names = (owner["name"] for owner in owners)
    return str(next(names, replica_set["metadata"]["name"]))


def reference_to(owner: Object) -> Object:
    """The reference by which an object names its controller."""
    meta = owner["metadata"]
    kept = {name: owner[name] for name in ("apiVersion", "kind")}
    more = {"name": meta["name"], "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}
    return kept | more


def owned_by(thing: Object, owner: Object) -> bool:
    """Whether an object names this owner."""
    owners = thing["metadata"].get("ownerReferences") or ()
    return any(each.get("uid") == owner["metadata"]["uid"] for each in owners)


def _ready_condition(pod: Object) -> Object | None:
    conditions: list[Object] = (pod.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == "Ready" and each["status"] == "True"), None)


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition holds."""
    return _ready_condition(pod) is not None


def is_available(pod: Object, min_ready_s: int, now_ms: int) -> bool:
    """Whether a pod has been ready for that long (by the whole seconds of its condition)."""
    condition = _ready_condition(pod)
    if condition is None:
        return False
    since = time.strptime(condition["lastTransitionTime"], "%Y-%m-%dT%H:%M:%SZ")
    return now_ms >= 1000 * (calendar.timegm(since) + min_ready_s)


def _expendable(pod: Object) -> tuple[Any, ...]:
    """Pods that go first come first: not running, not ready, the youngest."""
    running = (pod.get("status") or {}).get("phase") == "Running"
    age = pod["metadata"]["creationTimestamp"]
    return running, is_ready(pod), tuple(-ord(letter) for letter in age), pod["metadata"]["name"]
