"""How every simulated rollout begins: its two versions, its clock, and the world as the engine finds it."""

from __future__ import annotations

from rolloutsim.engine import Revision, Role, Snapshot
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = ["NEW", "ORIGIN_MS", "STABLE", "beginning"]

STABLE, NEW = "v1", "v2"
ORIGIN_MS = 1_767_571_200_000
"""The release is asked for at 2026-01-05 00:00 UTC, a Monday, on the simulated clock."""


def beginning(policy: Policy) -> Snapshot:
    """The stable version as the engine finds it: all pods available, every Service on it."""
    strategy, replicas = policy.strategy, policy.replicas
    services: tuple[Role, ...] = ()
    weight = None
    if isinstance(strategy, BlueGreen):
        services = (Role.ACTIVE, Role.PREVIEW) if strategy.preview_service else (Role.ACTIVE,)
    elif isinstance(strategy, Canary):
        named = ((Role.STABLE, strategy.stable_service), (Role.CANARY, strategy.canary_service))
        services = tuple(role for role, name in named if name)
        weight = 0 if strategy.routing is not None else None
    stable = Revision(STABLE, 1, ORIGIN_MS, replicas, replicas, replicas, replicas, wanted=replicas)
    return Snapshot(ORIGIN_MS, (stable,), STABLE, tuple((role, STABLE) for role in services), weight)
