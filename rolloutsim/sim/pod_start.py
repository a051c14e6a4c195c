"""How long a pod takes from its creation to ready."""

from __future__ import annotations

from rolloutsim.sim.platform import Cluster
from rolloutsim.sim.randomness import Stream

__all__ = ["PodStarts"]

_STEP = 2
"""Addresses of the draws of one phase: one for each version."""
_LANE = 64
"""Addresses of the draws of one lane."""


class PodStarts:
    """Draws the start of each pod, in one step or in phases."""

    def __init__(self, model: Cluster, draws: Stream) -> None:
        self._model = model
        self._draws = draws

    def ready_ms(self, ordinal: int, version: int, lane: int = 0) -> int:
        """Milliseconds from creation to ready of a pod of a version (0: stable, 1: new).

        Pods beside the version's own, of an experiment, have a ``lane`` of draws of their own.
        """
        first = version + _LANE * lane
        phases = self._model.phases
        if phases is None:
            return self._draws.delay_ms(self._model.pod_ready, ordinal, first)
        pulls = version == 1 and ordinal < phases.nodes
        parts = (phases.schedule, phases.pull, phases.start) if pulls else (phases.schedule, phases.start)
        passed = sum(
            self._draws.delay_ms(part, ordinal, first + _STEP * (1 + number))
            for number, part in enumerate(parts)
        )
        return -(-passed // phases.probe_ms) * phases.probe_ms
