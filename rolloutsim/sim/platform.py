"""What a service runs on: how its pods start, are checked, end and are counted, and who moves requests.

Frozen data, re-exported by `rolloutsim.sim.scenario`. Parts that are None are not modelled: pods then
start in one step, vanish at once, and can take any load.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Autoscaler", "Cluster", "Controller", "Delay", "Drain", "PodPhases", "Probe", "Split"]


@dataclass(frozen=True, slots=True)
class Delay:
    """A time that differs from case to case: lognormal with this median; ``sigma`` 0 is constant.

    ``sigma`` is the standard deviation of the logarithm.
    """

    median_ms: int
    sigma: float = 0.0


class Split(StrEnum):
    """How a router splits requests by weight."""

    RANDOM = "random"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class PodPhases:
    """From creation to ready in four phases (Kubernetes, "Pod Lifecycle").

    A pod is scheduled, its image is pulled unless its node has it (the stable version's images are on
    all ``nodes``; of the new version the first pod of each node pulls), the process starts, and the
    readiness probe passes at its next turn, every ``probe_ms``.
    """

    schedule: Delay = Delay(500)
    pull: Delay = Delay(4_000)
    start: Delay = Delay(5_000)
    probe_ms: int = 1_000
    nodes: int = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """How well readiness tells a pod that can serve from one that cannot.

    ``finds`` holds fault kinds and the probability that the check finds a fault of that kind in a
    release (all affected pods then never become ready). ``coupling`` is the probability that the check
    of a pod fails while its dependency does; a pod that failed ``failures`` checks in a row, one each
    ``period_ms``, gets no requests until a check passes.
    """

    finds: tuple[tuple[str, float], ...] = ()
    coupling: float = 0.0
    period_ms: int = 10_000
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Drain:
    """The end of a pod (Kubernetes, "Termination of Pods").

    ``endpoints`` after the deletion routers stop to send it new requests; it serves them for
    ``pre_stop_ms`` and refuses them from then on. What is in flight is cut ``grace_ms`` after the
    deletion.
    """

    endpoints: Delay = Delay(0)
    pre_stop_ms: int = 0
    grace_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Controller:
    """How fast the workload controller acts.

    Each step takes ``sync_ms`` from the change that calls for it; requests to the API beyond ``burst``
    wait for one of ``qps`` tokens per second (0: no limit).
    """

    sync_ms: int = 0
    qps: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler on CPU that averages over all pods of the workload, old and new.

    ``wanted = ceil(pods * utilisation / target)`` every ``sync_ms`` unless within ``tolerance``; it goes
    down to the highest wish of the last ``settle_ms`` (Kubernetes, "Horizontal Pod Autoscaling").
    """

    least: int
    most: int
    target: float = 0.6
    sync_ms: int = 15_000
    tolerance: float = 0.1
    settle_ms: int = 300_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pods and the router.

    ``pod_ready`` is the time from creation to ready, where ``phases`` do not say more. ``readiness`` deep
    looks at what the pod needs to serve, shallow only at the process; ``probe`` replaces the word by
    numbers. A weight or Service change reaches traffic after ``router_delay``; the router can set
    multiples of ``weight_granularity`` (percent). A pod serves at most ``pod_capacity_rps`` (None: any
    load); what is beyond fails.
    """

    pod_ready: Delay = Delay(10_000, 0.3)
    readiness: str = "shallow"
    router_delay: Delay = Delay(150, 0.6)
    weight_granularity: float = 1.0
    split: Split = Split.RANDOM
    phases: PodPhases | None = None
    probe: Probe | None = None
    drain: Drain | None = None
    controller: Controller | None = None
    autoscaler: Autoscaler | None = None
    pod_capacity_rps: float | None = None
