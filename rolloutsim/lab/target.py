"""What a request's path and query ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from rolloutsim.lab.access import Attributes
from rolloutsim.lab.kinds import Kind, Kinds
from rolloutsim.lab.refusals import bad_request, not_found

__all__ = ["Target", "parse_target"]

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?/?"
)
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """A resource path, taken apart. An empty ``name`` means the collection."""

    kind: Kind
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]

    @property
    def watches(self) -> bool:
        """Whether a GET is a watch."""
        return self.query.get("watch", "").lower() in ("1", "true")

    def number(self, name: str) -> int:
        """A parameter of the query that is a whole number, 0 if it is not there; raises Refused 400."""
        text = self.query.get(name) or "0"
        if not (text.isascii() and text.isdigit()):
            raise bad_request(f"strconv.ParseInt: parsing {text!r} of {name}: invalid syntax")
        return int(text)

    def attributes(self, method: str) -> Attributes:
        """What the authorizer is asked."""
        verb = _VERBS.get(method, method.lower())
        if not self.name and verb == "get":
            verb = "watch" if self.watches else "list"
        elif not self.name and verb == "delete":
            verb = "deletecollection"
        name = self.name or _one_name(self.query.get("fieldSelector", ""))
        return Attributes(verb, self.kind.group, self.kind.plural, self.subresource, self.namespace, name)


def _one_name(selector: str) -> str:
    """A list or watch of one named object is asked for under its name (resourceNames apply)."""
    found = re.fullmatch(r"metadata\.name==?([^,=!]+)", selector)
    return found[1] if found else ""


def parse_target(url: str, kinds: Kinds) -> Target:
    """Raises Refused 404 for a path that is no resource here."""
    parts = urlsplit(url)
    found = _PATH.fullmatch(parts.path)
    if found is None:
        raise not_found(None)
    namespace, plural, name, sub = (
        unquote(found[part] or "") for part in ("namespace", "plural", "name", "sub")
    )
    kind = kinds.placed(found["group"] or "", found["core"] or found["version"], plural)
    if kind is None or (kind.namespaced and name and not namespace) or (namespace and not kind.namespaced):
        raise not_found(None)
    return Target(kind, namespace, name, sub, dict(parse_qsl(parts.query, keep_blank_values=True)))
