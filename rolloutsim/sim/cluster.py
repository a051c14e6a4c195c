"""Pods: they are created, become ready and available (or never), and go.

Without a `Drain` and a `Controller`, pods appear the moment a revision is scaled up and vanish the moment
it is scaled down: those that are not available first, then those that became available last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

from rolloutsim.policy.model import Recreate, RollingUpdate
from rolloutsim.sim.platform import Controller, Drain

__all__ = ["Cluster", "DeploymentController", "Ending", "Pod", "PodStart", "Pool"]

PodStart = Callable[[str, int], int | None]
"""(revision, ordinal of the pod) -> milliseconds from creation to ready; None: never."""

CREATE, READY, DELETE, SCALE = 2.0, 1.5, 2.0, 3.0
"""Requests to the API that each operation costs a controller: a pod and its event; its part of a status; a
pod and its event; a ReplicaSet, its event and a status. With kube-controller-manager's own limits (20 per
second, bursts of 30) they give the times of a real one (1.36) within 5 %: see tests/sim/test_cluster.py.
"""


@dataclass(slots=True, eq=False)
class Pod:
    ordinal: int
    ready: bool = False
    available: bool = False
    doomed: bool = False
    """Its deletion waits for the controller's turn."""
    failures: int = 0
    """Readiness checks that failed in a row."""


@dataclass(slots=True)
class Pool:
    """The pods of one revision, and how many of them are ready and available.

    ``first_pod_ms`` is when its first pod ever was created. ``lingering`` pods are deleted and serve what
    still reaches them, ``refusing`` ones no longer do.
    """

    revision: str
    desired: int = 0
    pods: list[Pod] = field(default_factory=list)
    started: int = 0
    first_pod_ms: int | None = None
    ready: int = 0
    available: int = 0
    lingering: int = 0
    refusing: int = 0
    coming: int = 0
    """Pods whose creation waits for the controller's turn."""

    def count(self) -> None:
        """Count the pods again after one of them changed."""
        self.ready = sum([pod.ready for pod in self.pods])
        self.available = sum([pod.available for pod in self.pods])

    @property
    def serving(self) -> int:
        """Pods that serve what reaches them."""
        return self.ready + self.lingering


Ending = Callable[[str, int, int], None]
"""(revision, ready pods that are deleted now, ready pods before): told at the moment of the deletion."""


class ApiBudget:
    """The client-side limit of a controller's requests: a bucket of tokens (client-go, flowcontrol)."""

    def __init__(self, qps: float, burst: int) -> None:
        self._per_ms = qps / 1000.0
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at_ms = 0.0

    def wait_ms(self, now_ms: int, requests: float) -> int:
        """Take tokens for so many requests; how long until the last of them is sent."""
        if not self._per_ms:
            return 0
        start = max(float(now_ms), self._at_ms)
        tokens = min(self._burst, self._tokens + (start - self._at_ms) * self._per_ms) - requests
        wait = max(0.0, -tokens) / self._per_ms
        self._tokens, self._at_ms = max(tokens, 0.0), start + wait
        return round(self._at_ms - now_ms)


class Cluster:
    """The pods of all revisions of one workload.

    ``changed`` is called with a revision's name each time the number of its created, ready or available
    pods changes other than by a call from outside. ``changes`` counts all changes. ``linger`` draws how
    long routers send requests to a deleted pod; ``ending`` hears of deletions of ready pods.
    """

    def __init__(
        self,
        env: simpy.Environment,
        pod_start: PodStart,
        changed: Callable[[str], None],
        *,
        min_ready_ms: int = 0,
        drain: Drain | None = None,
        controller: Controller | None = None,
        linger: Callable[[int], int] = lambda _: 0,
        ending: Ending | None = None,
    ) -> None:
        self._env = env
        self._pod_start = pod_start
        self._changed = changed
        self._min_ready_ms = min_ready_ms
        self._pre_stop_ms = drain.pre_stop_ms if drain else 0
        self._budget = ApiBudget(controller.qps, controller.burst) if controller else ApiBudget(0.0, 0)
        self._linger = linger
        self._ending = ending
        self._deletions = 0
        self.lingers = False
        """Whether some deleted pod got requests after its deletion."""
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
        before = pool.ready
        gone = 0
        while len(staying := [pod for pod in pool.pods if not pod.doomed]) > replicas:
            gone += self._delete(pool, _least_useful(staying))
        pool.count()
        if gone:
            self._leave(pool, gone, before)
        for _ in range(replicas - pool.coming - sum(not pod.doomed for pod in pool.pods)):
            self._create(pool)

    def fail(self, revision: str, count: int) -> None:
        """Make available pods unavailable for good (0: all of them)."""
        available = [pod for pod in self.pools[revision].pods if pod.available]
        for pod in available[: count or None]:
            pod.ready = pod.available = False
        self._tell(self.pools[revision])

    def check(self, revision: str, pod: Pod, *, ready: bool) -> None:
        """A readiness check changed what is thought of a pod."""
        pool = self.pools.get(revision)
        if pool is None or pod not in pool.pods or pod.ready == ready:
            return
        pod.ready = ready
        pod.available = ready and not self._min_ready_ms
        if ready and self._min_ready_ms:
            self._after(self._min_ready_ms, lambda: self._available(pool, pod))
        self._tell(pool)

    def restart(self, revision: str) -> None:
        """All pods of a revision crash and start again."""
        pool = self.pools.get(revision)
        if pool is None:
            return
        for pod in list(pool.pods):
            if pod.ready and not pod.doomed:
                pod.ready = pod.available = False
                self._await_ready(pool, pod)
        self._tell(pool)

    def total(self) -> int:
        """Pods of all revisions."""
        return sum(len(pool.pods) for pool in self.pools.values())

    def spend(self, requests: float) -> int:
        """Let a controller send so many requests; ms until they are sent."""
        return self._budget.wait_ms(int(self._env.now), requests)

    def _create(self, pool: Pool) -> None:
        """Create a pod now, or when the controller gets to it."""
        wait = self.spend(CREATE)
        if not wait:
            self._start(pool)
            return

        def come() -> None:
            pool.coming -= 1
            if sum(not pod.doomed for pod in pool.pods) < pool.desired:
                self._start(pool)
                self._tell(pool)

        pool.coming += 1
        self._after(wait, come)

    def _start(self, pool: Pool) -> None:
        pod = Pod(pool.started)
        pool.started += 1
        pool.pods.append(pod)
        if pool.first_pod_ms is None:
            pool.first_pod_ms = int(self._env.now)
            self._tell(pool)
        self._await_ready(pool, pod)

    def _await_ready(self, pool: Pool, pod: Pod) -> None:
        wait = self._pod_start(pool.revision, pod.ordinal)
        if wait is not None:
            self._after(wait, lambda: self._started(pool, pod))

    def _started(self, pool: Pool, pod: Pod) -> None:
        seen_in_ms = self.spend(READY)
        if seen_in_ms:
            self._after(seen_in_ms, lambda: self._ready(pool, pod))
        else:
            self._ready(pool, pod)

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

    def _delete(self, pool: Pool, pod: Pod) -> int:
        """Delete a pod now, or when the controller gets to it; ready pods that go now."""
        wait = self.spend(DELETE)
        if not wait:
            pool.pods.remove(pod)
            return int(pod.ready)
        pod.doomed = True

        def gone() -> None:
            if pod in pool.pods:
                before = pool.ready
                pool.pods.remove(pod)
                pool.count()
                if pod.ready:
                    self._leave(pool, 1, before)
                self._tell(pool)

        self._after(wait, gone)
        return 0

    def _leave(self, pool: Pool, gone: int, before: int) -> None:
        """Deleted pods still get requests for a while: served first, refused then."""
        if self._ending is not None:
            self._ending(pool.revision, gone, before)
        self._deletions += 1
        linger_ms = self._linger(self._deletions)
        if not linger_ms:
            return
        self.lingers = True

        def stop() -> None:
            pool.lingering -= gone
            pool.refusing += gone
            self._tell(pool)

        def forget() -> None:
            if self._pre_stop_ms >= linger_ms:
                pool.lingering -= gone
            else:
                pool.refusing -= gone
            self._tell(pool)

        pool.lingering += gone
        if self._pre_stop_ms < linger_ms:
            if self._pre_stop_ms:
                self._after(self._pre_stop_ms, stop)
            else:
                pool.lingering -= gone
                pool.refusing += gone
        self._after(linger_ms, forget)

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
    may be unavailable. `reconcile` runs until nothing changes at this instant; with ``sync_ms`` it takes
    one step, and the next one that much later.
    """

    def __init__(
        self,
        cluster: Cluster,
        strategy: RollingUpdate | Recreate,
        replicas: int,
        *,
        sync_ms: int = 0,
        after: Callable[[int, Callable[[], None]], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._strategy = strategy
        self._sync_ms = sync_ms if after is not None else 0
        self._after = after
        self._due = False
        self._wanted: str | None = None
        self.resize(replicas)

    def resize(self, replicas: int) -> None:
        """The Deployment is wanted with so many pods from now on."""
        self._replicas = replicas
        self._surge = self._unavailable = 0
        if isinstance(self._strategy, RollingUpdate):
            self._surge = self._strategy.max_surge.resolve(replicas, round_up=True)
            self._unavailable = self._strategy.max_unavailable.resolve(replicas, round_up=False)
            if self._surge == 0 and self._unavailable == 0:
                self._unavailable = 1

    def apply(self, revision: str) -> None:
        """The Deployment's template is now this revision's."""
        self._cluster.create(revision)
        self._wanted = revision

    def reconcile(self) -> set[str]:
        """Scale the revisions; return those whose pods changed."""
        changed: set[str] = set()
        if self._wanted is None:
            return changed
        if self._sync_ms:
            self._arrange()
            return changed
        while revision := self._step():
            changed.add(revision)
        return changed

    def _arrange(self) -> None:
        """Take one step after ``sync_ms``; what it changes calls for the next."""
        if self._due or self._after is None:
            return
        self._due = True

        def act() -> None:
            self._due = False
            if revision := self._step():
                self._cluster._tell(self._cluster.pools[revision])

        self._after(self._sync_ms, act)

    def _step(self) -> str:
        """Scale one revision; its name, empty when nothing is to be done."""
        step = self._recreate_step() if isinstance(self._strategy, Recreate) else self._rolling_step()
        if step is None:
            return ""
        self._cluster.spend(SCALE)
        self._cluster.scale(*step)
        return step[0]

    def _old(self) -> list[Pool]:
        return [p for p in self._cluster.pools.values() if p.revision != self._wanted and p.desired]

    def _recreate_step(self) -> tuple[str, int] | None:
        for pool in self._old():
            return pool.revision, 0
        new = self._cluster.pools[self._wanted or ""]
        if new.desired == self._replicas or self._cluster.total() > len(new.pods):
            return None
        return new.revision, self._replicas

    def _rolling_step(self) -> tuple[str, int] | None:
        pools = self._cluster.pools.values()
        new = self._cluster.pools[self._wanted or ""]
        total = sum(pool.desired for pool in pools)
        room = self._replicas + self._surge - total
        if new.desired > self._replicas:
            return new.revision, self._replicas
        if new.desired < self._replicas and room > 0:
            return new.revision, min(self._replicas, new.desired + room)
        floor = self._replicas - self._unavailable
        spare = total - floor - (new.desired - new.available)
        for pool in self._old():
            broken = pool.desired - pool.available
            if broken > 0 and spare > 0:
                return pool.revision, pool.desired - min(broken, spare)
        available = sum(min(pool.available, pool.desired) for pool in pools)
        for pool in self._old():
            if available > floor:
                return pool.revision, pool.desired - min(pool.desired, available - floor)
        return None
