"""Writes that are followed by a look: their answer is what the cluster shows, and not what was hoped for.

A cluster that is quick has acted by then; of one that is not, the watches will tell.
"""

from __future__ import annotations

from collections.abc import Iterable

from rolloutsim.engine import Failure, Role
from rolloutsim.live.hands import Pods, Traffic, Undone, Workload
from rolloutsim.live.observer import Observer
from rolloutsim.live.port import ApiError, Ref
from rolloutsim.live.routers import Weighed

__all__ = ["Target"]


class Target:
    """Workload and traffic of one rollout. ``pods`` are the objects to look at after a write to its pods."""

    def __init__(self, workload: Workload, traffic: Traffic, observer: Observer, pods: Iterable[Ref]) -> None:
        self._workload = workload
        self._traffic = traffic
        self._observer = observer
        self._pods = tuple(pods)
        self._routes = tuple(ref for ref in observer.refs if ref not in self._pods)

    # --- pods -------------------------------------------------------------------------------------

    def create(self, revision: str) -> Pods:
        self._workload.create(revision)
        self._look(self._pods)
        return self._observer.pods(revision)

    def scale(self, revision: str, replicas: int) -> Pods:
        self._workload.scale(revision, replicas)
        self._look(self._pods)
        return self._observer.pods(revision)

    def remove(self, revision: str) -> Pods:
        self._workload.remove(revision)
        self._look(self._pods)
        return self._observer.pods(revision)

    # --- requests ---------------------------------------------------------------------------------

    def set_service(self, role: Role, revision: str) -> None:
        self._traffic.set_service(role, revision)
        self._look(self._routes)

    def set_weight(self, weight: int) -> bool | None:
        verified = self._traffic.set_weight(weight)
        self._look(self._routes)
        return self._observer.prove(Weighed(weight, verified)).verified

    def set_route(self, name: str, route_json: str) -> None:
        self._traffic.set_route(name, route_json)

    def remove_routes(self) -> None:
        self._traffic.remove_routes()

    def _look(self, refs: tuple[Ref, ...]) -> None:
        """A write whose effect cannot be read counts as one of unknown fate."""
        try:
            self._observer.look(refs)
        except ApiError as error:
            raise Undone(str(error), Failure.UNKNOWN) from None
