"""From objects of the cluster to facts for the engine: pods, Services, weight.

Watches report objects as they change; after a write of ours the objects are read again, so that its answer is
what the cluster says and not what we hoped. A report that is older than what was read is dropped: it tells of
the time before the write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from rolloutsim.engine import Observation, RevisionSeen
from rolloutsim.live.cluster import observations, watched
from rolloutsim.live.hands import Pods
from rolloutsim.live.port import Kubernetes, Object, Ref
from rolloutsim.live.routers.router import Routed, Router, Weighed
from rolloutsim.live.slots import Objects, Slot, holding
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.live.writes import version_of

__all__ = ["Observer"]


class Observer:
    """The objects of one rollout as last seen. Safe to use from several threads.

    ``changed`` is called after each report that is news.
    """

    def __init__(
        self,
        api: Kubernetes,
        slots: SlotPair,
        router: Router,
        *,
        changed: Callable[[], object],
    ) -> None:
        self._api = api
        self._slots = slots
        self._router = router
        self._changed = changed
        self._lock = threading.RLock()
        self._objects: dict[Ref, Object] = {}
        self._held: dict[Ref, str] = {}
        self.prove: Callable[[Weighed], Weighed] = lambda weighed: weighed
        """Has the last word on whether a weight is verified; the router's own by default."""
        self.refs = watched(slots, router)

    # --- reading ----------------------------------------------------------------------------------

    def look(self, refs: Iterable[Ref] = ()) -> Objects:
        """Read objects (all, if none is named) from the cluster, and return all as they are known now.

        Raises
        ------
        ApiError : they cannot be read.
        """
        left = tuple(refs) or self.refs
        while left:
            with self._lock:
                before = {ref: self._objects.get(ref) for ref in left}
            found = look(self._api, left)
            with self._lock:
                left = tuple(ref for ref in left if not self._read(ref, found.get(ref), before[ref]))
        with self._lock:
            return dict(self._objects)

    def take(self, ref: Ref, body: Object | None) -> None:
        """A watch reports an object, or None once it is gone."""
        if ref not in self.refs:
            return
        with self._lock:
            known = self._objects.get(ref)
            if body is not None and known is not None and _older(body, known):
                return
            self._keep(ref, body)
        self._changed()

    def last(self, ref: Ref) -> Object | None:
        """An object as last seen."""
        with self._lock:
            return self._objects.get(ref)

    def slots(self) -> tuple[Slot, Slot]:
        """Both slots as last seen."""
        with self._lock:
            return self._slots.read(self._objects)

    def pods(self, revision: str) -> Pods:
        """The pods of a revision as last seen; none if no slot holds it."""
        slot = holding(self.slots(), revision)
        return Pods() if slot is None else Pods(slot.desired, slot.created, slot.ready, slot.available)

    def routed(self) -> Routed:
        """Who gets which requests, as last seen."""
        with self._lock:
            routed = self._router.read(self._objects)
            weighed = self.prove(routed.weighed)
        if weighed == routed.weighed:
            return routed
        problem = "; ".join(filter(None, (weighed.problem, routed.problem)))
        return replace(routed, weighed=weighed, problem=problem)

    # --- facts ------------------------------------------------------------------------------------

    def facts(self) -> tuple[Observation, ...]:
        """What the objects say, as observations; the loop writes their time."""
        with self._lock:
            routed, slots = self.routed(), self.slots()
            held = {slot.revision for slot in slots if slot.exists}
            lost = [RevisionSeen(0, revision, 0, 0, 0, 0) for revision in self._lost(held)]
            self._held.update((slot.ref, slot.revision) for slot in slots if slot.exists)
            return (*lost, *observations(slots, routed, 0))

    def _lost(self, held: set[str]) -> list[str]:
        """Revisions whose slot is gone or has got another template."""
        return [revision for revision in dict.fromkeys(self._held.values()) if revision not in held]

    def _read(self, ref: Ref, body: Object | None, before: Object | None) -> bool:
        """Keep what was read; False: a watch told of the object meanwhile, and which is newer is not clear.

        A watch tells everything once, so what it told must not be lost to a read that began before.
        """
        known = self._objects.get(ref)
        if known is before:
            self._keep(ref, body)
            return True
        if body is None or known is None or not _same(body, known):
            return False
        if not _older(body, known):
            self._keep(ref, body)
        return True

    def _keep(self, ref: Ref, body: Object | None) -> None:
        if body is None:
            self._objects.pop(ref, None)
        else:
            self._objects[ref] = body


def _same(one: Object, other: Object) -> bool:
    """Whether two states are of one object, and not of one that was made anew under its name."""
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))


def _older(body: Object, known: Object) -> bool:
    """Whether a report is older than what is known (resourceVersions are numbers that grow)."""
    reported, present = version_of(body), version_of(known)
    numbers = reported.isdigit() and present.isdigit()
    return numbers and _same(body, known) and int(reported) < int(present)
