"""The data plane of a simulated rollout: requests in aggregate, or one by one where they meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.cluster import Cluster
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.exposition import Pool
from rolloutsim.sim.faults import demand
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.requests.model import Fidelity
from rolloutsim.sim.scenario import Release, Service
from rolloutsim.telemetry import PRESETS

__all__ = ["Plane", "PodsOfVersions", "plane", "pods_of"]

Plane = DataPlane | RequestDataPlane
PodsOfVersions = tuple[tuple[tuple[int, ...], int], ...]
"""Of each version the ordinals of its ready pods, and how many deleted ones still serve."""


def plane(
    fidelity: Fidelity,
    service: Service,
    release: Release,
    pools: Sequence[Pool],
    seed: int,
    run: int,
    *,
    latency: bool,
    replicas: int,
    copies: int,
) -> Plane:
    """A plane on which the stable version has all the traffic, from the beginning of its history.

    ``latency``: its requests are counted by latency too. The last ``copies`` pools get copies of requests.
    """
    telemetry = service.telemetry
    phase_ms = telemetry.scrape_phase_ms
    if phase_ms is None:
        phase_ms = int(stream(seed, run, "scrape").uniform(0) * telemetry.scrape_interval_ms)
    preset = PRESETS[telemetry.preset]
    versions = [pool.version for pool in pools]
    bounds_s = preset.bounds_s if latency else ()
    make: Callable[..., Plane] = partial(DataPlane, copies=copies)
    if fidelity is Fidelity.REQUEST:
        make = partial(RequestDataPlane, by_router=preset.by_router, demand=demand(release))
    made = make(service, seed, run, versions, bounds_s, start_ms=-telemetry.history_ms, phase_ms=phase_ms)
    if isinstance(made, RequestDataPlane):
        made.set_pods(0, range(replicas))
    made.change((Conditions(1.0, service.error_rate), *(Conditions(),) * (len(pools) - 1)))
    return made


def pods_of(cluster: Cluster) -> PodsOfVersions:
    """The pods that a `RequestDataPlane` has to know of."""
    pools = [cluster.pools.get(revision) for revision in (STABLE, NEW)]
    return tuple(
        (tuple(pod.ordinal for pod in pool.pods if pod.ready), pool.lingering) if pool else ((), 0)
        for pool in pools
    )
