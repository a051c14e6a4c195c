"""The pod template of a release: of a file, or the stable one with another image."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rolloutsim.errors import InputError, Position
from rolloutsim.live.port import Object

__all__ = ["field_values", "template_in", "with_images"]

HOLDERS = ("Deployment", "ReplicaSet", "PodTemplate", "Rollout")


def with_images(template: Object, images: Sequence[str]) -> Object:
    """The template with other images: ``IMAGE`` for its only container, or ``CONTAINER=IMAGE``.

    Raises
    ------
    InputError : there is no such container, or it has to be named.
    """
    changed = copy.deepcopy(template)
    spec = changed.get("spec", {})
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    names = [str(container.get("name", "")) for container in containers]
    for given in images:
        # an image may hold a digest (@sha256:...) or a port, and never a "="
        name, _, image = given.rpartition("=")
        if not image:
            raise InputError("an image is IMAGE or CONTAINER=IMAGE", value=given, fix="name the image")
        if not name and len(spec.get("containers") or ()) != 1:
            raise InputError(
                f"the pods have the containers {', '.join(names)}",
                value=given,
                fix="say which one: --image CONTAINER=IMAGE",
            )
        if name and name not in names:
            raise InputError(f"there is no container {name} in the pods", fix=f"one of {', '.join(names)}")
        containers[names.index(name) if name else 0]["image"] = image
    return changed


def template_in(text: str, file: str) -> Object:
    """The one pod template in a manifest: of a Deployment, a PodTemplate, or the template by itself.

    Raises
    ------
    InputError : there is none, or more than one.
    """
    at = Position(file)
    try:
        documents = [one for one in YAML(typ="safe", pure=True).load_all(text) if one is not None]
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        raise InputError("the file is not YAML", at=Position(file, line)) from None
    found = [template for template in map(_template, documents) if template is not None]
    if len(found) != 1:
        names = f"{len(found)} pod templates are" if found else "no pod template is"
        raise InputError(f"{names} in the file", at=at, fix="name a file with one Deployment or PodTemplate")
    return found[0]


def _template(document: Any) -> Object | None:
    if not isinstance(document, Mapping):
        return None
    spec = document.get("spec")
    if document.get("kind") == "PodTemplate":
        return document.get("template")
    if document.get("kind") in HOLDERS and isinstance(spec, Mapping):
        return spec.get("template")
    if "kind" not in document and isinstance(spec, Mapping) and "containers" in spec:
        return dict(document)
    return None


def field_values(paths: Sequence[str], document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The values of fields by paths as ``metadata.labels['region']`` or ``spec.replicas``, if it is there.

    Source: Argo Rollouts, ``utils/fieldpath``: maps by dots, and one quoted key in brackets at the end.
    """
    found = []
    for path in paths:
        value: Any = document
        for part in _parts(path):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str | int | float | bool):
            found.append((path, str(value).lower() if isinstance(value, bool) else str(value)))
    return tuple(found)


def _parts(path: str) -> list[str]:
    head, bracket, rest = path.partition("['")
    parts = [part for part in head.split(".") if part]
    return [*parts, rest.removesuffix("']")] if bracket else parts
