"""Deployments: ReplicaSets of old and new templates, scaled against each other.

Source: k8s.io/kubernetes, pkg/controller/deployment (sync.go, rolling.go, recreate.go, progress.go). Not
here: proportional scaling while a rollout is on (the next steps of the rollout correct the numbers).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.controllers.arithmetic import Revision, limits_of, new_replicas, old_replicas
from rolloutsim.lab.controllers.conditions import conditions_of
from rolloutsim.lab.controllers.events import Recorder
from rolloutsim.lab.controllers.replicasets import owned_by, reference_to
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Bucket, Loop
from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.store import Event

__all__ = ["HASH", "REVISION", "Deployments"]

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SPEC = Options("kube-controller-manager", strictness="Ignore")
_STATUS = Options("kube-controller-manager", strictness="Ignore", subresource="status")


class Deployments:
    """Makes ReplicaSets and scales them."""

    def __init__(self, cluster: Cluster, bucket: Bucket) -> None:
        self._cluster = cluster
        self._kind, self._sets = (cluster.kinds.named(name) for name in ("Deployment", "ReplicaSet"))
        self._pods = cluster.kinds.named("Pod")
        self._bucket = bucket
        self._recorder = Recorder(cluster, "deployment-controller", self._bucket)
        self._progress: dict[str, tuple[Any, tuple[int, ...], int]] = {}
        self.loop = Loop("deployments", cluster.store, self._keys, self._sync)

    def start(self) -> None:
        """Begin."""
        self._recorder.start()
        self.loop.start()

    def stop(self) -> None:
        """End."""
        self.loop.stop()
        self._recorder.stop()

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        meta = event.object["metadata"]
        if kind.kind == "Deployment":
            yield meta["namespace"], meta["name"]
        elif kind.kind == "ReplicaSet":
            for owner in meta.get("ownerReferences") or ():
                if owner["kind"] == "Deployment":
                    yield meta["namespace"], owner["name"]
        elif kind.kind == "Pod" and event.type == "DELETED":
            yield from self._owner_of_pod(event.object)  # a Recreate waits for the last old pod

    def _owner_of_pod(self, pod: Object) -> Iterator[tuple[str, str]]:
        for owner in pod["metadata"].get("ownerReferences") or ():
            found = self._cluster.store.get(self._sets, pod["metadata"]["namespace"], owner["name"])
            for above in (found or {"metadata": {}})["metadata"].get("ownerReferences") or ():
                yield pod["metadata"]["namespace"], above["name"]

    def _sync(self, namespace: str, name: str) -> float | None:
        found = self._cluster.store.get(self._kind, namespace, name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return None
        sets = [each for each in self._cluster.store.items(self._sets, namespace) if owned_by(each, found)]
        sets.sort(key=lambda each: (each["metadata"]["creationTimestamp"], _revision(each)))
        wanted = _template(found)
        new = next((each for each in sets if _template(each) == wanted), None)
        old = [each for each in sets if each is not new]
        if found["spec"].get("paused"):
            self._scale_paused(found, new, old)
        else:
            new = self._new(found, new, old)
            self._roll(found, new, old)
        # The numbers that count are those after what was just written.
        read = self._cluster.store.get
        sets = [
            each
            for each in (
                read(self._sets, namespace, before["metadata"]["name"])
                for before in [*old, *([new] if new is not None else [])]
            )
            if each is not None
        ]
        new = next((each for each in sets if _template(each) == wanted), None)
        return self._write_status(found, new, [each for each in sets if each is not new])

    def _scale_paused(self, found: Object, new: Object | None, old: list[Object]) -> None:
        """While a Deployment is paused only its latest ReplicaSet follows the number of replicas."""
        active = [each for each in [*old, *([new] if new is not None else [])] if each["spec"]["replicas"]]
        if len(active) == 1:
            self._scale(found, active[0], found["spec"]["replicas"])

    def _new(self, found: Object, new: Object | None, old: list[Object]) -> Object:
        """The ReplicaSet of the present template, made if there is none, with the highest revision."""
        highest = max(map(_revision, old), default=0)
        number = str(highest + 1) if new is None or _revision(new) <= highest else str(_revision(new))
        if new is None:
            new = self._create(found, number, old)
        elif new["metadata"]["annotations"][REVISION] != number:
            new = self._annotate(self._sets, new, number)
        if (found["metadata"].get("annotations") or {}).get(REVISION) != number:
            self._annotate(self._kind, found, number)
        return new

    def _annotate(self, kind: Kind, thing: Object, number: str) -> Object:
        """Raises Refused 409 if somebody else wrote meanwhile, whose change is not to be lost."""
        changed = copied(thing)
        changed["metadata"].setdefault("annotations", {})[REVISION] = number
        meta = thing["metadata"]
        self._bucket.take()
        return self._cluster.replace(kind, meta["namespace"], meta["name"], changed, _SPEC).object

    def _create(self, found: Object, number: str, old: list[Object]) -> Object:
        meta, template = found["metadata"], copied(found["spec"]["template"])
        digest = _hash(found["spec"]["template"])
        template["metadata"].setdefault("labels", {})[HASH] = digest
        selector = copied(found["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH] = digest
        first = Revision(0, 0, 0)
        replicas = found["spec"]["replicas"]
        if found["spec"]["strategy"]["type"] == "RollingUpdate":
            replicas = new_replicas(
                replicas, limits_of(found["spec"]), first, [_counts(each) for each in old]
            )
        elif any(each["spec"]["replicas"] for each in old):
            replicas = 0
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta['name']}-{digest}",
                "labels": template["metadata"]["labels"],
                "annotations": {REVISION: number},
                "ownerReferences": [reference_to(found)],
            },
            "spec": {
                "replicas": replicas,
                "selector": selector,
                "template": template,
                "minReadySeconds": found["spec"].get("minReadySeconds", 0),
            },
        }
        self._bucket.take()
        made = self._cluster.create(self._sets, meta["namespace"], body, _SPEC).object
        self._recorder.tell(found, "ScalingReplicaSet", _scaled(made, 0, replicas))
        return made

    def _roll(self, found: Object, new: Object, old: list[Object]) -> None:
        replicas = found["spec"]["replicas"]
        if found["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(found, new, old)
            return
        limits, counts = limits_of(found["spec"]), [_counts(each) for each in old]
        if self._scale(found, new, new_replicas(replicas, limits, _counts(new), counts)):
            return  # one step at a time: what the new pods allow is seen when they are there
        for each, wanted in zip(old, old_replicas(replicas, limits, _counts(new), counts), strict=True):
            self._scale(found, each, wanted)
        self._forget_old(found, new, old)

    def _recreate(self, found: Object, new: Object, old: list[Object]) -> None:
        scaled = [self._scale(found, each, 0) for each in old]
        if any(scaled):
            return
        pods = self._cluster.store.items(self._pods, found["metadata"]["namespace"])
        if any(owned_by(pod, each) for pod in pods for each in old):
            return
        self._scale(found, new, found["spec"]["replicas"])

    def _scale(self, found: Object, replica_set: Object, wanted: int) -> bool:
        now = replica_set["spec"]["replicas"]
        if now == wanted:
            return False
        changed = copied(replica_set)
        changed["spec"]["replicas"] = wanted
        meta = replica_set["metadata"]
        changed["metadata"].pop("resourceVersion")
        self._bucket.take()
        self._cluster.replace(self._sets, meta["namespace"], meta["name"], changed, _SPEC)
        self._recorder.tell(found, "ScalingReplicaSet", _scaled(replica_set, now, wanted))
        return True

    def _forget_old(self, found: Object, new: Object, old: list[Object]) -> None:
        """Delete empty ReplicaSets beyond the history limit, once a rollout is complete."""
        replicas, counts = found["spec"]["replicas"], _counts(new)
        if counts.available < replicas or any(each["spec"]["replicas"] for each in old):
            return
        empty = [each for each in old if not (each.get("status") or {}).get("replicas")]
        for each in empty[: max(0, len(empty) - found["spec"].get("revisionHistoryLimit", 10))]:
            meta = each["metadata"]
            self._bucket.take()
            self._cluster.delete(self._sets, meta["namespace"], meta["name"], {})

    def _write_status(self, found: Object, new: Object | None, old: list[Object]) -> float | None:
        meta, spec = found["metadata"], found["spec"]
        everything = [*old, *([new] if new is not None else [])]
        counts = [_counts(each) for each in everything]
        available = sum(each.available for each in counts)
        ready = sum((each.get("status") or {}).get("readyReplicas", 0) for each in everything)
        numbers = {
            "replicas": sum(each.created for each in counts),
            "updatedReplicas": _counts(new).created if new is not None else 0,
            "readyReplicas": ready,
            "availableReplicas": available,
            "unavailableReplicas": max(0, sum(each.wanted for each in counts) - available),
        }
        status: Object = {name: count for name, count in numbers.items() if count}
        before = found.get("status") or {}
        now_ms = self._cluster.now_ms()
        since_ms = self._since(found, numbers, now_ms)
        name = new["metadata"]["name"] if new is not None else ""
        conditions = conditions_of(spec, before, numbers, name, since_ms, now_ms)
        status |= {"observedGeneration": meta["generation"], "conditions": conditions}
        if status != before:
            self._bucket.take()
            fresh = self._cluster.read(self._kind, meta["namespace"], meta["name"])
            self._cluster.replace(
                self._kind, meta["namespace"], meta["name"], copied(fresh) | {"status": status}, _STATUS
            )
        waits = next((each for each in conditions if each["type"] == "Progressing"), {}).get("reason")
        if waits in ("NewReplicaSetCreated", "ReplicaSetUpdated"):
            left_s: float = spec.get("progressDeadlineSeconds", 600) - (now_ms - since_ms) / 1000
            return max(0.05, left_s)
        return None

    def _since(self, found: Object, numbers: Mapping[str, int], now_ms: int) -> int:
        """When the Deployment last made progress: new pods, fewer old ones, more of them ready."""
        key = (found["spec"]["template"], found["spec"].get("paused", False))
        seen = (
            numbers["updatedReplicas"],
            numbers["updatedReplicas"] - numbers["replicas"],
            numbers["readyReplicas"],
            numbers["availableReplicas"],
        )
        known = self._progress.get(found["metadata"]["uid"])
        if (
            known is None
            or known[0] != key
            or any(now > then for now, then in zip(seen, known[1], strict=True))
        ):
            known = (key, seen, now_ms)
        self._progress[found["metadata"]["uid"]] = (key, seen, known[2])
        return known[2]


def _counts(replica_set: Object) -> Revision:
    status = replica_set.get("status") or {}
    return Revision(
        replica_set["spec"]["replicas"], status.get("replicas", 0), status.get("availableReplicas", 0)
    )


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _template(owner: Object) -> Object:
    """A pod template without the label that its ReplicaSet adds."""
    template = owner["spec"]["template"]
    meta = template.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH}
    return {**template, "metadata": {**meta, "labels": labels}}


def _hash(template: Object) -> str:
    """A short name for a template; equal templates have equal names, unlike the real controller's FNV."""
    digest = hashlib.blake2b(json.dumps(template, sort_keys=True).encode(), digest_size=8).digest()
    number, text = int.from_bytes(digest, "big"), ""
    for _ in range(10):
        number, rest = divmod(number, len(_LETTERS))
        text += _LETTERS[rest]
    return text


def _scaled(replica_set: Object, before: int, after: int) -> str:
    name = replica_set["metadata"]["name"]
    return f"Scaled {'up' if after > before else 'down'} replica set {name} from {before} to {after}"
