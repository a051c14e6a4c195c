"""What a gate answers: a verdict, the numbers behind it, and what is still missing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.gates.samples import Arm

__all__ = ["Effect", "Evidence", "Verdict"]


class Verdict(StrEnum):
    """Continue: not decided yet. Inconclusive: the gate has seen what it was to see and cannot tell."""

    CONTINUE = "Continue"
    PASS = "Pass"
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@built_fast
@dataclass(frozen=True, slots=True)
class Effect:
    """How much worse the canary is: estimate (None without data) and interval.

    ``measure`` is "rate ratio" (canary to stable), "rate difference" (canary minus stable), "rate" (canary
    alone) or "odds ratio" (observed share of requests to the weight). ``method`` names how the interval was
    made and so whether it may be read at any time.
    """

    measure: str
    estimate: float | None
    low: float
    high: float
    confidence: float
    method: str


@built_fast
@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers behind a verdict.

    Attributes
    ----------
    statistic, value, limit : its name, its value, and the value at which the gate fails.
    p : a p-value; of an e-value it is always valid (smallest 1/e so far). None where there is none.
    looks : samples judged so far.
    missing : what is still missing to decide, in words and numbers; empty when decided.
    missing_requests : the same as a number of canary requests; None when no number can be given.
    warnings : why the numbers may promise more than they hold.
    """

    statistic: str
    value: float
    limit: float
    p: float | None
    effect: Effect
    canary: Arm
    stable: Arm
    looks: int
    missing: str = ""
    missing_requests: int | None = None
    warnings: tuple[str, ...] = ()
