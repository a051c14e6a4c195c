"""Who gets which requests: one contract, three ways to keep it.

A Service whose selector is switched (blue-green), a Gateway API route whose weights are set, and a pair of
Ingresses with the canary annotations of ingress-nginx.
"""

from rolloutsim.live.routers.choice import router_for
from rolloutsim.live.routers.router import Routed, Router, Weighed

__all__ = ["Routed", "Router", "Weighed", "router_for"]
