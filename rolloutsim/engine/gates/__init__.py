"""Statistical gates: sequential and comparative tests of a canary, as plain data and one pure function.

A gate (`RateRatio`, `WaldSprt`, ...) says how a canary is judged; `update` folds a sample of counts into its
state and answers continue, pass, fail or inconclusive, with the numbers. `Family` judges several metrics
under one stated false-abort rate. Nothing here reads a clock or draws a random number; no evidence is never a
pass.
"""

from rolloutsim.engine.gates.confidence import difference_sequence, quantile_ranks, rate_sequence
from rolloutsim.engine.gates.evidence import Effect, Evidence, Verdict
from rolloutsim.engine.gates.family import (
    Family,
    FamilyEvidence,
    FamilyState,
    FamilyStep,
    Member,
    share_alpha,
    start_family,
    update_family,
)
from rolloutsim.engine.gates.samples import Arm, Sample, arm_above_edge
from rolloutsim.engine.gates.state import GateState, GateStep
from rolloutsim.engine.gates.update import start_gate, update
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    SampleRatio,
    Spending,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)

__all__ = [
    "Arm",
    "BetaPosterior",
    "Effect",
    "EventShare",
    "Evidence",
    "Family",
    "FamilyEvidence",
    "FamilyState",
    "FamilyStep",
    "FisherExact",
    "Gate",
    "GateState",
    "GateStep",
    "GroupSequential",
    "Member",
    "RateRatio",
    "Sample",
    "SampleRatio",
    "Spending",
    "TwoProportionZ",
    "TwoSampleBlocks",
    "Verdict",
    "WaldSprt",
    "arm_above_edge",
    "difference_sequence",
    "quantile_ranks",
    "rate_sequence",
    "share_alpha",
    "start_family",
    "start_gate",
    "update",
    "update_family",
]
