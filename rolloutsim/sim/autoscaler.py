"""A HorizontalPodAutoscaler: how many pods it wants, from the mean utilisation of those it counts.

Kubernetes, "Horizontal Pod Autoscaling", algorithm details: pods of both versions match the selector of a
Deployment or a canary, so they are averaged; of a blue-green Rollout only the active version counts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rolloutsim.sim.platform import Autoscaler

__all__ = ["HorizontalAutoscaler", "Load"]


@dataclass(frozen=True, slots=True)
class Load:
    """The pods of a version that an autoscaler counts, and the capacity that they use (1: one pod's)."""

    pods: int
    used: float


class HorizontalAutoscaler:
    """``replicas`` is what it wants of its workload."""

    def __init__(self, model: Autoscaler, replicas: int) -> None:
        self._model = model
        self._wishes: deque[tuple[int, int]] = deque()
        self.replicas = replicas

    def look(self, now_ms: int, loads: Sequence[Load]) -> int:
        """One sync: the wanted replicas."""
        model = self._model
        pods = sum(load.pods for load in loads)
        if not pods:
            return self.replicas
        ratio = sum(load.used for load in loads) / pods / model.target
        steady = abs(ratio - 1.0) <= model.tolerance
        # The count that it scales is the workload's, not the pods that are averaged: extra pods dilute.
        wish = self.replicas if steady else math.ceil(self.replicas * ratio - 1e-9)
        wish = min(model.most, max(model.least, wish))
        self._wishes.append((now_ms, wish))
        while self._wishes[0][0] <= now_ms - model.settle_ms:
            self._wishes.popleft()
        self.replicas = max(wish, min(self.replicas, max(wished for _, wished in self._wishes)))
        return self.replicas
