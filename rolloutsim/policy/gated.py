"""A gated metric: counts of both versions, judged by a statistical gate instead of conditions.

Only a ``RolloutPolicy`` may have one. What it measures is not a number but how many requests each version
had since a time, and how many of them were bad: exact integers from the raw samples of counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.policy.gates import Gate, WaldSprt

__all__ = ["ArmCounters", "GatedCounts", "NoData", "OnFail", "Scope"]


class NoData(StrEnum):
    """What a gate comes to while traffic should flow and a version has no request."""

    WAIT = "wait"
    HOLD = "hold"
    FAIL = "fail"
    PASS = "pass"


class OnFail(StrEnum):
    """What a failed gate does: roll back, or wait for a person."""

    ABORT = "abort"
    HOLD = "hold"


class Scope(StrEnum):
    """Since when a gate counts: the present weight came into force, or the rollout began."""

    STEP = "step"
    ROLLOUT = "rollout"


@dataclass(frozen=True, slots=True)
class ArmCounters:
    """PromQL selectors of the counters of one version; every series that fits is added up.

    ``requests`` are all requests. The bad ones are ``errors``, or all that are not ``fast``: a bucket of a
    latency histogram whose edge is the limit. Texts may hold ``{{args.x}}`` of late-bound arguments.
    """

    requests: str
    errors: str = ""
    fast: str = ""


@dataclass(frozen=True, slots=True)
class GatedCounts:
    """What a gate is fed with, and what its verdicts do.

    ``stable`` is None for a gate that looks at the canary alone. ``expires_after_ms`` counts from the start
    of the analysis run: a gate that has not decided by then is inconclusive, and the rollout waits for a
    person. ``approvers`` are who may go on without its verdict; empty: anybody. ``watches``: a background
    analysis, which goes on counting after the gate passed.
    """

    gate: Gate
    canary: ArmCounters
    stable: ArmCounters | None = None
    on_no_data: NoData = NoData.WAIT
    on_fail: OnFail = OnFail.ABORT
    scope: Scope = Scope.ROLLOUT
    expires_after_ms: int | None = None
    approvers: tuple[str, ...] = ()
    watches: bool = False
    address: str = ""
    timeout_ms: int = 30_000
    settings_json: str = "{}"
    """Authentication, headers, TLS: canonical JSON, used by a live executor only."""

    @property
    def compares(self) -> bool:
        """Whether the gate compares two versions that serve at the same time."""
        return not isinstance(self.gate, WaldSprt)

    @property
    def selectors(self) -> tuple[str, ...]:
        """All selectors that are read."""
        arms = [arm for arm in (self.canary, self.stable) if arm is not None]
        return tuple(text for arm in arms for text in (arm.requests, arm.errors, arm.fast) if text)
