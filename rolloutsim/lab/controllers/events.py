"""Event objects, as ``kubectl describe`` shows them (client-go, tools/record)."""

from __future__ import annotations

import queue
import threading

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.loop import Bucket
from rolloutsim.lab.objects import Object, time_text
from rolloutsim.lab.refusals import Refused

__all__ = ["Recorder"]

_OPTIONS = Options("kube-controller-manager", strictness="Ignore")


class Recorder:
    """Writes events in a thread of its own, under the rate limit of its controller."""

    def __init__(self, cluster: Cluster, component: str, bucket: Bucket) -> None:
        self._cluster, self._component, self._bucket = cluster, component, bucket
        self._waiting: queue.SimpleQueue[tuple[Object, str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"lab-events-{component}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is still waiting is not written."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put(None)
        self._thread.join(5.0)

    def tell(self, about: Object, reason: str, message: str) -> None:
        """Something normal happened to an object."""
        self._waiting.put((about, reason, message))

    def _run(self) -> None:
        kind = self._cluster.kinds.named("Event")
        while (told := self._waiting.get()) is not None:
            about, reason, message = told
            meta = about["metadata"]
            now = time_text(self._cluster.now_ms())
            body = {
                "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
                "involvedObject": {
                    "apiVersion": about["apiVersion"],
                    "kind": about["kind"],
                    **{name: meta[name] for name in ("namespace", "name", "uid", "resourceVersion")},
                },
                "reason": reason,
                "message": message,
                "type": "Normal",
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": self._component},
                "reportingComponent": self._component,
            }
            self._bucket.take()
            try:
                self._cluster.create(kind, meta["namespace"], body, _OPTIONS)
            except Refused:
                continue  # its namespace is gone
