"""Judging `GroupSequential`: pooled z at a fixed number of looks, each with its boundary."""

from __future__ import annotations

import math

from rolloutsim.engine.gates.boundaries import next_bound
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.fixed import difference_interval, pooled_z, weight_warning
from rolloutsim.engine.gates.planning import more_requests
from rolloutsim.engine.gates.samples import Arm, Sample
from rolloutsim.engine.gates.state import GateState, Look, Looked
from rolloutsim.policy.gates import GroupSequential

__all__ = ["judge_groups", "take_look"]


def take_look(gate: GroupSequential, looked: Looked, now: Sample) -> Looked:
    """Look if a further ``1 / looks`` of the planned information is there; else as before.

    When to look depends on request counts alone, never on errors.
    """
    fraction = _fraction(gate, now)
    before = looked.looks[-1].fraction if looked.looks else 0.0
    if _stage(gate, fraction) <= _stage(gate, before):
        return looked
    bound = next_bound(
        tuple(look.fraction for look in looked.looks),
        tuple(look.bound for look in looked.looks),
        fraction,
        gate.alpha,
        gate.spending,
    )
    return Looked((*looked.looks, Look(fraction, bound, pooled_z(now.canary, now.stable))), now)


def judge_groups(gate: GroupSequential, state: GateState, looked: Looked) -> tuple[Verdict, Evidence]:
    """The verdict at the last look taken; between looks nothing changes."""
    last = looked.looks[-1] if looked.looks else None
    canary, stable = looked.sample.canary, looked.sample.stable
    verdict = _verdict(gate, looked, last)
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        missing, requests = _missing(gate, state.sample, looked)
    evidence = Evidence(
        statistic="z",
        value=last.z if last else 0.0,
        limit=last.bound if last else math.inf,
        p=None,
        effect=_effect(gate, canary, stable, last),
        canary=canary,
        stable=stable,
        looks=len(looked.looks),
        missing=missing,
        missing_requests=requests,
        warnings=weight_warning(state),
    )
    return verdict, evidence


def _verdict(gate: GroupSequential, looked: Looked, last: Look | None) -> Verdict:
    if last is None:
        return Verdict.CONTINUE
    if last.z >= last.bound:
        return Verdict.FAIL
    if _stage(gate, last.fraction) < gate.looks:
        return Verdict.CONTINUE
    _, high = difference_interval(looked.sample.canary, looked.sample.stable, gate.beta)
    return Verdict.PASS if high < gate.smallest_difference else Verdict.INCONCLUSIVE


def _fraction(gate: GroupSequential, sample: Sample) -> float:
    canary, stable = sample.canary.requests, sample.stable.requests
    if not (canary and stable):
        return 0.0
    return min(canary * stable / (canary + stable) / gate.planned_requests, 1.0)


def _stage(gate: GroupSequential, fraction: float) -> int:
    return int(fraction * gate.looks + 1e-9)


def _effect(gate: GroupSequential, canary: Arm, stable: Arm, last: Look | None) -> Effect:
    """Repeated confidence interval (C. Jennison and B. W. Turnbull, J. R. Statist. Soc. B 51, 1989)."""
    estimate, low, high = None, -1.0, 1.0
    if last is not None:
        estimate = canary.rate - stable.rate
        # One event and one success added keep an arm without errors from looking certain.
        variance = sum(
            (arm.bad + 1.0) * (arm.requests - arm.bad + 1.0) / (arm.requests + 2.0) ** 3
            for arm in (canary, stable)
        )
        half = last.bound * math.sqrt(variance)
        low, high = max(estimate - half, -1.0), min(estimate + half, 1.0)
    return Effect(
        measure="rate difference",
        estimate=estimate,
        low=low,
        high=high,
        confidence=1.0 - 2.0 * gate.alpha,
        method="repeated confidence interval, holds at all planned looks",
    )


def _missing(gate: GroupSequential, sample: Sample, looked: Looked) -> tuple[str, int | None]:
    stage = _stage(gate, looked.looks[-1].fraction) if looked.looks else 0
    if stage >= gate.looks:
        return (
            f"the planned information is used up and {gate.smallest_difference:.2%} is not ruled out: "
            "plan more requests",
            None,
        )
    wanted = gate.planned_requests * (stage + 1) / gate.looks
    canary, stable = sample.canary.requests, sample.stable.requests
    if not (canary and stable):
        return f"no two arms yet; the next look needs {math.ceil(wanted):,} effective requests", None
    share = stable / (canary + stable)
    count = max(math.ceil(wanted / share) - canary, 1)
    return f"look {len(looked.looks) + 1} needs {more_requests(count)}", count
