"""Whole rollouts of the real Argo Rollouts controller: one test per vector of ``controller_traces``.

The traces were recorded from the controller's own code on a virtual clock (argoproj/argo-rollouts 9f8d111).
Agreement is the final state, and the multiset of events of every instant.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from rolloutsim.policy.durations import go_duration_ns
from tests.conformance.argo_traces import Player

VECTORS = ("argo.json", "controller_traces")


def counted(events: list[dict[str, Any]]) -> Counter[str]:
    """The events; a policy knows the duration of a pause, not its spelling: 30 is 30s, and 1m is 60s."""
    texts = (json.dumps(event, sort_keys=True) for event in events)
    return Counter(re.sub(r"\(pause: (\w+)\)", in_seconds, text) for text in texts)


def in_seconds(found: re.Match[str]) -> str:
    written = found[1]
    seconds = int(written) if written.isdigit() else go_duration_ns(written) // 1_000_000_000
    return f"(pause: {seconds}s)"


def test_trace(case: dict[str, Any]) -> None:
    player = Player(case)
    player.play()
    expected, told = counted(case["expected"]), counted(player.events())
    assert {"missing": expected - told, "extra": told - expected} == {"missing": {}, "extra": {}}
    assert player.final() == case["final"]
