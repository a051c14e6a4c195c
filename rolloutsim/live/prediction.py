"""What simulations expected of a rollout, as data in its plan.

Whoever makes the plan plays the policy and fills this in; here it is only kept, and held against what
happens. Times count in seconds from the release.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rolloutsim.engine import State

__all__ = [
    "Band",
    "Expected",
    "Foreseen",
    "GateBand",
    "Prediction",
    "StepTime",
    "band_at",
    "band_text",
    "number_in",
    "released_ms",
]


@dataclass(frozen=True, slots=True)
class Band:
    """From ``t_s`` on, until the next band: the middle 90 % of what the runs had."""

    t_s: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Expected:
    """Quantiles of one number over the runs."""

    p05: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class StepTime:
    """When a step (from 1) was complete, in the runs that came to it; ``reached`` is their share."""

    step: int
    text: str
    reached: float
    at_s: Expected


@dataclass(frozen=True, slots=True)
class GateBand:
    """The values of one metric over time."""

    gate: str
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What became of the runs: the shares of each outcome, and costs."""

    outcomes: tuple[tuple[str, float], ...]
    duration_s: Expected
    bad_requests: Expected


@dataclass(frozen=True, slots=True)
class Prediction:
    """``runs`` runs of one scenario."""

    scenario: str
    runs: int
    seed: int
    healthy: bool
    """Nothing is wrong with the simulated release."""
    foreseen: Foreseen
    steps: tuple[StepTime, ...] = ()
    weight: tuple[Band, ...] = ()
    gates: tuple[GateBand, ...] = ()

    def of_gate(self, gate: str, t_s: float) -> Band | None:
        """The band of a metric's values at a time; None if no run had measured it by then."""
        bands = next((one.bands for one in self.gates if one.gate == gate), ())
        return band_at(bands, t_s)


def band_at(bands: Sequence[Band], t_s: float) -> Band | None:
    """The band that holds at a time; None before the first one."""
    index = bisect_right([band.t_s for band in bands], t_s)
    return bands[index - 1] if index else None


def band_text(band: Band | None, value: float | None) -> str:
    """A band in words, and whether a value lies outside of it; "" if there is none."""
    if band is None:
        return ""
    inside = value is None or band.low <= value <= band.high
    return f"predicted {band.low:g}–{band.high:g}" + ("" if inside else ", outside")


def number_in(text: str) -> float | None:
    """The number that a measurement's text is, also in brackets; None if it is no finite one."""
    try:
        number = float(text.strip("[]"))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def released_ms(state: State) -> int:
    """When the present revision was released; the state's own time if it does not say."""
    created = [one.created_at for one in state.facts.revisions if one.id == state.facts.asked]
    return created[0] if created else state.now
