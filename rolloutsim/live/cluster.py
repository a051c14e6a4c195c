"""A cluster as the loop's hands and eyes need it: slots and a router, bound to one rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rolloutsim.engine import Failure, Observation, RevisionSeen, Role, ServiceSeen, WeightSeen
from rolloutsim.live.hands import Pods, Undone
from rolloutsim.live.permissions import READ, Right, merged
from rolloutsim.live.port import CONFIG_MAP, EVENT, JOB, LEASE, SECRET, Object, Ref, Refused, Unknown
from rolloutsim.live.routers import Routed, Router
from rolloutsim.live.slots import Slot
from rolloutsim.live.state import StateStore
from rolloutsim.live.warnings import analyses
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy.model import JobProvider, Policy, SecretArgument

__all__ = ["ClusterTraffic", "ClusterWorkload", "needed_rights", "observations", "watched"]


@contextmanager
def _undone() -> Iterator[None]:
    """Errors of the API as the hands know them."""
    try:
        yield
    except Unknown as error:
        raise Undone(str(error), Failure.UNKNOWN) from None
    except Refused as error:
        raise Undone(str(error), Failure.REFUSED) from None


class ClusterWorkload:
    """The pods of a rollout.

    ``template`` gives the pod template of a revision (None: it is in a slot already), ``stable`` the stable
    revision of the engine's present state.
    """

    def __init__(
        self,
        slots: SlotPair,
        router: Router,
        template: Callable[[str], Object | None],
        stable: Callable[[], str],
    ) -> None:
        self._slots = slots
        self._router = router
        self._template = template
        self._stable = stable

    def create(self, revision: str) -> Pods:
        with _undone():
            self._slots.adopt()
            self._router.pin()
            return _pods(self._slots.fill(revision, self._template(revision), self._stable()))

    def scale(self, revision: str, replicas: int) -> Pods:
        with _undone():
            return _pods(self._slots.scale(revision, replicas))

    def remove(self, revision: str) -> Pods:
        with _undone():
            return _pods(self._slots.remove(revision))


class ClusterTraffic:
    """The requests of a rollout."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def set_service(self, role: Role, revision: str) -> None:
        with _undone():
            self._router.set_service(role, revision)

    def set_weight(self, weight: int) -> bool | None:
        with _undone():
            return self._router.set_weight(weight)

    def set_route(self, name: str, route_json: str) -> None:
        raise Undone(f"header and mirror routes ({name}) are not set on plain Deployments", Failure.REFUSED)

    def remove_routes(self) -> None:
        """Nothing: there are none."""


def watched(slots: SlotPair, router: Router) -> tuple[Ref, ...]:
    """All objects whose changes a rollout has to hear of, its state apart."""
    return tuple(dict.fromkeys((*slots.refs, *router.watches)))


def observations(slots: Iterable[Slot], routed: Routed, at: int) -> Iterator[Observation]:
    """What the engine should hear of the objects as last seen: Services, the weight, then the pods.

    Counts of a Deployment whose controller has not seen its present spec are left out; they come when it has.
    """
    for role, revision in routed.services:
        yield ServiceSeen(at, role, revision)
    if routed.weighed.weight is not None:
        yield WeightSeen(at, routed.weighed.weight, routed.weighed.verified)
    for slot in slots:
        if slot.exists and slot.settled:
            pods = _pods(slot)
            yield RevisionSeen(at, slot.revision, pods.desired, pods.created, pods.ready, pods.available)


def _pods(slot: Slot) -> Pods:
    return Pods(slot.desired, slot.created, slot.ready, slot.available)


def needed_rights(policy: Policy, namespace: str, slots: SlotPair, router: Router) -> tuple[Right, ...]:
    """All that the executor of a policy does in its namespace; as a Role, nothing can be left out."""
    name = StateStore(slots.api, namespace, policy.name).ref.name
    rights = [
        Right(CONFIG_MAP, (*READ, "patch", "delete"), name),
        Right(CONFIG_MAP, ("create",)),
        Right(LEASE, ("get", "update"), name),
        Right(LEASE, ("create",)),
        Right(EVENT, ("create",)),
        *slots.rights,
        *router.rights,
    ]
    for analysis in analyses(policy):
        if any(isinstance(metric.provider, JobProvider) for metric in analysis.metrics):
            rights.append(Right(JOB, ("create", "get", "patch")))
        secrets = (argument for argument in analysis.late if isinstance(argument, SecretArgument))
        rights += [Right(SECRET, ("get",), argument.secret) for argument in secrets]
    return merged(rights)
