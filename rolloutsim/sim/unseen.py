"""Which metrics of a policy read no series of a service: they catch nothing, and kill nothing."""

from __future__ import annotations

from collections.abc import Iterable

from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import Unread, unread
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import World

__all__ = ["sees_nothing", "unread_in"]


def unread_in(policy: Policy, scenario: Scenario) -> tuple[Unread, ...]:
    """The selectors of a policy that no series of the scenario's service fits, each metric once.

    A world names all series that it can ever have when it is made, so nothing is played.
    """
    store = World(policy, scenario, 1, 0).metrics.store
    return unread(policy, [store.labels(index) for index in range(len(store))])


def sees_nothing(policy: Policy, service: str, found: Iterable[Unread]) -> tuple[str, ...]:
    """A sentence on each."""
    return tuple(
        f"policy {policy.name}: {one}, which service {service} does not have: it sees nothing"
        for one in found
    )
