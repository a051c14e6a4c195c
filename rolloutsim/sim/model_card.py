"""The model card of a result: what it assumes, what was measured, and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from rolloutsim.policy.model import Policy
from rolloutsim.sim.defaults import OPTIONAL_PARTS
from rolloutsim.sim.scenario import Basis, Scenario, Sessions

__all__ = ["left_out", "model_card"]


def model_card(policies: Sequence[Policy], scenarios: Sequence[Scenario], fidelity: str) -> dict[str, Any]:
    """The card as plain data: fidelity, inputs by basis, dispersion, what is not modelled.

    Every assumed input is named with its value, so that a reader sees what was never looked at.
    """
    return {
        "fidelity": fidelity,
        "scenarios": {one.name: _inputs(one) for one in scenarios},
        "policiesNotModelled": {one.name: list(one.not_modelled) for one in policies if one.not_modelled},
    }


def left_out(scenario: Scenario) -> dict[str, str]:
    """Parts of the world that a scenario does not have, and what holds instead."""
    return {part: text for part, text in OPTIONAL_PARTS.items() if not _has(scenario, part)}


def _has(scenario: Scenario, part: str) -> bool:
    """Whether a part of the world is modelled; parts are named as the fields that hold them."""
    held = attrgetter(part)(scenario)
    return held.requests > 1 if isinstance(held, Sessions) else held is not None


def _inputs(scenario: Scenario) -> dict[str, Any]:
    by_basis = {
        str(basis): {one.path: one.value for one in scenario.inputs if one.basis is basis} for basis in Basis
    }
    service = scenario.service
    return {
        "inputs": {basis: len(found) for basis, found in by_basis.items()},
        "assumed": by_basis[Basis.ASSUMED],
        "measured": by_basis[Basis.MEASURED],
        "dispersion": {
            "requestsPerMinute": service.traffic.dispersion,
            "errorCorrelation": service.error_icc,
        },
        "notModelled": list(left_out(scenario).values()),
    }
