"""What the server says about itself: version, groups, resources, OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rolloutsim.lab.kinds import Kind, Kinds
from rolloutsim.lab.objects import Object
from rolloutsim.lab.schema import Node

__all__ = ["VERSION", "Discovery"]

VERSION: Mapping[str, str] = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+rolloutsim-emulator",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "emulator",
}
_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_HEALTHY = ("/healthz", "/livez", "/readyz", "/healthz/ping")


class Discovery:
    """Answers the paths that are about the server."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._groups = kinds.groups()

    def answer(self, path: str) -> Any:
        """JSON or text, or None if the path is about objects."""
        path = path.rstrip("/") or "/"
        if path in _HEALTHY:
            return "ok"
        if path == "/version":
            return dict(VERSION)
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        if path == "/apis":
            groups = [self._group(group) for group in self._groups if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if path == "/":
            return {"paths": ["/api", "/apis", "/healthz", "/openapi/v3", "/version"]}
        if path == "/openapi/v3":
            return {"paths": dict(self._openapi_paths())}
        return self._of_group(path)

    def _of_group(self, path: str) -> Any:
        if path == "/api/v1":
            return self._resources("", "v1")
        for group, versions in self._groups.items():
            if group and path == f"/apis/{group}":
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            for version in versions:
                place = f"apis/{group}/{version}" if group else "api/v1"
                if path == f"/{place}":
                    return self._resources(group, version)
                if path == f"/openapi/v3/{place}":
                    return self._openapi(group, version, place)
        return None

    def _group(self, group: str) -> Object:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version} for version in self._groups[group]
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _of(self, group: str, version: str) -> list[Kind]:
        return [kind for kind in self._kinds.all if (kind.group, kind.version) == (group, version)]

    def _resources(self, group: str, version: str) -> Object:
        resources = []
        for kind in self._of(group, version):
            verbs = ["create"] if kind.virtual else list(_ALL_VERBS)
            entry: Object = {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": verbs,
            }
            if kind.short:
                entry["shortNames"] = list(kind.short)
            resources.append(entry)
            if kind.status:
                resources.append(_part(kind, "status", kind.kind))
            if kind.scale:
                scale = {"group": "autoscaling", "version": "v1"}
                resources.append(_part(kind, "scale", "Scale") | scale)
            if kind.kind == "Pod":
                resources.append(_part(kind, "log", "Pod") | {"verbs": ["get"]})
            if kind.kind == "ServiceAccount":
                token = {"group": "authentication.k8s.io", "version": "v1", "verbs": ["create"]}
                resources.append(_part(kind, "token", "TokenRequest") | token)
        name = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": name,
            "resources": resources,
        }

    def _openapi_paths(self) -> list[tuple[str, Object]]:
        places = [
            f"apis/{group}/{version}" if group else "api/v1"
            for group, versions in self._groups.items()
            for version in versions
        ]
        return [(place, {"serverRelativeURL": f"/openapi/v3/{place}"}) for place in places]

    def _openapi(self, group: str, version: str, place: str) -> Object:
        paths: Object = {}
        schemas: Object = {}
        validated = {
            "name": "fieldValidation",
            "in": "query",
            "schema": {"type": "string", "uniqueItems": True},
        }
        for kind in self._of(group, version):
            named = {"group": group, "version": version, "kind": kind.kind}
            where = f"/{place}/namespaces/{{namespace}}" if kind.namespaced else f"/{place}"
            operation = {
                "parameters": [validated],
                "x-kubernetes-group-version-kind": named,
                "responses": {},
            }
            paths[f"{where}/{kind.plural}/{{name}}"] = {
                "patch": operation | {"x-kubernetes-action": "patch"},
                "put": operation | {"x-kubernetes-action": "put"},
            }
            paths[f"{where}/{kind.plural}"] = {"post": operation | {"x-kubernetes-action": "post"}}
            schema = _openapi_schema(kind.schema)
            schemas[f"io.k8s.{kind.group or 'core'}.{version}.{kind.kind}"] = schema | {
                "x-kubernetes-group-version-kind": [named]
            }
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes (rolloutsim emulator)", "version": VERSION["gitVersion"]},
            "paths": paths,
            "components": {"schemas": schemas},
        }


def _part(kind: Kind, name: str, part_kind: str) -> Object:
    return {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": part_kind,
        "verbs": ["get", "patch", "update"],
    }


def _openapi_schema(node: Node) -> Object:
    if node.type == "any":
        return {"x-kubernetes-preserve-unknown-fields": True}
    if node.type == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    schema: Object = {"type": node.type}
    for name in ("default", "minimum", "maximum"):
        value = getattr(node, name)
        if value is not None:
            schema[name] = value
    if node.fields is not None:
        schema["properties"] = {name: _openapi_schema(child) for name, child in node.fields.items()}
        if node.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
    elif node.type == "object":
        schema["additionalProperties"] = _openapi_schema(node.item) if node.item is not None else True
    elif node.type == "array":
        schema["items"] = _openapi_schema(node.item or Node())
        schema["x-kubernetes-list-type"] = "map" if node.keys else "set" if node.is_set else "atomic"
        if node.keys:
            schema["x-kubernetes-list-map-keys"] = list(node.keys)
            schema["x-kubernetes-patch-merge-key"] = node.merge_key
            schema["x-kubernetes-patch-strategy"] = "merge"
    return schema
