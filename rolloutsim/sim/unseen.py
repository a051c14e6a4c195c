"""Which metrics of a policy read no series of a service: they catch nothing, and kill nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import Unread, unread
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.exposition import exposition
from rolloutsim.sim.gauges import Gauges
from rolloutsim.sim.metrics import stray_pools
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import POOLS
from rolloutsim.telemetry import Labels

__all__ = ["sees_nothing", "series_of", "unread_in"]


def unread_in(policy: Policy, scenario: Scenario) -> tuple[Unread, ...]:
    """The selectors of a policy that no series of the scenario's service fits, each metric once."""
    return unread(policy, map(dict, series_of(scenario)))


def series_of(scenario: Scenario) -> Iterator[Labels]:
    """The series that a world of this scenario can ever have, without making one.

    Those of an experiment's pods differ from these in their hash alone, which no policy can name.
    """
    service, telemetry = scenario.service, scenario.service.telemetry
    pools = (*POOLS, *stray_pools(POOLS, telemetry))
    yield from exposition(telemetry.preset, service.name, telemetry.labels, pools, latency=True).labels
    if telemetry.resources is not None or telemetry.logs is not None:
        store = SeriesStore()
        Gauges(store, service, scenario.release, (STABLE, NEW), draws=stream(1, 0, "logs"), mean_rps=0.0)
        yield from (tuple(store.labels(index).items()) for index in range(len(store)))


def sees_nothing(policy: Policy, service: str, found: Iterable[Unread]) -> tuple[str, ...]:
    """A sentence on each."""
    return tuple(
        f"policy {policy.name}: {one}, which service {service} does not have: it sees nothing"
        for one in found
    )
