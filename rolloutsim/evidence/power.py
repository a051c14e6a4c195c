"""What a policy's gates can see: how often and how soon a worse release is caught, by effect and traffic.

Each gate is fed by itself with counts drawn at the weights and times that the steps plan (many cheap
streams); the whole policy is played in the simulated world (fewer runs, everything in them: scrapes, pods,
people, several gates together). A ratio of 1 is a good release: what is caught there is a false abort.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine.gates.planning import requests_for_objective, requests_to_compare, smallest_rate
from rolloutsim.engine.gates.streams import FirstVerdicts, Streams, first_verdicts
from rolloutsim.engine.promise import Promise, promise
from rolloutsim.errors import InputError
from rolloutsim.estimates import Estimate, mean_interval, rate
from rolloutsim.policy.gate_plan import UNPLANNED_MS, Plan, gate_plans
from rolloutsim.policy.gate_shape import TESTS
from rolloutsim.policy.gate_telemetry import edge_s
from rolloutsim.policy.gated import GatedCounts, Scope
from rolloutsim.policy.gates import Gate, GroupSequential, SampleRatio, WaldSprt
from rolloutsim.policy.model import Metric, Policy
from rolloutsim.sim.run import Progress, compare
from rolloutsim.sim.scenario import (
    ConstantRate,
    DiurnalRate,
    Fault,
    FaultKind,
    RecordedRate,
    Release,
    Scenario,
    Service,
    Traffic,
)
from rolloutsim.sim.traffic import mean_rps, rate_rps

__all__ = ["RATIOS", "TRAFFIC", "Cell", "Curve", "Power", "power"]

RATIOS = (1.0, 1.5, 2.0, 3.0, 5.0)
"""Rates of bad requests that are tried, as multiples of the stable version's."""
TRAFFIC = (0.25, 1.0, 4.0)
"""Traffic levels that are tried, as multiples of the service's."""
STREAMS = 1_000
"""Streams that a gate is fed with for each effect and traffic level."""

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One effect at one traffic level. ``rate`` is that of bad requests of the new version.

    ``minutes`` is the mean time from the first exposure to the failure of the gate, over those caught;
    ``bad_requests`` what the release cost beyond stable's own until then, or until the steps end.
    ``undecided`` is the share that neither failed nor passed (None for a whole policy: see ``held``).
    """

    ratio: float
    rate: float
    traffic_rps: float
    caught: Estimate
    minutes: Estimate
    bad_requests: Estimate
    undecided: Estimate | None


@dataclass(frozen=True, slots=True)
class Curve:
    """All cells of one gate, or (``test`` empty) of the whole policy.

    ``minutes_planned`` is how long the steps let the gate look; None where that has no plan.
    ``one_look_requests`` is what a test with a single look, at a size fixed before, needs of the canary to
    catch the smallest effect that the gate is to catch: what it costs to be allowed to look at any time.
    """

    name: str
    test: str
    looks: str
    minutes_planned: float | None
    cells: tuple[Cell, ...]
    one_look_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """Detection curves of each gate and of the whole policy, and what the gates promise."""

    policy: str
    service: str
    promise: Promise
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "policy": self.policy,
            "service": self.service,
            "promise": {
                "false_abort_rate": self.promise.rate,
                "unbounded": list(self.promise.unbounded),
                "by_conditions": list(self.promise.others),
            },
            "curves": [_curve_json(curve) for curve in self.curves],
            "notes": list(self.notes),
        }


def power(
    policy: Policy,
    service: Service,
    *,
    ratios: Sequence[float] = RATIOS,
    traffic: Sequence[float] = TRAFFIC,
    runs: int = 100,
    streams: int = STREAMS,
    seed: int = 1,
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Power:
    """Detection curves over effect sizes (``ratios``) and traffic (multiples of the service's).

    Parameters
    ----------
    runs : of the whole policy for each pair; 0 leaves the whole policy out.
    streams : that each gate is fed with for each pair.

    Raises
    ------
    InputError : the service has no errors, or an effect of a rate above 1, or a traffic level of 0 or less.
    """
    _check(service, ratios, traffic)
    curves: list[Curve] = []
    notes: list[str] = []
    people = service.operators.promote
    planned = list(gate_plans(policy, UNPLANNED_MS if people is None else people.median_ms))
    for metric, plan in planned:
        base = _bad_rate(metric, service)
        if base is None:
            notes.append(f"gate {metric.name}: the edge of its bucket cannot be read, so it has no curve")
        elif not plan:
            notes.append(f"gate {metric.name}: no step gives it traffic to count")
        else:
            curves.append(_gate_curve(metric, plan, service, base, ratios, traffic, streams, seed))
    if runs:
        curves.append(_whole(policy, service, ratios, traffic, runs, seed, jobs, progress))
    gates = [metric for metric, _ in planned]
    if not gates:
        notes.append("the policy has no gate: the curve is that of its conditions, people and deadlines")
    if any(isinstance(m.provider, GatedCounts) and m.provider.canary.fast for m in gates):
        notes.append(
            "a gate on latency: its effect is the share of slow requests; the whole policy's, errors"
        )
    notes.append(f"{promise(policy)}")
    return Power(policy.name, service.name, promise(policy), tuple(curves), tuple(notes))


def _check(service: Service, ratios: Sequence[float], traffic: Sequence[float]) -> None:
    if not service.error_rate:
        raise InputError(
            f"service {service.name} has no errors, so there is nothing to multiply",
            fix="say its error_rate",
        )
    for ratio in ratios:
        if not ratio * service.error_rate / service.error_rate >= 1.0 or ratio * service.error_rate >= 1.0:
            raise InputError(
                f"a rate of {ratio:g} times {service.error_rate:.3%} is no worse release",
                value=ratio,
                fix="choose ratios from 1 up, below a rate of 100 %",
            )
    for factor in traffic:
        if not (math.isfinite(factor) and factor > 0.0):
            raise InputError(
                "a traffic level is a multiple above 0", value=factor, fix="for example 0.25,1,4"
            )


# --- a gate by itself -------------------------------------------------------------------------------


def _bad_rate(metric: Metric, service: Service) -> float | None:
    """Share of stable's requests that the gate calls bad; None where its bucket's edge is not understood."""
    counts = metric.provider
    assert isinstance(counts, GatedCounts)
    if not counts.canary.fast:
        return service.error_rate
    edge = edge_s(counts.canary)
    if edge is None:
        return None
    z = math.log(edge / service.latency.median_s) / service.latency.sigma
    return 1.0 - NormalDist().cdf(z)


def _gate_curve(
    metric: Metric,
    plan: Plan,
    service: Service,
    base: float,
    ratios: Sequence[float],
    traffic: Sequence[float],
    streams: int,
    seed: int,
) -> Curve:
    counts = metric.provider
    assert isinstance(counts, GatedCounts)
    cells: list[Cell] = []
    for factor in traffic:
        scaled = _with_traffic(service, factor)
        for ratio in ratios:
            worse = min(base * ratio, 1.0)
            drawn = _drawn(plan, scaled, base, worse, counts, streams, (seed, len(cells)))
            cells.append(_cell(counts, plan, drawn, scaled, base, ratio, worse))
    minutes = sum(length for length, _ in plan) / 60_000
    test = next(name for name, one in TESTS.items() if one.gate is type(counts.gate))
    assert metric.interval_ms is not None
    return Curve(
        metric.name,
        test,
        f"every {metric.interval_ms / 1000:g} s",
        minutes,
        tuple(cells),
        _one_look_requests(counts.gate, plan, base),
    )


def _one_look_requests(gate: Gate, plan: Plan, base: float) -> int | None:
    if isinstance(gate, WaldSprt):
        return requests_for_objective(gate.good_rate, gate.bad_rate, gate.alpha, gate.beta)[0]
    worse = smallest_rate(gate, base)
    if worse >= 1.0 or isinstance(gate, SampleRatio):
        return None
    weight = sum(length * percent for length, percent in plan) / sum(length for length, _ in plan)
    return requests_to_compare(base, worse, (100.0 - weight) / weight, gate.alpha, gate.beta)


def _drawn(
    plan: Plan,
    service: Service,
    base: float,
    worse: float,
    counts: GatedCounts,
    streams: int,
    key: tuple[int, int],
) -> Streams:
    """Counts of many rollouts: traffic and errors with the dispersion and correlation of the service."""
    generator = np.random.Generator(np.random.Philox(key=[key[0], key[1]]))
    weights = np.array([weight for _, weight in plan])
    seconds = np.array([length / 1000 for length, _ in plan])
    starts = np.cumsum(seconds) - seconds
    rps = np.array([rate_rps(service.traffic, round(1000 * t)) for t in starts])
    shape = (streams, len(plan))
    expected = np.broadcast_to(rps * seconds, shape)
    dispersion = service.traffic.dispersion
    if dispersion > 1.0:
        size = 60.0 * mean_rps(service.traffic) / (dispersion - 1.0)
        expected = expected * generator.gamma(size, 1.0 / size, shape)
    share = weights / 100
    if isinstance(counts.gate, GroupSequential):
        n_c = np.rint(np.broadcast_to(rps * seconds * share, shape)).astype(np.int64)
        n_s = np.rint(np.broadcast_to(rps * seconds * (1 - share), shape)).astype(np.int64)
    else:
        n_c, n_s = generator.poisson(expected * share), generator.poisson(expected * (1 - share))
    p_c, p_s = np.full(shape, worse), np.full(shape, base)
    if service.error_icc:
        size = 1.0 / service.error_icc - 1.0
        p_c = generator.beta(p_c * size, (1 - p_c) * size)
        p_s = generator.beta(p_s * size, (1 - p_s) * size)
    k_c, k_s = generator.binomial(n_c, p_c), generator.binomial(n_s, p_s)
    n_c, k_c, n_s, k_s = (np.cumsum(part, axis=1) for part in (n_c, k_c, n_s, k_s))
    return Streams(n_c, k_c, n_s, k_s, weights)


def _cell(
    counts: GatedCounts,
    plan: Plan,
    drawn: Streams,
    service: Service,
    base: float,
    ratio: float,
    worse: float,
) -> Cell:
    found = _verdicts(counts, drawn)
    looks, runs = drawn.looks, len(drawn.canary_bad)
    caught = found.failed < looks
    elapsed = np.cumsum([length for length, _ in plan]) / 60_000
    at = np.minimum(found.failed, looks - 1)
    exposed = drawn.canary_requests[np.arange(runs), at]
    return Cell(
        ratio=ratio,
        rate=worse,
        traffic_rps=mean_rps(service.traffic),
        caught=rate(int(caught.sum()), runs),
        minutes=mean_interval(np.where(caught, elapsed[at], np.nan)),
        bad_requests=mean_interval(exposed * (worse - base)),
        undecided=rate(int((~caught & (found.passed >= looks)).sum()), runs),
    )


def _verdicts(counts: GatedCounts, drawn: Streams) -> FirstVerdicts:
    """The first verdicts; a gate that counts anew at each weight is judged weight by weight."""
    if counts.scope is Scope.ROLLOUT:
        return first_verdicts(counts.gate, drawn)
    borders = [0, *(np.flatnonzero(np.diff(drawn.weights)) + 1).tolist(), drawn.looks]
    never = drawn.looks
    failed = np.full(len(drawn.canary_bad), never, dtype=np.int64)
    passed = failed.copy()
    for first, end in pairwise(borders):
        found = first_verdicts(counts.gate, drawn.since(first, end))
        here = found.failed < end - first
        failed = np.where((failed == never) & here, found.failed + first, failed)
        # Only what the gate says at the last weight lets the rollout on.
        passed = np.where(found.passed < end - first, found.passed + first, never)
    return FirstVerdicts(failed, passed)


# --- the whole policy -------------------------------------------------------------------------------


def _whole(
    policy: Policy,
    service: Service,
    ratios: Sequence[float],
    traffic: Sequence[float],
    runs: int,
    seed: int,
    jobs: int | None,
    progress: Progress | None,
) -> Curve:
    pairs = [(factor, ratio) for factor in traffic for ratio in ratios]
    scenarios = [_scenario(service, factor, ratio) for factor, ratio in pairs]
    results = compare([policy], scenarios, runs=runs, seed=seed, jobs=jobs, progress=progress)
    rows = {row.scenario: row for row in results.rows}
    cells = []
    for (factor, ratio), scenario in zip(pairs, scenarios, strict=True):
        row = rows[scenario.name]
        stopped = row.p_false_abort if row.healthy else row.p_detect
        assert stopped is not None
        cells.append(
            Cell(
                ratio=ratio,
                rate=ratio * service.error_rate,
                traffic_rps=mean_rps(service.traffic) * factor,
                caught=stopped,
                minutes=_in_minutes(row.time_to_detect_s),
                bad_requests=row.bad_requests,
                undecided=None,
            )
        )
    return Curve("whole policy", "", "", None, tuple(cells))


def _in_minutes(estimate: Estimate) -> Estimate:
    value, low, high = (None if x is None else x / 60 for x in (estimate.value, estimate.low, estimate.high))
    return replace(estimate, value=value, low=low, high=high)


def _scenario(service: Service, factor: float, ratio: float) -> Scenario:
    extra = (ratio - 1.0) * service.error_rate / (1.0 - service.error_rate)
    faults = (Fault(FaultKind.ERROR_STEP, extra),) if extra else ()
    release = Release(f"x{ratio:g}", faults)
    return Scenario(f"traffic x{factor:g}, errors x{ratio:g}", _with_traffic(service, factor), release)


def _with_traffic(service: Service, factor: float) -> Service:
    return replace(service, traffic=_scaled(service.traffic, factor))


def _scaled(traffic: Traffic, factor: float) -> Traffic:
    now = traffic.rate
    scaled: ConstantRate | DiurnalRate | RecordedRate
    match now:
        case ConstantRate():
            scaled = ConstantRate(now.rate_rps * factor)
        case DiurnalRate():
            scaled = replace(now, mean_rps=now.mean_rps * factor)
        case RecordedRate():
            scaled = replace(now, rates_rps=tuple(rps * factor for rps in now.rates_rps))
    return replace(traffic, rate=scaled)


# --- plain data -------------------------------------------------------------------------------------


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "test": curve.test,
        "looks": curve.looks,
        "minutes_planned": curve.minutes_planned,
        "one_look_requests": curve.one_look_requests,
        "cells": [
            {
                "ratio": cell.ratio,
                "rate": cell.rate,
                "traffic_rps": cell.traffic_rps,
                "caught": _estimate_json(cell.caught),
                "minutes": _estimate_json(cell.minutes),
                "bad_requests": _estimate_json(cell.bad_requests),
                "undecided": None if cell.undecided is None else _estimate_json(cell.undecided),
            }
            for cell in curve.cells
        ],
    }


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in ("value", "low", "high", "n", "method")}
