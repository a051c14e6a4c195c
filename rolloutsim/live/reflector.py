"""List, watch, and list again: a thread that reports the newest state of some objects.

It reports every object as it is after a list, then as it changes, and None once it is gone. Between two
states of an object it may miss some, never the last. A watch is short (the server ends it after
``watch_s``) and silent ones are given up a few seconds later, so that a server that died without a word is
noticed; `Reflector.silent_ms` says for how long nothing has been heard.

Sources: Kubernetes, "API concepts" (efficient detection of changes, bookmarks, 410 Gone).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from rolloutsim.live.port import ApiError, Change, Gone, Kind, Kubernetes, Object, Ref, Watch, ref_of
from rolloutsim.live.writes import version_of

__all__ = ["Reflector", "follow"]

WATCH_S = 20
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


class Reflector:
    """Follows the objects of one kind in one namespace that match the selectors.

    Parameters
    ----------
    report : called in this reflector's thread with each new state, None for an object that is gone; it
        should only put it into a queue.
    now_ms : a clock in ms that never goes back.
    trouble : told, in words for people, each time the cluster cannot be heard, and "" when it can again.
    """

    def __init__(
        self,
        api: Kubernetes,
        kind: Kind,
        namespace: str,
        report: Callable[[Ref, Object | None], object],
        *,
        now_ms: Callable[[], int],
        fields: str = "",
        labels: str = "",
        trouble: Callable[[str], object] = lambda message: None,
        watch_s: int = WATCH_S,
    ) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._report = report
        self._now_ms = now_ms
        self._selectors = {"fields": fields, "labels": labels}
        self._trouble = trouble
        self._watch_s = watch_s
        self._known: dict[Ref, str] = {}
        self._resource_version = ""
        self._heard_at: int | None = None
        self._troubled = False
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {kind.resource}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the watch and wait for the thread; nothing is reported afterwards."""
        self._stopping.set()
        watch = self._watch
        if watch is not None:
            watch.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @property
    def silent_ms(self) -> int | None:
        """Milliseconds since the server was last heard; None before the first list."""
        return None if self._heard_at is None else self._now_ms() - self._heard_at

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                if not self._resource_version:
                    self._list()
                self._follow()
                failures = 0
            except Gone:
                self._resource_version = ""
                pause_s = FIRST_PAUSE_S
            except ApiError as error:
                if self._stopping.is_set():
                    return
                self._troubled = True
                self._trouble(str(error))
                # A list tells at once that the cluster can be heard again; a quiet watch only at its end.
                self._resource_version = ""
                pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**failures)
                failures += 1
            else:
                continue
            self._stopping.wait(pause_s)

    def _list(self) -> None:
        listing = self._api.list(self._kind, self._namespace, **self._selectors)
        self._heard()
        found = {ref_of(self._kind, body): body for body in listing.items}
        for gone in [ref for ref in self._known if ref not in found]:
            self._tell(gone, None)
        for ref, body in found.items():
            if self._known.get(ref) != version_of(body):
                self._tell(ref, body)
        self._resource_version = listing.resource_version

    def _follow(self) -> None:
        """One watch, to its end."""
        watch = self._api.watch(
            self._kind,
            self._namespace,
            resource_version=self._resource_version,
            timeout_s=self._watch_s,
            **self._selectors,
        )
        self._watch = watch
        if self._stopping.is_set():
            return
        try:
            for change in watch:
                self._heard()
                self._take(change)
            self._heard()
        finally:
            watch.close()

    def _take(self, change: Change) -> None:
        if change.type != "BOOKMARK":
            ref = ref_of(self._kind, change.body)
            self._tell(ref, None if change.type == "DELETED" else change.body)
        self._resource_version = version_of(change.body) or self._resource_version

    def _tell(self, ref: Ref, body: Object | None) -> None:
        if self._stopping.is_set():
            return
        if body is None:
            self._known.pop(ref, None)
        else:
            self._known[ref] = version_of(body)
        self._report(ref, body)

    def _heard(self) -> None:
        self._heard_at = self._now_ms()
        if self._troubled:
            self._troubled = False
            self._trouble("")


def follow(
    api: Kubernetes,
    refs: Iterable[Ref],
    report: Callable[[Ref, Object | None], object],
    *,
    now_ms: Callable[[], int],
    trouble: Callable[[str], object] = lambda message: None,
    watch_s: int = WATCH_S,
) -> tuple[Reflector, ...]:
    """One reflector for each object, not started: a watch by name needs a right on that name only."""
    return tuple(
        Reflector(
            api,
            ref.kind,
            ref.namespace,
            report,
            now_ms=now_ms,
            fields=f"metadata.name={ref.name}",
            trouble=trouble,
            watch_s=watch_s,
        )
        for ref in refs
    )
