"""The pods of a policy on plain Deployments: fill the idle slot, scale, empty it, clean up.

A template goes only into a slot without pods, so no write of ours makes a Deployment roll. It goes in whole,
by a JSON patch that holds for the very object that was read: a server-side apply would leave behind what
other managers once set, and the pods would not be those that were asked for. Objects are touched only if the
policy's target names them or this rollout created them, and never if another rollout's label is on them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rolloutsim.errors import ExecutorError
from rolloutsim.live.permissions import READ, Right
from rolloutsim.live.port import AUTOSCALER, DEPLOYMENT, Kubernetes, NotFound, Object, Ref, Refused
from rolloutsim.live.slots import (
    POD_HASH_LABEL,
    REVISION_ANNOTATION,
    REVISION_POD_LABEL,
    SLOT_LABEL,
    Objects,
    Slot,
    holding,
    pod_labels,
    read_slot,
    selector_labels,
    slot_refs,
    template_id,
)
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.writes import patch_read, pointer, settled, version_of
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = ["SlotPair", "look"]

MANAGED_BY = "app.kubernetes.io/managed-by"
COPIED = ("strategy", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit")
"""Fields of a single Deployment's spec that its second slot shares."""


def look(api: Kubernetes, refs: tuple[Ref, ...]) -> Objects:
    """These objects as they are now; missing ones are left out. Raises `ApiError`."""
    found: dict[Ref, Object] = {}
    for ref in refs:
        try:
            found[ref] = api.get(ref)
        except NotFound:
            continue
    return found


class SlotPair:
    """The two slots of one policy in one namespace. Every write raises `Refused` or `Unknown`.

    Raises
    ------
    ExecutorError : the strategy is the Deployment controller's own work, or the target names no Deployment.
    """

    def __init__(self, api: Kubernetes, policy: Policy, namespace: str) -> None:
        if not isinstance(policy.strategy, Canary | BlueGreen):
            raise ExecutorError(
                f"{policy.name}: a rolling update is the Deployment controller's own work; use kubectl apply"
            )
        if not policy.target.deployments:
            raise ExecutorError(f"{policy.name}: the policy names no Deployment; add spec.target.deployments")
        self.api = api
        self._policy = policy
        self._namespace = namespace
        self._label = policy.target.revision_label
        self.refs = slot_refs(policy, namespace)
        self.copies = len(policy.target.deployments) == 1
        """The second slot is ours to create and to delete."""

    @property
    def rights(self) -> tuple[Right, ...]:
        first, second = self.refs
        rights = [Right(DEPLOYMENT, (*READ, "patch"), ref.name) for ref in (first, second)]
        if self.copies:
            rights += [Right(DEPLOYMENT, ("create",)), Right(DEPLOYMENT, ("delete",), second.name)]
        return (*rights, Right(AUTOSCALER, ("list",)))

    # --- reading ----------------------------------------------------------------------------------

    def read(self, objects: Objects) -> tuple[Slot, Slot]:
        """Both slots as last seen."""
        first, second = (read_slot(ref, objects, self._label) for ref in self.refs)
        return first, second

    def now(self) -> tuple[Slot, Slot]:
        """Both slots, read from the cluster."""
        return self.read(look(self.api, self.refs))

    def identify(self, template: Object, stable: str) -> str:
        """The id that a pod template has as a revision; the server fills in its defaults and keeps nothing.

        Raises
        ------
        Invalid : the server would not accept the template.
        Refused : neither slot holds ``stable``.
        """
        objects = look(self.api, self.refs)
        idle = self._other(self.read(objects), stable)
        body = objects.get(idle.ref)
        if body is None:
            source = self._source(objects)
            copy = self._copy(source, template, "")
            answered = self.api.create(idle.ref, copy, dry_run=True)
        else:
            content = self._template(body, template, "")
            change = {"op": "add", "path": "/spec/template", "value": content}
            answered = patch_read(self.api, idle.ref, body, [change], dry_run=True)
        return template_id(answered["spec"]["template"], {*selector_labels(answered), self._label})

    def occupied(self, objects: Objects, revision: str, stable: str) -> str:
        """Why ``revision`` cannot go into the idle slot yet, and what to do; "" if nothing is in its way.

        Raises
        ------
        Refused : neither slot holds ``stable``.
        """
        slots = self.read(objects)
        if holding(slots, revision) is not None:
            return ""
        idle = self._other(slots, stable)
        return "" if idle.empty else self._full(idle, revision)

    def autoscaled(self) -> tuple[str, ...]:
        """Names of the autoscalers that act on a slot: two masters of one number."""
        names = {ref.name for ref in self.refs}
        found = []
        for scaler in self.api.list(AUTOSCALER, self._namespace).items:
            target = scaler.get("spec", {}).get("scaleTargetRef", {})
            if target.get("kind") == "Deployment" and target.get("name") in names:
                found.append(scaler["metadata"]["name"])
        return tuple(sorted(found))

    # --- writing ----------------------------------------------------------------------------------

    def adopt(self) -> tuple[Slot, Slot]:
        """Write on the existing slots whose they are and which revision they hold; no pod is touched."""
        return settled(self._adopt)

    def _adopt(self) -> tuple[Slot, Slot]:
        objects = look(self.api, self.refs)
        slots = self.read(objects)
        for slot in slots:
            self._own(slot)
            if slot.exists and not (slot.owner and _annotated(objects[slot.ref])):
                operations = self._marks(objects[slot.ref], slot.revision)
                patch_read(self.api, slot.ref, objects[slot.ref], operations)
        first, second = slots
        if (
            first.exists
            and second.exists
            and first.revision == second.revision
            and not (first.empty or second.empty)
        ):
            raise Refused(f"{first.ref} and {second.ref} both run the same template; scale one of them to 0")
        return slots

    def fill(self, revision: str, template: Object | None, stable: str) -> Slot:
        """Put a template into the slot that does not hold ``stable`` (a revision, "" if there is none).

        A slot that holds the revision already is left as it is.
        """
        scalers = self.autoscaled()
        if scalers:
            raise Refused(
                f"the autoscaler {scalers[0]} scales a slot of {self._policy.name}; delete it for the rollout"
            )
        return settled(lambda: self._fill(revision, template, stable))

    def _fill(self, revision: str, template: Object | None, stable: str) -> Slot:
        objects = look(self.api, self.refs)
        slots = self.read(objects)
        there = holding(slots, revision)
        if there is not None and revision == stable:
            return there
        idle = there or self._other(slots, stable)
        self._own(idle)
        body = objects.get(idle.ref)
        if template is None:
            if there is None or there.edited:
                raise Refused(f"the pod template of the revision {revision} is not known; ask for it again")
            template = objects[there.ref]["spec"]["template"]
        if body is None:
            written = self.api.create(idle.ref, self._copy(self._source(objects), template, revision))
        elif there is not None and self._keeps(there, body, revision):
            if there.owner and _annotated(body):
                return there
            written = patch_read(self.api, idle.ref, body, self._marks(body, revision))
        else:
            self._fillable(idle, revision)
            written = patch_read(self.api, idle.ref, body, self._filling(body, template, revision))
        return read_slot(idle.ref, {idle.ref: written}, self._label)

    def scale(self, revision: str, replicas: int) -> Slot:
        """Ask for this many pods of a revision."""
        return settled(lambda: self._scale(revision, replicas))

    def _scale(self, revision: str, replicas: int) -> Slot:
        objects = look(self.api, self.refs)
        slot = holding(self.read(objects), revision)
        if slot is None and not replicas:
            # somebody deleted its Deployment, or filled it with another revision: no pods is what it has
            return Slot(self.refs[0])
        if slot is None:
            raise Refused(
                f"no slot of {self._policy.name} holds the revision {revision}; see rolloutsim status"
            )
        self._own(slot)
        if slot.desired == replicas:
            return slot
        change = {"op": "add", "path": "/spec/replicas", "value": replicas}
        written = patch_read(self.api, slot.ref, objects[slot.ref], [change])
        return read_slot(slot.ref, {slot.ref: written}, self._label)

    def remove(self, revision: str) -> Slot:
        """Scale a revision to 0; its slot keeps the template until the next one goes in."""
        return self.scale(revision, 0)

    def clean_up(self) -> bool:
        """Delete the second slot if it is our copy and has no pods; whether it is gone."""
        if not self.copies:
            return True
        ref = self.refs[1]
        found = look(self.api, (ref,))
        slot = read_slot(ref, found, self._label)
        if not slot.exists:
            return True
        self._own(slot)
        if not slot.empty:
            return False
        self.api.delete(ref, uid=found[ref]["metadata"]["uid"], resource_version=version_of(found[ref]))
        return True

    def kubectl(self, revision: str, replicas: int) -> tuple[str, ...]:
        """What a person would type instead of `scale`."""
        slot = holding(self.now(), revision)
        return () if slot is None else (self._scaling(slot, replicas),)

    def _scaling(self, slot: Slot, replicas: int) -> str:
        where, name = shlex.quote(self._namespace), shlex.quote(slot.ref.name)
        return f"kubectl -n {where} scale deployment {name} --replicas={replicas}"

    # --- checks -----------------------------------------------------------------------------------

    @staticmethod
    def _keeps(slot: Slot, body: Object, revision: str) -> bool:
        """Whether a slot that holds the revision stays as it is: its pods are labelled, or run already."""
        labelled = pod_labels(body).get(REVISION_POD_LABEL) == revision
        return not slot.edited and (labelled or not slot.empty)

    def _fillable(self, slot: Slot, revision: str) -> None:
        if slot.paused:
            raise Refused(f"{slot.ref} is paused, so its pods cannot change; use kubectl rollout resume")
        if slot.empty:
            return
        if slot.revision == revision:
            raise Refused(
                f"somebody changed the template of {slot.ref} while it has pods; undo that, or abort"
            )
        raise Refused(self._full(slot, revision))

    def _full(self, slot: Slot, revision: str) -> str:
        """That a slot has pods of another revision, and how they go away."""
        strategy = self._policy.strategy
        assert isinstance(strategy, Canary | BlueGreen)
        by_hand = self._scaling(slot, 0)
        way = f"a scale-down delay of 0 s keeps them for ever, so end them with: {by_hand}"
        if 0 not in (strategy.scale_down_delay_ms, strategy.abort_scale_down_delay_ms):
            way = (
                "an executor ends them after their scale-down delay, see rolloutsim status "
                f"{self._policy.name}; at once: {by_hand}"
            )
        return (
            f"{slot.ref} still has pods of the revision {slot.revision} and has to be empty before "
            f"{revision} goes in; {way}"
        )

    # --- bodies -----------------------------------------------------------------------------------

    def _own(self, slot: Slot) -> None:
        """Refuse what is another's, or what is neither named by the policy nor created by us."""
        if slot.owner not in ("", self._policy.name):
            raise Refused(f"{slot.ref} belongs to the rollout {slot.owner}; it is left alone")
        if slot.exists and not slot.owner and slot.ref.name not in self._policy.target.deployments:
            raise Refused(
                f"{slot.ref} exists and was not created by this rollout; rename it, or name it in the "
                "policy's target"
            )

    def _other(self, slots: tuple[Slot, Slot], stable: str) -> Slot:
        first, second = slots
        if not stable:
            return first if first.empty else second
        held = holding(slots, stable)
        if held is None:
            raise Refused(
                f"neither {first.ref} nor {second.ref} holds the stable revision {stable}; "
                "somebody changed a template: see rolloutsim status"
            )
        return second if held is first else first

    def _source(self, objects: Objects) -> Object:
        source = objects.get(self.refs[0])
        if source is None or not self.copies:
            missing = next(ref for ref in self.refs if ref not in objects)
            raise Refused(f"{missing} does not exist; create it (0 replicas will do) and try again")
        return source

    def _marks(self, body: Object, revision: str) -> list[Object]:
        """Operations that write the owner and the revision on a Deployment."""
        metadata = body["metadata"]
        labels = {**(metadata.get("labels") or {}), OWNER_LABEL: self._policy.name}
        annotations = {**(metadata.get("annotations") or {}), REVISION_ANNOTATION: revision}
        return [
            {"op": "add", "path": pointer("metadata", "labels"), "value": labels},
            {"op": "add", "path": pointer("metadata", "annotations"), "value": annotations},
        ]

    def _filling(self, body: Object, template: Object, revision: str) -> list[Object]:
        content = self._template(body, template, revision)
        spec = {"template": content, "replicas": 0, "minReadySeconds": self._policy.min_ready_ms // 1000}
        changes = [{"op": "add", "path": pointer("spec", key), "value": value} for key, value in spec.items()]
        return [*self._marks(body, revision), *changes]

    def _template(self, body: Object, template: Object, revision: str) -> Object:
        """The pod template as this slot needs it: with the labels by which the slot knows its pods."""
        labels = selector_labels(body)
        known = pod_labels(body)
        if self._label in known:
            labels[self._label] = known[self._label]
        return _labelled(template, labels, revision)

    def _copy(self, source: Object, template: Object, revision: str) -> Object:
        """The second slot of a single Deployment: no pods, and labels of its own.

        The labels and annotations of the first are not copied: a GitOps tool would take them as its own and
        delete what its files do not contain.
        """
        ref = self.refs[1]
        label = SLOT_LABEL if self._label == POD_HASH_LABEL else self._label
        if label == self._label and label not in pod_labels(source):
            raise Refused(
                f"the pods of {self.refs[0]} have no label {label}; add it, or leave revisionLabel out"
            )
        spec = source["spec"]
        labels = {**selector_labels(source), label: ref.name}
        return {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.name,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": {OWNER_LABEL: self._policy.name, MANAGED_BY: "rolloutsim"},
                "annotations": {REVISION_ANNOTATION: revision},
            },
            "spec": {
                **{key: spec[key] for key in COPIED if key in spec},
                "minReadySeconds": self._policy.min_ready_ms // 1000,
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": _labelled(template, labels, revision),
            },
        }


def _annotated(body: Object) -> bool:
    return REVISION_ANNOTATION in (body["metadata"].get("annotations") or {})


def _labelled(template: Object, labels: Mapping[str, str], revision: str) -> Object:
    metadata: dict[str, Any] = dict(template.get("metadata") or {})
    kept = {key: value for key, value in (metadata.get("labels") or {}).items() if key != SLOT_LABEL}
    own = {REVISION_POD_LABEL: revision} if revision else {}
    return {**template, "metadata": {**metadata, "labels": {**kept, **labels, **own}}}
