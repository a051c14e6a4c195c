"""The whole emulated cluster: API, controllers, pods, router, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rolloutsim.errors import ExecutorError
from rolloutsim.lab.certificates import self_signed
from rolloutsim.lab.controllers.deployments import Deployments
from rolloutsim.lab.controllers.endpoints import Endpoints
from rolloutsim.lab.controllers.jobs import Jobs, annotated_exit
from rolloutsim.lab.controllers.replicasets import ReplicaSets
from rolloutsim.lab.loop import Bucket, monotonic_s
from rolloutsim.lab.monitoring import Monitoring, counted_services, monitoring
from rolloutsim.lab.objects import Object
from rolloutsim.lab.pods.kubelet import NODE, Kubelet
from rolloutsim.lab.pods.profile import ANNOTATION
from rolloutsim.lab.server import Server
from rolloutsim.lab.traefik import Traefik

__all__ = ["Lab"]

_POLL_S = 0.02


class _Part(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


class Lab:
    """An emulated cluster that moves: Deployments get pods, pods get requests, requests get counted.

    directory : for certificates, configurations and logs; it has to exist.
    port : of the API; web_port : of the router; prometheus_port : of the metrics; 0 takes free ones.
    router, metrics : whether to start Traefik, and Prometheus (or, where that is not installed, a scraper
    with the same query API). tls : speak TLS, without which kubectl sends no token. interval_s : between
    scrapes. calls_per_second : of the Deployment and of the ReplicaSet controller, real ones' default; many
    rollouts at once feel it. job : from a Job to the exit code it ends with.

    ``server`` is the API server, ``kubeconfig`` a file for its administrator, ``router`` the Traefik and
    ``metrics`` the monitoring, or None.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        web_port: int = 0,
        prometheus_port: int = 0,
        router: bool = True,
        metrics: bool = True,
        tls: bool = True,
        interval_s: float = 1.0,
        calls_per_second: float = 20.0,
        job: Callable[[Object], int] = annotated_exit,
    ) -> None:
        directory = directory.resolve()  # Prometheus reads a relative path from where its configuration is
        self.directory = directory
        certificate, key = self_signed(directory) if tls else (None, None)
        self.server = Server(port=port, certificate=certificate, key=key)
        cluster = self.server.cluster
        self.router = Traefik(self.server, directory, port=web_port) if router else None
        self.metrics: Monitoring | None = None
        if metrics:
            self.metrics = monitoring(cluster, directory, port=prometheus_port, interval_s=interval_s)
        self.kubeconfig = directory / "kubeconfig"
        self._parts: list[_Part] = [
            Deployments(cluster, Bucket(calls_per_second)),
            ReplicaSets(cluster, Bucket(calls_per_second)),
            Endpoints(cluster),
            Jobs(cluster, job),
            Kubelet(cluster),
        ]
        self._parts += [part for part in (self.router, self.metrics) if part is not None]
        self._started: list[_Part] = []

    def start(self) -> Self:
        """Start everything; what was started is ended again if something fails (ExecutorError)."""
        self.server.start()
        try:
            self.server.kubeconfig(self.kubeconfig)
            self.server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            for part in self._parts:
                self._started.append(part)
                part.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything, in the opposite order."""
        while self._started:
            self._started.pop().stop()
        self.server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def apply(self, things: Iterable[Object], namespace: str = "default") -> None:
        """Create or replace objects."""
        for thing in things:
            self.server.apply(thing, namespace)

    def misbehave(self, deployment: str, namespace: str = "default", **profile: float | bool) -> None:
        """Change how the pods of a Deployment behave, now: the fields of `Profile`, ``error_rate=0.2``."""
        annotations = {
            ANNOTATION + name.replace("_", "-"): str(value).lower() for name, value in profile.items()
        }
        patch: Object = {"metadata": {"annotations": annotations}}
        self.server.patch("Deployment", deployment, patch, namespace)

    def wait_available(self, *deployments: str, namespace: str = "default", timeout_s: float = 30.0) -> None:
        """Wait until all pods of Deployments are updated and available; raises ExecutorError."""
        for name in deployments:
            _wait(
                lambda: _is_complete(self.server.get("Deployment", name, namespace)),  # noqa: B023
                timeout_s,
                f"Deployment {name} was not available after {timeout_s:g} s; look at its pods",
            )

    def wait_counted(self, *services: str, timeout_s: float = 30.0) -> None:
        """Wait until the metrics know the requests per second of services; raises ExecutorError.

        Prometheus takes up to 10 s to find a pod.
        """
        assert self.metrics is not None
        url = self.metrics.url
        _wait(
            lambda: set(services) <= counted_services(url),
            timeout_s,
            f"no requests to {', '.join(services)} were counted after {timeout_s:g} s; see {self.directory}",
        )


def _wait(holds: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    ends = monotonic_s() + timeout_s
    while not holds():
        if monotonic_s() > ends:
            raise ExecutorError(otherwise)
        time.sleep(_POLL_S)


def _is_complete(thing: Object | None) -> bool:
    if thing is None:
        return False
    status, wanted = thing.get("status") or {}, thing["spec"]["replicas"]
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return status.get("observedGeneration") == thing["metadata"]["generation"] and all(
        count == wanted for count in counts
    )
