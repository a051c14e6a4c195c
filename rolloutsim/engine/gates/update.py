"""One function for all gates: a sample in, a verdict with its evidence out. Pure: no clock, no chance.

The same sample twice changes nothing. A sample in which any counter is lower than before (late, or counted
anew after a pod restart) is refused: it changes nothing either, the verdict stands, and the evidence warns of
it. Whoever makes samples keeps counts cumulative across restarts, as Prometheus' ``increase`` does.

A failed gate stays failed and counts no further, so that its evidence remains what stopped the rollout.
Always-valid gates go on counting after they passed and may still fail, at no cost in false aborts; an SPRT
and a group-sequential gate end with their verdict.
"""

from __future__ import annotations

from dataclasses import replace

from rolloutsim.engine.gates.blocks import add_block, judge_blocks
from rolloutsim.engine.gates.evidence import Evidence, Verdict
from rolloutsim.engine.gates.fixed import judge_fixed
from rolloutsim.engine.gates.groups import judge_groups
from rolloutsim.engine.gates.objective import judge_objective
from rolloutsim.engine.gates.ratios import judge_ratio, tally
from rolloutsim.engine.gates.samples import Sample
from rolloutsim.engine.gates.state import Counted, GateState, GateStep, Looked, Memory, Tallied, Wealth
from rolloutsim.engine.gates.strata import count_by_weight
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)

__all__ = ["absorb", "refusal", "start_gate", "update"]

_ENDS = {
    WaldSprt: (Verdict.FAIL, Verdict.PASS),
    GroupSequential: (Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE),
}


def start_gate(gate: Gate) -> GateState:
    """The state before the first sample."""
    if isinstance(gate, RateRatio | EventShare | SampleRatio):
        return GateState(memory=Tallied())
    if isinstance(gate, TwoSampleBlocks):
        return GateState(memory=Wealth())
    if isinstance(gate, GroupSequential):
        return GateState(memory=Looked())
    if isinstance(gate, TwoProportionZ | FisherExact):
        return GateState(memory=Counted())
    return GateState()


def update(gate: Gate, state: GateState, sample: Sample) -> GateStep:
    """Fold one sample in and judge.

    Raises
    ------
    TypeError : ``state`` belongs to another kind of gate.
    """
    why = refusal(state.sample, sample)
    if not (why or _counts_no_further(gate, state, sample)):
        looked = sample.canary.requests >= max(_least(gate), 1)
        state = _count(gate, state, sample, state.looks + looked)
    memory, verdict, evidence = _judge(gate, state)
    if memory != state.memory or verdict is not state.verdict:
        state = GateState(state.sample, state.looks, verdict, state.weight_changed, memory)
    if why:
        evidence = replace(evidence, warnings=(*evidence.warnings, why))
    return GateStep(state, verdict, evidence)


def absorb(gate: Gate, state: GateState, sample: Sample) -> GateState:
    """Count a sample without looking: what came under an earlier weight, told together with what came later.

    A sample that `update` would refuse changes nothing.
    """
    if refusal(state.sample, sample) or _counts_no_further(gate, state, sample):
        return state
    return _count(gate, state, sample, state.looks)


def _counts_no_further(gate: Gate, state: GateState, sample: Sample) -> bool:
    ended = state.verdict in _ENDS.get(type(gate), (Verdict.FAIL,))
    return ended or _same_counts(state.sample, sample)


def _count(gate: Gate, state: GateState, sample: Sample, looks: int) -> GateState:
    before = state.sample
    counted = before.canary.requests + before.stable.requests > 0
    return GateState(
        sample,
        looks,
        state.verdict,
        state.weight_changed or (counted and sample.weight_percent != before.weight_percent),
        _remember(gate, state.memory, before, sample),
    )


def _least(gate: Gate) -> int:
    return 1 if isinstance(gate, SampleRatio | GroupSequential) else gate.min_requests


def _remember(gate: Gate, memory: Memory | None, before: Sample, now: Sample) -> Memory | None:
    match gate, memory:
        case ((RateRatio() | EventShare() | SampleRatio()), Tallied()):
            return tally(gate, memory, before, now)
        case TwoSampleBlocks(), Wealth():
            return add_block(gate, memory, before, now)
        case GroupSequential(), Looked():
            return replace(memory, strata=count_by_weight(memory.strata, before, now))
        case ((TwoProportionZ() | FisherExact()), Counted()):
            return Counted(count_by_weight(memory.strata, before, now))
    return memory


def _judge(gate: Gate, state: GateState) -> tuple[Memory | None, Verdict, Evidence]:
    memory = state.memory
    match gate, memory:
        case ((RateRatio() | EventShare() | SampleRatio()), Tallied()):
            return judge_ratio(gate, state, memory)
        case TwoSampleBlocks(), Wealth():
            return memory, *judge_blocks(gate, state, memory)
        case GroupSequential(), Looked():
            return judge_groups(gate, state, memory)
        case WaldSprt(), None:
            return memory, *judge_objective(gate, state)
        case ((TwoProportionZ() | FisherExact()), Counted()):
            return memory, *judge_fixed(gate, state, memory.strata)
        case BetaPosterior(), None:
            return memory, *judge_fixed(gate, state, ())
    raise TypeError(f"this state does not belong to a {type(gate).__name__}")


def _same_counts(before: Sample, now: Sample) -> bool:
    return before.canary == now.canary and before.stable == now.stable


def refusal(before: Sample, now: Sample) -> str:
    """Why a sample cannot be counted: the first counter that went backwards, or nothing."""
    for name, old, new in (("canary", before.canary, now.canary), ("stable", before.stable, now.stable)):
        for what, was, became in (
            ("requests", old.requests, new.requests),
            ("bad requests", old.bad, new.bad),
            ("good requests", old.requests - old.bad, new.requests - new.bad),
        ):
            if became < was:
                return (
                    f"sample refused: {name} {what} went from {was:,} back to {became:,}; "
                    "counts must be cumulative across restarts and in order"
                )
    return ""
