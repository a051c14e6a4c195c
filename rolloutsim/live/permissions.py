"""The rights that a rollout needs: asked for before it begins, and written down as the smallest Role.

One table serves both, so that what is checked is what is granted. A ``watch`` or ``list`` of one named
object counts as such only with a field selector on its name, which is how the reflectors ask; a ``create``
cannot be limited to a name.

Source: Kubernetes, "Using RBAC Authorization" (resourceNames) and "Checking API Access"
(SelfSubjectAccessReview).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rolloutsim.live.port import ACCESS_REVIEW, Kind, Kubernetes, Object, Ref

__all__ = ["READ", "Missing", "Right", "merged", "missing_rights", "role"]

READ = ("get", "list", "watch")
UNNAMED = ("create", "deletecollection")


@dataclass(frozen=True, slots=True)
class Right:
    """``verbs`` on objects of one kind; ``name`` "" means on all of them."""

    kind: Kind
    verbs: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A right that the account lacks, the server's reason, and the RBAC rule that would give it."""

    right: Right
    reason: str
    rule: str


def merged(rights: Iterable[Right]) -> tuple[Right, ...]:
    """Each kind and name once, with all its verbs; a ``create`` stands alone, without a name."""
    verbs: dict[tuple[Kind, str], list[str]] = {}
    for right in rights:
        for verb in right.verbs:
            known = verbs.setdefault((right.kind, "" if verb in UNNAMED else right.name), [])
            if verb not in known:
                known.append(verb)
    return tuple(Right(kind, tuple(known), name) for (kind, name), known in verbs.items())


def missing_rights(api: Kubernetes, namespace: str, rights: Sequence[Right]) -> tuple[Missing, ...]:
    """What this account may not do, by asking the server about each verb.

    Raises
    ------
    ApiError : the server does not answer the question itself.
    """
    found = []
    for right in merged(rights):
        lacking, reason = [], ""
        for verb in right.verbs:
            allowed, said = _allowed(api, namespace, right, verb)
            if not allowed:
                lacking.append(verb)
                reason = reason or said
        if lacking:
            lack = Right(right.kind, tuple(lacking), right.name)
            found.append(Missing(lack, reason, _rule_text(_rule(lack))))
    return tuple(found)


def _allowed(api: Kubernetes, namespace: str, right: Right, verb: str) -> tuple[bool, str]:
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": right.kind.group,
        "version": right.kind.version,
        "resource": right.kind.plural,
        "name": right.name,
    }
    body = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.name,
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    status = api.create(Ref(ACCESS_REVIEW, "", ""), body).get("status", {})
    return bool(status.get("allowed", False)), str(status.get("reason", ""))


def role(name: str, namespace: str, rights: Sequence[Right]) -> Object:
    """The smallest Role that holds ``rights``."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [_rule(right) for right in merged(rights)],
    }


def _rule(right: Right) -> Object:
    rule: Object = {"apiGroups": [right.kind.group], "resources": [right.kind.plural]}
    if right.name:
        rule["resourceNames"] = [right.name]
    return {**rule, "verbs": list(right.verbs)}


def _rule_text(rule: Object) -> str:
    """The rule as YAML in one line, to paste under ``rules:``."""
    inner = ", ".join(f"{key}: [{', '.join(_quoted(v) for v in values)}]" for key, values in rule.items())
    return f"- {{{inner}}}"


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or not value.replace("-", "").replace(".", "").isalnum() else value
