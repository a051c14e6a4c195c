"""Whole rollouts of the real Argo Rollouts controller: one test per vector of ``controller_traces``.

The traces were recorded from the controller's own code on a virtual clock (argoproj/argo-rollouts 9f8d111).
Agreement is the final state, and the multiset of events of every instant.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from tests.conformance.argo_traces import Player

VECTORS = ("argo.json", "controller_traces")


def counted(events: list[dict[str, Any]]) -> Counter[str]:
    """The events; a policy knows the duration of a pause, not its spelling: 30 is 30s."""
    texts = (json.dumps(event, sort_keys=True) for event in events)
    return Counter(re.sub(r"\(pause: (\d+)\)", r"(pause: \1s)", text) for text in texts)


def test_trace(case: dict[str, Any]) -> None:
    player = Player(case)
    player.play()
    expected, told = counted(case["expected"]), counted(player.events())
    assert {"missing": expected - told, "extra": told - expected} == {"missing": {}, "extra": {}}
    assert player.final() == case["final"]
