"""How many pods a rolling update may have, and by which steps it goes.

Source: k8s.io/kubernetes, pkg/controller/deployment/rolling.go and util/deployment_util.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Limits", "Revision", "limits_of", "new_replicas", "old_replicas"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Pods beyond the wanted number, and pods that may be missing from it."""

    surge: int
    unavailable: int


@dataclass(frozen=True, slots=True)
class Revision:
    """One ReplicaSet: how many pods it is to have, has, and has available."""

    wanted: int
    created: int
    available: int


def limits_of(spec: Mapping[str, Any]) -> Limits:
    """The limits of a Deployment's spec: surge rounds up, unavailable rounds down, never both 0."""
    replicas = spec["replicas"]
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = _count(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    return Limits(surge, 1 if surge == 0 and unavailable == 0 else min(unavailable, replicas))


def _count(value: int | str, replicas: int, rounded: Any) -> int:
    if isinstance(value, int):
        return value
    count: int = rounded(int(value.rstrip("%")) * replicas / 100)
    return count


def new_replicas(replicas: int, limits: Limits, new: Revision, old: Sequence[Revision]) -> int:
    """How many pods the new ReplicaSet is to have next."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + limits.surge - new.wanted - sum(each.wanted for each in old)
    return new.wanted + max(0, min(room, replicas - new.wanted))


def old_replicas(replicas: int, limits: Limits, new: Revision, old: Sequence[Revision]) -> list[int]:
    """How many pods each old ReplicaSet (oldest first) is to have next: unhealthy pods go first."""
    wanted = [each.wanted for each in old]
    least = replicas - limits.unavailable
    spare = new.wanted + sum(wanted) - least - (new.wanted - new.available)
    if spare <= 0:
        return wanted
    for at, each in enumerate(old):
        unhealthy = min(max(0, each.wanted - each.available), spare)
        wanted[at] -= unhealthy
        spare -= unhealthy
    # The numbers of available pods may be from before the last step; what is wanted is never out of date.
    spare = min(spare, new.available + sum(each.available for each in old) - least)
    for at in range(len(wanted)):
        less = min(wanted[at], max(0, spare))
        wanted[at] -= less
        spare -= less
    return wanted
