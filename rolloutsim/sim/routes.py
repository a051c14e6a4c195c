"""The routes of a simulated rollout: the router, and the changes that are on their way to it."""

from __future__ import annotations

from collections.abc import Callable

from rolloutsim.engine import Role, State, WeightSeen
from rolloutsim.policy.model import Canary, Policy
from rolloutsim.sim.beginning import ORIGIN_MS, STABLE
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.router import Router, routing_of
from rolloutsim.sim.scenario import Service

__all__ = ["Routes"]


class Routes:
    """The network of a `Loop`. ``router`` says where requests go now.

    A change reaches the router after its delay and not before an earlier one; then ``changed`` is called.
    Whoever makes the loop sets ``loop``.
    """

    def __init__(self, policy: Policy, service: Service, draws: Stream, changed: Callable[[], None]) -> None:
        strategy = policy.strategy
        self._canary = strategy if isinstance(strategy, Canary) else None
        routing = self._canary.routing if self._canary is not None else None
        self.router = Router(
            routing_of(strategy),
            max_weight=routing.max_weight if routing else 100,
            granularity=service.cluster.weight_granularity,
        )
        self.router.services = dict.fromkeys(Role, STABLE)
        self.loop: Loop
        self._verifies = routing is not None and routing.verifies
        self._by_hash = _by_hash(self._canary)
        self._delay = service.cluster.router_delay
        self._draws = draws
        self._changed = changed
        self._moves = 0
        self._moved_at = ORIGIN_MS
        self._subsets = STABLE, STABLE

    def set_service(self, role: Role, revision: str) -> None:
        """Let a Service select another version."""

        def move() -> None:
            self.router.services[role] = revision

        self.move(move)

    def set_weight(self, weight: int) -> bool | None:
        """Set the canary's weight; False: it is verified later, None: this router cannot say."""

        def move() -> None:
            self.router.weight = weight
            if self._verifies:
                additional = tuple(self.router.additional.items())
                self.loop.hear(WeightSeen(self.loop.now, weight, True, additional))

        self.move(move)
        return False if self._verifies else None

    def move(self, change: Callable[[], None]) -> None:
        """Let a change of the routes reach traffic after its delay, and not before an earlier one."""
        self._moves += 1
        wait_ms = self._draws.delay_ms(self._delay, self._moves)
        self._moved_at = max(self._moved_at, self.loop.now + wait_ms)

        def moved() -> None:
            change()
            self._changed()

        self.loop.after(self._moved_at - self.loop.now, moved)

    def follow(self, state: State) -> None:
        """Where no Service is named the router selects pods by hash, as Istio's DestinationRule does."""
        canary = self._by_hash
        if canary is None:
            return
        stable, new = subsets = state.status.stable or STABLE, state.facts.asked or STABLE
        if subsets == self._subsets:
            return
        self._subsets = subsets

        def move() -> None:
            if not canary.stable_service:
                self.router.services[Role.STABLE] = stable
            if not canary.canary_service:
                self.router.services[Role.CANARY] = new

        self.move(move)


def _by_hash(canary: Canary | None) -> Canary | None:
    """The strategy, if its router lacks a Service for one of the versions."""
    if canary is None or canary.routing is None or canary.ping_pong is not None:
        return None
    return None if canary.stable_service and canary.canary_service else canary
