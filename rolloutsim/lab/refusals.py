"""How the API server says no: ``Status`` objects with its codes, reasons and messages.

Source: k8s.io/apimachinery, pkg/api/errors; messages as kube-apiserver 1.36 writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rolloutsim.errors import ExecutorError
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object

__all__ = [
    "Cause",
    "Refused",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "invalid",
    "modified",
    "not_found",
    "status_object",
    "unauthorized",
    "unsupported_media_type",
]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the causes in a Status' details: ``FieldValueInvalid``, a message, ``spec.replicas``."""

    reason: str
    message: str
    field: str


class Refused(ExecutorError):
    """The server's answer to a request that it does not carry out; ``status`` is the whole answer."""

    def __init__(self, status: Object) -> None:
        self.status = status
        self.code: int = status["code"]
        super().__init__(status["message"])


def status_object(code: int, message: str, reason: str = "", details: Object | None = None) -> Object:
    """A ``Status`` with status Failure."""
    answer: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or REASONS.get(code, "Unknown"),
        "code": code,
    }
    if details:
        answer["details"] = details
    return answer


def _details(kind: Kind | None, name: str) -> Object:
    details: Object = {"name": name} if name else {}
    if kind is not None:
        details |= {"kind": kind.plural}
        if kind.group:
            details["group"] = kind.group
    return details


def bad_request(message: str) -> Refused:
    """400: the request cannot be understood."""
    return Refused(status_object(400, message))


def unauthorized() -> Refused:
    """401: no token, or one that nobody was given."""
    return Refused(status_object(401, "Unauthorized"))


def forbidden(message: str, kind: Kind | None, name: str) -> Refused:
    """403, with the authorizer's sentence."""
    return Refused(status_object(403, message, details=_details(kind, name)))


def not_found(kind: Kind | None, name: str = "") -> Refused:
    """404: of an object, or of a path that nothing serves."""
    if kind is None:
        return Refused(status_object(404, "the server could not find the requested resource"))
    message = f'{kind.resource} "{name}" not found'
    return Refused(status_object(404, message, details=_details(kind, name)))


def already_exists(kind: Kind, name: str) -> Refused:
    """409 on a create."""
    message = f'{kind.resource} "{name}" already exists'
    return Refused(status_object(409, message, "AlreadyExists", _details(kind, name)))


def conflict(kind: Kind, name: str, why: str, causes: Sequence[Cause] = ()) -> Refused:
    """409 with another reason than a stale resourceVersion."""
    details = _details(kind, name)
    if causes:
        details["causes"] = [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
        ]
    return Refused(status_object(409, why, "Conflict", details))


def modified(kind: Kind, name: str) -> Refused:
    """409: the resourceVersion that came is not the object's."""
    return conflict(
        kind,
        name,
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )


def expired(asked: int, oldest: int) -> Refused:
    """410: the history before ``oldest`` is forgotten."""
    return Refused(status_object(410, f"too old resource version: {asked} ({oldest})", "Expired"))


def unsupported_media_type(accepted: Sequence[str]) -> Refused:
    """415: the kind or this server does not take such a body."""
    return Refused(
        status_object(
            415,
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted),
        )
    )


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> Refused:
    """422: understood, and against the rules of the kind."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    text = told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"
    title = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = _details(kind, name) | {
        "kind": kind.kind,
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
        ],
    }
    return Refused(status_object(422, f'{title} "{name}" is invalid: {text}', details=details))
