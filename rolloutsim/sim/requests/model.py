"""How the requests of a service are played one by one: work, pods, balancing, clients, users.

All of it is frozen data; times are milliseconds. The defaults stand in `rolloutsim.sim.defaults`, each
with its basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Balancing", "Client", "Endpoint", "Fidelity", "Law", "Pods", "Requests", "Sessions", "Stickiness"]


class Fidelity(StrEnum):
    """How the requests of a run are played."""

    AGGREGATE = "aggregate"
    """As counts: requests do not meet."""
    REQUEST = "request"
    """One by one."""
    AUTO = "auto"
    """As counts where requests would hardly meet, else one by one."""


class Law(StrEnum):
    """Distribution of the work of a request."""

    EXPONENTIAL = "exponential"
    DETERMINISTIC = "deterministic"
    LOGNORMAL = "lognormal"


class Balancing(StrEnum):
    """How a pod is chosen among those of a version."""

    RANDOM = "random"
    ROUND_ROBIN = "round-robin"
    LEAST = "least-connections"
    TWO_CHOICES = "two-choices"
    """The one with fewer connections of two chosen at random (Envoy's LEAST_REQUEST)."""


class Stickiness(StrEnum):
    """On which version a session stays."""

    BOTH = "both"
    CANARY = "canary"
    """Only who has reached the canary stays there; the others are drawn again with each request."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A class of requests: its share of all, and its work on a warm, free pod of the stable version.

    ``sigma`` is the standard deviation of the logarithm of lognormal work.
    """

    mean_ms: float
    law: Law = Law.LOGNORMAL
    sigma: float = 0.6
    share: float = 1.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pods:
    """Capacity of a pod and how pods differ.

    ``slots`` requests are served at a time, ``queue`` more wait, and what comes then is rejected. A pod
    that has just become ready takes ``1 + cold`` times as long, and the excess decays exponentially with
    the time constant ``warm_ms``. ``spread`` is the sigma of the logarithm of a pod's own factor, whose
    median is 1.
    """

    slots: int = 8
    queue: int = 64
    cold: float = 0.0
    warm_ms: float = 30_000.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Client:
    """Patience of the clients.

    An attempt is given up after ``timeout_ms`` (None: never). A failed attempt is tried again at most
    ``retries`` times, after ``backoff_ms * 2**k`` times a draw between 0.5 and 1.5. With a budget, each
    request brings ``budget`` tokens, at most ``burst`` are kept, and a retry costs one.
    """

    timeout_ms: float | None = None
    retries: int = 0
    backoff_ms: float = 100.0
    budget: float | None = None
    burst: float = 10.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """``users`` sessions run side by side, of ``requests`` requests each on average."""

    users: int
    requests: float
    stickiness: Stickiness = Stickiness.BOTH


@dataclass(frozen=True, slots=True)
class Requests:
    """The request model of a service. ``most_in_flight`` bounds the memory, whatever the load is."""

    endpoints: tuple[Endpoint, ...]
    balancing: Balancing = Balancing.TWO_CHOICES
    pods: Pods = Pods()
    client: Client = Client()
    sessions: Sessions | None = None
    most_in_flight: int = 1_000_000
    fidelity: Fidelity = Fidelity.AUTO
