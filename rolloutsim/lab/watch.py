"""Watches: the events of a kind as one client wants to see them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rolloutsim.lab.cluster import Cluster
from rolloutsim.lab.columns import table
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.objects import Object
from rolloutsim.lab.refusals import Refused, bad_request
from rolloutsim.lab.selectors import Selector
from rolloutsim.lab.store import Event, Store
from rolloutsim.lab.target import Target

__all__ = ["BOOKMARK_S", "Asked", "Watch"]

BOOKMARK_S = 60.0
"""Between two bookmarks of a quiet watch (k8s.io/apiserver, pkg/storage/cacher)."""
_TIMEOUT_S = 1800.0
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a watch is about; ``tabular``: objects as tables of one row."""

    target: Target
    selector: Selector
    tabular: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch. ``gone`` tells whether the client has left or the server ends; it is asked often."""

    cluster: Cluster
    asked: Asked
    gone: Callable[[], bool]
    bookmark_s: float = BOOKMARK_S

    @property
    def target(self) -> Target:
        """Kind, place and query."""
        return self.asked.target

    @property
    def store(self) -> Store:
        """Where the events are."""
        return self.cluster.store

    def _shown(self, thing: Object) -> Object:
        kind = self.target.kind
        if self.asked.tabular:
            meta = {"resourceVersion": thing["metadata"]["resourceVersion"]}
            return table(kind, [thing], meta, self.cluster.now_ms())
        return {"kind": kind.kind, "apiVersion": kind.api_version, **thing}

    def lines(self) -> Iterator[bytes]:
        """The events as lines of JSON, until the timeout, the client's end, or an ERROR event.

        While nothing happens it yields empty lines, so that the caller can see whether it is still wanted.
        """
        try:
            yield from self._lines()
        except Refused as refusal:
            yield _line("ERROR", refusal.status)

    def _lines(self) -> Iterator[bytes]:
        kind, query = self.target.kind, self.target.query
        timeout_s = self.target.number("timeoutSeconds") or _TIMEOUT_S
        ends = time.monotonic() + timeout_s  # noqa: TID251
        bookmarks = query.get("allowWatchBookmarks", "").lower() in ("1", "true")
        at, first = self._begin(bookmarks)
        yield from first
        marked = time.monotonic()  # noqa: TID251
        while not self.gone():
            now = time.monotonic()  # noqa: TID251
            if now >= ends or (bookmarks and now - marked >= self.bookmark_s):
                if bookmarks:
                    at, marked = max(at, self._quiet_until(kind, at)), now
                    yield _bookmark(kind, at)
                if now >= ends:
                    return
            events = self.store.since(kind, at, min(_LOOK_S, ends - now))
            for event in events:
                at = event.revision
                line = self._seen(event)
                if line:
                    yield line
            if not events:
                yield b""

    def _begin(self, bookmarks: bool) -> tuple[int, list[bytes]]:
        """The revision to go on from, and what is there at first."""
        query, kind = self.target.query, self.target.kind
        asked = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents", "").lower() in ("1", "true")
        if not asked.isdigit() and asked:
            raise bad_request(f'invalid resource version "{asked}"')
        if asked not in ("", "0") and not initial:
            return int(asked), []
        with self.store.lock:
            at = self.store.revision
            items = [
                thing
                for thing in self.store.items(kind, self.target.namespace)
                if self.asked.selector.matches(thing)
            ]
        lines = [_line("ADDED", self._shown(thing)) for thing in items]
        if initial and bookmarks:
            lines.append(_bookmark(kind, at, initial=True))
        return at, lines

    def _quiet_until(self, kind: Kind, at: int) -> int:
        """The store's revision, if nothing of this kind was written after ``at``."""
        with self.store.lock:
            return at if self.store.since(kind, at) else self.store.revision

    def _seen(self, event: Event) -> bytes:
        """An event as this client sees it: coming into the selection is ADDED, leaving it is DELETED."""
        thing = event.object
        if self.target.namespace and thing["metadata"].get("namespace") != self.target.namespace:
            return b""
        now = event.type != "DELETED" and self.asked.selector.matches(thing)
        then = event.before is not None and self.asked.selector.matches(event.before)
        if not now and not then:
            return b""
        told = "MODIFIED" if now and then else "ADDED" if now else "DELETED"
        if told == "DELETED" and event.before is not None:
            revision = thing["metadata"]["resourceVersion"]
            thing = {**event.before, "metadata": {**event.before["metadata"], "resourceVersion": revision}}
        return _line(told, self._shown(thing))


def _bookmark(kind: Kind, at: int, *, initial: bool = False) -> bytes:
    meta: Object = {"resourceVersion": str(at), "creationTimestamp": None}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return _line("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta})


def _line(told: str, thing: Object) -> bytes:
    return json.dumps({"type": told, "object": thing}, separators=(",", ":")).encode() + b"\n"
