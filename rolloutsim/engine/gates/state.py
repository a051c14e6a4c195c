"""What a gate remembers between samples. All of it is JSON through `rolloutsim.engine.codec`."""

from __future__ import annotations

from dataclasses import dataclass

from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.gates.evidence import Evidence, Verdict
from rolloutsim.engine.gates.samples import NOTHING, Arm, Sample

__all__ = [
    "Counted",
    "GateState",
    "GateStep",
    "Look",
    "Looked",
    "Memory",
    "Stratum",
    "Tallied",
    "Tally",
    "Wealth",
]


@dataclass(frozen=True, slots=True)
class Tally:
    """Events (bad requests, or requests) of both arms while one weight was in force."""

    weight_percent: float
    canary: int
    stable: int


@dataclass(frozen=True, slots=True)
class Tallied:
    """Tallies by weight, and the largest natural logarithms so far of the two e-values.

    ``against_good`` refutes that the canary is tolerable, ``against_bad`` that it is worse by the smallest
    effect.
    """

    tallies: tuple[Tally, ...] = ()
    against_good: float = 0.0
    against_bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Wealth:
    """Natural logarithm of a product of block e-values: now, and at its largest."""

    log_e: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look of a group-sequential test: information fraction, boundary, and z."""

    fraction: float
    bound: float
    z: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """What both arms had while one weight was in force."""

    weight_percent: float
    stable: Arm
    canary: Arm


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts by weight."""

    strata: tuple[Stratum, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """Counts by weight, all looks so far, and at the last of them the sample and the counts by weight."""

    strata: tuple[Stratum, ...] = ()
    looks: tuple[Look, ...] = ()
    sample: Sample = NOTHING
    judged: tuple[Stratum, ...] = ()


Memory = Tallied | Wealth | Counted | Looked


@built_fast
@dataclass(frozen=True, slots=True)
class GateState:
    """The last sample counted, how many were judged, the verdict, and what this kind of gate adds.

    ``weight_changed`` is true once requests were counted under two different weights.
    """

    sample: Sample = NOTHING
    looks: int = 0
    verdict: Verdict = Verdict.CONTINUE
    weight_changed: bool = False
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class GateStep:
    """What one sample led to."""

    state: GateState
    verdict: Verdict
    evidence: Evidence
