"""The embedded API server as an object of this process."""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from rolloutsim.lab.access import Access
from rolloutsim.lab.api import Answer, Api, Request
from rolloutsim.lab.cluster import MERGE_PATCH, Cluster, Options
from rolloutsim.lab.discovery import Discovery
from rolloutsim.lab.faults import Faults
from rolloutsim.lab.http import Listener
from rolloutsim.lab.kinds import Kind, Kinds
from rolloutsim.lab.objects import Object, copied, wall_ms
from rolloutsim.lab.selectors import Selector, parse_labels
from rolloutsim.lab.store import Store
from rolloutsim.lab.watch import BOOKMARK_S, Asked, Watch

__all__ = ["Seen", "Server"]

AfterWrite = Callable[[str, Object], None]
"""Called with the kind's name and the object, the caller's own copy."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that was answered."""

    user: str
    method: str
    url: str
    code: int

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.url).path


class Server:
    """An emulated Kubernetes API server on loopback. See the package's docstring.

    host, port : where it listens; port 0 takes a free one, which it keeps when it is started again.
    token : of the user that may do everything; a new one by default.
    now_ms : its clock, for all times that it writes.
    bookmark_s : between bookmarks of a quiet watch.
    certificate, key : PEM files, to be asked over TLS; ``kubeconfig`` then trusts that certificate.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        now_ms: Callable[[], int] = wall_ms,
        bookmark_s: float = BOOKMARK_S,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self.host, self._port = host, port
        self.token = token or secrets.token_urlsafe(24)
        self.store, self.kinds, self.faults = Store(), Kinds(), Faults()
        self.cluster = Cluster(self.store, self.kinds, now_ms)
        self.access = Access(self.cluster, self.token)
        self.requests: deque[Seen] = deque(maxlen=100_000)
        """What was asked, oldest first."""
        self.bookmark_s = bookmark_s
        self.certificate, self._key = certificate, key
        self._api = Api(self.cluster, self.access, Discovery(self.kinds))
        self._after_write: list[AfterWrite] = []
        self._listener: Listener | None = None
        self._cut = 0
        for name in ("default", "kube-system"):
            self.create("Namespace", {"metadata": {"name": name}})
        self.store.forget()

    def start(self) -> Self:
        """Listen, in threads of its own. Raises OSError if the port is taken."""
        tls = None
        if self.certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.certificate, self._key)
        self._listener = Listener(self, self.host, self._port, tls)
        self._port = self._listener.server_address[1]
        threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="lab-api", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """End all connections and listen no more; the objects stay, and `start` goes on with them."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            self.store.wake()
            listener.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``; RuntimeError before the first start with port 0."""
        if not self._port:
            raise RuntimeError("the server has no port before it is started")
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self._port}"

    def kubeconfig(self, path: Path | str, *, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig that only its owner can read; ``token`` is another user's."""
        cluster: Object = {"server": self.url}
        if self.certificate is not None:
            data = base64.b64encode(self.certificate.read_bytes()).decode()
            cluster["certificate-authority-data"] = data
        name = "rolloutsim-emulator"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token or self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        }
        path = Path(path)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(config, file, indent=1)
        return path

    # Users

    def account(
        self, user: str, rules: Sequence[Mapping[str, Any]] = (), namespace: str | None = None
    ) -> str:
        """A token for a user who may do what these RBAC rules allow: a role and a binding are written.

        rules : as in a Role's ``rules``. namespace : of a Role, or None for a ClusterRole. Without rules only
        what Role and RoleBinding objects in the cluster say holds: a service account is the user
        ``system:serviceaccount:NAMESPACE:NAME``.
        """
        if rules:
            self.access.grant(user, rules, namespace)
        return self.access.issue(user)

    # Objects, without HTTP and without permissions

    def create(self, kind: str, thing: Object, namespace: str = "default") -> Object:
        """Create an object; raises Refused."""
        found = self._kind(kind)
        body = copied(thing)
        where = (body.get("metadata") or {}).get("namespace") or namespace
        outcome = self.cluster.create(found, _where(found, where), body, _LAB)
        return self._own(outcome.object)

    def apply(self, thing: Object, namespace: str = "default") -> Object:
        """Create or replace an object, its status too if it has one."""
        body = copied(thing)
        kind, meta = self._kind(body["kind"]), body["metadata"]
        where = _where(kind, meta.get("namespace") or namespace)
        with self.store.lock:
            if self.store.get(kind, where, meta["name"]) is None:
                outcome = self.cluster.create(kind, where, body, _LAB)
            else:
                stored = self._stored(kind, where, meta["name"])
                meta.setdefault("resourceVersion", stored["metadata"]["resourceVersion"])
                outcome = self.cluster.replace(kind, where, meta["name"], body, _LAB)
            if kind.status and "status" in body:
                return self.write_status(kind.kind, meta["name"], body["status"], where or "default")
        return self._own(outcome.object)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """A copy of an object, or None."""
        found = self._kind(kind)
        thing = self.store.get(found, _where(found, namespace), name)
        return None if thing is None else self._own(thing)

    def list(self, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        """Copies of objects of a namespace (or of all), in order of their names; ``labels`` is a selector."""
        selector = Selector(parse_labels(labels))
        found = self.store.items(self._kind(kind), namespace)
        return [self._own(thing) for thing in found if selector.matches(thing)]

    def patch(self, kind: str, name: str, patch: Object, namespace: str = "default") -> Object:
        """Merge-patch an object; raises Refused."""
        found = self._kind(kind)
        outcome = self.cluster.patch(found, _where(found, namespace), name, MERGE_PATCH, patch, _LAB)
        return self._own(outcome.object)

    def write_status(self, kind: str, name: str, status: Object, namespace: str = "default") -> Object:
        """Replace the status of an object; raises Refused 404."""
        found, where = self._kind(kind), _where(self._kind(kind), namespace)
        with self.store.lock:
            thing = {**self._stored(found, where, name), "status": copied(status)}
            return self._own(self.cluster.replace(found, where, name, thing, _LAB_STATUS).object)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object, as a client would; raises Refused 404."""
        found = self._kind(kind)
        self.cluster.delete(found, _where(found, namespace), name, {})

    def after_write(self, callback: AfterWrite) -> None:
        """Call ``callback(kind, object)`` in each write request, after the write and before its answer.

        Not called for requests that changed nothing, for dry runs, and for the methods of this object, so a
        callback may use them. It runs in the request's thread, without a lock. A deleted object is passed as
        it was last, and `get` no longer finds it.
        """
        self._after_write.append(callback)

    # Faults beside those of `faults`

    def cut_watches(self) -> None:
        """End all watches at once, as a network would: without an end of the answer."""
        self._cut += 1
        self.store.wake()

    def expire_history(self) -> None:
        """Forget all history: a watch or a continued list from an earlier resourceVersion is 410 Expired."""
        self.store.forget()

    # For the transport

    def serve(self, request: Request) -> Answer:
        """Answer a request, and tell about what it wrote."""
        answer = self._api.answer(request)
        if answer.written is not None:
            kind, thing = answer.written
            for callback in self._after_write:
                callback(kind, copied(thing))
        self.requests.append(Seen(request.user, request.method, request.url, answer.code))
        return answer

    def watch(self, asked: Asked, left: Callable[[], bool]) -> Watch:
        """A watch that goes on until it is cut or ``left`` holds."""
        cut = self._cut

        def gone() -> bool:
            return self._cut != cut or left()

        return Watch(self.cluster, asked, gone, self.bookmark_s)

    def _kind(self, name: str) -> Kind:
        return self.kinds.named(name)

    def _stored(self, kind: Kind, namespace: str, name: str) -> Object:
        return self.cluster.read(kind, namespace, name)

    def _own(self, thing: Object) -> Object:
        own: Object = copied(thing)
        return own


_LAB = Options("rolloutsim-lab", strictness="Ignore")
_LAB_STATUS = Options("rolloutsim-lab", strictness="Ignore", subresource="status")


def _where(kind: Kind, namespace: str) -> str:
    return namespace if kind.namespaced else ""
