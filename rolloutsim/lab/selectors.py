"""Label and field selectors (k8s.io/apimachinery, pkg/labels and pkg/fields)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object
from rolloutsim.lab.refusals import bad_request

__all__ = ["Requirement", "Selector", "matches_selector", "parse_fields", "parse_labels"]

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<no>[^\s=!,()]+)"
    r"|(?P<key>[^\s=!,()]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[^\s=!,()]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"),
    "Event": (
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
        *("reason", "reportingComponent", "source", "type"),
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "ReplicaSet": ("status.replicas",),
    "Job": ("status.successful",),
}
"""Fields besides metadata.name and metadata.namespace that a kind can be selected by."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """``key op values``, where op is in, notin, exists or absent."""

    key: str
    op: str
    values: frozenset[str] = frozenset()

    def holds(self, values: Mapping[str, str]) -> bool:
        if self.op == "exists":
            return self.key in values
        if self.op == "absent":
            return self.key not in values
        found = values.get(self.key)
        if self.op == "in":
            return found is not None and found in self.values
        return found is None or found not in self.values


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements on labels and on fields, all of which have to hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, thing: Object) -> bool:
        """Whether an object is selected."""
        labels = (thing.get("metadata") or {}).get("labels") or {}
        if not all(each.holds(labels) for each in self.labels):
            return False
        return all(each.holds({each.key: _field(thing, each.key)}) for each in self.fields)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """``app=a,tier in (x,y),!old``; raises Refused 400."""
    found, at = [], 0
    while at < len(text.rstrip()):
        term = _TERM.match(text, at)
        if term is None:
            raise bad_request(f"unable to parse requirement: found '{text[at:]}'")
        at = term.end()
        found.append(_requirement(term))
    return tuple(found)


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["no"], "absent")
    if term["set"]:
        return Requirement(
            term["key"], term["set"], frozenset(value.strip() for value in term["values"].split(","))
        )
    if term["op"]:
        return Requirement(term["key"], "notin" if term["op"] == "!=" else "in", frozenset((term["value"],)))
    return Requirement(term["key"], "exists")


def parse_fields(text: str, kind: Kind) -> tuple[Requirement, ...]:
    """``metadata.name=a,status.phase!=Failed``; raises Refused 400."""
    found = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        key, op, value = _field_term(term)
        if key not in ("metadata.name", "metadata.namespace", *_FIELDS.get(kind.kind, ())):
            known = '"metadata.name", "metadata.namespace"'
            raise bad_request(f'"{key}" is not a known field selector: only {known}')
        found.append(Requirement(key, op, frozenset((value,))))
    return tuple(found)


def _field_term(term: str) -> tuple[str, str, str]:
    for sign, op in (("!=", "notin"), ("==", "in"), ("=", "in")):
        key, found, value = term.partition(sign)
        if found:
            return key, op, value
    raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")


def _field(thing: Object, path: str) -> str:
    value: Any = thing
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def matches_selector(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) selects these labels; None selects nothing."""
    if selector is None:
        return False
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    ops = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    return all(
        Requirement(each["key"], ops[each["operator"]], frozenset(each.get("values") or ())).holds(labels)
        for each in selector.get("matchExpressions") or ()
    )
