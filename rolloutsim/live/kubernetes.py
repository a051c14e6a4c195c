"""The Kubernetes API over HTTP: `rolloutsim.live.port.Kubernetes` on httpx.

A read is tried again when the connection fails or the server does; a write is sent once. Either is sent
again after 429, which the server answers before it does anything, and only as long as it says when. What
became of a write without an answer is `Unknown`.

Source: Kubernetes, "API concepts" (verbs, patch types, dry run, chunked lists, watches, priority and
fairness).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, NoReturn

import httpx

from rolloutsim.live.credentials import authentication, is_loopback, tls_context
from rolloutsim.live.kubeconfig import Access
from rolloutsim.live.port import (
    FIELD_MANAGER,
    NAMESPACE,
    AlreadyExists,
    ApiError,
    Change,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Kind,
    Listing,
    NotFound,
    Object,
    Ref,
    Refused,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
)

__all__ = ["HttpKubernetes", "cluster_uid"]

TIMEOUT_S = 5.0
"""Longest silence in any part of a call: connecting, sending, waiting for the answer."""
PAGE = 500
READ_ATTEMPTS = 3
THROTTLED_ATTEMPTS = 4
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Of one wait that the server asks for; one that asks for more is `Throttled` at once."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
ERRORS: Mapping[int, type[Refused]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Throttled,
}


class HttpKubernetes:
    """A connection to one cluster; safe to use from several threads. ``wait`` sleeps for seconds."""

    def __init__(
        self, access: Access, *, timeout_s: float = TIMEOUT_S, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self.access = access
        self._timeout_s = timeout_s
        self._wait = wait
        context = tls_context(access)
        headers = {"Accept": JSON, "User-Agent": f"rolloutsim/{version('rolloutsim')}"}
        if access.credentials.impersonate:
            headers["Impersonate-User"] = access.credentials.impersonate
        self._extensions = {"sni_hostname": access.server_name} if access.server_name else {}
        self._client = httpx.Client(
            base_url=access.server,
            auth=authentication(access, context),
            verify=context,
            headers=headers,
            timeout=timeout_s,
            proxy=access.proxy or None,
            trust_env=not is_loopback(access.server),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
        )

    def close(self) -> None:
        self._client.close()

    # --- reads ------------------------------------------------------------------------------------

    def get(self, ref: Ref) -> Object:
        if not ref.name:
            # the path of all objects of the kind: the answer would be a list
            raise NotFound(f"no {ref.kind.resource} has an empty name", code=404, reason="NotFound")
        return self._read(f"get {ref}", ref.kind.path(ref.namespace, ref.name), {})

    def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        what, path = f"list {kind.resource}", kind.path(namespace)
        selectors = _given(labelSelector=labels, fieldSelector=fields)
        try:
            return self._pages(what, path, {**selectors, "limit": str(PAGE)})
        except Gone:
            # the pages of a long list live for some minutes only
            return self._pages(what, path, selectors)

    def _pages(self, what: str, path: str, query: dict[str, str]) -> Listing:
        items: list[Object] = []
        token = ""
        while True:
            page = self._read(what, path, {**query, **_given(**{"continue": token})})
            head = {"apiVersion": page.get("apiVersion", ""), "kind": page.get("kind", "")[: -len("List")]}
            # the items of a list leave out what the list says once
            items += [{**head, **item} for item in page.get("items") or ()]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return Listing(tuple(items), str(page.get("metadata", {}).get("resourceVersion", "")))

    def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        resource_version: str,
        timeout_s: int = 300,
        labels: str = "",
        fields: str = "",
    ) -> HttpWatch:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_s),
            **_given(labelSelector=labels, fieldSelector=fields),
        }
        request = self._client.build_request(
            "GET",
            kind.path(namespace),
            params=query,
            timeout=httpx.Timeout(self._timeout_s, read=timeout_s + self._timeout_s),
            extensions=self._extensions,
        )
        return HttpWatch(self._client, request, f"watch {kind.resource}", self._explained)

    # --- writes -----------------------------------------------------------------------------------

    def create(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object:
        try:
            return self._write(f"create {ref}", "POST", ref.kind.path(ref.namespace), body, JSON, dry_run)
        except Conflict as error:
            raise AlreadyExists(str(error), code=409, reason=error.reason) from None

    def merge_patch(self, ref: Ref, patch: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        return self._patch(ref, patch, MERGE_PATCH, subresource, dry_run)

    def json_patch(
        self, ref: Ref, operations: Sequence[Object], *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        return self._patch(ref, list(operations), JSON_PATCH, subresource, dry_run)

    def apply(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object:
        return self._patch(ref, body, APPLY_PATCH, "", dry_run)

    def _patch(self, ref: Ref, body: Any, media_type: str, subresource: str, dry_run: bool) -> Object:
        path = ref.kind.path(ref.namespace, ref.name, subresource)
        verb = "apply" if media_type == APPLY_PATCH else "patch"
        return self._write(f"{verb} {ref}", "PATCH", path, body, media_type, dry_run)

    def replace(self, ref: Ref, body: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        path = ref.kind.path(ref.namespace, ref.name, subresource)
        return self._write(f"replace {ref}", "PUT", path, body, JSON, dry_run)

    def delete(self, ref: Ref, *, uid: str = "", resource_version: str = "", dry_run: bool = False) -> None:
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid or resource_version:
            body["preconditions"] = _given(uid=uid, resourceVersion=resource_version)
        path = ref.kind.path(ref.namespace, ref.name)
        self._write(f"delete {ref}", "DELETE", path, body, JSON, dry_run)

    # --- requests ---------------------------------------------------------------------------------

    def _read(self, what: str, path: str, query: Mapping[str, str]) -> Object:
        for attempt in range(READ_ATTEMPTS):
            try:
                response = self._sent(what, "GET", path, query)
            except httpx.TransportError as error:
                failure = Unreachable(f"cannot {what}: {self._explained(error)}")
            else:
                if response.status_code < 500:
                    return _body(response, what, Unreachable)
                way = "; it is in trouble itself: try again, and see kubectl get --raw /readyz"
                failure = Unreachable(_said(response, what) + way, code=response.status_code)
            if attempt + 1 < READ_ATTEMPTS:
                self._wait(FIRST_PAUSE_S * 2**attempt)
        raise failure

    def _write(self, what: str, method: str, path: str, body: Any, media_type: str, dry_run: bool) -> Object:
        query = {} if method == "DELETE" else {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        content = json.dumps(body, separators=(",", ":")).encode()
        try:
            response = self._sent(what, method, path, query, content, media_type)
        except NOT_SENT as error:
            raise Unreachable(f"cannot {what}: {self._explained(error)}") from None
        except httpx.TransportError as error:
            raise Unknown(f"{what} may or may not have happened: {self._explained(error)}") from None
        if response.status_code >= 500 or response.status_code == 408:
            raise Unknown(
                f"{_said(response, what)}, so it may or may not have happened", code=response.status_code
            )
        return _body(response, what, Unknown)

    def _sent(
        self,
        what: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        content: bytes | None = None,
        media_type: str = "",
    ) -> httpx.Response:
        """Send until the server is not too busy to look at it."""
        headers = {"Content-Type": media_type} if media_type else {}
        for attempt in range(THROTTLED_ATTEMPTS):
            response = self._client.request(
                method, path, params=query, content=content, headers=headers, extensions=self._extensions
            )
            pause_s = _retry_after(response)
            if pause_s is None or attempt + 1 == THROTTLED_ATTEMPTS:
                break
            self._wait(pause_s)
        return response

    def _explained(self, error: httpx.TransportError) -> str:
        """What went wrong on the way, and a way out."""
        server, text = self.access.server, str(error)
        if "certificate has expired" in text:
            return f"the certificate of {server} has expired; renew it there, or check this machine's clock"
        if "alert certificate expired" in text:
            return f"the client certificate of user {self.access.user!r} has expired; renew the kubeconfig"
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return f"the kubeconfig does not trust the certificate of {server} ({text}); renew one of the two"
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            return (
                f"no connection to {server} ({text or 'time-out'}); see that the cluster is up and the "
                "context is right"
            )
        if isinstance(error, httpx.TimeoutException):
            return f"{server} did not answer in {self._timeout_s:g} s; see whether it is overloaded"
        return f"the connection to {server} broke ({text or type(error).__name__})"


class HttpWatch:
    """One watch request: iterate once; `close` from any thread ends it at once."""

    def __init__(
        self,
        client: httpx.Client,
        request: httpx.Request,
        what: str,
        explained: Callable[[httpx.TransportError], str],
    ) -> None:
        self._client = client
        self._request = request
        self._what = what
        self._explained = explained
        self._response: httpx.Response | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Change]:
        try:
            response = self._client.send(self._request, stream=True)
        except httpx.TransportError as error:
            raise Unreachable(f"cannot {self._what}: {self._explained(error)}") from None
        try:
            self._response = response
            if self._closed:
                return
            if response.status_code != 200:
                response.read()
                _raise(response, self._what)
            for line in response.iter_lines():
                if self._closed:
                    return
                if line:
                    yield self._change(line)
        except httpx.TransportError as error:
            if not self._closed:
                raise Unreachable(f"{self._what} ended: {self._explained(error)}") from None
        finally:
            response.close()

    def _change(self, line: str) -> Change:
        try:
            event = json.loads(line)
        except ValueError:
            raise Unreachable(f"{self._what} ended in the middle of an event") from None
        if event["type"] == "ERROR":
            status = event["object"]
            code, message = int(status.get("code", 0)), str(status.get("message", ""))
            kind: type[ApiError] = Gone if code == 410 else Unreachable
            raise kind(f"{self._what} ended: {message}", code=code, reason=str(status.get("reason", "")))
        return Change(event["type"], event["object"])

    def close(self) -> None:
        self._closed = True
        response = self._response
        stream = response.extensions.get("network_stream") if response is not None else None
        wire = stream.get_extra_info("socket") if stream is not None else None
        if wire is not None:
            # wakes the thread that reads; closing alone would leave it waiting
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)


def cluster_uid(api: HttpKubernetes) -> str:
    """What tells one cluster from another: the uid of its ``kube-system`` namespace; "" if hidden."""
    try:
        return str(api.get(Ref(NAMESPACE, "", "kube-system"))["metadata"].get("uid", ""))
    except (Forbidden, NotFound):
        return ""


# --- answers --------------------------------------------------------------------------------------


def _given(**query: str) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}


def _retry_after(response: httpx.Response) -> float | None:
    if response.status_code != 429:
        return None
    try:
        pause_s = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return pause_s if 0 <= pause_s <= LONGEST_PAUSE_S else None


def _body(response: httpx.Response, what: str, otherwise: type[ApiError]) -> Object:
    """The object in an answer; ``otherwise`` is raised for one that is none."""
    if not response.is_success:
        _raise(response, what)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise otherwise(f"{what}: the answer is not a Kubernetes object; is this a Kubernetes API server?")
    return body


def _status(response: httpx.Response) -> Mapping[str, Any]:
    try:
        status = response.json()
    except ValueError:
        status = None
    return status if isinstance(status, dict) else {}


def _said(response: httpx.Response, what: str) -> str:
    message = str(_status(response).get("message") or response.reason_phrase)
    return f"cannot {what}: the API server answered {response.status_code}: {message}"


def _raise(response: httpx.Response, what: str) -> NoReturn:
    status = _status(response)
    code, reason = response.status_code, str(status.get("reason", ""))
    causes = tuple(str(c.get("field", "")) for c in status.get("details", {}).get("causes") or ())
    message = _said(response, what)
    if code == 401:
        message += "; the token or client certificate may have expired: log in again"
    if code == 403:
        message += "; rolloutsim rbac prints the rights of an executor"
    kind: type[ApiError] = ERRORS.get(code, Unreachable if code >= 500 else Refused)
    raise kind(message, code=code, reason=reason, causes=causes)
