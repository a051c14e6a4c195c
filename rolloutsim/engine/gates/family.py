"""Several metrics, one verdict, and a false-abort rate that is stated.

Every gate spends its own ``alpha``; the family's false-abort rate is at most their sum, under any dependence
between metrics (Bonferroni). `share_alpha` splits a total. Gates with e-values are also taken together: the
family fails when the sum of ``alpha * e`` reaches 1, the weighted average of the e-values against the sum of
their alphas, which fails no later than the single gates and costs nothing more (V. Vovk and R. Wang,
"E-values: calibration, combination and applications", Annals of Statistics 49, 2021).

The family passes when every gate passes. That needs no correction: a canary that is bad in one metric has to
get past that metric's gate, so it passes with probability at most the largest beta.

A `SampleRatio` member judges the router and not the canary: when it fails, gates that compare the arms are
not believed, the verdict is inconclusive, and only an absolute gate may still fail the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rolloutsim.engine.gates.evidence import Evidence, Verdict
from rolloutsim.engine.gates.samples import Sample
from rolloutsim.engine.gates.state import GateState
from rolloutsim.engine.gates.update import start_gate, update
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    RateRatio,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)

__all__ = [
    "Family",
    "FamilyEvidence",
    "FamilyState",
    "FamilyStep",
    "Member",
    "share_alpha",
    "start_family",
    "update_family",
]


@dataclass(frozen=True, slots=True)
class Member:
    """A metric's name and its gate."""

    name: str
    gate: Gate


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics judged together.

    Raises
    ------
    ValueError : no members, or two of one name.
    """

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a family needs members with different names, not {names}")

    @property
    def false_abort_rate(self) -> float:
        """Bound on the probability that the family fails a good canary, while gates are used as meant."""
        return min(1.0, sum(_false_abort(member.gate) for member in self.members))


@dataclass(frozen=True, slots=True)
class FamilyState:
    """One state per member, in the same order, and the family's verdict."""

    states: tuple[GateState, ...]
    verdict: Verdict = Verdict.CONTINUE


@dataclass(frozen=True, slots=True)
class FamilyEvidence:
    """Evidence per member in order, the sum of ``alpha * e``, the stated bound, and what it rests on.

    ``false_abort_rate`` is None when a member does not control it: a posterior, or a one-look test looked
    at more than once; ``warnings`` then name it.
    """

    members: tuple[Evidence, ...]
    combined: float
    false_abort_rate: float | None
    missing: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FamilyStep:
    """What one round of samples led to."""

    state: FamilyState
    verdict: Verdict
    evidence: FamilyEvidence


def share_alpha(members: Sequence[Member], alpha: float) -> Family:
    """A family whose canary gates have equal parts of ``alpha``; a routing check keeps its own."""
    judges = sum(not isinstance(member.gate, SampleRatio) for member in members)
    return Family(
        tuple(
            member
            if isinstance(member.gate, SampleRatio)
            else Member(member.name, replace(member.gate, alpha=alpha / judges))
            for member in members
        )
    )


def start_family(family: Family) -> FamilyState:
    """The state before the first samples."""
    return FamilyState(tuple(start_gate(member.gate) for member in family.members))


def update_family(family: Family, state: FamilyState, samples: Sequence[Sample]) -> FamilyStep:
    """Fold one sample per member in, in order, and judge them together. A failed family stays failed.

    A member without news is given its last sample again.

    Raises
    ------
    ValueError : the samples are not one per member.
    """
    steps = [
        update(member.gate, before, sample)
        for member, before, sample in zip(family.members, state.states, samples, strict=True)
    ]
    gates = [member.gate for member in family.members]
    misrouted = any(
        isinstance(gate, SampleRatio) and step.verdict is Verdict.FAIL
        for gate, step in zip(gates, steps, strict=True)
    )
    trusted = [
        (gate, step)
        for gate, step in zip(gates, steps, strict=True)
        if not (isinstance(gate, SampleRatio) or (misrouted and not isinstance(gate, WaldSprt)))
    ]
    combined = sum(
        gate.alpha * step.evidence.value
        for gate, step in trusted
        if isinstance(gate, RateRatio | EventShare | TwoSampleBlocks) and _ready(gate, step.state)
    )
    if (
        state.verdict is Verdict.FAIL
        or combined >= 1.0
        or any(step.verdict is Verdict.FAIL for _, step in trusted)
    ):
        verdict = Verdict.FAIL
    elif misrouted:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = _together([step.verdict for step in steps])
    evidence = _evidence(family, [step.evidence for step in steps], combined, verdict, misrouted)
    return FamilyStep(FamilyState(tuple(step.state for step in steps), verdict), verdict, evidence)


def _together(verdicts: list[Verdict]) -> Verdict:
    for verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


def _evidence(
    family: Family, evidences: list[Evidence], combined: float, verdict: Verdict, misrouted: bool
) -> FamilyEvidence:
    pairs = list(zip(family.members, evidences, strict=True))
    warnings = [f"{member.name}: {text}" for member, evidence in pairs for text in evidence.warnings]
    uncontrolled = [member.name for member, evidence in pairs if not _controls(member.gate, evidence)]
    if uncontrolled:
        warnings.append(f"no bound on false aborts: {', '.join(uncontrolled)} was not made for so many looks")
    if misrouted:
        warnings.append("requests do not follow the weight: gates that compare the arms are not believed")
    missing = [f"{member.name}: {evidence.missing}" for member, evidence in pairs if evidence.missing]
    decided = verdict in (Verdict.PASS, Verdict.FAIL)
    return FamilyEvidence(
        members=tuple(evidences),
        combined=combined,
        false_abort_rate=None if uncontrolled else family.false_abort_rate,
        missing="" if decided else "; ".join(missing),
        warnings=tuple(warnings),
    )


def _false_abort(gate: Gate) -> float:
    if isinstance(gate, SampleRatio):
        return 0.0
    return gate.alpha / (1.0 - gate.beta) if isinstance(gate, WaldSprt) else gate.alpha


def _controls(gate: Gate, evidence: Evidence) -> bool:
    if isinstance(gate, BetaPosterior):
        return False
    return not (isinstance(gate, TwoProportionZ | FisherExact) and evidence.looks > 1)


def _ready(gate: RateRatio | EventShare | TwoSampleBlocks, state: GateState) -> bool:
    return state.sample.canary.requests >= max(gate.min_requests, 1)
