"""Jobs: an emulated run that ends with the exit code that its annotations say (pkg/controller/job)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Loop, monotonic_s
from rolloutsim.lab.objects import Object, copied, time_text
from rolloutsim.lab.pods.profile import ANNOTATION
from rolloutsim.lab.store import Event

__all__ = ["Jobs", "annotated_exit"]

_STATUS = Options("kube-controller-manager", strictness="Ignore", subresource="status")
_RUNS_S = 0.5


def annotated_exit(job: Object) -> int:
    """The exit code in the annotation ``lab.rolloutsim.dev/exit-code`` of the Job or its template, else 0."""
    template = (job["spec"].get("template") or {}).get("metadata") or {}
    for meta in (job["metadata"], template):
        text = (meta.get("annotations") or {}).get(f"{ANNOTATION}exit-code", "")
        if text.isascii() and text.isdigit():
            return int(text)
    return 0


class Jobs:
    """Starts each Job and ends it half a second later. ``run`` gives its exit code; nothing is executed."""

    def __init__(self, cluster: Cluster, run: Callable[[Object], int] = annotated_exit) -> None:
        self._cluster, self._run = cluster, run
        self._kind = cluster.kinds.named("Job")
        self._started: dict[str, float] = {}
        self.loop = Loop("jobs", cluster.store, self._keys, self._sync)

    def start(self) -> None:
        """Begin."""
        self.loop.start()

    def stop(self) -> None:
        """End."""
        self.loop.stop()

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        if kind.kind == "Job":
            yield event.object["metadata"]["namespace"], event.object["metadata"]["name"]

    def _sync(self, namespace: str, name: str) -> float | None:
        job = self._cluster.store.get(self._kind, namespace, name)
        if job is None or (job.get("status") or {}).get("conditions"):
            return None
        uid, now = job["metadata"]["uid"], time_text(self._cluster.now_ms())
        if uid not in self._started:
            self._started[uid] = monotonic_s()
            self._write(job, {"active": 1, "ready": 1, "startTime": now})
            return _RUNS_S
        left_s = self._started[uid] + _RUNS_S - monotonic_s()
        if left_s > 0:
            return left_s
        status: Object = {"startTime": (job.get("status") or {}).get("startTime", now)}
        if self._run(copied(job)) == 0:
            status |= {"succeeded": 1, "completionTime": now, "conditions": [_condition("Complete", now)]}
        else:
            failed = _condition("Failed", now) | {"reason": "BackoffLimitExceeded"}
            status |= {"failed": 1, "conditions": [failed]}
        self._write(job, status)
        return None

    def _write(self, job: Object, status: Object) -> None:
        meta = job["metadata"]
        changed = copied(job) | {"status": status}
        self._cluster.replace(self._kind, meta["namespace"], meta["name"], changed, _STATUS)


def _condition(kind: str, now: str) -> Object:
    return {"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
