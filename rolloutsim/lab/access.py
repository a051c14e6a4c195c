"""Who may do what: bearer tokens, and RBAC from the Role and RoleBinding objects of the cluster.

Source: k8s.io/kubernetes, plugin/pkg/auth/authorizer/rbac; the sentences of a refusal are those of
k8s.io/apiserver, pkg/endpoints/handlers/responsewriters.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.objects import Object
from rolloutsim.lab.refusals import Refused, forbidden

__all__ = ["ADMIN", "Access", "Attributes"]

ADMIN = "system:admin"
"""The user that may do everything."""
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do; ``resource`` is the plural, ``path`` one that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """``deployments/scale``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def told(self, user: str) -> str:
        """The sentence of a refusal."""
        if self.path:
            return f'User "{user}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        what = f'resource "{self.full_resource}" in API group "{self.group}"'
        return f'User "{user}" cannot {self.verb} {what} {where}'


class Access:
    """The tokens and the authorizer."""

    def __init__(self, cluster: Cluster, admin_token: str) -> None:
        self._cluster = cluster
        self._users = {admin_token: ADMIN}

    def issue(self, user: str) -> str:
        """A new token for a user."""
        token = secrets.token_urlsafe(24)
        self._users[token] = user
        return token

    def user(self, header: str) -> str | None:
        """The user of an Authorization header, or None."""
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        for token, user in list(self._users.items()):
            if hmac.compare_digest(token.encode(), given.strip().encode()):
                return user
        return None

    def grant(self, user: str, rules: Sequence[Mapping[str, Any]], namespace: str | None) -> None:
        """Write a role with these rules and bind it to the user; None means the whole cluster."""
        prefix = "Cluster" if namespace is None else ""
        name = f"lab:{user}"
        where = namespace or ""
        subject = self._subject(user)
        role: Object = {"metadata": {"name": name}, "rules": [dict(rule) for rule in rules]}
        binding: Object = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": name},
            "subjects": [subject],
        }
        for kind_name, body in ((f"{prefix}Role", role), (f"{prefix}RoleBinding", binding)):
            kind = self._cluster.kinds.named(kind_name)
            if self._cluster.store.get(kind, where, name) is None:
                self._cluster.create(kind, where, body, Options("lab"))
            else:
                self._cluster.replace(kind, where, name, body, Options("lab"))

    def is_admin(self, user: str) -> bool:
        """Whether a user may do everything."""
        return user == ADMIN

    def may(self, user: str, asked: Attributes) -> bool:
        """Whether a user may do this."""
        if self.is_admin(user):
            return True
        if asked.path:
            return asked.path in _OPEN_PATHS or asked.path.startswith(_OPEN_PREFIXES)
        if asked.group == "authorization.k8s.io" and asked.verb == "create":
            return True
        return any(_allows(rule, asked) for rule in self.rules(user, asked.namespace))

    def require(self, user: str, asked: Attributes) -> None:
        """Raises Refused 403 in the real server's words."""
        if self.may(user, asked):
            return
        kind = next(
            (
                kind
                for kind in self._cluster.kinds.all
                if (kind.group, kind.plural) == (asked.group, asked.resource)
            ),
            None,
        )
        raise self._refusal(user, asked, kind)

    def _refusal(self, user: str, asked: Attributes, kind: Any) -> Refused:
        what = kind.resource if kind is not None else asked.path
        subject = f'{what} "{asked.name}"' if asked.name else what
        return forbidden(f"{subject} is forbidden: {asked.told(user)}", kind, asked.name)

    def rules(self, user: str, namespace: str) -> Iterator[Mapping[str, Any]]:
        """All rules that hold for a user in a namespace ("" for the whole cluster only)."""
        store, named = self._cluster.store, self._cluster.kinds.named
        for binding in store.items(named("ClusterRoleBinding")):
            if self._binds(binding, user):
                yield from self._role_rules(binding, "")
        if namespace:
            for binding in store.items(named("RoleBinding"), namespace):
                if self._binds(binding, user):
                    yield from self._role_rules(binding, namespace)

    def _role_rules(self, binding: Object, namespace: str) -> Sequence[Mapping[str, Any]]:
        role = binding["roleRef"]
        kind = self._cluster.kinds.named(role["kind"])
        found = self._cluster.store.get(kind, namespace if role["kind"] == "Role" else "", role["name"])
        rules: Sequence[Mapping[str, Any]] = (found or {}).get("rules") or ()
        return rules

    def _subject(self, user: str) -> Object:
        if user.startswith(_SERVICE_ACCOUNT):
            namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
            return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
        return {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}

    def _binds(self, binding: Object, user: str) -> bool:
        mine = self._subject(user)
        where = binding["metadata"].get("namespace", "")
        for subject in binding.get("subjects") or ():
            same = subject.get("kind") == mine["kind"] and subject.get("name") == mine["name"]
            if same and subject.get("namespace", where) == mine.get("namespace", where):
                return True
            if subject.get("kind") == "Group" and subject.get("name") in _groups(user):
                return True
        return False


_OPEN_PATHS = frozenset(("/", "/version", "/api", "/apis", "/healthz", "/livez", "/readyz", "/openapi"))
_OPEN_PREFIXES = ("/api/", "/apis/", "/openapi/", "/healthz/", "/livez/", "/readyz/")


def _groups(user: str) -> tuple[str, ...]:
    if user.startswith(_SERVICE_ACCOUNT):
        namespace = user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        return ("system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return ("system:authenticated",)


def _allows(rule: Mapping[str, Any], asked: Attributes) -> bool:
    names = rule.get("resourceNames") or ()
    if names and (asked.name not in names):
        return False
    resources = rule.get("resources") or ()
    named = (
        "*" in resources
        or asked.full_resource in resources
        or (bool(asked.subresource) and f"*/{asked.subresource}" in resources)
    )
    return (
        named
        and any(verb in ("*", asked.verb) for verb in rule.get("verbs") or ())
        and any(group in ("*", asked.group) for group in rule.get("apiGroups") or ())
    )
