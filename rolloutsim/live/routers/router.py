"""A router: Services that select slots, and whatever divides requests between two of them.

`Weights` is the contract of the second half. A write holds only for the object that was read, changes only
the fields that the rollout owns, and writes nothing where there is nothing to change. It raises `Refused` if
it certainly did not happen and `Unknown` if it may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rolloutsim.engine import Role
from rolloutsim.live.permissions import Right
from rolloutsim.live.port import Ref, Refused
from rolloutsim.live.routers.service import Services
from rolloutsim.live.slots import Objects

__all__ = ["NoWeights", "Routed", "Router", "Weighed", "Weights"]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a route says. ``weight`` None: it cannot be told, ``problem`` says why.

    ``verified``: its controllers have accepted the present weight (True, False), or cannot say (None).
    """

    weight: int | None = None
    verified: bool | None = None
    problem: str = ""


class Weights(Protocol):
    """One way to divide requests between the stable and the canary Service."""

    @property
    def watches(self) -> tuple[Ref, ...]:
        """The objects that `read` needs."""
        ...

    @property
    def rights(self) -> tuple[Right, ...]:
        """The least rights that it works with."""
        ...

    def read(self, objects: Objects) -> Weighed:
        """The weight as last seen. Pure."""
        ...

    def set_weight(self, weight: int) -> Weighed:
        """Give the canary this weight, out of the policy's maximum."""
        ...

    def clean_up(self) -> None:
        """Delete what this rollout created for it, once the weight is 0."""
        ...

    def kubectl(self, weight: int) -> tuple[str, ...]:
        """What a person would type instead of `set_weight`."""
        ...


class NoWeights:
    """A plain Service: requests follow the selector, and nothing divides them."""

    watches: tuple[Ref, ...] = ()
    rights: tuple[Right, ...] = ()

    def read(self, objects: Objects) -> Weighed:
        return Weighed()

    def set_weight(self, weight: int) -> Weighed:
        raise Refused("the policy has no route, so it has no weights; add spec.target.route")

    def clean_up(self) -> None:
        """Nothing: a Service stays bound to its slot, since unbound it would reach both."""

    def kubectl(self, weight: int) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Routed:
    """What all objects of a router say: its weight, and the revision that each Service selects.

    A revision is "" for a Service that selects no slot, or both.
    """

    weighed: Weighed
    services: tuple[tuple[Role, str], ...] = ()
    problem: str = ""


class Router:
    """One rollout's way to move requests."""

    def __init__(self, services: Services, weights: Weights) -> None:
        self._services = services
        self._weights = weights

    @property
    def watches(self) -> tuple[Ref, ...]:
        """The objects that `read` needs, besides the Deployments of the slots."""
        return (*self._services.watches, *self._weights.watches)

    @property
    def rights(self) -> tuple[Right, ...]:
        return (*self._services.rights, *self._weights.rights)

    def read(self, objects: Objects) -> Routed:
        """Facts from objects as last seen, the Deployments of the slots among them. Pure."""
        weighed = self._weights.read(objects)
        selected, problem = self._services.read(objects)
        return Routed(weighed, selected, "; ".join(filter(None, (weighed.problem, problem))))

    def pin(self) -> None:
        """Before a second slot gets pods: let each Service select only the slot that it reaches now."""
        self._services.pin()

    def set_service(self, role: Role, revision: str) -> None:
        """Let the Service of a role select the slot that holds ``revision``."""
        self._services.select(role, revision)

    def set_weight(self, weight: int) -> bool | None:
        """Give the canary this weight; whether it is verified already (None: the router cannot say)."""
        return self._weights.set_weight(weight).verified

    def clean_up(self) -> None:
        self._weights.clean_up()

    def kubectl_service(self, role: Role, revision: str) -> tuple[str, ...]:
        """What a person would type instead of `set_service`."""
        return self._services.kubectl(role, revision)

    def kubectl_weight(self, weight: int) -> tuple[str, ...]:
        """What a person would type instead of `set_weight`."""
        return self._weights.kubectl(weight)
