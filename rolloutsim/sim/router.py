"""Which version a request reaches: by weight, by Service selector, or by the pods behind a Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from rolloutsim.engine import Role
from rolloutsim.policy.model import BlueGreen, Canary, Strategy

__all__ = ["Router", "Routing", "routing_of"]


class Routing(Enum):
    """How requests find a version."""

    WEIGHT = "weight"
    """A router sends a share to the canary Service and the rest to the stable one."""
    SELECTOR = "selector"
    """One Service selects exactly one version."""
    PODS = "pods"
    """One Service selects all pods, so that each version gets its share of the ready pods."""


def routing_of(strategy: Strategy) -> Routing:
    """How traffic flows under a strategy."""
    if isinstance(strategy, BlueGreen):
        return Routing.SELECTOR
    if isinstance(strategy, Canary) and strategy.routing is not None:
        return Routing.WEIGHT
    return Routing.PODS


@dataclass(slots=True)
class Router:
    """What traffic really does: the weight and the selectors that have reached the data plane."""

    routing: Routing
    max_weight: int = 100
    granularity: float = 0.0
    weight: int = 0
    services: dict[Role, str] = field(default_factory=dict)
    additional: dict[str, int] = field(default_factory=dict)
    """Weights of pods beside the two versions, taken from the stable one's."""
    joined: list[str] = field(default_factory=list)
    """Pods beside the two versions that a Service which selects all pods selects too."""

    def shares(
        self,
        stable: str,
        new: str,
        ready: Mapping[str, int],
        refusing: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[float, float, float]:
        """Shares of all requests that reach a pod that serves them.

        Of the stable version; of the new version by way of the canary Service; of the new version by any
        other way. What is missing to 1 finds no pod, or one of the ``refusing`` ones: those that are
        deleted and that routers have not forgotten yet.
        """
        if self.routing is Routing.PODS:
            total = sum(
                pods.get(version, 0) for version in (stable, new, *self.joined) for pods in (ready, refusing)
            )
            if not total:
                return 0.0, 0.0, 0.0
            return ready.get(stable, 0) / total, 0.0, ready.get(new, 0) / total
        sent = {stable: 0.0, new: 0.0}
        by_canary = 0.0
        for role, share in self._destinations():
            revision = self.services.get(role, "")
            serving = ready.get(revision, 0)
            if not serving:
                continue
            if refused := refusing.get(revision, 0):
                share *= serving / (serving + refused)
            if role is Role.CANARY and revision == new:
                by_canary = share
            else:
                sent[revision] += share
        return sent[stable], by_canary, sent[new]

    def shares_beside(
        self, versions: tuple[str, str], ready: Mapping[str, int], refusing: Mapping[str, int]
    ) -> dict[str, float]:
        """Shares of all requests that reach a pod beside the two versions which serves them."""
        if self.routing is Routing.PODS:
            names = (*versions, *self.joined)
            total = sum(pods.get(name, 0) for name in names for pods in (ready, refusing))
            return {name: ready.get(name, 0) / total for name in self.joined} if total else {}
        found = {}
        for name, weight in self.additional.items():
            serving = ready.get(name, 0)
            if serving:
                found[name] = weight / self.max_weight * serving / (serving + refusing.get(name, 0))
        return found

    def _destinations(self) -> list[tuple[Role, float]]:
        if self.routing is Routing.SELECTOR:
            return [(Role.ACTIVE, 1.0)]
        weight = 100.0 * self.weight / self.max_weight
        if self.granularity:
            weight = round(weight / self.granularity) * self.granularity
        share = min(100.0, weight) / 100.0
        rest = 1.0 - share
        if self.additional:
            rest = max(0.0, rest - sum(self.additional.values()) / self.max_weight)
        return [(Role.CANARY, share), (Role.STABLE, rest)]
