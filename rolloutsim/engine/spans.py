"""The times in which one weight was in force, and which of them a gate counts in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rolloutsim.engine.events import Span
from rolloutsim.policy.gated import GatedCounts, Scope

__all__ = ["Exposed", "spans_of"]


@dataclass(frozen=True, slots=True)
class Exposed:
    """The weights that were in force since the update to a revision began; the last one has no end yet."""

    revision: str
    spans: tuple[Span, ...] = ()


def spans_of(counts: GatedCounts, exposed: Exposed | None, since: int) -> tuple[Span, ...]:
    """The spans in which a gate counts, no earlier than ``since`` ms.

    A gate that compares needs both versions in service, so a weight of 0 or 100 is no span of it.
    """
    spans = () if exposed is None else exposed.spans
    if counts.scope is Scope.STEP and spans:
        first = len(spans) - 1
        while first > 0 and spans[first - 1].weight_percent == spans[-1].weight_percent:
            first -= 1
        spans = spans[first:]
    found = []
    for span in spans:
        if counts.compares and not 0.0 < span.weight_percent < 100.0:
            continue
        if span.end is not None and span.end <= since:
            continue
        found.append(span if span.start >= since else replace(span, start=since))
    return tuple(found)
