"""What a release's faults do to its requests at a moment, and when that changes."""

from __future__ import annotations

from dataclasses import dataclass

from rolloutsim.sim.dataplane import Conditions
from rolloutsim.sim.scenario import Fault, FaultKind, Release, Service

__all__ = ["Moment", "breakpoints", "new_conditions", "pods_never_ready", "stable_conditions"]

_RAMP_STEPS = 10
"""A ramp is looked at this many times: a latency shift grows in steps, an error rate continuously."""

_BROKEN_PODS = {FaultKind.CRASH_AT_START, FaultKind.BROKEN_AT_START}


@dataclass(frozen=True, slots=True)
class Moment:
    """When faults are looked at: time and first pod in ms from the release, and the load.

    ``new_share`` is the new version's share of all requests, ``rate_rps`` the rate of all requests.
    """

    at_ms: int
    first_pod_ms: int | None
    new_share: float
    rate_rps: float


def pods_never_ready(release: Release, service: Service) -> float:
    """Share of the new pods that never become ready."""
    kinds = {FaultKind.CRASH_AT_START}
    if service.cluster.readiness == "deep":
        kinds.add(FaultKind.BROKEN_AT_START)
    return min(1.0, sum(fault.size for fault in release.faults if fault.kind in kinds))


def stable_conditions(service: Service, release: Release, share: float, moment: Moment) -> Conditions:
    """The stable version: its own errors, and whatever hits every version."""
    rate, slope = service.error_rate, 0.0
    for fault in release.faults:
        if fault.kind is FaultKind.DEPENDENCY_BLIP:
            level, change = _effect(fault, moment)
            rate, slope = rate + level, slope + change
    return Conditions(share, rate, slope)


def new_conditions(service: Service, release: Release, share: float, moment: Moment) -> Conditions:
    """The new version: as the stable one, with the release's faults added."""
    shared = stable_conditions(service, release, share, moment)
    error, slope = shared.error_rate, shared.error_slope_per_ms
    wrong, factor = 0.0, 1.0
    for fault in release.faults:
        level, change = _effect(fault, moment)
        match fault.kind:
            case FaultKind.ERROR_STEP | FaultKind.LEAK:
                error, slope = error + level, slope + change
            case FaultKind.BROKEN_AT_START if service.cluster.readiness != "deep":
                error += fault.size
            case FaultKind.SILENT_WRONG:
                wrong += level
            case FaultKind.LATENCY_SHIFT if level:
                factor *= 1.0 + (fault.size - 1.0) * level / fault.size
    return Conditions(share, error, slope, min(1.0, wrong), factor)


def breakpoints(release: Release, first_pod_ms: int | None) -> list[int]:
    """Times (ms from the release) at which some fault begins, bends or ends.

    Without a first pod only those of faults that count from the release.
    """
    times: set[int] = set()
    for fault in release.faults:
        origin = _origin(fault, first_pod_ms)
        if origin is None or fault.kind in _BROKEN_PODS:
            continue
        start = origin + fault.onset_ms
        times.add(start)
        if fault.ramp_ms:
            times.update(start + fault.ramp_ms * step // _RAMP_STEPS for step in range(1, _RAMP_STEPS + 1))
        if fault.end_ms is not None:
            times.add(origin + fault.end_ms)
    return sorted(times)


def _origin(fault: Fault, first_pod_ms: int | None) -> int | None:
    return 0 if fault.kind is FaultKind.DEPENDENCY_BLIP else first_pod_ms


def _effect(fault: Fault, moment: Moment) -> tuple[float, float]:
    """Size of the fault's effect now, and its change per millisecond."""
    origin = _origin(fault, moment.first_pod_ms)
    if origin is None or moment.new_share < fault.above_weight or moment.rate_rps < fault.above_rps:
        return 0.0, 0.0
    since = moment.at_ms - origin - fault.onset_ms
    over = fault.end_ms is not None and moment.at_ms - origin >= fault.end_ms
    if since < 0 or over:
        return 0.0, 0.0
    if since < fault.ramp_ms:
        slope = fault.size / fault.ramp_ms
        return since * slope, slope
    return fault.size, 0.0
