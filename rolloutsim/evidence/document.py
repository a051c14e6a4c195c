"""A vetting as JSON, for machines: the same vetting gives the same bytes."""

from __future__ import annotations

import math
from typing import Any

from rolloutsim.estimates import CONFIDENCE, Estimate
from rolloutsim.evidence.nearest import Search
from rolloutsim.evidence.verdict import BarResult
from rolloutsim.evidence.vet import Vetting
from rolloutsim.tables import API_VERSION, versions

__all__ = ["vetting_json"]

_DIGITS = 10


def vetting_json(vetting: Vetting, search: Search | None = None) -> dict[str, Any]:
    """Everything that a vetting found, and what a search for a passing change did."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Vetting",
        "verdict": str(vetting.verdict),
        "policy": {"name": vetting.policy, "digest": vetting.policy_digest},
        "service": vetting.service,
        "suite": {"name": vetting.suite, "digest": vetting.suite_digest},
        "seed": vetting.seed,
        "runs": vetting.runs,
        "confidence": CONFIDENCE,
        "looks": list(vetting.looks.runs),
        "versions": dict(versions()),
        "bars": [_bar(result) for result in vetting.results],
        "scenarios": [
            {
                "scenario": seen.scenario,
                "healthy": seen.healthy,
                "p_false_abort" if seen.healthy else "p_detect": _estimate(seen.stopped),
                "bad_requests": _estimate(seen.bad_requests),
            }
            for seen in vetting.seen
        ],
        "nearestPassingChange": None if search is None else _search(search),
        "notes": list(vetting.notes),
    }


def _bar(result: BarResult) -> dict[str, Any]:
    bar = result.bar
    return {
        "bar": str(bar),
        "quantity": bar.name,
        "scenario": bar.scenario,
        "bound": bar.bound,
        "verdict": str(result.verdict),
        "value": _number(result.value),
        "judged": _estimate(result.estimate),
        "waiver": result.waiver or None,
    }


def _search(search: Search) -> dict[str, Any]:
    return {
        "tried": search.tried,
        "vetted": search.vetted,
        "complete": search.complete,
        "changes": [
            {"what": change.what, "before": change.before, "after": change.after} for change in search.changes
        ],
        "bars": [] if search.vetting is None else [_bar(result) for result in search.vetting.results],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": None if estimate.value is None else _number(estimate.value),
        "low": None if estimate.low is None else _number(estimate.low),
        "high": None if estimate.high is None else _number(estimate.high),
        "runs": estimate.n,
        "method": estimate.method,
    }


def _number(value: float) -> float | None:
    """Ten significant digits; None for a quantile that lies in runs where it never happened."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
