"""Objects, resourceVersions and the history that watches read.

What is stored is never changed: a write stores a new value, so that a reader may keep what it got. The
revision counts all writes, as etcd's does; a history that was forgotten makes watches from before it expire.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object
from rolloutsim.lab.refusals import expired

__all__ = ["Event", "Store"]

_KEPT = 4_000
"""Events of one kind that watches can go back to."""


@dataclass(frozen=True, slots=True)
class Event:
    """One write. ``type`` is ADDED, MODIFIED or DELETED; ``before`` is None for the first."""

    revision: int
    type: str
    object: Object
    before: Object | None


class _Log:
    """The objects of one kind, and what happened to them."""

    def __init__(self, lock: threading.RLock) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.events: list[Event] = []
        self.forgotten = 0
        self.news = threading.Condition(lock)


class Store:
    """All objects of a cluster.

    ``lock`` makes several calls one; each call takes it too. ``listen`` is for those in the same process.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.revision = 0
        self._logs: dict[str, _Log] = {}
        self._listeners: list[Callable[[Kind, Event], None]] = []
        self._cuts = 0
        self._forgotten = 0

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, not to be changed, or None."""
        with self.lock:
            return self._log(kind).objects.get((namespace, name))

    def items(self, kind: Kind, namespace: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all, in order of namespace and name."""
        with self.lock:
            objects = self._log(kind).objects
            return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def write(self, kind: Kind, thing: Object) -> Object:
        """Store an object under the next revision; returns what is stored."""
        with self.lock:
            self.revision += 1
            meta = thing["metadata"] = {**thing["metadata"], "resourceVersion": str(self.revision)}
            key = (meta.get("namespace", ""), meta["name"])
            log = self._log(kind)
            before = log.objects.get(key)
            log.objects[key] = thing
            self._tell(kind, log, Event(self.revision, "MODIFIED" if before else "ADDED", thing, before))
            return thing

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        """Take an object away; returns its last state, under the revision of its end. KeyError if missing."""
        with self.lock:
            log = self._log(kind)
            before = log.objects.pop((namespace, name))
            self.revision += 1
            last = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.revision)}}
            self._tell(kind, log, Event(self.revision, "DELETED", last, before))
            return last

    def since(self, kind: Kind, revision: int, timeout_s: float = 0.0) -> list[Event]:
        """Events after a revision, waiting for the first; raises Refused 410 if they are forgotten."""
        log = self._log(kind)
        with self.lock:
            cuts = self._cuts
            self._check(log, revision)
            if not self._newer(log, revision) and timeout_s > 0:
                log.news.wait_for(lambda: self._newer(log, revision) or self._cuts != cuts, timeout_s)
            self._check(log, revision)
            return log.events[bisect_right(log.events, revision, key=lambda event: event.revision) :]

    def forget(self) -> None:
        """Forget the history: a watch from an earlier revision expires."""
        with self.lock:
            self.revision += 1
            self._forgotten = self.revision
            for log in self._logs.values():
                log.forgotten = self.revision
                log.events.clear()
                log.news.notify_all()

    def is_forgotten(self, kind: Kind, revision: int) -> bool:
        """Whether the history after a revision is no longer whole."""
        with self.lock:
            return revision < self._log(kind).forgotten

    def wake(self) -> None:
        """Let all that wait in `since` return at once."""
        with self.lock:
            self._cuts += 1
            for log in self._logs.values():
                log.news.notify_all()

    def listen(self, told: Callable[[Kind, Event], None]) -> None:
        """Call ``told`` at each write, under the lock: it must only take a note."""
        with self.lock:
            self._listeners.append(told)

    def dependents(self, uid: str) -> Iterator[tuple[str, Object]]:
        """Names of kinds and objects that have an owner."""
        for kind, log in self._logs.items():
            for thing in list(log.objects.values()):
                owners = thing["metadata"].get("ownerReferences") or ()
                if any(owner.get("uid") == uid for owner in owners):
                    yield kind, thing

    def in_namespace(self, namespace: str) -> Iterator[tuple[str, Object]]:
        """Names of kinds and objects of a namespace."""
        for kind, log in self._logs.items():
            for (where, _), thing in list(log.objects.items()):
                if where == namespace:
                    yield kind, thing

    def _log(self, kind: Kind) -> _Log:
        with self.lock:
            log = self._logs.get(kind.kind)
            if log is None:
                log = self._logs[kind.kind] = _Log(self.lock)
                log.forgotten = self._forgotten
            return log

    def _tell(self, kind: Kind, log: _Log, event: Event) -> None:
        log.events.append(event)
        if len(log.events) > 2 * _KEPT:
            log.forgotten = log.events[-_KEPT - 1].revision
            del log.events[:-_KEPT]
        log.news.notify_all()
        for told in self._listeners:
            told(kind, event)

    def _newer(self, log: _Log, revision: int) -> bool:
        return bool(log.events) and log.events[-1].revision > revision

    def _check(self, log: _Log, revision: int) -> None:
        if revision < log.forgotten:
            raise expired(revision, log.forgotten)
