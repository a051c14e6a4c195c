"""What a row of a simulation hangs on, besides seed and number: what is played, and what plays it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rolloutsim.engine.codec import to_json
from rolloutsim.policy.model import Policy
from rolloutsim.sim.scenario import Scenario
from rolloutsim.tables import versions

__all__ = ["build", "pair_digest", "scenario_digest"]

_NO_PART = frozenset({"cli", "evidence", "lab", "live", "plots", "rehearsal", "report", "serve.py"})
"""Parts of the package that do not play; whatever is not named here counts."""


def scenario_digest(scenario: Scenario) -> str:
    """SHA-256 of what a scenario says, not of how its file says it."""
    return _hashed(_said(scenario))


def pair_digest(policy: Policy, scenario: Scenario) -> str:
    """SHA-256 of all that a run can see of a policy and a scenario: everything but their names."""
    return _hashed([to_json(replace(policy, name="", not_modelled=())), _said(scenario)])


@lru_cache(maxsize=1)
def build() -> str:
    """SHA-256 of the code that plays: our modules, and the versions of what they compute with."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for path in sorted(root.rglob("*.py")):
        part = path.relative_to(root)
        if part.parts[0] not in _NO_PART:
            digest.update(f"\n{part.as_posix()}\n".encode() + path.read_bytes())
    return "sha256:" + digest.hexdigest()


def _said(scenario: Scenario) -> Any:
    return to_json(replace(scenario, name="", inputs=()))


def _hashed(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
