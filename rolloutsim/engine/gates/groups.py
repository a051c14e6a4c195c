"""Judging `GroupSequential`: arms compared weight by weight at a fixed number of looks, with a boundary each.

The score at a look is that of the tail of what was seen (`rolloutsim.engine.gates.strata.tail_z`), which
keeps the promise with few bad requests, where a standardised difference does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rolloutsim.engine.gates.boundaries import next_bound
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.fixed import NORMAL
from rolloutsim.engine.gates.planning import more_requests
from rolloutsim.engine.gates.samples import Sample
from rolloutsim.engine.gates.state import GateState, Look, Looked, Stratum
from rolloutsim.engine.gates.strata import Comparison, compare_all, tail_z
from rolloutsim.policy.gates import GroupSequential

__all__ = ["judge_groups", "stage_of"]


def judge_groups(gate: GroupSequential, state: GateState, looked: Looked) -> tuple[Looked, Verdict, Evidence]:
    """The verdict at the last look; between looks nothing changes.

    A look is taken if a further ``1 / looks`` of the planned information is there. That depends on request
    counts alone, never on errors.
    """
    looked = _look(gate, looked, state.sample)
    last = looked.looks[-1] if looked.looks else None
    compared = compare_all(looked.judged)
    verdict = _verdict(gate, compared, last)
    missing, requests = "", None
    if verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        missing, requests = _missing(gate, state.sample, looked)
    evidence = Evidence(
        statistic="z",
        value=last.z if last else 0.0,
        limit=last.bound if last else math.inf,
        p=None,
        effect=_effect(gate, compared, last),
        canary=looked.sample.canary,
        stable=looked.sample.stable,
        looks=len(looked.looks),
        missing=missing,
        missing_requests=requests,
    )
    return looked, verdict, evidence


def _look(gate: GroupSequential, looked: Looked, sample: Sample) -> Looked:
    fraction = _fraction(gate, looked.strata)
    last = looked.looks[-1].fraction if looked.looks else 0.0
    if stage_of(gate, fraction) <= stage_of(gate, last):
        return looked
    bound = next_bound(
        tuple(look.fraction for look in looked.looks),
        tuple(look.bound for look in looked.looks),
        fraction,
        gate.alpha,
        gate.spending,
    )
    look = Look(fraction, bound, float(tail_z(compare_all(looked.strata))))
    return Looked(looked.strata, (*looked.looks, look), sample, looked.strata)


def stage_of(gate: GroupSequential, fraction: float) -> int:
    """How many looks a fraction of the planned information is worth."""
    return int(fraction * gate.looks + 1e-9)


def _fraction(gate: GroupSequential, strata: Sequence[Stratum]) -> float:
    information = 0.0
    for one in strata:
        canary, stable = one.canary.requests, one.stable.requests
        if canary and stable:
            information += canary * stable / (canary + stable)
    return min(information / gate.planned_requests, 1.0)


def _verdict(gate: GroupSequential, compared: Comparison, last: Look | None) -> Verdict:
    if last is None:
        return Verdict.CONTINUE
    if last.z >= last.bound:
        return Verdict.FAIL
    if stage_of(gate, last.fraction) < gate.looks:
        return Verdict.CONTINUE
    passes = compared.rules_out(gate.smallest_difference, NORMAL.inv_cdf(1.0 - gate.beta))
    return Verdict.PASS if passes else Verdict.INCONCLUSIVE


def _effect(gate: GroupSequential, compared: Comparison, last: Look | None) -> Effect:
    """Repeated confidence interval (C. Jennison and B. W. Turnbull, J. R. Statist. Soc. B 51, 1989)."""
    estimate, low, high = None, -1.0, 1.0
    if last is not None:
        estimate = float(compared.difference)
        half = last.bound * float(compared.deviation)
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
    stage = stage_of(gate, looked.looks[-1].fraction) if looked.looks else 0
    if stage >= gate.looks:
        return (
            f"the planned information is used up and {gate.smallest_difference:.2%} is not ruled out: "
            "plan more requests",
            None,
        )
    wanted = gate.planned_requests * ((stage + 1) / gate.looks - _fraction(gate, looked.strata))
    canary, stable = sample.canary.requests, sample.stable.requests
    if not (canary and stable):
        return f"no two arms yet; the next look needs {math.ceil(wanted):,} effective requests", None
    count = max(math.ceil(wanted * (canary + stable) / stable - 1e-6), 1)
    return f"look {len(looked.looks) + 1} needs {more_requests(count)}", count
