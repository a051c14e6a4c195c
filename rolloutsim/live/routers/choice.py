"""Which router a policy's target asks for."""

from __future__ import annotations

from rolloutsim.live.port import HTTP_ROUTE, Kubernetes
from rolloutsim.live.routers.httproute import RouteWeights
from rolloutsim.live.routers.ingress import CanaryIngress
from rolloutsim.live.routers.router import NoWeights, Router, Weights
from rolloutsim.live.routers.service import Services
from rolloutsim.live.slots import route_ref
from rolloutsim.policy.model import Canary, Policy

__all__ = ["router_for"]


def router_for(api: Kubernetes, policy: Policy, namespace: str) -> Router:
    """The router of a policy: by its route, or by its Services alone."""
    return Router(Services(api, policy, namespace), _weights(api, policy, namespace))


def _weights(api: Kubernetes, policy: Policy, namespace: str) -> Weights:
    route = route_ref(policy, namespace)
    strategy = policy.strategy
    if route is None or not isinstance(strategy, Canary) or strategy.routing is None:
        return NoWeights()
    kind = RouteWeights if route.kind == HTTP_ROUTE else CanaryIngress
    return kind(api, policy, namespace, route.name, strategy.routing.max_weight)
