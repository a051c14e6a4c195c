"""The objects of the emulated cluster and what can be done with them: create, replace, patch, apply, delete.

Every verb is one transaction under the store's lock: read, work out, check, write. Source of the rules:
k8s.io/apiserver, pkg/registry/generic and pkg/endpoints/handlers.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rolloutsim.lab.kinds import Kind, Kinds
from rolloutsim.lab.objects import Object, copied, metadata, time_text
from rolloutsim.lab.ownership import Writer, after_update, applied, shown
from rolloutsim.lab.patches import BadPatch, PatchFailed, json_patched, merge_patched, strategic_patched
from rolloutsim.lab.refusals import (
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
    modified,
    not_found,
    unsupported_media_type,
)
from rolloutsim.lab.rules import check, decoded, finished
from rolloutsim.lab.store import Store

__all__ = ["APPLY", "JSON_PATCH", "MERGE_PATCH", "STRATEGIC_PATCH", "Cluster", "Options", "Outcome"]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

_SET_BY_SERVER = (
    *("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"),
    *("selfLink", "resourceVersion"),
)
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_FIRST_STATUS: Mapping[str, Object] = {
    "Namespace": {"phase": "Active"},
    "Pod": {"phase": "Pending"},
    "Service": {"loadBalancer": {}},
    "Deployment": {},
    "ReplicaSet": {"replicas": 0},
}


@dataclass(frozen=True, slots=True)
class Options:
    """How a write is meant: the query parameters of the request.

    strictness : fieldValidation. force : of server-side apply. subresource : "" or "status".
    """

    manager: str = "unknown"
    dry_run: bool = False
    strictness: str = "Warn"
    force: bool = False
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to. ``changed``: something was written; ``gone``: the object is no more."""

    object: Object
    created: bool = False
    changed: bool = False
    gone: bool = False
    warnings: tuple[str, ...] = ()


class Cluster:
    """All verbs over one store; ``now_ms`` is its clock."""

    def __init__(self, store: Store, kinds: Kinds, now_ms: Callable[[], int]) -> None:
        self.store, self.kinds, self.now_ms = store, kinds, now_ms
        self._addresses = 0

    def read(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object, not to be changed; raises Refused 404."""
        found = self.store.get(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def create(self, kind: Kind, namespace: str, body: Object, options: Options) -> Outcome:
        """A new object; raises Refused 409 AlreadyExists."""
        with self.store.lock:
            if "resourceVersion" in (body.get("metadata") or {}):
                raise bad_request("resourceVersion should not be set on objects to be created")
            thing, warnings = decoded(kind, copied(body), options.strictness)
            self._place(kind, namespace, thing)
            name = thing["metadata"].get("name", "")
            if name and self.store.get(kind, namespace, name) is not None:
                raise already_exists(kind, name)
            if kind.status:
                thing.pop("status", None)
            metadata(thing).pop("managedFields", None)
            writer = Writer(options.manager, "Update", kind.api_version)
            thing = after_update({}, self._new(kind, thing), kind.schema, writer, self._time())
            return self._keep(kind, thing, options, warnings, created=True)

    def replace(self, kind: Kind, namespace: str, name: str, body: Object, options: Options) -> Outcome:
        """A PUT of the whole object."""
        with self.store.lock:
            self._check_place(kind, namespace, name, body)
            before = self.store.get(kind, namespace, name)
            if before is None:
                if not kind.put_creates or options.subresource:
                    raise not_found(kind, name)
                metadata(body).pop("resourceVersion", None)
                return self.create(kind, namespace, body, options)
            if not (body.get("metadata") or {}).get("resourceVersion") and not kind.unconditional:
                field = "metadata.resourceVersion"
                told = "Invalid value: 0: must be specified for an update"
                raise invalid(kind, name, [Cause("FieldValueInvalid", told, field)])
            return self._update(kind, before, copied(body), options)

    def patch(
        self, kind: Kind, namespace: str, name: str, media_type: str, body: Any, options: Options
    ) -> Outcome:
        """Any of the four kinds of patches."""
        with self.store.lock:
            takes = [JSON_PATCH, MERGE_PATCH, APPLY, *(() if kind.custom else (STRATEGIC_PATCH,))]
            if media_type not in takes:
                raise unsupported_media_type(takes)
            if media_type == APPLY:
                return self._apply(kind, namespace, name, body, options)
            before = self.read(kind, namespace, name)
            thing = self.patched(kind, before, media_type, body)
            if not isinstance(thing, dict):
                raise bad_request("the patched object is none")
            return self._update(kind, before, thing, options)

    def patched(self, kind: Kind, before: Object, media_type: str, body: Any) -> Any:
        """The object after a patch, neither checked nor written."""
        try:
            if media_type == JSON_PATCH:
                return json_patched(before, body)
            if not isinstance(body, dict):
                raise BadPatch("json: cannot unmarshal array into Go value of type map[string]interface {}")
            if media_type == MERGE_PATCH:
                return merge_patched(before, body)
            return strategic_patched(before, body, kind.schema)
        except BadPatch as error:
            raise bad_request(str(error)) from None
        except PatchFailed as error:
            raise invalid(
                kind, before["metadata"]["name"], [Cause("FieldValueInvalid", str(error), "patch")]
            ) from None

    def delete(
        self, kind: Kind, namespace: str, name: str, wishes: Mapping[str, Any], *, dry_run: bool = False
    ) -> Outcome:
        """Delete an object, or begin to: one with finalizers, or a pod that a node runs, ends later."""
        with self.store.lock:
            thing = self.read(kind, namespace, name)
            self._check_wishes(kind, thing, wishes.get("preconditions") or {})
            if dry_run:
                return Outcome(thing)
            meta, grace_s = thing["metadata"], wishes.get("gracePeriodSeconds")
            if kind.kind == "Pod" and thing["spec"].get("nodeName"):
                if grace_s is None:
                    grace_s = thing["spec"].get("terminationGracePeriodSeconds", 30)
                if grace_s > 0:
                    return self._begin_deletion(kind, thing, grace_s)
            if meta.get("finalizers"):
                return self._begin_deletion(kind, thing, 0)
            if wishes.get("propagationPolicy") == "Orphan" or wishes.get("orphanDependents"):
                self._orphan(meta["uid"])
            return Outcome(self._remove(kind, thing), changed=True, gone=True)

    def _begin_deletion(self, kind: Kind, thing: Object, grace_s: int) -> Outcome:
        meta = thing["metadata"]
        if "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds", 0) <= grace_s:
            return Outcome(thing)
        ends = time_text(self.now_ms() + 1000 * grace_s)
        marked = {**meta, "deletionTimestamp": ends, "deletionGracePeriodSeconds": grace_s}
        return Outcome(self.store.write(kind, {**thing, "metadata": marked}), changed=True)

    def _remove(self, kind: Kind, thing: Object) -> Object:
        """Take an object away, and what only it owned or contained."""
        meta = thing["metadata"]
        last = self.store.remove(kind, meta.get("namespace", ""), meta["name"])
        if kind.kind == "Namespace":
            for kind_name, inner in list(self.store.in_namespace(meta["name"])):
                self.store.remove(self.kinds.named(kind_name), meta["name"], inner["metadata"]["name"])
        for kind_name, inner in list(self.store.dependents(meta["uid"])):
            if len(inner["metadata"]["ownerReferences"]) == 1:
                inner_meta = inner["metadata"]
                self.delete(
                    self.kinds.named(kind_name), inner_meta.get("namespace", ""), inner_meta["name"], {}
                )
        return last

    def _orphan(self, uid: str) -> None:
        for kind_name, inner in list(self.store.dependents(uid)):
            owners = [owner for owner in inner["metadata"]["ownerReferences"] if owner["uid"] != uid]
            meta = {**inner["metadata"], "ownerReferences": owners}
            self.store.write(self.kinds.named(kind_name), {**inner, "metadata": meta})

    def _check_wishes(self, kind: Kind, thing: Object, wanted: Mapping[str, Any]) -> None:
        meta = thing["metadata"]
        for field, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            asked = wanted.get(field)
            if asked is not None and asked != meta[field]:
                why = f"{title} in precondition: {asked}, {title} in object meta: {meta[field]}"
                what = f'Operation cannot be fulfilled on {kind.resource} "{meta["name"]}"'
                raise conflict(kind, meta["name"], f"{what}: Precondition failed: {why}")

    def _apply(self, kind: Kind, namespace: str, name: str, body: Any, options: Options) -> Outcome:
        if not isinstance(body, dict):
            raise bad_request("error decoding YAML: an object is applied")
        self._check_place(kind, namespace, name, body)
        asked = body.get("metadata") or {}
        if asked.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        before = self.store.get(kind, namespace, name)
        if before is None and options.subresource:
            raise not_found(kind, name)
        wanted, warnings = decoded(kind, copied(body), options.strictness)
        if kind.status and not options.subresource:
            wanted.pop("status", None)
        metadata(wanted).setdefault("name", name)
        if before is None:
            self._place(kind, namespace, wanted)
        elif asked.get("resourceVersion") not in (None, before["metadata"]["resourceVersion"]):
            raise modified(kind, name)
        for field in (*_SET_BY_SERVER, *(("namespace",) if before else ())):
            wanted["metadata"].pop(field, None)
        writer = Writer(options.manager, "Apply", kind.api_version, options.subresource)
        result = applied(before or {}, wanted, kind.schema, writer, self._time(), force=options.force)
        if result.clashes:
            raise self._clash(kind, name, result.clashes)
        if before is None:
            return self._keep(kind, self._new(kind, result.object), options, warnings, created=True)
        outcome = self._update(kind, before, result.object, options, owned=True)
        return replace(outcome, warnings=tuple(warnings))

    def _clash(self, kind: Kind, name: str, clashes: Any) -> Exception:
        causes = [
            Cause("FieldManagerConflict", f"conflict with {clash.owner.told()}", shown(clash.place))
            for clash in clashes
        ]
        if len(causes) == 1:
            told = f"{causes[0].message}: {causes[0].field}"
            return conflict(kind, name, f"Apply failed with 1 conflict: {told}", causes)
        told = "\n".join(f"{cause.message}:\n- {cause.field}" for cause in causes)
        return conflict(kind, name, f"Apply failed with {len(causes)} conflicts: {told}", causes)

    def _update(
        self, kind: Kind, before: Object, thing: Object, options: Options, *, owned: bool = False
    ) -> Outcome:
        """Replace a stored state by a new one, as far as the request may change it."""
        old_meta = before["metadata"]
        asked = (thing.get("metadata") or {}).get("resourceVersion")
        if asked and asked != old_meta["resourceVersion"]:
            raise modified(kind, old_meta["name"])
        thing, warnings = decoded(kind, thing, options.strictness)
        thing = _isolated(kind, before, thing, options.subresource)
        meta = metadata(thing)
        for field in ("name", "namespace", *_SET_BY_SERVER):
            meta.pop(field, None)
            if field in old_meta:
                meta[field] = old_meta[field]
        if not owned and "managedFields" in old_meta:
            meta["managedFields"] = old_meta["managedFields"]
        finished(kind, thing)
        if options.subresource != "status":
            check(kind, thing, before)
        if kind.generation and _intent(thing) != _intent(before):
            meta["generation"] = old_meta.get("generation", 0) + 1
        if not owned:
            writer = Writer(options.manager, "Update", kind.api_version, options.subresource)
            thing = after_update(before, thing, kind.schema, writer, self._time())
        if thing == before:
            return Outcome(before, warnings=tuple(warnings))
        if (
            "deletionTimestamp" in meta
            and not meta.get("finalizers")
            and not options.dry_run
            and (kind.kind != "Pod" or not thing["spec"].get("nodeName"))
        ):
            self.store.write(kind, thing)
            return Outcome(self._remove(kind, thing), changed=True, gone=True)
        return self._keep(kind, thing, options, warnings)

    def _keep(
        self, kind: Kind, thing: Object, options: Options, warnings: list[str], *, created: bool = False
    ) -> Outcome:
        if options.dry_run:
            return Outcome(thing, created=created, warnings=tuple(warnings))
        stored = self.store.write(kind, thing)
        return Outcome(stored, created=created, changed=True, warnings=tuple(warnings))

    def _new(self, kind: Kind, thing: Object) -> Object:
        """Fill in what the server gives a new object, and check it."""
        meta = metadata(thing)
        if not meta.get("name") and meta.get("generateName"):
            suffix = "".join(secrets.choice(_NAME_LETTERS) for _ in range(5))
            meta["name"] = meta["generateName"] + suffix
        for field in _SET_BY_SERVER:
            meta.pop(field, None)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._time()}
        if kind.generation:
            meta["generation"] = 1
        if kind.kind in _FIRST_STATUS:
            thing["status"] = copied(_FIRST_STATUS[kind.kind])
        if kind.kind == "Namespace":
            meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta.get("name", "")}
        finished(kind, thing)
        if kind.kind == "Service":
            self._give_address(thing)
        check(kind, thing, None)
        return thing

    def _give_address(self, thing: Object) -> None:
        spec = thing.setdefault("spec", {})
        if spec.get("type") != "ExternalName" and "clusterIP" not in spec:
            self._addresses += 1
            spec["clusterIP"] = f"10.96.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"
            spec["clusterIPs"] = [spec["clusterIP"]]

    def _place(self, kind: Kind, namespace: str, thing: Object) -> None:
        """See that a new object belongs where it was sent."""
        self._check_place(kind, namespace, "", thing)
        if kind.namespaced:
            metadata(thing)["namespace"] = namespace
            if self.store.get(self.kinds.named("Namespace"), "", namespace) is None:
                raise not_found(self.kinds.named("Namespace"), namespace)

    def _check_place(self, kind: Kind, namespace: str, name: str, body: Object) -> None:
        meta = body.get("metadata") or {}
        if kind.namespaced and meta.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if name and meta.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
            )

    def _time(self) -> str:
        return time_text(self.now_ms())


def _isolated(kind: Kind, before: Object, thing: Object, subresource: str) -> Object:
    """Only the status may change through the status subresource, and all but the status elsewhere."""
    if subresource == "status":
        result = {**before, "metadata": {**before["metadata"]}}
        if "managedFields" in (thing.get("metadata") or {}):
            result["metadata"]["managedFields"] = thing["metadata"]["managedFields"]
        return {**result, "status": thing["status"]} if "status" in thing else result
    if kind.status:
        thing.pop("status", None)
        if "status" in before:
            thing["status"] = before["status"]
    return thing


def _intent(thing: Object) -> Object:
    return {name: value for name, value in thing.items() if name not in ("metadata", "status")}
