"""Who uses a service: long-lived connections, and users with sessions of many requests; frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.sim.platform import Delay

__all__ = ["Connections", "Sessions", "Sticky", "Swap"]


class Swap(StrEnum):
    """What becomes of open connections when a Service or a route stops to lead to their pods."""

    KEEP = "keep"
    """They go on until their pods end: connection tracking of kube-proxy."""
    CUT = "cut"
    """They are cut at once: socket termination, as Cilium can do it."""
    DRAIN = "drain"
    """They may end by themselves for the drain time, and are cut then: a proxy that drains."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Long-lived connections (WebSocket, gRPC streams): ``open`` of them at any time.

    Each lives for a ``lifetime`` of its own and is then opened anew; one that is cut is opened again at
    once, wherever requests go then. A pod that ends gives them ``grace_ms``.
    """

    open: int
    lifetime: Delay
    swap: Swap = Swap.KEEP
    drain_ms: int = 30_000
    grace_ms: int = 0


class Sticky(StrEnum):
    """What a router remembers of a user."""

    NONE = "none"
    """Nothing: each request is drawn anew (ingress-nginx, Gateway API weights)."""
    BOTH = "both"
    """The version of the first request, whichever it is."""
    CANARY = "canary"
    """Only that a user met the canary: the others are drawn anew, so all end there in time."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """A user makes ``requests`` requests over ``length_ms``."""

    requests: int = 1
    length_ms: int = 0
    sticky: Sticky = Sticky.NONE
