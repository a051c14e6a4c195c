"""A control loop: keys that need attention, and one thread that attends to them."""

from __future__ import annotations

import heapq
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.refusals import Refused
from rolloutsim.lab.store import Event, Store

__all__ = ["Bucket", "Loop", "monotonic_s"]

_AGAIN_S = 0.05

Key = tuple[str, str]
"""Namespace and name."""


def monotonic_s() -> float:
    """Seconds on a clock that never jumps."""
    return time.monotonic()  # noqa: TID251


class Bucket:
    """A token bucket: how fast a controller may call the API (client-go, util/flowcontrol).

    kube-controller-manager gives each of its controllers 20 calls a second and bursts of 30
    (--kube-api-qps, --kube-api-burst), which is felt as soon as a Deployment has some ten pods.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second, self._burst = per_second, 1.5 * per_second
        self._tokens, self._at = self._burst, monotonic_s()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a turn."""
        with self._lock:
            now = monotonic_s()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1
            self._at = now
            wait_s = -self._tokens / self._per_second
        if wait_s > 0:
            time.sleep(wait_s)


class Loop:
    """Calls ``sync(namespace, name)`` for each key that events name, one at a time.

    keys : from an event to the keys that it concerns.
    sync : returns the seconds after which the key wants to be looked at again, or None. A refused write (the
        object has changed meanwhile) is tried again.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        keys: Callable[[Kind, Event], Iterable[Key]],
        sync: Callable[[str, str], float | None],
    ) -> None:
        self._store, self._keys, self._sync = store, keys, sync
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._news = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name=f"lab-{name}", daemon=True)

    def start(self) -> None:
        """Attend to everything that is there, and to what happens from now on."""
        self._store.listen(self._told)
        self._thread.start()

    def stop(self) -> None:
        """End after the key that is being attended to."""
        with self._news:
            self._ends = True
            self._news.notify()
        self._thread.join(5.0)

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Attend to a key, at the latest after this time."""
        at = monotonic_s() + after_s
        with self._news:
            if at < self._due.get(key, float("inf")):
                self._due[key] = at
                heapq.heappush(self._heap, (at, key))
                self._news.notify()

    def _told(self, kind: Kind, event: Event) -> None:
        for key in self._keys(kind, event):
            self.add(key)

    def _run(self) -> None:
        while True:
            key = self._next()
            if key is None:
                return
            again_s = self._attend(key)
            if again_s is not None:
                self.add(key, again_s)

    def _attend(self, key: Key) -> float | None:
        try:
            return self._sync(*key)
        except Refused:
            return _AGAIN_S
        except Exception:
            traceback.print_exc()
            return 1.0

    def _next(self) -> Any:
        with self._news:
            while not self._ends:
                now = monotonic_s()
                while self._heap and self._heap[0][0] != self._due.get(self._heap[0][1]):
                    heapq.heappop(self._heap)
                if self._heap and self._heap[0][0] <= now:
                    _, key = heapq.heappop(self._heap)
                    del self._due[key]
                    return key
                self._news.wait(self._heap[0][0] - now if self._heap else None)
            return None
