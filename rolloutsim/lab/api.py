"""The API: from a request to an answer, without any transport."""

from __future__ import annotations

import base64
import binascii
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rolloutsim.lab import protobuf
from rolloutsim.lab.access import Access, Attributes
from rolloutsim.lab.cluster import APPLY, Cluster, Options, Outcome
from rolloutsim.lab.columns import table, wants_table
from rolloutsim.lab.discovery import Discovery
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object, copied
from rolloutsim.lab.refusals import (
    Cause,
    Refused,
    bad_request,
    expired,
    invalid,
    not_found,
    status_object,
    unsupported_media_type,
)
from rolloutsim.lab.selectors import Selector, parse_fields, parse_labels
from rolloutsim.lab.target import Target, parse_target
from rolloutsim.lab.watch import Asked

__all__ = ["Answer", "Api", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    user: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; ``body`` is JSON, or text as it is.

    ``watch`` instead of a body: send what that watch has. ``written``: the kind and the state that
    the request wrote, for those who want to know.
    """

    code: int
    body: Any
    warnings: tuple[str, ...] = ()
    watch: Asked | None = None
    written: tuple[str, Object] | None = None


class Api:
    """All paths of the server."""

    def __init__(self, cluster: Cluster, access: Access, discovery: Discovery) -> None:
        self.cluster, self.access, self.discovery = cluster, access, discovery

    def answer(self, request: Request) -> Answer:
        """The answer to a request; whatever is wrong with it is an answer too."""
        try:
            path = urlsplit(request.url).path
            found = self.discovery.answer(path) if request.method == "GET" else None
            if found is not None:
                self.access.require(request.user, Attributes("get", path=path))
                return Answer(200, found)
            target = parse_target(request.url, self.cluster.kinds)
            self.access.require(request.user, target.attributes(request.method))
            return self._act(request, target)
        except Refused as refusal:
            return Answer(refusal.code, refusal.status)
        except Exception as error:  # as the real one: a request that breaks it is answered all the same
            traceback.print_exc()
            return Answer(500, status_object(500, f"the emulator failed: {error!r}"))

    def _act(self, request: Request, target: Target) -> Answer:
        if target.kind.virtual:
            return self._review(request, target)
        if target.subresource not in ("", "status"):
            return self._subresource(request, target)
        if target.subresource == "status" and not target.kind.status:
            raise not_found(None)
        acts: Mapping[tuple[str, bool], Callable[[Request, Target], Answer]] = {
            ("GET", True): self._get,
            ("GET", False): self._list,
            ("POST", False): self._create,
            ("PUT", True): self._replace,
            ("PATCH", True): self._patch,
            ("DELETE", True): self._delete,
            ("DELETE", False): self._delete_all,
        }
        act = acts.get((request.method, bool(target.name)))
        if act is None:
            raise Refused(
                status_object(405, "the server does not allow this method on the requested resource")
            )
        return act(request, target)

    def _get(self, request: Request, target: Target) -> Answer:
        thing = self.cluster.read(target.kind, target.namespace, target.name)
        if wants_table(request.headers.get("accept", "")):
            rv = {"resourceVersion": thing["metadata"]["resourceVersion"]}
            return Answer(200, table(target.kind, [thing], rv, self.cluster.now_ms()))
        return Answer(200, _typed(target.kind, thing))

    def _list(self, request: Request, target: Target) -> Answer:
        kind, query, store = target.kind, target.query, self.cluster.store
        selector = Selector(
            parse_labels(query.get("labelSelector", "")), parse_fields(query.get("fieldSelector", ""), kind)
        )
        tabular = request.method == "GET" and wants_table(request.headers.get("accept", ""))
        if target.watches:
            return Answer(200, None, watch=Asked(target, selector, tabular))
        with store.lock:
            revision, after = self._position(query.get("continue", ""), kind)
            items = [
                thing
                for thing in store.items(kind, target.namespace)
                if _key(thing) > after and selector.matches(thing)
            ]
        limit = target.number("limit")
        meta: Object = {"resourceVersion": str(revision)}
        if limit and len(items) > limit:
            meta |= {"continue": _token(revision, items[limit - 1]), "remainingItemCount": len(items) - limit}
            items = items[:limit]
        if tabular:
            return Answer(200, table(kind, items, meta, self.cluster.now_ms()))
        body = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}
        return Answer(200, body)

    def _position(self, token: str, kind: Kind) -> tuple[int, tuple[str, str]]:
        """Revision and key that a list goes on from."""
        if not token:
            return self.cluster.store.revision, ("", "")
        try:
            revision, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        except (ValueError, binascii.Error):
            raise bad_request("continue key is not valid") from None
        if self.cluster.store.is_forgotten(kind, revision):
            raise expired(revision, self.cluster.store.revision)
        return revision, (namespace, name)

    def _create(self, request: Request, target: Target) -> Answer:
        body = _object(request)
        if target.kind.namespaced and not target.namespace:
            raise bad_request("an object of this kind is created in a namespace")
        outcome = self.cluster.create(target.kind, target.namespace, body, _options(request, target))
        return _answer(target.kind, outcome)

    def _replace(self, request: Request, target: Target) -> Answer:
        options = _options(request, target)
        if target.kind.put_creates:
            self._require_create(request, target)
        outcome = self.cluster.replace(target.kind, target.namespace, target.name, _object(request), options)
        return _answer(target.kind, outcome)

    def _patch(self, request: Request, target: Target) -> Answer:
        media_type, options = _media_type(request), _options(request, target)
        if media_type == APPLY:
            if not target.query.get("fieldManager"):
                why = "Required value: is required for apply patch"
                raise _bad_options([Cause("FieldValueRequired", why, "fieldManager")])
            self._require_create(request, target)
        elif options.force:
            why = "Forbidden: may not be specified for non-apply patch"
            raise _bad_options([Cause("FieldValueForbidden", why, "force")])
        outcome = self.cluster.patch(
            target.kind, target.namespace, target.name, media_type, _body(request), options
        )
        return _answer(target.kind, outcome)

    def _require_create(self, request: Request, target: Target) -> None:
        """Who makes an object by PUT or apply needs the right to create it."""
        if self.cluster.store.get(target.kind, target.namespace, target.name) is None:
            kind = target.kind
            asked = Attributes("create", kind.group, kind.plural, "", target.namespace, target.name)
            self.access.require(request.user, asked)

    def _delete(self, request: Request, target: Target) -> Answer:
        kind = target.kind
        outcome = self.cluster.delete(
            kind, target.namespace, target.name, _wishes(request, target), dry_run=_dry(target)
        )
        written = (kind.kind, outcome.object) if outcome.changed else None
        if not outcome.gone:
            return Answer(200, _typed(kind, outcome.object), written=written)
        details = {"name": target.name, "kind": kind.plural, "uid": outcome.object["metadata"]["uid"]}
        if kind.group:
            details["group"] = kind.group
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(200, body, written=written)

    def _delete_all(self, request: Request, target: Target) -> Answer:
        answer = self._list(request, target)
        for thing in answer.body["items"]:
            meta = thing["metadata"]
            self.cluster.delete(
                target.kind,
                meta.get("namespace", ""),
                meta["name"],
                _wishes(request, target),
                dry_run=_dry(target),
            )
        return answer

    def _subresource(self, request: Request, target: Target) -> Answer:
        kind, sub = target.kind, target.subresource
        if sub == "scale" and kind.scale:
            return self._scale(request, target)
        if sub == "log" and kind.kind == "Pod" and request.method == "GET":
            self.cluster.read(kind, target.namespace, target.name)
            return Answer(200, "this pod is emulated and writes no log\n")
        if sub == "token" and kind.kind == "ServiceAccount" and request.method == "POST":
            return self._account_token(target)
        raise not_found(None)

    def _account_token(self, target: Target) -> Answer:
        self.cluster.read(target.kind, target.namespace, target.name)
        token = self.access.issue(f"system:serviceaccount:{target.namespace}:{target.name}")
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
        return Answer(201, body | {"spec": {}, "status": {"token": token, "expirationTimestamp": None}})

    def _scale(self, request: Request, target: Target) -> Answer:
        kind, cluster = target.kind, self.cluster
        with cluster.store.lock:
            before = cluster.read(kind, target.namespace, target.name)
            if request.method == "GET":
                return Answer(200, _scale_of(before))
            if request.method == "PATCH":
                media_type = _media_type(request)
                if media_type == APPLY:
                    media_type = "application/merge-patch+json"
                scale = cluster.patched(kind, _scale_of(before), media_type, _body(request))
            else:
                scale = _object(request)
            wanted = copied(before)
            wanted["spec"]["replicas"] = (scale.get("spec") or {}).get("replicas", 0)
            asked = (scale.get("metadata") or {}).get("resourceVersion")
            wanted["metadata"]["resourceVersion"] = asked or before["metadata"]["resourceVersion"]
            options = _options(request, target)
            outcome = cluster.replace(kind, target.namespace, target.name, wanted, options)
        written = (kind.kind, outcome.object) if outcome.changed else None
        return Answer(200, _scale_of(outcome.object), written=written)

    def _review(self, request: Request, target: Target) -> Answer:
        if request.method != "POST":
            raise Refused(status_object(405, "only POST is answered here"))
        body = _object(request)
        spec = body.get("spec") or {}
        if target.kind.kind == "SelfSubjectRulesReview":
            return Answer(
                201,
                _typed(target.kind, body | {"status": self._rules(request.user, spec.get("namespace", ""))}),
            )
        what: Any = spec.get("resourceAttributes")
        path: Any = spec.get("nonResourceAttributes")
        if (what is None) == (path is None):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise invalid(target.kind, "", [Cause("FieldValueInvalid", why, "spec.resourceAttributes")])
        if what is not None:
            fields = ("verb", "group", "resource", "subresource", "namespace", "name")
            asked = Attributes(**{name: what.get(name, "") for name in fields})
        else:
            asked = Attributes(path["verb"], path=path["path"])
        status: Object = {"allowed": self.access.may(request.user, asked)}
        return Answer(201, _typed(target.kind, body | {"status": status}))

    def _rules(self, user: str, namespace: str) -> Object:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        rules = [everything] if self.access.is_admin(user) else list(self.access.rules(user, namespace))
        return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}


def _typed(kind: Kind, thing: Object) -> Object:
    return {"kind": kind.kind, "apiVersion": kind.api_version, **thing}


def _answer(kind: Kind, outcome: Outcome) -> Answer:
    written = (kind.kind, outcome.object) if outcome.changed else None
    code = 201 if outcome.created else 200
    return Answer(code, _typed(kind, outcome.object), outcome.warnings, written=written)


def _options(request: Request, target: Target) -> Options:
    query = target.query
    strictness = query.get("fieldValidation") or "Warn"
    if strictness not in ("Strict", "Warn", "Ignore"):
        raise _bad_options(
            [Cause("FieldValueNotSupported", f'Unsupported value: "{strictness}"', "fieldValidation")]
        )
    agent = request.headers.get("user-agent", "").partition("/")[0]
    return Options(
        query.get("fieldManager") or agent or "unknown",
        _dry(target),
        strictness,
        query.get("force", "").lower() in ("1", "true"),
        target.subresource,
    )


def _dry(target: Target) -> bool:
    asked = target.query.get("dryRun", "")
    if asked not in ("", "All"):
        raise _bad_options([Cause("FieldValueNotSupported", f'Unsupported value: "{asked}"', "dryRun")])
    return asked == "All"


def _bad_options(causes: list[Cause]) -> Refused:
    return invalid(Kind("meta.k8s.io", "v1", "PatchOptions", "patchoptions"), "", causes)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _body(request: Request) -> Any:
    if _media_type(request) == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(request.body)
        except ValueError:
            raise unsupported_media_type(["application/json", "application/yaml"]) from None
    try:
        return json.loads(request.body)
    except ValueError as error:
        if "yaml" not in request.headers.get("content-type", ""):
            raise bad_request(f"the object provided is unrecognized: {error}") from None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return json.loads(json.dumps(YAML(typ="safe", pure=True).load(request.body), default=str))
    except YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from None


def _object(request: Request) -> Object:
    body = _body(request)
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict | None):
        raise bad_request("the object provided is unrecognized: it is no object with metadata")
    return body


def _wishes(request: Request, target: Target) -> Object:
    """DeleteOptions, from the body and the query."""
    body = _body(request) if request.body.strip() else {}
    wishes: Object = dict(body) if isinstance(body, dict) else {}
    if "gracePeriodSeconds" in target.query:
        wishes["gracePeriodSeconds"] = target.number("gracePeriodSeconds")
    if "propagationPolicy" in target.query:
        wishes["propagationPolicy"] = target.query["propagationPolicy"]
    return wishes


def _key(thing: Object) -> tuple[str, str]:
    meta = thing["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _token(revision: int, last: Object) -> str:
    return base64.urlsafe_b64encode(json.dumps([revision, *_key(last)]).encode()).decode()


def _scale_of(thing: Object) -> Object:
    meta, spec = thing["metadata"], thing["spec"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {"replicas": (thing.get("status") or {}).get("replicas", 0), "selector": selector},
    }
