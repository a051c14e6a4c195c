"""Whole rollouts of the real Argo Rollouts controller, reproduced by the engine through a `Session`.

The traces were recorded from the controller's own code on a virtual clock (argoproj/argo-rollouts
9f8d111); agreement is the final state and the multiset of events of every instant.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.engine.traces import Player, normalised

VECTORS = Path(__file__).parent.parent / "conformance" / "vectors" / "argo.json"
TRACES = json.loads(VECTORS.read_text())["controller_traces"]


def counted(events: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(normalised(event), sort_keys=True) for event in events)


@pytest.mark.parametrize("trace", TRACES, ids=[trace["id"] for trace in TRACES])
def test_trace(trace: dict[str, Any]) -> None:
    player = Player(trace)
    player.play()
    expected, played = counted(trace["expected"]), counted(player.events())
    assert {"missing": expected - played, "extra": played - expected} == {
        "missing": Counter(),
        "extra": Counter(),
    }
    assert player.final() == trace["final"]


def test_there_are_traces() -> None:
    assert len(TRACES) >= 32
