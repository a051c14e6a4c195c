"""One action in the real world, and what is known at once about it.

The answers are those of the simulated world's loop: the pods of a revision after it was created, scaled or
removed, a Service's revision after it was pointed there, the weight after it was set. A write that did not
happen is answered by `Failed`, and so is one whose fate is unknown: what became of it shows in the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from rolloutsim.engine import (
    Action,
    CreateRevision,
    CreateTemplate,
    Failed,
    Failure,
    Measure,
    Observation,
    RemoveRevision,
    RemoveRoutes,
    RevisionSeen,
    Role,
    Scale,
    ServiceSeen,
    SetRoute,
    SetService,
    SetWeight,
    State,
    TerminateMeasurement,
    WeightSeen,
)
from rolloutsim.errors import ExecutorError
from rolloutsim.live.measure import Measurer
from rolloutsim.policy.model import SecretArgument

__all__ = ["Doings", "Hands", "Onlooker", "Pods", "Renewing", "Traffic", "Undone", "Workload"]


class Undone(ExecutorError):
    """A write that certainly did not happen (refused), or whose fate is unknown."""

    def __init__(self, message: str, how: Failure) -> None:
        self.how = how
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods of one revision: asked for, created, ready, and available for long enough."""

    desired: int = 0
    created: int = 0
    ready: int = 0
    available: int = 0


class Workload(Protocol):
    """The pods of all revisions. Each call states what is wanted and gives the pods as they are then.

    All raise `Undone`.
    """

    def create(self, revision: str) -> Pods: ...

    def scale(self, revision: str, replicas: int) -> Pods: ...

    def remove(self, revision: str) -> Pods: ...


class Traffic(Protocol):
    """What moves requests. All raise `Undone`."""

    def set_service(self, role: Role, revision: str) -> None: ...

    def set_weight(self, weight: int) -> bool | None:
        """Set the weight; whether it is verified already (None: the router cannot say)."""
        ...

    def set_route(self, name: str, route_json: str) -> None: ...

    def remove_routes(self) -> None: ...


class Doings(Protocol):
    """Performs actions."""

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        """Do one action that was decided in ``state``; give the answers that are known at once."""
        ...


class Hands:
    """Performs actions through a workload, a router and instruments."""

    def __init__(self, workload: Workload, traffic: Traffic, measurer: Measurer) -> None:
        self._workload = workload
        self._traffic = traffic
        self._measurer = measurer

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        try:
            yield from self._perform(action, state, at)
        except Undone as error:
            yield Failed(at, action.id, error.how, str(error))

    def _perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        match action:
            case CreateRevision(revision=revision):
                yield _seen(at, revision, self._workload.create(revision))
            case Scale(revision=revision, replicas=replicas):
                yield _seen(at, revision, self._workload.scale(revision, replicas))
            case RemoveRevision(revision=revision):
                yield _seen(at, revision, self._workload.remove(revision))
            case SetService(role=role, revision=revision):
                self._traffic.set_service(role, revision)
                yield ServiceSeen(at, role, revision)
            case CreateTemplate(revision=revision):
                why = f"pods of an experiment ({revision}) are not created beside plain Deployments"
                raise Undone(why, Failure.REFUSED)
            case SetWeight(weight=weight):
                yield WeightSeen(at, weight, self._traffic.set_weight(weight))
            case SetRoute(name=name, route_json=route_json):
                self._traffic.set_route(name, route_json)
            case RemoveRoutes():
                self._traffic.remove_routes()
            case Measure():
                self._measurer.start(action, _secrets(state, action.run), at)
            case TerminateMeasurement():
                self._measurer.terminate(action)


class Onlooker:
    """Measures, and writes nothing: a rollout that somebody else moves is followed and judged.

    What the engine asks for is answered when the cluster shows that somebody did it.
    """

    def __init__(self, measurer: Measurer) -> None:
        self._measurer = measurer

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        match action:
            case Measure():
                self._measurer.start(action, _secrets(state, action.run), at)
            case TerminateMeasurement():
                self._measurer.terminate(action)
        yield from ()


class Renewing:
    """Hands that keep the Lease alive between slow writes: ``keep`` is called before each action."""

    def __init__(self, hands: Doings, keep: Callable[[], None]) -> None:
        self._hands = hands
        self._keep = keep

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        self._keep()
        return self._hands.perform(action, state, at)


def _seen(at: int, revision: str, pods: Pods) -> RevisionSeen:
    return RevisionSeen(at, revision, pods.desired, pods.created, pods.ready, pods.available)


def _secrets(state: State, run: str) -> tuple[SecretArgument, ...]:
    return next((one.secrets for one in state.runs if one.name == run), ())
