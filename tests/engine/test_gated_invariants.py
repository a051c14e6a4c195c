"""Whatever a gate is told: the engine decides, stays alive, forgets nothing and never says NaN."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolloutsim.engine import (
    Counted,
    Counts,
    Measure,
    MeasureError,
    MeasurementTaken,
    Outcome,
    Phase,
    ReleaseAsked,
    State,
    StatusPatched,
    StepCompleted,
    decide,
    from_json,
    promote,
    to_json,
)
from rolloutsim.engine.holds import background_undecided
from rolloutsim.policy.gate_steps import evidence_step
from rolloutsim.policy.gated import NoData, OnFail, Scope
from rolloutsim.policy.model import Pause, Policy, SetWeight
from rolloutsim.session import replay
from tests.engine.chaos import gates
from tests.engine.gated_world import RELEASE_MS, GatedWorld, background, gated

usual = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
steps = st.lists(
    st.one_of(
        st.builds(SetWeight, st.sampled_from([0, 5, 20, 50, 100])),
        st.builds(Pause, st.sampled_from([None, 0, 30_000, 90_000])),
    ),
    min_size=1,
    max_size=6,
).map(tuple)
metrics = st.builds(
    lambda gate, interval_ms, more: (gate, interval_ms, more),
    gates,
    st.sampled_from([5_000, 15_000]),
    st.fixed_dictionaries(
        {
            "on_no_data": st.sampled_from(list(NoData)),
            "on_fail": st.sampled_from(list(OnFail)),
            "scope": st.sampled_from(list(Scope)),
            "expires_after_ms": st.sampled_from([None, 12_000, 100_000]),
            "approvers": st.sampled_from([(), ("anna",)]),
        }
    ),
)
policies = st.builds(
    lambda found, steps: background(
        *(gated(f"gate-{i}", gate, interval_ms=ms, **more) for i, (gate, ms, more) in enumerate(found)),
        steps=steps,
    ),
    st.lists(metrics, min_size=1, max_size=3),
    steps,
)
numbers = st.integers(0, 400)
looks = st.lists(
    st.one_of(
        st.tuples(numbers, st.integers(0, 40), st.integers(0, 5_000), st.integers(0, 60)),
        st.sampled_from(["error", "falls", "impossible", "short"]),
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class Moody(GatedWorld):
    """Answers as the list says, again and again: a rise of the last span's counts, or nonsense."""

    moods: list[Any] = field(default_factory=list)
    known: dict[tuple[str, int], Counts] = field(default_factory=dict)

    def counts(self, request: Measure) -> Outcome:
        mood = self.moods[request.attempt % len(self.moods)]
        if mood == "error":
            return MeasureError("away")
        if mood == "short":
            return Counted(())
        spans = [self.known.get((request.metric, s.start), Counts(0, 0, 0, 0)) for s in request.spans]
        if mood == "impossible":
            return Counted(tuple(Counts(1, 2, c.stable_requests, 0) for c in spans))
        if mood == "falls":
            return Counted(tuple(Counts(c.canary_requests // 2, 0, c.stable_requests // 2, 0) for c in spans))
        if spans:
            old, (n_c, k_c, n_s, k_s) = spans[-1], mood
            spans[-1] = Counts(
                old.canary_requests + n_c,
                old.canary_bad + min(n_c, k_c),
                old.stable_requests + n_s,
                old.stable_bad + min(n_s, k_s),
            )
            self.known[request.metric, request.spans[-1].start] = spans[-1]
        return Counted(tuple(spans))


def play(policy: Policy, moods: list[Any], deeds: list[tuple[int, str]]) -> Moody:
    world = Moody(policy, moods=moods)

    def deed(kind: str) -> None:
        state = world.session.state
        if kind in ("abort", "retry"):
            world.hear(StatusPatched(world.now, abort=kind == "abort"))
        else:
            world.hear(promote(policy, state, world.now, kind))

    script = [(at * 1000, lambda kind=kind: deed(kind)) for at, kind in sorted(deeds)]
    world.release(400_000, *script)
    return world


deeds = st.lists(
    st.tuples(st.integers(1, 390), st.sampled_from(["anna", "bob", "abort", "retry"])), max_size=4
)


@usual
@given(policies, looks, deeds)
def test_no_history_hangs_raises_or_is_lost(
    policy: Policy, moods: list[Any], deeds: list[tuple[int, str]]
) -> None:
    world = play(policy, moods, deeds)
    state = world.session.state
    if world.session.due() is None:
        assert state.status.phase in (Phase.HEALTHY, Phase.PAUSED) or state.status.abort
    assert from_json(State, json.loads(json.dumps(to_json(state)))) == state
    assert replay(policy, world.first, world.journal) == state


@usual
@given(policies, looks)
def test_no_evidence_is_ever_nan(policy: Policy, moods: list[Any]) -> None:
    world = play(policy, moods, [])
    for _, event in world.events(MeasurementTaken):
        assert "nan" not in f"{event.value} {event.message}".lower()
    assert "NaN" not in json.dumps(to_json(world.session.state))


@usual
@given(policies, looks)
def test_nobody_is_promoted_past_an_undecided_gate(policy: Policy, moods: list[Any]) -> None:
    """Without a person's word, a canary with a step to hold at is promoted only when all gates passed."""
    world = play(policy, moods, [])
    last = evidence_step(policy.strategy)
    if last is None:
        return
    state = world.first
    for entry in world.journal:
        decision = decide(policy, state, entry.seen)
        for event in decision.events:
            if isinstance(event, StepCompleted) and event.index == last + 1 and state.facts.asked == "v2":
                assert not background_undecided(state.runs[0])
        state = decision.state


@usual
@given(policies, looks, st.integers(1, 10**9))
def test_times_shift_with_the_clock(policy: Policy, moods: list[Any], shift: int) -> None:
    here, there = play(policy, moods, []), Moody(policy, moods=moods, now=shift)
    asks = [(shift, "v1"), (shift + RELEASE_MS, "v2")]
    script = [(at, lambda name=name: there.hear(ReleaseAsked(there.now, name))) for at, name in asks]
    there.run(shift + RELEASE_MS + 400_000, script)
    assert [e.events for e in here.journal] == [e.events for e in there.journal]
