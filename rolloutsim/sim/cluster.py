"""Pods: they are created, become ready and available (or never), and go.

Pods appear the moment a revision is scaled up and vanish the moment it is scaled down, those that are
not available first, then those that became available last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

from rolloutsim.policy.model import Recreate, RollingUpdate

__all__ = ["Cluster", "DeploymentController", "PodStart", "Pool"]

PodStart = Callable[[str, int], int | None]
"""(revision, ordinal of the pod) -> milliseconds from creation to ready; None: never."""


@dataclass(slots=True, eq=False)
class Pod:
    ordinal: int
    ready: bool = False
    available: bool = False


@dataclass(slots=True)
class Pool:
    """The pods of one revision, and how many of them are ready and available.

    ``first_pod_ms`` is when its first pod ever was created.
    """

    revision: str
    desired: int = 0
    pods: list[Pod] = field(default_factory=list)
    started: int = 0
    first_pod_ms: int | None = None
    ready: int = 0
    available: int = 0

    def count(self) -> None:
        """Count the pods again after one of them changed."""
        self.ready = sum([pod.ready for pod in self.pods])
        self.available = sum([pod.available for pod in self.pods])


class Cluster:
    """The pods of all revisions of one workload.

    ``changed`` is called with a revision's name each time the number of its created, ready or available
    pods changes other than by a call from outside. ``changes`` counts all changes.
    """

    def __init__(
        self,
        env: simpy.Environment,
        pod_start: PodStart,
        changed: Callable[[str], None],
        *,
        min_ready_ms: int = 0,
    ) -> None:
        self._env = env
        self._pod_start = pod_start
        self._changed = changed
        self._min_ready_ms = min_ready_ms
        self.pools: dict[str, Pool] = {}
        self.changes = 0

    def adopt(self, revision: str, replicas: int) -> None:
        """A revision that has been running for long: all its pods are available."""
        pods = [Pod(ordinal, ready=True, available=True) for ordinal in range(replicas)]
        self.pools[revision] = Pool(
            revision, replicas, pods, replicas, int(self._env.now), ready=replicas, available=replicas
        )

    def create(self, revision: str) -> None:
        self.pools.setdefault(revision, Pool(revision))

    def remove(self, revision: str) -> None:
        self.pools.pop(revision, None)

    def scale(self, revision: str, replicas: int) -> None:
        """Set the number of pods of a revision."""
        pool = self.pools[revision]
        pool.desired = replicas
        self.changes += 1
        while len(pool.pods) > replicas:
            pool.pods.remove(_least_useful(pool.pods))
        pool.count()
        while len(pool.pods) < replicas:
            self._start(pool)

    def fail(self, revision: str, count: int) -> None:
        """Make available pods unavailable for good (0: all of them)."""
        available = [pod for pod in self.pools[revision].pods if pod.available]
        for pod in available[: count or None]:
            pod.ready = pod.available = False
        self._tell(self.pools[revision])

    def total(self) -> int:
        """Pods of all revisions."""
        return sum(len(pool.pods) for pool in self.pools.values())

    def _start(self, pool: Pool) -> None:
        pod = Pod(pool.started)
        pool.started += 1
        pool.pods.append(pod)
        if pool.first_pod_ms is None:
            pool.first_pod_ms = int(self._env.now)
            self._tell(pool)
        wait = self._pod_start(pool.revision, pod.ordinal)
        if wait is not None:
            self._after(wait, lambda: self._ready(pool, pod))

    def _ready(self, pool: Pool, pod: Pod) -> None:
        if pod not in pool.pods:
            return
        pod.ready = True
        if self._min_ready_ms:
            self._after(self._min_ready_ms, lambda: self._available(pool, pod))
        else:
            pod.available = True
        self._tell(pool)

    def _available(self, pool: Pool, pod: Pod) -> None:
        if pod in pool.pods and pod.ready:
            pod.available = True
            self._tell(pool)

    def _tell(self, pool: Pool) -> None:
        self.changes += 1
        pool.count()
        self._changed(pool.revision)

    def _after(self, wait_ms: int, do: Callable[[], None]) -> None:
        timeout = self._env.timeout(wait_ms)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: do())


def _least_useful(pods: list[Pod]) -> Pod:
    return max(pods, key=lambda pod: (not pod.available, pod.ordinal))


class DeploymentController:
    """What a Kubernetes Deployment does with its pods when its template changes.

    Surge and unavailability as the Deployment controller computes them (kubernetes.io, Deployments,
    "Rolling Update Deployment"): surge rounds up, unavailable rounds down, and if both are 0 then one pod
    may be unavailable. `reconcile` runs until nothing changes at this instant.
    """

    def __init__(self, cluster: Cluster, strategy: RollingUpdate | Recreate, replicas: int) -> None:
        self._cluster = cluster
        self._replicas = replicas
        self._recreate = isinstance(strategy, Recreate)
        self._surge = self._unavailable = 0
        if isinstance(strategy, RollingUpdate):
            self._surge = strategy.max_surge.resolve(replicas, round_up=True)
            self._unavailable = strategy.max_unavailable.resolve(replicas, round_up=False)
            if self._surge == 0 and self._unavailable == 0:
                self._unavailable = 1
        self._wanted: str | None = None

    def apply(self, revision: str) -> None:
        """The Deployment's template is now this revision's."""
        self._cluster.create(revision)
        self._wanted = revision

    def reconcile(self) -> set[str]:
        """Scale the revisions; return those whose pods changed."""
        changed: set[str] = set()
        if self._wanted is None:
            return changed
        while step := (self._recreate_step() if self._recreate else self._rolling_step()):
            revision, replicas = step
            self._cluster.scale(revision, replicas)
            changed.add(revision)
        return changed

    def _old(self) -> list[Pool]:
        return [p for p in self._cluster.pools.values() if p.revision != self._wanted and p.pods]

    def _recreate_step(self) -> tuple[str, int] | None:
        for pool in self._old():
            return pool.revision, 0
        new = self._cluster.pools[self._wanted or ""]
        return (new.revision, self._replicas) if len(new.pods) != self._replicas else None

    def _rolling_step(self) -> tuple[str, int] | None:
        new = self._cluster.pools[self._wanted or ""]
        room = self._replicas + self._surge - self._cluster.total()
        if len(new.pods) < self._replicas and room > 0:
            return new.revision, min(self._replicas, len(new.pods) + room)
        floor = self._replicas - self._unavailable
        new_unavailable = len(new.pods) - new.available
        spare = self._cluster.total() - floor - new_unavailable
        for pool in self._old():
            broken = len(pool.pods) - pool.available
            if broken and spare > 0:
                return pool.revision, len(pool.pods) - min(broken, spare)
        available = sum(pool.available for pool in self._cluster.pools.values())
        for pool in self._old():
            if available > floor:
                return pool.revision, len(pool.pods) - min(len(pool.pods), available - floor)
        return None
