"""What serves beside the two versions of a rollout: pods of an experiment, and copies of a mirror route.

A template of an experiment is a *slot*: its pods have the pod spec of one of the versions, a hash of their
own in the metrics, and a share of the traffic by weight, or by their number where one Service selects all
pods. A mirror route sends a share of all requests to the canary once more: nobody waits for these answers,
so they harm nobody, but they load the canary and count in its metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine import CreateTemplate, Role, SetRoute, from_json
from rolloutsim.engine.experiment import pod_hash
from rolloutsim.policy.model import (
    Canary,
    ExperimentStep,
    Policy,
    SetHeaderRoute,
    SetMirrorRoute,
)
from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.dataplane import Conditions
from rolloutsim.sim.exposition import Pool
from rolloutsim.sim.faults import (
    Moment,
    demand,
    new_conditions,
    overloaded,
    stable_conditions,
    with_failures,
)
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.router import Router
from rolloutsim.sim.routes import Routes
from rolloutsim.sim.scenario import Release, Service
from rolloutsim.trace import Truth

__all__ = ["Beside", "Shares"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of all requests: of each slot, of all slots by version, and of the copies."""

    slots: tuple[float, ...] = ()
    stable: float = 0.0
    new: float = 0.0
    copied: float = 0.0


NOTHING = Shares()


@dataclass(slots=True)
class Slot:
    """The pods of all experiments' templates with one hash; ``began_ms`` is when the first one came."""

    pod_hash: str
    version: int
    number: int
    began_ms: int | None = None


class Beside:
    """The slots and mirror routes of one run. Times in ms from the release.

    ``pools`` are those from ``first`` on, as the world's data plane and metrics count them: one for each
    slot, and one for ``copies``.
    """

    def __init__(
        self,
        policy: Policy,
        service: Service,
        release: Release,
        first: int,
        routes: Routes,
    ) -> None:
        steps = policy.strategy.steps if isinstance(policy.strategy, Canary) else ()
        routing = policy.strategy.routing if isinstance(policy.strategy, Canary) else None
        self._first = first
        self._routes = routes
        self._service = service
        self._release = release
        self._managed = routing.managed_routes if routing is not None else ()
        self._slots: dict[str, Slot] = {}
        for step in steps:
            for spec in step.templates if isinstance(step, ExperimentStep) else ():
                name = pod_hash(NEW if spec.canary else STABLE, spec)
                self._slots.setdefault(name, Slot(name, int(spec.canary), len(self._slots)))
        self.copies = int(any(isinstance(step, SetMirrorRoute) for step in steps))
        self.pools = tuple(Pool(2 + slot.number, slot.pod_hash, False) for slot in self._slots.values())
        self.pools += (Pool(1, NEW, True),) * self.copies
        self._versions: dict[str, int] = {STABLE: 0, NEW: 1}
        self._of: dict[str, Slot] = {}
        self._mirrors: dict[str, float] = {}

    # --- what the engine asks for -----------------------------------------------------------------

    def create_template(self, action: CreateTemplate) -> None:
        self._versions[action.revision] = int(action.like == NEW)
        if action.pod_hash in self._slots:
            self._of[action.revision] = self._slots[action.pod_hash]
        joined = self._routes.router.joined
        if not action.apart and action.revision not in joined:
            joined.append(action.revision)

    def set_additional(self, weights: tuple[tuple[str, int], ...]) -> None:
        def move() -> None:
            self._routes.router.additional = dict(weights)

        self._routes.move(move)

    def set_route(self, action: SetRoute) -> None:
        """A header or mirror route as it stands now; without a match it is removed."""
        step = from_json(SetHeaderRoute | SetMirrorRoute, json.loads(action.route_json))
        if isinstance(step, SetHeaderRoute):
            return

        def move() -> None:
            self._mirrors.pop(step.name, None)
            if step.match_json != "[]":
                self._mirrors[step.name] = (100 if step.percentage is None else step.percentage) / 100.0

        self._routes.move(move)

    def remove_routes(self) -> None:
        self._routes.move(self._mirrors.clear)

    # --- pods -------------------------------------------------------------------------------------

    def version(self, revision: str) -> int:
        """Whose pod spec a revision has: 0 stable, 1 new."""
        return self._versions[revision]

    def lane(self, revision: str) -> int:
        """The number of a revision's draws: 0 for the versions themselves."""
        slot = self._of.get(revision)
        return 0 if slot is None else 1 + slot.number

    def began(self, revision: str, now_ms: int) -> bool:
        """Take the first pod of a template down; True if this is it."""
        slot = self._of.get(revision)
        if slot is None or slot.began_ms is not None:
            return False
        slot.began_ms = now_ms
        return True

    def counted_as(self, revision: str) -> int:
        """The version under which a revision's pods count in the metrics."""
        slot = self._of.get(revision)
        return self._versions[revision] if slot is None else 2 + slot.number

    def alive(self, ready: Mapping[str, int], known_ms: int) -> tuple[bool, ...]:
        """Which slots have a pod to scrape: ready now, and their first one created by ``known_ms``."""
        return tuple(
            [
                one.began_ms is not None
                and one.began_ms <= known_ms
                and any(ready.get(name, 0) > 0 for name in self._names(one))
                for one in self._slots.values()
            ]
        )

    def _names(self, slot: Slot) -> list[str]:
        return [revision for revision, its in self._of.items() if its is slot]

    # --- traffic ----------------------------------------------------------------------------------

    def shares(self, router: Router, serving: Mapping[str, int], refusing: Mapping[str, int]) -> Shares:
        """What reaches slots and copies now."""
        if not self.pools:
            return NOTHING
        found = router.shares_beside((STABLE, NEW), serving, refusing)
        slots = [sum([found.get(name, 0.0) for name in self._names(one)]) for one in self._slots.values()]
        new = sum([share for share, one in zip(slots, self._slots.values(), strict=True) if one.version])
        named = [self._mirrors[name] for name in self._managed if name in self._mirrors]
        canary = router.services.get(Role.CANARY) == NEW and serving.get(NEW, 0) > 0
        copied = named[0] if named and canary else 0.0
        return Shares(tuple(slots), sum(slots) - new, new, copied)

    def conditions(
        self,
        shares: Shares,
        canary: Conditions,
        moment: Moment,
        serving: Mapping[str, int],
        broken: tuple[float, float],
    ) -> tuple[Conditions, ...]:
        """What the pools do to their requests; ``canary`` is what the canary itself does."""
        capacity = self._service.cluster.pod_capacity_rps
        found = []
        for slot, share in zip(self._slots.values(), shares.slots, strict=True):
            own = replace(moment, first_pod_ms=slot.began_ms)
            make = new_conditions if slot.version else stable_conditions
            one = make(self._service, self._release, share, own)
            lost = broken[slot.version]
            if capacity is not None:
                load = moment.rate_rps * share * (demand(self._release) if slot.version else 1.0)
                pods = sum([serving.get(name, 0) for name in self._names(slot)])
                lost = 1.0 - (1.0 - lost) * (1.0 - overloaded(load, capacity * pods))
            found.append(with_failures(one, lost))
        found += [replace(canary, share=shares.copied)] * self.copies
        return tuple(found)

    # --- what it comes to -------------------------------------------------------------------------

    def _fresh(self) -> list[int]:
        """Numbers of the slots with the new version's pod spec."""
        return [slot.number for slot in self._slots.values() if slot.version]

    def exposed(self, per_pool: Floats) -> float:
        """Of the requests that reached each pool: those that reached new pods of an experiment."""
        return sum([float(per_pool[self._first + number]) for number in self._fresh()])

    def mean_bad(self, shares: Shares, bad: Floats, own: float) -> float:
        """Probability that a request which reaches new pods, its ``own`` or an experiment's, is bad.

        ``bad`` : (V,) that of each pool.
        """
        met = sum([shares.slots[number] * float(bad[self._first + number]) for number in self._fresh()])
        return (own * float(bad[1]) + met) / (own + shares.new)

    def wrong_rate(self, conditions: tuple[Conditions, ...]) -> float:
        """The highest probability of a wrong answer of the canary, and of new pods that requests reach."""
        slots = [conditions[self._first + number] for number in self._fresh()]
        return max([conditions[1].wrong_rate, *(one.wrong_rate for one in slots if one.share > 0.0)])

    def truths(
        self, conditions: tuple[Conditions, ...], loop: Loop, rate_rps: float, latency_s: float
    ) -> Iterator[Truth]:
        """What really is of each slot."""
        for slot, one in zip(self._slots.values(), conditions[self._first :], strict=False):
            pools = [loop.cluster.pools.get(revision) for revision in self._names(slot)]
            yield Truth(
                at=loop.now,
                revision=slot.pod_hash,
                share=one.share,
                rate_rps=rate_rps,
                error_rate=one.error_rate,
                latency_median_s=latency_s * one.latency_factor,
                pods=sum(len(pool.pods) for pool in pools if pool is not None),
            )
