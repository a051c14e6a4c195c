"""What a rollout would write first, tried on the server without keeping it, and how objects would differ.

All writes of a `DryRun` are sent with ``dryRun=All``: the server checks rights, defaults, admission and
conflicts, answers as if it had written, and keeps nothing (Kubernetes, "API concepts", dry-run).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.live.port import INGRESS, Kind, Kubernetes, NotFound, Object, Ref
from rolloutsim.live.release import Release
from rolloutsim.live.routers import router_for
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy.model import Canary, Policy, SetWeight

__all__ = ["Change", "DryRun", "differences", "fingerprint", "preview"]

QUIET = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""Metadata that a server changes with every write."""
LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class Change:
    """One object and what the first writes would change in it, a line each; ``new``: it is not there yet."""

    object: str
    lines: tuple[str, ...]
    new: bool = False


class DryRun:
    """A `Kubernetes` whose writes are tried and not kept; ``written`` has what the server answered."""

    def __init__(self, api: Kubernetes) -> None:
        self._api = api
        self.written: list[tuple[Ref, Object]] = []
        self.get, self.list, self.watch = api.get, api.list, api.watch

    def create(self, ref: Ref, body: Object, *, dry_run: bool = True) -> Object:
        return self._kept(ref, self._api.create(ref, body, dry_run=True))

    def merge_patch(self, ref: Ref, patch: Object, *, subresource: str = "", dry_run: bool = True) -> Object:
        return self._kept(ref, self._api.merge_patch(ref, patch, subresource=subresource, dry_run=True))

    def json_patch(
        self, ref: Ref, operations: Sequence[Object], *, subresource: str = "", dry_run: bool = True
    ) -> Object:
        return self._kept(ref, self._api.json_patch(ref, operations, subresource=subresource, dry_run=True))

    def apply(self, ref: Ref, body: Object, *, dry_run: bool = True) -> Object:
        return self._kept(ref, self._api.apply(ref, body, dry_run=True))

    def replace(self, ref: Ref, body: Object, *, subresource: str = "", dry_run: bool = True) -> Object:
        return self._kept(ref, self._api.replace(ref, body, subresource=subresource, dry_run=True))

    def delete(self, ref: Ref, *, uid: str = "", resource_version: str = "", dry_run: bool = True) -> None:
        self._api.delete(ref, uid=uid, resource_version=resource_version, dry_run=True)

    def _kept(self, ref: Ref, body: Object) -> Object:
        self.written.append((ref, body))
        return body


def preview(api: Kubernetes, release: Release, namespace: str, stable: str) -> tuple[Change, ...]:
    """Try the first writes of a release on the server.

    Those are the labels of ownership, the selectors' own key, the template in the idle slot, and the first
    weight. ``stable`` is the stable revision, "" if there is none.

    Raises
    ------
    ApiError : the server refuses one of them, or cannot be reached.
    """
    policy = release.policy
    dry = DryRun(api)
    slots, router = SlotPair(dry, policy, namespace), router_for(dry, policy, namespace)
    slots.adopt()
    if stable:
        router.pin()
    slots.fill(release.revision, release.templates.get(release.revision), stable)
    weight = _first_weight(policy)
    if weight is not None:
        router.set_weight(weight)
    found: dict[Ref, dict[str, str]] = {}
    new: set[Ref] = set()
    for ref, after in dry.written:
        try:
            before = api.get(ref)
        except NotFound:
            before = {}
            new.add(ref)
        # each write was tried on the object as it is, so a later one says more about the same field
        found.setdefault(ref, {}).update(differences(before, after))
    return tuple(Change(str(ref), _lines(fields), ref in new) for ref, fields in found.items() if fields)


def _lines(fields: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{path}: {change}" for path, change in fields.items())


def _first_weight(policy: Policy) -> int | None:
    strategy = policy.strategy
    if not isinstance(strategy, Canary) or strategy.routing is None:
        return None
    return next((step.weight for step in strategy.steps if isinstance(step, SetWeight)), None)


# --- differences ----------------------------------------------------------------------------------


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How two objects differ: for each field its path, and ``OLD → NEW``. Status does not count."""
    old, new = (dict(_leaves("", _plain(body))) if body else {} for body in (before, after))
    for path in dict.fromkeys((*old, *new)):
        if path not in new:
            yield path, f"{_shown(old[path])} → removed"
        elif path not in old:
            yield path, _shown(new[path])
        elif old[path] != new[path]:
            yield path, f"{_shown(old[path])} → {_shown(new[path])}"


def fingerprint(kind: Kind, body: Mapping[str, Any]) -> str:
    """A hash of what a person or a controller can have asked of an object; its status does not count."""
    annotations = body.get("metadata", {}).get("annotations") if kind == INGRESS else None
    content = {"uid": body.get("metadata", {}).get("uid", ""), "spec": body.get("spec"), "also": annotations}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in (body.get("metadata") or {}).items() if key not in QUIET}
    rest = {key: value for key, value in body.items() if key not in ("metadata", "status")}
    return {"metadata": metadata, **rest}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(_below(path, str(key)), item)
    elif isinstance(value, list) and value:
        for key, item in _named(value):
            yield from _leaves(f"{path}[{key}]", item)
    else:
        yield path, value


def _below(path: str, key: str) -> str:
    plain = key.replace("-", "").replace("_", "").isalnum()
    return (f"{path}.{key}" if path else key) if plain else f"{path}[{key}]"


def _named(items: list[Any]) -> Iterable[tuple[str, Any]]:
    """Items by their names where they have names of their own, else by their places."""
    names = [str(item["name"]) for item in items if isinstance(item, Mapping) and "name" in item]
    if len(names) == len(items) == len(set(names)):
        return zip(names, items, strict=True)
    return ((str(place), item) for place, item in enumerate(items))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
