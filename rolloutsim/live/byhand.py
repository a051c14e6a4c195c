"""The lines that a person would type to bring everybody back to the stable revision, without this tool.

They are read from the state and the objects when they are asked for; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rolloutsim.engine import Role, State
from rolloutsim.live.port import ApiError, Kubernetes
from rolloutsim.live.routers import router_for
from rolloutsim.live.routers.service import service_names
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy.model import Canary, Policy

__all__ = ["rollback_lines"]


def rollback_lines(
    api: Kubernetes, policy: Policy, namespace: str, state: State, kubectl: str = "kubectl"
) -> tuple[str, ...]:
    """What puts traffic and pods back, in the order in which it is safe. Missing objects give no line.

    Nor does anything while no Deployment holds the stable revision: users would be sent to nobody.
    ``kubectl`` is the command with the flags that say which cluster.
    """
    slots, router = SlotPair(api, policy, namespace), router_for(api, policy, namespace)
    status = state.status
    lines: list[str] = []
    if status.stable:
        lines += _tried(lambda: slots.kubectl(status.stable, state.facts.replicas))
        if not lines:
            return ()
    if isinstance(policy.strategy, Canary) and policy.strategy.routing is not None:
        lines += _tried(lambda: router.kubectl_weight(0))
    for role in service_names(policy):
        if role in (Role.STABLE, Role.ACTIVE) and status.stable:
            lines += _tried(partial(router.kubectl_service, role, status.stable))
    if status.current and status.current != status.stable:
        lines += _tried(lambda: slots.kubectl(status.current, 0))
    return tuple(kubectl + line.removeprefix("kubectl") for line in lines)


def _tried(lines: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    try:
        return lines()
    except ApiError:
        return ()
