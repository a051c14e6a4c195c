"""Services that select a slot by one label: blue-green, and the stable and canary Service of every router.

The rollout owns one key of a selector, ``revisionLabel``; the rest is the user's. The key is changed by a
JSON patch that holds for the Service that was read. Where the label is the Deployment controller's own
``pod-template-hash``, the Service's annotation remembers which revision its value stands for.

Source: Kubernetes, Service (an absent key selects any value).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from rolloutsim.engine import Role
from rolloutsim.live.permissions import READ, Right
from rolloutsim.live.port import REPLICA_SET, SERVICE, Kubernetes, Object, Ref, Refused
from rolloutsim.live.slots import (
    POD_HASH_LABEL,
    Objects,
    Slot,
    holding,
    pod_labels,
    read_slot,
    selector_value,
    slot_refs,
)
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.workload import look
from rolloutsim.live.writes import patch_read, pointer, settled
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = ["Services", "kubectl_patch", "service_names"]

SELECTED_ANNOTATION = "rolloutsim.dev/selected"
"""``VALUE=REVISION``: what the value of the owned key stood for when it was written."""


def service_names(policy: Policy) -> dict[Role, str]:
    """The Services of a policy by role."""
    match policy.strategy:
        case Canary(stable_service=stable, canary_service=canary):
            named = {Role.STABLE: stable, Role.CANARY: canary}
        case BlueGreen(active_service=active, preview_service=preview):
            named = {Role.ACTIVE: active, Role.PREVIEW: preview}
        case _:
            named = {}
    return {role: name for role, name in named.items() if name}


class Services:
    """The Services of one policy, by role. Writes raise `Refused` or `Unknown`."""

    def __init__(self, api: Kubernetes, policy: Policy, namespace: str) -> None:
        self._api = api
        self._policy = policy
        self._label = policy.target.revision_label
        self._slots = slot_refs(policy, namespace)
        self._services = {role: Ref(SERVICE, namespace, name) for role, name in service_names(policy).items()}

    @property
    def watches(self) -> tuple[Ref, ...]:
        return tuple(dict.fromkeys(self._services.values()))

    @property
    def rights(self) -> tuple[Right, ...]:
        rights = [Right(SERVICE, (*READ, "patch"), ref.name) for ref in self.watches]
        if self._label == POD_HASH_LABEL and rights:
            rights.append(Right(REPLICA_SET, ("list",)))
        return tuple(rights)

    def read(self, objects: Objects) -> tuple[tuple[tuple[Role, str], ...], str]:
        """The revision that each Service selects, and what is wrong ("": nothing). Pure."""
        selected = tuple((role, self._revision(objects, ref)) for role, ref in self._services.items())
        problems = [f"{ref} does not exist; create it" for ref in self.watches if ref not in objects]
        return selected, "; ".join(problems)

    def pin(self) -> None:
        """Add the owned key to each selector that lacks it, for the one slot that it reaches now."""
        for ref in self.watches:
            settled(lambda ref=ref: self._pin(ref))  # type: ignore[misc]

    def select(self, role: Role, revision: str) -> None:
        """Let the Service of a role select the slot that holds ``revision``."""
        ref = self._service(role)
        settled(lambda: self._switch(ref, revision))

    def kubectl(self, role: Role, revision: str) -> tuple[str, ...]:
        ref = self._service(role)
        _, body = self._slot(look(self._api, self._slots), revision)
        patch = {"spec": {"selector": {self._label: selector_value(self._api, body, self._label)}}}
        return (kubectl_patch(ref, patch),)

    # --- reading ----------------------------------------------------------------------------------

    def _service(self, role: Role) -> Ref:
        if role not in self._services:
            raise Refused(f"{self._policy.name} names no Service for the role {role}; add it to the strategy")
        return self._services[role]

    def _revision(self, objects: Objects, ref: Ref) -> str:
        """The revision that a Service selects; "" if that is no slot, or both."""
        service = objects.get(ref)
        if service is None:
            return ""
        selector = _selector(service)
        value = selector.get(self._label)
        said, _, revision = _annotation(service).partition("=")
        if self._label == POD_HASH_LABEL and value is not None:
            return revision if said == value else ""
        reached = self._reached(objects, selector)
        return reached[0].revision if len(reached) == 1 else ""

    def _reached(self, objects: Objects, selector: Mapping[str, str]) -> list[Slot]:
        """The slots whose pods a selector asks for, whether they have pods now or not."""
        bodies = {ref: objects[ref] for ref in self._slots if ref in objects}
        return [
            read_slot(ref, objects, self._label)
            for ref, body in bodies.items()
            if selector and selector.items() <= pod_labels(body).items()
        ]

    def _slot(self, objects: Objects, revision: str) -> tuple[Slot, Object]:
        slot = holding([read_slot(ref, objects, self._label) for ref in self._slots], revision)
        if slot is None:
            raise Refused(
                f"no slot of {self._policy.name} holds the revision {revision}; see rolloutsim status"
            )
        return slot, objects[slot.ref]

    # --- writing ----------------------------------------------------------------------------------

    def _pin(self, ref: Ref) -> None:
        objects = look(self._api, (ref, *self._slots))
        service = self._found(objects, ref)
        if self._label in _selector(service):
            return
        reached = self._reached(objects, _selector(service))
        served = [slot for slot in reached if not slot.empty] or reached[:1]
        if len(served) != 1:
            names = " and ".join(str(slot.ref) for slot in served) or "no slot"
            raise Refused(
                f"{ref} reaches {names}, so it cannot be bound to one of them; "
                f"add the label {self._label} to its selector"
            )
        self._select(ref, objects, served[0].revision)

    def _switch(self, ref: Ref, revision: str) -> None:
        objects = look(self._api, (ref, *self._slots))
        self._found(objects, ref)
        self._select(ref, objects, revision)

    def _select(self, ref: Ref, objects: Objects, revision: str) -> None:
        slot, body = self._slot(objects, revision)
        service = objects[ref]
        value = selector_value(self._api, body, self._label)
        rest = {key: asked for key, asked in _selector(service).items() if key != self._label}
        lacking = [key for key, asked in rest.items() if pod_labels(body).get(key) != asked]
        if lacking:
            raise Refused(
                f"{ref} selects {lacking[0]}={rest[lacking[0]]}, which the pods of {slot.ref} do not carry; "
                "add the label to the template"
            )
        said = f"{value}={revision}"
        if _selector(service).get(self._label) == value and _annotation(service) == said:
            return
        annotations = {**(service["metadata"].get("annotations") or {}), SELECTED_ANNOTATION: said}
        operations: list[Object] = [
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "add", "path": pointer("spec", "selector", self._label), "value": value},
        ]
        patch_read(self._api, ref, service, operations)

    def _found(self, objects: Objects, ref: Ref) -> Object:
        if ref not in objects:
            raise Refused(f"{ref} does not exist; create it")
        service = objects[ref]
        owner = (service["metadata"].get("labels") or {}).get(OWNER_LABEL, "")
        if owner not in ("", self._policy.name):
            raise Refused(f"{ref} belongs to the rollout {owner}; it is left alone")
        if not _selector(service):
            raise Refused(f"{ref} has no selector, so it cannot be switched; give it one")
        return service


def kubectl_patch(ref: Ref, patch: Object) -> str:
    """A merge patch as a line for a shell."""
    text = shlex.quote(json.dumps(patch, separators=(",", ":")))
    where, name = shlex.quote(ref.namespace), shlex.quote(ref.name)
    return f"kubectl -n {where} patch {ref.kind.name.lower()} {name} --type=merge -p {text}"


def _selector(service: Object) -> dict[str, str]:
    return dict(service.get("spec", {}).get("selector") or {})


def _annotation(service: Object) -> str:
    return str((service["metadata"].get("annotations") or {}).get(SELECTED_ANNOTATION, ""))
