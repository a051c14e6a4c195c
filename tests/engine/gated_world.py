"""A perfect world whose counters rise as a test says, and policies with gates for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rolloutsim.engine import Action, Counted, Counts, Measure, Measured, Observation, Outcome, ReleaseAsked
from rolloutsim.policy.gated import ArmCounters, GatedCounts
from rolloutsim.policy.gates import Gate
from rolloutsim.policy.model import (
    Analysis,
    Canary,
    Metric,
    Pause,
    Policy,
    SetWeight,
    Step,
    TrafficRouting,
)
from tests.engine.fake_world import FakeWorld

RELEASE_MS = 100_000
STEPS: tuple[Step, ...] = (SetWeight(20), Pause(120_000), SetWeight(50), Pause(120_000))
ARMS = {"canary": ArmCounters("canary", "canary_bad"), "stable": ArmCounters("stable", "stable_bad")}

Rates = Callable[[int], tuple[float, float]]
"""Bad shares of canary and stable at a time in ms."""


def gated(
    name: str, gate: Gate, *, interval_ms: int = 10_000, count: int | None = None, **more: object
) -> Metric:
    """A metric with this gate; it watches unless told otherwise."""
    counts = GatedCounts(gate=gate, **{**ARMS, "watches": True, **more})  # type: ignore[arg-type]
    return Metric(name, counts, interval_ms=interval_ms, count=count)


def background(*metrics: Metric, steps: tuple[Step, ...] = STEPS, starting_step: int | None = None) -> Policy:
    """A canary with these metrics beside its steps."""
    strategy = Canary(
        steps=steps,
        stable_service="stable",
        canary_service="canary",
        routing=TrafficRouting(("fake",), verifies=False),
        background=Analysis(metrics),
        starting_step=starting_step,
    )
    return Policy("demo", strategy, replicas=5)


@dataclass
class GatedWorld(FakeWorld):
    """``rate_rps`` requests a second, divided by the weight of each span; ``rates`` say how many are bad."""

    rate_rps: float = 100.0
    rates: Rates = lambda at: (0.01, 0.01)
    split: Callable[[float], float] = lambda weight: weight
    asked: list[Measure] = field(default_factory=list)

    def perform(self, action: Action) -> Iterable[Observation]:
        if isinstance(action, Measure) and isinstance(action.provider, GatedCounts):
            self.asked.append(action)
            outcome = self.counts(action)
            yield Measured(self.now, action.run, action.metric, action.attempt, self.now, self.now, outcome)
        else:
            yield from super().perform(action)

    def counts(self, request: Measure) -> Outcome:
        """Exact expectations, rounded down: no chance in it."""
        spans = []
        for span in request.spans:
            seconds = ((self.now if span.end is None else span.end) - span.start) / 1000
            share = self.split(span.weight_percent) / 100
            bad_canary, bad_stable = self.rates(span.start)
            canary = int(seconds * self.rate_rps * share)
            stable = int(seconds * self.rate_rps * (1 - share))
            spans.append(Counts(canary, int(canary * bad_canary), stable, int(stable * bad_stable)))
        return Counted(tuple(spans))

    def release(self, until_ms: int, *script: tuple[int, Callable[[], object]]) -> None:
        """Deploy v1, ask for v2 at `RELEASE_MS`, play to ``until_ms`` after that."""
        self.run(
            RELEASE_MS + until_ms,
            [
                (0, lambda: self.hear(ReleaseAsked(self.now, "v1"))),
                (RELEASE_MS, lambda: self.hear(ReleaseAsked(self.now, "v2"))),
                *((RELEASE_MS + at, deed) for at, deed in script),
            ],
        )

    def events(self, kind: type[Any]) -> list[tuple[int, Any]]:
        """All events of one class, with their times after the release."""
        return [
            (entry.seen.at - RELEASE_MS, event)
            for entry in self.journal
            for event in entry.events
            if isinstance(event, kind) and entry.seen.at >= RELEASE_MS
        ]
