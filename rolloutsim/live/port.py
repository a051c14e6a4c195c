"""What the rest of `rolloutsim.live` needs of a Kubernetes API: verbs on plain dicts, and typed errors.

`Kubernetes` is the whole of it. `rolloutsim.live.kubernetes` speaks it over HTTP; a test may stand in for
it. An error says one thing above all: whether a write certainly did not happen (`Refused` and its kinds)
or may have happened (`Unknown`: a time-out, a connection lost after the request left, an answer 5xx).

Sources: Kubernetes, "API concepts" (resourceVersion, watch, server-side apply, dry run) and the reasons of
``metav1.Status``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from rolloutsim.errors import ExecutorError

__all__ = [
    "ACCESS_REVIEW",
    "AUTOSCALER",
    "CONFIG_MAP",
    "DEPLOYMENT",
    "ENDPOINT_SLICE",
    "EVENT",
    "FIELD_MANAGER",
    "GATEWAY",
    "HTTP_ROUTE",
    "INGRESS",
    "JOB",
    "LEASE",
    "NAMESPACE",
    "POD",
    "REPLICA_SET",
    "SECRET",
    "SERVICE",
    "AlreadyExists",
    "ApiError",
    "Change",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "Kind",
    "Kubernetes",
    "Listing",
    "NotFound",
    "Object",
    "Ref",
    "Refused",
    "Throttled",
    "Unauthorized",
    "Unknown",
    "Unreachable",
    "Watch",
    "ref_of",
]

FIELD_MANAGER = "rolloutsim"
"""The field manager of every write of ours."""

Object = dict[str, Any]
"""A Kubernetes object as its JSON: ``apiVersion``, ``kind``, ``metadata``, ``spec``, ..."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where the API serves it."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As ``kubectl`` names it: ``deployments.apps``, ``services``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; every part that comes from outside is escaped."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/" + "/".join(parts)


DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet")
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
SECRET = Kind("", "v1", "secrets", "Secret")
EVENT = Kind("", "v1", "events", "Event")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
INGRESS = Kind("networking.k8s.io", "v1", "ingresses", "Ingress")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GATEWAY = Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
JOB = Kind("batch", "v1", "jobs", "Job")
ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)


@dataclass(frozen=True, slots=True)
class Ref:
    """One object, by kind, namespace and name."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """As ``kubectl`` prints it: ``deployment.apps/checkout``."""
        group = f".{self.kind.group}" if self.kind.group else ""
        return f"{self.kind.name.lower()}{group}/{self.name}"


def ref_of(kind: Kind, body: Mapping[str, Any]) -> Ref:
    """The reference to an object whose body is at hand."""
    metadata = body.get("metadata", {})
    return Ref(kind, metadata.get("namespace", "") if kind.namespaced else "", metadata.get("name", ""))


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a list, and the resourceVersion from which a watch goes on."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch: ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    body: Object


class Watch(Protocol):
    """An open watch: iterate, and `close` it from any thread; a closed watch ends its iteration."""

    def __iter__(self) -> Iterator[Change]: ...

    def close(self) -> None: ...


class Kubernetes(Protocol):
    """The verbs. Every call is bounded in time and raises `ApiError`; bodies are never changed in place.

    A write is conditional when its body carries ``metadata.resourceVersion`` (merge patch, replace), when a
    JSON patch begins with a ``test``, or when ``delete`` is given a resource version. ``dry_run``: the
    server checks and answers, and keeps nothing.
    """

    def get(self, ref: Ref) -> Object: ...

    def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        """All objects of a kind; ``namespace`` "" means all namespaces. Pages are read to the end."""
        ...

    def create(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object: ...

    def merge_patch(
        self, ref: Ref, patch: Object, *, subresource: str = "", dry_run: bool = False
    ) -> Object: ...

    def json_patch(
        self, ref: Ref, operations: Sequence[Object], *, subresource: str = "", dry_run: bool = False
    ) -> Object: ...

    def apply(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply as `FIELD_MANAGER`, never forced: another owner's field is a `Conflict`."""
        ...

    def replace(self, ref: Ref, body: Object, *, subresource: str = "", dry_run: bool = False) -> Object: ...

    def delete(
        self, ref: Ref, *, uid: str = "", resource_version: str = "", dry_run: bool = False
    ) -> None: ...

    def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        resource_version: str,
        timeout_s: int = 300,
        labels: str = "",
        fields: str = "",
    ) -> Watch:
        """Changes after ``resource_version``; the server ends it after ``timeout_s``.

        Iterating raises `Gone` when the version is too old (HTTP 410, also inside the stream) and
        `Unreachable` when the stream breaks or is silent for too long.
        """
        ...


class ApiError(ExecutorError):
    """The API answered with an error, or not at all.

    ``code`` is the HTTP status (0 without an answer), ``reason`` and ``causes`` (field paths) are those of
    ``metav1.Status``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        reason: str = "",
        causes: tuple[str, ...] = (),
    ) -> None:
        self.code = code
        self.reason = reason
        self.causes = causes
        super().__init__(message)


class Refused(ApiError):
    """It certainly did not happen."""


class Unknown(ApiError):
    """A write whose fate is unknown: it may have happened, or happen yet. Read before writing again."""


class Conflict(Refused):
    """409: the object changed since it was read, or (server-side apply) another manager owns a field."""


class AlreadyExists(Conflict):
    """409 on a create: an object of this name is there."""


class NotFound(Refused):
    """404: no such object (or no such kind: its resource definition is not installed)."""


class Forbidden(Refused):
    """403: the account lacks the right."""


class Unauthorized(Refused):
    """401: no or expired credentials."""


class Gone(Refused):
    """410: the resourceVersion is too old; list again."""


class Invalid(Refused):
    """400 or 422: the server cannot accept the object; also a failed ``test`` of a JSON patch."""


class Throttled(Refused):
    """429: the server asks for patience, and asked too often for this call to go on waiting."""


class Unreachable(Refused):
    """No connection, or no usable answer to a read: nothing was done."""
