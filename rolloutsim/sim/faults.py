"""What a release's faults do to its requests at a moment, and when that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rolloutsim.sim.dataplane import Conditions
from rolloutsim.sim.latency import Tail
from rolloutsim.sim.scenario import Fault, FaultKind, Release, Service

__all__ = [
    "Moment",
    "as_readiness_sees",
    "breakpoints",
    "crash_times",
    "demand",
    "found_kinds",
    "new_conditions",
    "overloaded",
    "pods_never_ready",
    "stable_conditions",
    "strained",
    "with_failures",
]

_RAMP_STEPS = 10
"""A ramp is looked at this many times: what is done to latency grows in steps, an error rate continuously."""

_BROKEN_PODS = {FaultKind.CRASH_AT_START, FaultKind.BROKEN_AT_START}
_NO_EFFECT_ON_ANSWERS = {FaultKind.CAPACITY, FaultKind.CRASH_LOOP, FaultKind.NEW_LOG_CLASS}


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
    tails: tuple[Tail, ...] = ()
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
            case FaultKind.LATENCY_TAIL if level:
                left = 1.0 - sum(tail.share for tail in tails)
                tails += (Tail(min(left, fault.share * level / fault.size), fault.size),)
            case FaultKind.COLD_START:
                factor *= 1.0 + (fault.size - 1.0) * _coldness(fault, moment)
    return Conditions(share, error, slope, min(1.0, wrong), factor, tails)


def breakpoints(release: Release, first_pod_ms: int | None) -> list[int]:
    """Times (ms from the release) at which some fault begins, bends or ends.

    Without a first pod only those of faults that count from the release.
    """
    times: set[int] = set()
    for fault in release.faults:
        origin = _origin(fault, first_pod_ms)
        if origin is None or fault.kind in _BROKEN_PODS or fault.kind in _NO_EFFECT_ON_ANSWERS:
            continue
        start = origin + fault.onset_ms
        times.add(start)
        if fault.ramp_ms:
            times.update(start + fault.ramp_ms * step // _RAMP_STEPS for step in range(1, _RAMP_STEPS + 1))
        if fault.end_ms is not None:
            times.add(origin + fault.end_ms)
    return sorted(times)


def found_kinds(
    finds: Iterable[tuple[str, float]], faults: Sequence[Fault], draw: Callable[[int], float]
) -> frozenset[FaultKind]:
    """The kinds among these faults that a check finds, with one draw for each of its chances.

    A check meets neither users nor time: what shows only under load or later it cannot find.
    """
    present = {str(fault.kind) for fault in faults if not fault.healthy and _shows_at_once(fault)}
    return frozenset(
        FaultKind(kind)
        for index, (kind, chance) in enumerate(finds)
        if kind in present and draw(index) < chance
    )


def _shows_at_once(fault: Fault) -> bool:
    later = fault.onset_ms > 0 or fault.kind is FaultKind.LEAK
    return not (later or fault.above_weight > 0.0 or fault.above_rps > 0.0)


def as_readiness_sees(release: Release, service: Service, draw: Callable[[int], float]) -> Release:
    """A release whose faults that readiness finds keep its pods from ever being ready.

    Without a `Probe` nothing changes: the word of ``readiness`` decides.
    """
    probe = service.cluster.probe
    if probe is None:
        return release
    found = found_kinds(probe.finds, release.faults, draw)
    shares = {FaultKind.BROKEN_AT_START, FaultKind.CRASH_AT_START}
    faults = tuple(
        Fault(FaultKind.CRASH_AT_START, fault.size if fault.kind in shares else 1.0)
        if fault.kind in found
        else fault
        for fault in release.faults
    )
    return replace(release, faults=faults)


def crash_times(release: Release, first_pod_ms: int, horizon_ms: int) -> list[int]:
    """When all new pods crash (ms from the release)."""
    times: set[int] = set()
    for fault in release.faults:
        if fault.kind is FaultKind.CRASH_LOOP:
            first = first_pod_ms + fault.onset_ms + fault.ramp_ms
            end = horizon_ms if fault.end_ms is None else min(horizon_ms, first_pod_ms + fault.end_ms)
            times.update(range(first, end, fault.ramp_ms))
    return sorted(times)


def demand(release: Release) -> float:
    """What a request to the new version costs, as a multiple of one to the stable version."""
    factor = 1.0
    for fault in release.faults:
        if fault.kind is FaultKind.CAPACITY:
            factor *= fault.size
    return factor


def with_failures(conditions: Conditions, share: float) -> Conditions:
    """The same pool when this share of its requests fails, whatever else happens to them."""
    if share <= 0.0:
        return conditions
    kept = 1.0 - min(1.0, share)
    return replace(
        conditions,
        error_rate=1.0 - (1.0 - conditions.error_rate) * kept,
        error_slope_per_ms=conditions.error_slope_per_ms * kept,
    )


def strained(
    conditions: tuple[Conditions, ...],
    broken: tuple[float, float],
    load_rps: tuple[float, float],
    pods: tuple[int, int],
    capacity_rps: float | None,
) -> tuple[Conditions, ...]:
    """The pools (the stable one first) when a schema does not fit their version or a load is beyond them.

    ``broken`` is the share of each version's requests that its schema breaks; ``load_rps`` counts a
    request by what it costs.
    """
    lost = list(broken)
    if capacity_rps is not None:
        for version in (0, 1):
            beyond = overloaded(load_rps[version], capacity_rps * pods[version])
            lost[version] = 1.0 - (1.0 - lost[version]) * (1.0 - beyond)
    return tuple(with_failures(one, lost[min(pool, 1)]) for pool, one in enumerate(conditions))


def overloaded(load_rps: float, capacity_rps: float) -> float:
    """Share of a load that is beyond what pods can take."""
    return max(0.0, 1.0 - capacity_rps / load_rps) if load_rps > 0.0 else 0.0


def _coldness(fault: Fault, moment: Moment) -> float:
    """1 when the first pod of the new version starts, 0 after the fault's time."""
    if moment.first_pod_ms is None or not fault.ramp_ms:
        return 0.0
    return max(0.0, 1.0 - (moment.at_ms - moment.first_pod_ms) / fault.ramp_ms)


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
