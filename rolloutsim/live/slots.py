"""A revision of a plain Deployment is one of two slots: what a slot holds, read from the objects.

A slot is a Deployment that the policy names; a policy with one Deployment gets a second, ``NAME-next``. The
id of a revision is a hash of its pod template as the API server stores it, without the labels that only tell
slots apart. It stands in an annotation of the slot from the moment we fill it, and on its pods as the label
``rollouts-pod-template-hash``, the name that queries written for Argo Rollouts ask for. Of a slot that we
never filled the id is computed.

Sources: Kubernetes, Deployment (``status`` counts only at the current ``observedGeneration``;
``pod-template-hash`` and ``deployment.kubernetes.io/revision`` on its ReplicaSets).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.live.port import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INGRESS,
    REPLICA_SET,
    Kind,
    Kubernetes,
    Object,
    Ref,
    Refused,
)
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.policy.model import Policy, Target

__all__ = [
    "POD_HASH_LABEL",
    "REVISION_ANNOTATION",
    "REVISION_POD_LABEL",
    "SLOT_LABEL",
    "Objects",
    "Slot",
    "holding",
    "pod_labels",
    "read_slot",
    "route_ref",
    "selector_labels",
    "selector_value",
    "slot_names",
    "slot_refs",
    "template_id",
]

REVISION_ANNOTATION = "rolloutsim.dev/revision"
REVISION_POD_LABEL = "rollouts-pod-template-hash"
SLOT_LABEL = "rolloutsim.dev/slot"
POD_HASH_LABEL = "pod-template-hash"
NUMBER_ANNOTATION = "deployment.kubernetes.io/revision"

Objects = Mapping[Ref, Object]
"""Objects of the cluster as last seen, by reference; what is not there does not exist."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One Deployment as a place for a revision.

    ``exists``: NAME-next may be missing. ``settled``: the status is that of the present spec; only then do
    ``created``, ``ready`` and ``available`` mean anything. ``rolling``: pods of an older template are still
    there, which no write of ours causes. ``edited``: the template is not the one that was filled in.
    ``owner``: the rollout named on it, "" for none.
    """

    ref: Ref
    exists: bool = False
    revision: str = ""
    owner: str = ""
    desired: int = 0
    created: int = 0
    ready: int = 0
    available: int = 0
    settled: bool = False
    rolling: bool = False
    edited: bool = False
    paused: bool = False

    @property
    def empty(self) -> bool:
        """No pods, and none asked for."""
        return not self.exists or (self.settled and self.desired == 0 and self.created == 0)


def slot_names(target: Target) -> tuple[str, str]:
    """The two Deployments. Raises `ValueError` for a target without any."""
    if not target.deployments:
        raise ValueError("the policy's target names no Deployment")
    first = target.deployments[0]
    return (first, target.deployments[1] if len(target.deployments) > 1 else f"{first}-next")


def slot_refs(policy: Policy, namespace: str) -> tuple[Ref, Ref]:
    first, second = slot_names(policy.target)
    return Ref(DEPLOYMENT, namespace, first), Ref(DEPLOYMENT, namespace, second)


def pod_labels(body: Object) -> dict[str, str]:
    """Labels that the template of a Deployment gives its pods."""
    return dict(body.get("spec", {}).get("template", {}).get("metadata", {}).get("labels") or {})


def template_id(template: Object, slot_labels: Iterable[str]) -> str:
    """The id of a revision: 10 hexadecimal digits of a hash of its pod template as the server stores it.

    Labels named in ``slot_labels``, and our own, do not count; nor does what a server leaves empty.
    """
    metadata = dict(template.get("metadata") or {})
    ignored = {*slot_labels, REVISION_POD_LABEL, SLOT_LABEL, POD_HASH_LABEL}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in ignored}
    content = _without_empty({**template, "metadata": {**metadata, "labels": labels}})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _without_empty(value: Any) -> Any:
    """Without nulls and empty maps: ``creationTimestamp: null``, ``resources: {}`` come and go."""
    if isinstance(value, Mapping):
        inner = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, {})}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def read_slot(ref: Ref, objects: Objects, revision_label: str) -> Slot:
    """The slot as its Deployment says."""
    body = objects.get(ref)
    if body is None:
        return Slot(ref)
    metadata, spec, status = body["metadata"], body.get("spec", {}), body.get("status", {})
    annotated = (metadata.get("annotations") or {}).get(REVISION_ANNOTATION, "")
    computed = template_id(spec.get("template", {}), {*selector_labels(body), revision_label})
    created, updated = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
    settled = int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 1))
    return Slot(
        ref=ref,
        exists=True,
        revision=annotated or computed,
        owner=(metadata.get("labels") or {}).get(OWNER_LABEL, ""),
        desired=int(spec.get("replicas", 1)),
        created=created,
        ready=int(status.get("readyReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        settled=settled,
        rolling=settled and created > updated,
        edited=bool(annotated) and annotated != computed,
        paused=bool(spec.get("paused", False)),
    )


def selector_labels(body: Object) -> dict[str, str]:
    """The labels by which a Deployment knows its pods; they never change."""
    return dict(body.get("spec", {}).get("selector", {}).get("matchLabels") or {})


def holding(slots: Iterable[Slot], revision: str) -> Slot | None:
    """The slot that holds a revision; the one with pods if both do."""
    found = [slot for slot in slots if slot.exists and slot.revision == revision]
    return max(found, key=lambda slot: slot.created, default=None)


def selector_value(api: Kubernetes, body: Object, label: str) -> str:
    """What a Service has to ask for under ``label`` to reach the pods of this Deployment, and no others.

    Raises
    ------
    Refused : its pods do not carry the label, or the Deployment controller has not given them a hash yet.
    """
    ref = Ref(DEPLOYMENT, body["metadata"].get("namespace", ""), body["metadata"]["name"])
    labels = pod_labels(body)
    if label in labels:
        return labels[label]
    if label != POD_HASH_LABEL:
        raise Refused(f"the pods of {ref} have no label {label}; add it, or leave revisionLabel out")
    number = (body["metadata"].get("annotations") or {}).get(NUMBER_ANNOTATION)
    asked = ",".join(f"{key}={value}" for key, value in sorted(selector_labels(body).items()))
    for replica_set in api.list(REPLICA_SET, ref.namespace, labels=asked).items:
        metadata = replica_set["metadata"]
        owners = metadata.get("ownerReferences") or ()
        owned = any(owner.get("uid") == body["metadata"].get("uid") for owner in owners)
        if owned and number and (metadata.get("annotations") or {}).get(NUMBER_ANNOTATION) == number:
            return str((metadata.get("labels") or {}).get(POD_HASH_LABEL, ""))
    raise Refused(f"{ref} has no ReplicaSet for its template yet; is a Deployment controller running?")


ROUTE_KINDS: Mapping[str, Kind] = {"httproute": HTTP_ROUTE, "ingress": INGRESS}


def route_ref(policy: Policy, namespace: str) -> Ref | None:
    """The route that the policy's target names; None: a plain Service."""
    if not policy.target.route:
        return None
    kind, _, name = policy.target.route.partition("/")
    return Ref(ROUTE_KINDS[kind], namespace, name)
