"""What a new state of an object must satisfy, and what the server adds to it.

Source: Kubernetes 1.36, pkg/apis/*/validation and pkg/registry/*/strategy; Gateway API 1.4.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object
from rolloutsim.lab.refusals import Cause, bad_request, invalid
from rolloutsim.lab.schema import Fault, defaulted, pruned
from rolloutsim.lab.selectors import matches_selector

__all__ = ["check", "decoded", "finished"]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_TOLD = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "at most 63 of them"
)
_PERCENT = re.compile(r"[0-9]+%")
_CONFIG_BYTES, _ANNOTATION_BYTES = 1_048_576, 262_144

Causes = Iterator[Cause]


def decoded(kind: Kind, body: Any, strictness: str) -> tuple[Object, list[str]]:
    """A body as an object of a kind: unknown fields dropped, types checked; and warnings.

    strictness : the request's fieldValidation, Strict, Warn or Ignore.
    Raises Refused 400 (built-in kinds, as their decoder does) or 422 (custom ones, as their schema does).
    """
    if not isinstance(body, dict):
        raise bad_request(f"{kind.kind} is not an object")
    for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        if body.setdefault(field, wanted) != wanted:
            raise bad_request(
                f"{kind.kind} in version {json.dumps(kind.version)} cannot be handled as a {kind.kind}: "
                f"{field} of the data ({body[field]}) does not match the expected one ({wanted})"
            )
    unknown: list[str] = []
    faults: list[Fault] = []
    thing = pruned(body, kind.schema, unknown, faults)
    told = [f'unknown field "{path}"' for path in unknown]
    if told and strictness == "Strict":
        raise bad_request(_undecodable(kind, "strict decoding error: " + ", ".join(told)))
    if faults:
        _refuse(kind, thing, faults)
    return thing, told if strictness != "Ignore" else []


def _undecodable(kind: Kind, why: str) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'


def _refuse(kind: Kind, thing: Object, faults: list[Fault]) -> None:
    typed = next((fault for fault in faults if fault.typed), None)
    if typed is not None and not kind.custom:
        found = {dict: "object", list: "array", str: "string", bool: "bool"}.get(type(typed.value), "number")
        why = f"json: cannot unmarshal {found} into Go struct field {typed.path} of type {typed.wanted}"
        raise bad_request(_undecodable(kind, why))
    name = str((thing.get("metadata") or {}).get("name", ""))
    raise invalid(
        kind,
        name,
        [
            Cause(
                "FieldValueTypeInvalid" if fault.typed else "FieldValueInvalid",
                f"Invalid value: {json.dumps(fault.value)}: "
                + (f"{fault.path} in body must be of type {fault.wanted}" if fault.typed else fault.wanted),
                fault.path,
            )
            for fault in faults
        ],
    )


def finished(kind: Kind, thing: Object) -> Object:
    """The object with defaults, in place."""
    defaulted(thing, kind.schema)
    if kind.kind == "Service":
        for port in thing.get("spec", {}).get("ports") or ():
            port.setdefault("targetPort", port.get("port"))
    if kind.kind in ("Deployment", "ReplicaSet", "Pod", "Job"):
        spec = thing.get("spec", {})
        spec = spec if kind.kind == "Pod" else spec.get("template", {}).get("spec", {})
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            tag = container.get("image", "").rpartition(":")[2]
            container.setdefault("imagePullPolicy", "Always" if tag == "latest" else "IfNotPresent")
    if kind.kind == "Deployment":
        _finish_strategy(thing)
    if kind.kind == "Secret":
        _fold_string_data(thing)
    return thing


def _finish_strategy(thing: Object) -> None:
    strategy = thing.get("spec", {}).get("strategy")
    if strategy is None:
        return
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")


def _fold_string_data(thing: Object) -> None:
    plain = thing.pop("stringData", None)
    if plain:
        data = thing.setdefault("data", {})
        data.update({name: base64.b64encode(text.encode()).decode() for name, text in plain.items()})


def check(kind: Kind, thing: Object, before: Object | None) -> None:
    """Raises Refused 422 with all that is wrong."""
    causes = [*_metadata_faults(kind, thing), *_KIND_RULES.get(kind.kind, _nothing)(thing, before)]
    if causes:
        raise invalid(kind, str(thing["metadata"].get("name", "")), causes)


def _wrong(field: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {why}", field)


def _required(field: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", "Required value" + (f": {why}" if why else ""), field)


def _metadata_faults(kind: Kind, thing: Object) -> Causes:
    meta = thing["metadata"]
    name = meta.get("name", "")
    rule, told = _SUBDOMAIN, "a lowercase RFC 1123 subdomain"
    if kind.kind in ("Namespace", "Service"):
        rule, told = _LABEL_1123, "a lowercase RFC 1123 label"
    if kind.group == "rbac.authorization.k8s.io":
        rule, told = re.compile(r"[^/%]+"), "a path segment"
    if not name:
        yield _required("metadata.name", "name or generateName is required")
    elif not rule.fullmatch(name) or len(name) > (63 if rule is _LABEL_1123 else 253):
        yield _wrong("metadata.name", name, f"{told} is needed")
    for key, value in (meta.get("labels") or {}).items():
        if not _LABEL_KEY.fullmatch(key):
            yield _wrong("metadata.labels", key, "name part must consist of alphanumeric characters")
        if not _LABEL_VALUE.fullmatch(value) or len(value) > 63:
            yield _wrong("metadata.labels", value, _LABEL_TOLD)
    annotations = meta.get("annotations") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATION_BYTES:
        told = f"Too long: may not be more than {_ANNOTATION_BYTES} bytes"
        yield Cause("FieldValueTooLong", told, "metadata.annotations")


def _nothing(thing: Object, before: Object | None) -> Causes:
    yield from ()


def _data_rules(thing: Object, before: Object | None) -> Causes:
    size = sum(
        len(value.encode()) for field in ("data", "binaryData") for value in (thing.get(field) or {}).values()
    )
    if size > _CONFIG_BYTES:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {_CONFIG_BYTES} bytes", "")
    if before is not None and before.get("immutable") and before.get("data") != thing.get("data"):
        yield Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "data")
    for key in thing.get("data") or {}:
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
            yield _wrong(f"data[{key}]", key, "a valid config key must consist of alphanumeric characters")


def _service_rules(thing: Object, before: Object | None) -> Causes:
    spec = thing.get("spec") or {}
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield _required("spec.ports")
    seen: set[tuple[Any, ...]] = set()
    for at, port in enumerate(ports):
        if "port" not in port:
            yield _wrong(f"spec.ports[{at}].port", 0, "must be between 1 and 65535, inclusive")
        if len(ports) > 1 and not port.get("name"):
            yield _required(f"spec.ports[{at}].name")
        key = (port.get("port"), port.get("protocol"))
        if key in seen:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {json.dumps(port)}", f"spec.ports[{at}]")
        seen.add(key)
    yield from _label_values("spec.selector", spec.get("selector") or {})


def _label_values(field: str, labels: Mapping[str, str]) -> Causes:
    for value in labels.values():
        if not _LABEL_VALUE.fullmatch(value) or len(value) > 63:
            yield _wrong(field, value, _LABEL_TOLD)


def _workload_rules(thing: Object, before: Object | None) -> Causes:
    spec = thing.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    if not selector:
        yield _required("spec.selector")
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not matches_selector(selector, labels):
        yield _wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from _label_values("spec.template.labels", labels)
    if before is not None and before["spec"].get("selector") != selector:
        yield _wrong("spec.selector", selector, "field is immutable")
    yield from _container_rules(template.get("spec") or {}, "spec.template.spec")
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    for name, value in rolling.items():
        if isinstance(value, str) and not _PERCENT.fullmatch(value):
            yield _wrong(f"spec.strategy.rollingUpdate.{name}", value, "must be an integer or percentage")
    if rolling and all(str(value) in ("0", "0%") for value in rolling.values()):
        yield _wrong(
            "spec.strategy.rollingUpdate.maxUnavailable",
            rolling.get("maxUnavailable"),
            "may not be 0 when `maxSurge` is 0",
        )


def _pod_rules(thing: Object, before: Object | None) -> Causes:
    yield from _container_rules(thing.get("spec") or {}, "spec")


def _container_rules(spec: Mapping[str, Any], field: str) -> Causes:
    containers = spec.get("containers") or []
    if not containers:
        yield _required(f"{field}.containers")
    for at, container in enumerate(containers):
        for needed in ("name", "image"):
            if not container.get(needed):
                yield _required(f"{field}.containers[{at}].{needed}")


def _lease_rules(thing: Object, before: Object | None) -> Causes:
    spec = thing.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield _wrong("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    for name in ("acquireTime", "renewTime"):
        text = spec.get(name)
        if text is not None and not re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", text
        ):
            yield _wrong(f"spec.{name}", text, "is no RFC 3339 time")


def _route_rules(thing: Object, before: Object | None) -> Causes:
    for rule_at, rule in enumerate((thing.get("spec") or {}).get("rules") or ()):
        for at, backend in enumerate(rule.get("backendRefs") or ()):
            field = f"spec.rules[{rule_at}].backendRefs[{at}]"
            if not backend.get("name"):
                yield _required(f"{field}.name")
            if backend.get("kind") == "Service" and backend.get("group") == "" and "port" not in backend:
                yield _wrong(field, "object", "Must have port for Service reference")


def _ingress_rules(thing: Object, before: Object | None) -> Causes:
    spec = thing.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield _wrong("spec", None, "either `defaultBackend` or `rules` must be specified")
    for rule_at, rule in enumerate(spec.get("rules") or ()):
        for at, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            field = f"spec.rules[{rule_at}].http.paths[{at}]"
            if path.get("pathType") not in ("Exact", "Prefix", "ImplementationSpecific"):
                yield _required(f"{field}.pathType", "pathType must be specified")
            if not path.get("backend"):
                yield _required(f"{field}.backend")


_KIND_RULES: Mapping[str, Callable[[Object, Object | None], Causes]] = MappingProxyType(
    {
        "ConfigMap": _data_rules,
        "Secret": _data_rules,
        "Service": _service_rules,
        "Deployment": _workload_rules,
        "ReplicaSet": _workload_rules,
        "Pod": _pod_rules,
        "Lease": _lease_rules,
        "HTTPRoute": _route_rules,
        "Ingress": _ingress_rules,
    }
)
