"""Whether requests have to be played one by one, and the sentence that says so in a result."""

from __future__ import annotations

import math
from statistics import NormalDist

from rolloutsim.sim.latency import Paces, Tail, mean_factor, paces
from rolloutsim.sim.requests.model import Endpoint, Fidelity, Law, Requests
from rolloutsim.sim.scenario import ConstantRate, DiurnalRate, FaultKind, Scenario, Traffic

__all__ = ["fidelity_of"]

MARGIN = 3.0
"""Load is looked at as a multiple of the highest mean load of a pod: traffic is uneven, pods are few."""
RARELY = 1e-3
"""A probability to wait or to time out below which requests do not meet."""

_NORMAL = NormalDist()
_SLOWER = {FaultKind.LATENCY_SHIFT, FaultKind.CAPACITY, FaultKind.COLD_START}


def fidelity_of(scenario: Scenario, pods: int, *, beside: bool = False) -> tuple[Fidelity, str]:
    """How a workload of so many pods is played: aggregate or request, and why.

    ``beside``: something serves beside its two versions.
    """
    model = scenario.service.requests
    if beside and model is not None:
        why = "requests to an experiment or by a mirror route are not played one by one"
        return Fidelity.AGGREGATE, f"aggregate fidelity, no queueing ({why})"
    if model is None or model.fidelity is Fidelity.AGGREGATE:
        return Fidelity.AGGREGATE, "aggregate fidelity (no queueing)"
    if model.fidelity is Fidelity.REQUEST:
        return Fidelity.REQUEST, "request fidelity"
    why = _interaction(scenario, model, pods)
    if why:
        return Fidelity.REQUEST, f"request fidelity ({why})"
    return Fidelity.AGGREGATE, (
        f"aggregate fidelity (even at {MARGIN:g} times the highest load fewer than one request in "
        f"{1 / RARELY:g} would wait)"
    )


def _interaction(scenario: Scenario, model: Requests, pods: int) -> str:
    """Why requests meet; empty if they hardly do."""
    faults = scenario.release.faults
    slower = max(1.0, math.prod(fault.size for fault in faults if fault.kind in _SLOWER))
    tails = [Tail(fault.share, fault.size) for fault in faults if fault.kind is FaultKind.LATENCY_TAIL]
    worst = paces(slower, tuple(tails))
    if model.client.retries:
        return "clients try again"
    if model.pods.cold > 0.0 or model.pods.spread > 0.0:
        return "pods differ or are cold at first"
    patience = model.client.timeout_ms
    if patience is not None and any(_longer(one, worst, patience) > RARELY for one in model.endpoints):
        return "clients give up"
    whole = sum(one.share for one in model.endpoints)
    work_ms = mean_factor(worst) * sum(one.share * one.mean_ms for one in model.endpoints) / whole
    offered = MARGIN * _peak_rps(scenario.service.traffic) / 1000.0 * work_ms / max(1, pods)
    waits = _erlang_c(offered, model.pods.slots)
    return f"at {MARGIN:g} times the highest load a share of {waits:.2g} would wait" if waits > RARELY else ""


def _peak_rps(traffic: Traffic) -> float:
    match traffic.rate:
        case ConstantRate(rate_rps=rate):
            return rate
        case DiurnalRate(mean_rps=mean, amplitude=amplitude):
            return mean * (1.0 + amplitude)
        case record:
            return max(record.rates_rps)


def _longer(endpoint: Endpoint, paces: Paces, than_ms: float) -> float:
    """Probability that the work of a request takes longer than this."""
    return sum(share * _exceeds(endpoint, endpoint.mean_ms * factor, than_ms) for share, factor in paces)


def _exceeds(endpoint: Endpoint, mean: float, than_ms: float) -> float:
    """The same of one with this mean."""
    match endpoint.law:
        case Law.DETERMINISTIC:
            return float(mean > than_ms)
        case Law.EXPONENTIAL:
            return math.exp(-than_ms / mean)
        case _:
            centre = math.log(mean) - endpoint.sigma**2 / 2
            return 1.0 - _NORMAL.cdf((math.log(than_ms) - centre) / endpoint.sigma)


def _erlang_c(offered: float, slots: int) -> float:
    """Probability to wait in an M/M/c queue."""
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    load = offered / slots
    return blocked / (1.0 - load * (1.0 - blocked))
