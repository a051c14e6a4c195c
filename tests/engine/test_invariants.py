"""What holds under arbitrary observations: the engine never hangs, never runs hot, never forgets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolloutsim.engine import (
    Action,
    CreateRevision,
    CreateTemplate,
    Event,
    Measure,
    Observation,
    Phase,
    PolicyChanged,
    ReleaseAsked,
    Scale,
    SetWeight,
    State,
    StatusPatched,
    Tick,
    deadline,
    decide,
    from_json,
    to_json,
)
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    Metric,
    Pause,
    Policy,
    PrometheusProvider,
    Recreate,
    RollingUpdate,
    TrafficRouting,
)
from rolloutsim.policy.model import (
    SetWeight as SetWeightStep,
)
from tests.engine.chaos import Answer, Chaos, Wait, answered, canaries, dated, histories, policies
from tests.engine.fake_world import FakeWorld

usual = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@usual
@given(policies, histories)
def test_time_never_decreases(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    last = chaos.session.state.now
    for item in history:
        chaos.play_one(item)
        assert chaos.session.state.now >= last
        last = chaos.session.state.now
    late = decide(chaos.session.policy, chaos.session.state, ReleaseAsked(last - 900, "v3"))
    assert late.state.now == last


@usual
@given(policies, histories)
def test_ids_are_unique(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    chaos.play(history)
    ids = [action.id for entry in chaos.journal for action in entry.actions]
    assert len(ids) == len(set(ids))


@usual
@given(policies, histories)
def test_unless_done_or_a_person_has_the_turn_there_is_a_deadline(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    for item in history:
        chaos.play_one(item)
        state = chaos.session.state
        if chaos.session.due() is None and state.facts.asked:
            assert not state.unanswered
            assert state.status.phase in (Phase.HEALTHY, Phase.PAUSED) or state.status.abort
            assert all(r.desired == r.created == r.available for r in state.facts.revisions)
            templates = [t for one in state.experiments for t in one.templates]
            assert all(t.desired == t.created == t.available for t in templates)


@usual
@given(policies, histories)
def test_a_tick_before_the_deadline_changes_nothing(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    for item in history:
        chaos.play_one(item)
        policy, state = chaos.session.policy, chaos.session.state
        due = deadline(policy, state)
        early = state.now + 1_000 if due is None else due - 1
        decision = decide(policy, state, Tick(early))
        assert (decision.actions, decision.events) == ((), ())
        assert replace(decision.state, now=state.now) == state


@usual
@given(policies, histories, st.lists(st.sampled_from(["ok", "refused", "unknown", "silence"]), min_size=1))
def test_actions_at_one_instant_are_bounded(policy: Policy, history: list[Any], moods: list[str]) -> None:
    """Whatever the executor answers, and however often: `Session.settle` comes to rest."""
    chaos = Chaos(policy)
    performed: list[Action] = []

    def perform(action: Action) -> Iterable[Observation]:
        performed.append(action)
        mood = moods[len(performed) % len(moods)]
        if mood == "silence":
            return ()
        return answered(action, chaos.now, Answer(0, mood), chaos.outcome)

    for item in history:
        performed.clear()
        if isinstance(item, Wait):
            chaos.wait(item)
        elif not isinstance(item, Answer):
            chaos.hear(dated(item, chaos.now))
        chaos.session.settle(chaos.now, perform)
        assert len(performed) <= 200


@usual
@given(policies, histories)
def test_repeated_and_unknown_answers_are_no_ops(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    chaos.play(history)
    policy, state = chaos.session.policy, chaos.session.state
    for item in history:
        if isinstance(item, Wait | Answer | PolicyChanged):
            continue
        once = decide(policy, state, dated(item, chaos.now))
        assert (once.actions, once.events) == ((), ())
        twice = decide(policy, once.state, dated(item, chaos.now))
        assert twice.state == once.state
    for action in chaos.open:
        for seen in answered(action, chaos.now, Answer(0, "ok"), chaos.outcome):
            once_state = decide(policy, state, seen).state
            assert decide(policy, once_state, seen).state == once_state


@usual
@given(policies, histories, st.integers(1, 10**9))
def test_shifting_all_times_shifts_all_decisions(policy: Policy, history: list[Any], shift: int) -> None:
    here, there = Chaos(policy), Chaos(policy, now=1_000 + shift)
    for item in history:
        here.play_one(item)
        there.play_one(item)
    assert [(e.actions, e.events) for e in here.journal] == [(e.actions, e.events) for e in there.journal]
    due, moved = here.session.due(), there.session.due()
    assert moved == (None if due is None else due + shift)


@usual
@given(policies, histories)
def test_a_journal_folds_to_the_state_at_every_prefix(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    states: list[State] = []
    for item in history:
        chaos.play_one(item)
        states.append(chaos.session.state)
    state, known = chaos.first, [chaos.first]
    for entry in chaos.journal:
        decision = decide(policy, state, entry.seen)
        assert (decision.actions, decision.events) == (entry.actions, entry.events)
        state = decision.state
        known.append(state)
        if isinstance(entry.seen, PolicyChanged):
            policy = entry.seen.policy
    assert state == chaos.session.state
    assert all(state in known for state in states)


@usual
@given(policies, histories)
def test_everything_survives_json(policy: Policy, history: list[Any]) -> None:
    chaos = Chaos(policy)
    for item in history:
        chaos.play_one(item)
        state = chaos.session.state
        assert from_json(State, json.loads(json.dumps(to_json(state)))) == state
    for entry in chaos.journal:
        assert from_json(Observation, json.loads(json.dumps(to_json(entry.seen)))) == entry.seen
        assert tuple(from_json(Action, a) for a in to_json(entry.actions)) == entry.actions
        assert tuple(from_json(Event, e) for e in to_json(entry.events)) == entry.events
    assert from_json(Policy, json.loads(json.dumps(to_json(policy)))) == policy


@usual
@given(
    st.builds(Policy, st.just("demo"), canaries, replicas=st.integers(1, 6)),
    st.integers(1, 60),
    st.booleans(),
)
def test_after_an_abort_only_roll_back_actions_leave(policy: Policy, after_s: int, restless: bool) -> None:
    """No higher weight, no pods for the aborted revision, no new measurements, no new revisions."""
    world = FakeWorld(policy)
    released, aborted = 100_000, 100_000 + after_s * 1000
    script = [
        (0, lambda: world.hear(ReleaseAsked(world.now, "v1"))),
        (released, lambda: world.hear(ReleaseAsked(world.now, "v2"))),
        (aborted, lambda: world.hear(StatusPatched(world.now, abort=True))),
    ]
    if restless:
        script.append((aborted + 20_000, lambda: world.break_pods("v1", 1)))
    world.run(600_000, script)
    state = world.session.state
    if state.status.stable != "v1":
        return  # promoted before the abort, which then says nothing
    assert state.status.abort
    seen_abort = next(i for i, e in enumerate(world.journal) if isinstance(e.seen, StatusPatched))
    weight = world.journal_weight(seen_abort)
    for entry in world.journal[seen_abort:]:
        for action in entry.actions:
            assert not isinstance(action, CreateRevision | CreateTemplate)
            # What is due at the instant of the abort is still measured: analysis runs come first.
            assert not isinstance(action, Measure) or entry.seen.at == aborted
            if isinstance(action, SetWeight):
                assert action.weight <= weight
                weight = action.weight
            if isinstance(action, Scale) and action.revision == "v2":
                assert action.replicas <= world.most_pods["v2"]
    assert not any(pods for name, pods in world.pods.items() if name not in ("v1", "v2"))


def _gated(place: str, metric: Metric) -> Canary | BlueGreen:
    """A strategy with the metric as an analysis of a step, beside the steps, before or after the switch."""
    analysis, routing = Analysis((metric,)), TrafficRouting(("fake",))
    if place == "step":
        steps = (SetWeightStep(20), AnalysisStep(analysis), SetWeightStep(60), Pause(10_000))
        return Canary(steps=steps, routing=routing)
    if place == "background":
        return Canary(steps=(SetWeightStep(20), Pause(90_000)), routing=routing, background=analysis)
    return BlueGreen("active", "preview", **{place: analysis})  # type: ignore[arg-type]


@usual
@given(
    st.sampled_from(["step", "background", "pre_promotion", "post_promotion"]),
    st.lists(st.sampled_from("SSSF"), min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.integers(0, 2),
)
def test_more_errors_never_turn_an_abort_into_a_promotion(
    place: str, letters: list[str], worse: set[int], limit: int
) -> None:
    metric = Metric(
        "errors", PrometheusProvider("up"), interval_ms=10_000, count=len(letters), failure_limit=limit
    )
    policy = Policy("demo", _gated(place, metric), replicas=5)

    def aborted(outcomes: list[str]) -> bool:
        world = FakeWorld(policy, letters={"errors": outcomes})
        script = [
            (0, lambda: world.hear(ReleaseAsked(world.now, "v1"))),
            (100_000, lambda: world.hear(ReleaseAsked(world.now, "v2"))),
        ]
        world.run(900_000, script)
        return world.session.state.status.abort

    more = ["F" if index in worse else letter for index, letter in enumerate(letters)]
    assert aborted(more) or not aborted(letters)
    if limit < len(letters):
        assert aborted(["F"] * len(letters))


@pytest.mark.parametrize("strategy", [Canary(), RollingUpdate(), Recreate()])
def test_nothing_happens_before_a_release_is_asked_for(strategy: Canary | RollingUpdate | Recreate) -> None:
    world = FakeWorld(Policy("demo", strategy))
    assert world.session.due() is None
    assert decide(world.policy, world.first, Tick(5_000)).actions == ()
