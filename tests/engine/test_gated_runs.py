"""Gates in a rollout: what each verdict does, what holds it, who may go on."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Counted,
    Counts,
    Measure,
    MeasureError,
    MeasurementTaken,
    Outcome,
    PhaseChanged,
    Promoted,
    RunChanged,
    RunPhase,
    State,
    StatusPatched,
    StepCompleted,
    from_json,
    promote,
    promote_full,
    to_json,
)
from rolloutsim.policy.gated import NoData, OnFail, Scope
from rolloutsim.policy.gates import EventShare, RateRatio, SampleRatio, TwoProportionZ, WaldSprt
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    Canary,
    Metric,
    Pause,
    Policy,
    SetWeight,
    TrafficRouting,
)
from rolloutsim.session import replay
from tests.engine.gated_world import GatedWorld, background, gated

BAD = (0.05, 0.01)
GOOD = (0.01, 0.01)
DECISIVE = RateRatio(alpha=0.01, beta=0.05)


def played(policy: Policy, rates: tuple[float, float], until_ms: int = 900_000, **world: Any) -> GatedWorld:
    rollout = GatedWorld(policy, rates=lambda at: rates, **world)
    rollout.release(until_ms)
    return rollout


def status(world: GatedWorld) -> Any:
    return world.session.state.status


def reasons(world: GatedWorld) -> list[str]:
    return [pause.reason for pause in status(world).pauses]


def test_a_bad_canary_is_aborted_and_the_message_carries_the_evidence() -> None:
    world = played(background(gated("errors", DECISIVE)), BAD)
    ((at, event),) = world.events(Aborted)
    assert isinstance(event, Aborted)
    assert at < 120_000
    assert 'Metric "errors" assessed Failed: e-value' in event.message
    assert "rate ratio" in event.message
    assert "canary" in event.message


def test_a_good_canary_is_promoted_and_the_gate_goes_on_looking_after_it_passed() -> None:
    world = played(background(gated("errors", DECISIVE)), GOOD)
    ((promoted, _),) = world.events(Promoted)
    taken = [(at, e.phase) for at, e in world.events(MeasurementTaken)]
    first_pass = next(at for at, phase in taken if phase is MeasurementPhase.SUCCESSFUL)
    assert first_pass < 120_000
    assert max(at for at, _ in taken) > 200_000
    assert promoted < 300_000


def test_a_gate_that_passed_may_still_fail_at_a_higher_weight() -> None:
    """The new version is bad only while it has half of the traffic."""
    policy = background(gated("errors", DECISIVE))
    world = GatedWorld(policy, rates=lambda at: BAD if at > 225_000 else GOOD)
    world.release(900_000)
    taken = [e.phase for _, e in world.events(MeasurementTaken)]
    assert MeasurementPhase.SUCCESSFUL in taken
    assert len(world.events(Aborted)) == 1


def test_missing_evidence_holds_before_everybody_is_next() -> None:
    """Too little traffic to decide: the last step with both versions does not complete."""
    world = played(background(gated("errors", DECISIVE)), GOOD, rate_rps=0.5)
    assert reasons(world) == ["GateUndecided"]
    completed = [e.index for _, e in world.events(StepCompleted)]
    assert completed == [1, 2, 3]
    assert not world.events(Promoted)
    assert world.session.state.facts.weight == 50
    assert world.session.due() is not None, "the gate goes on looking"


def test_evidence_that_comes_during_the_hold_ends_it() -> None:
    world = played(background(gated("errors", DECISIVE)), GOOD, until_ms=20_000_000, rate_rps=2)
    held = [at for at, e in world.events(PhaseChanged) if e.message == "GateUndecided"]
    ((promoted, _),) = world.events(Promoted)
    assert len(held) == 1
    assert promoted > held[0]


def test_a_failure_during_the_hold_aborts() -> None:
    policy = background(gated("errors", DECISIVE))
    world = GatedWorld(policy, rates=lambda at: (0.05, 0.01), rate_rps=2)
    world.release(20_000_000)
    held = [at for at, e in world.events(PhaseChanged) if e.message == "GateUndecided"]
    ((aborted, _),) = world.events(Aborted)
    assert held
    assert aborted > held[0]


def test_a_person_ends_the_hold_without_the_evidence() -> None:
    world = GatedWorld(background(gated("errors", DECISIVE)), rates=lambda at: GOOD, rate_rps=0.5)
    world.release(
        900_000,
        (600_000, lambda: world.hear(promote(world.session.policy, world.session.state, world.now, "anna"))),
    )
    ((promoted, _),) = world.events(Promoted)
    assert 600_000 <= promoted < 620_000


@pytest.mark.parametrize(("actor", "goes_on"), [("bob", False), ("anna", True)])
def test_only_approvers_go_past_an_undecided_gate(actor: str, goes_on: bool) -> None:
    policy = background(gated("errors", DECISIVE, approvers=("anna",)))
    for command in (promote, promote_full):
        world = GatedWorld(policy, rates=lambda at: GOOD, rate_rps=0.5)

        def deed(world: GatedWorld = world, command: Any = command) -> None:
            world.hear(command(world.session.policy, world.session.state, world.now, actor))

        world.release(900_000, (600_000, deed))
        assert bool(world.events(Promoted)) is goes_on
    world.hear(StatusPatched(world.now, abort=True, actor="bob"))
    assert status(world).abort or goes_on, "an abort is anybody's"


def test_a_gate_that_expires_waits_for_a_person_and_says_what_is_missing() -> None:
    policy = background(gated("errors", DECISIVE, expires_after_ms=60_000))
    world = played(policy, GOOD, rate_rps=0.5)
    changes = [(at, e) for at, e in world.events(RunChanged) if e.phase is RunPhase.INCONCLUSIVE]
    ((at, change),) = changes
    started = world.events(RunChanged)[0][0]
    assert at == started + 60_000, "exactly then, though no look is due"
    assert "expired undecided" in change.message
    assert reasons(world) == ["InconclusiveAnalysisRun"]


def test_onfail_hold_waits_for_a_person_instead_of_aborting() -> None:
    world = played(background(gated("errors", DECISIVE, on_fail=OnFail.HOLD)), BAD)
    assert not world.events(Aborted)
    assert "InconclusiveAnalysisRun" in reasons(world)


def test_the_run_after_a_persons_answer_counts_anew() -> None:
    policy = background(gated("errors", DECISIVE, on_fail=OnFail.HOLD))
    world = GatedWorld(policy, rates=lambda at: BAD if at < 160_000 else GOOD)

    def resume() -> None:
        world.hear(promote(world.session.policy, world.session.state, world.now, "anna"))

    world.release(200_000, (80_000, resume))
    spans = [m.spans[0].start for m in world.asked if m.run.endswith(".1") and m.spans]
    assert spans
    assert min(spans) >= 180_000
    assert "InconclusiveAnalysisRun" not in reasons(world)


# --- no data --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        (NoData.WAIT, "GateUndecided"),
        (NoData.HOLD, "InconclusiveAnalysisRun"),
        (NoData.FAIL, "aborted"),
        (NoData.PASS, "promoted"),
    ],
)
def test_no_data_does_what_the_policy_says(rule: NoData, end: str) -> None:
    world = played(background(gated("errors", DECISIVE, on_no_data=rule)), GOOD, rate_rps=0.0)
    if end == "aborted":
        assert world.events(Aborted)
    elif end == "promoted":
        assert world.events(Promoted)
    else:
        assert end in reasons(world)


def test_no_data_is_not_said_before_traffic_should_flow() -> None:
    steps = (Pause(60_000), *background().strategy.steps)  # type: ignore[union-attr]
    world = played(background(gated("errors", DECISIVE, on_no_data=NoData.FAIL), steps=steps), GOOD)
    assert world.events(Promoted)


# --- several gates ----------------------------------------------------------------------------------


def test_gates_fail_together_when_their_evidence_adds_up() -> None:
    """Two gates at 5.5 % and 4.6 % of their limits each fail neither; at 60 % each they fail together."""
    one = gated("errors", RateRatio(alpha=0.01, beta=0.05))
    two = gated("slow", RateRatio(alpha=0.01, beta=0.05))
    alone = played(background(one), (0.03, 0.01))
    both = played(background(one, two), (0.03, 0.01))
    ((at_alone, _),) = alone.events(Aborted)
    ((at_both, event),) = both.events(Aborted)
    assert at_both <= at_alone
    words = event.message
    assert at_both == at_alone or "fails together with" in words


def test_misrouted_requests_take_the_word_from_gates_that_compare() -> None:
    """The router sends three times the weight: the comparison would blame the canary."""
    routing = gated("routing", SampleRatio())
    errors = gated("errors", DECISIVE)
    world = played(background(errors, routing), GOOD, split=lambda weight: min(3 * weight, 90))
    assert not world.events(Aborted)
    assert "InconclusiveAnalysisRun" in reasons(world)
    change = next(e for _, e in world.events(RunChanged) if e.phase is RunPhase.INCONCLUSIVE)
    assert "do not follow the weight" in change.message
    assert played(background(errors), GOOD, split=lambda weight: min(3 * weight, 90)).events(Aborted)


def test_an_absolute_gate_still_fails_when_requests_are_misrouted() -> None:
    routing = gated("routing", SampleRatio(), interval_ms=30_000)
    objective = gated("objective", WaldSprt(0.01, 0.03), stable=None)
    world = played(background(objective, routing), BAD, split=lambda weight: min(3 * weight, 90))
    assert world.events(Aborted)


def test_a_dry_run_gate_decides_nothing() -> None:
    policy = background(gated("errors", DECISIVE))
    strategy = policy.strategy
    assert isinstance(strategy, Canary)
    analysis = Analysis((gated("errors", DECISIVE),), dry_run=("errors",))
    world = played(replace(policy, strategy=replace(strategy, background=analysis)), BAD)
    assert world.events(Promoted)


# --- scope, weights, inline -------------------------------------------------------------------------


def test_spans_follow_the_weights_and_end_when_another_is_asked_for() -> None:
    world = played(background(gated("errors", DECISIVE)), GOOD)
    last = world.asked[-1].spans
    weights = [span.weight_percent for span in last]
    assert weights[:2] == [20.0, 50.0]
    assert all(a.end is not None and a.end <= b.start for a, b in pairwise(last))


def test_scope_step_counts_anew_at_each_weight() -> None:
    world = played(background(gated("errors", DECISIVE, scope=Scope.STEP)), GOOD)
    assert {len(request.spans) for request in world.asked} <= {0, 1}
    assert {s.weight_percent for request in world.asked for s in request.spans} == {20.0, 50.0}


def inline(metric: Metric) -> Policy:
    steps = (SetWeight(20), AnalysisStep(Analysis((metric,))), SetWeight(50), Pause(10_000))
    strategy = Canary(
        steps=steps, stable_service="stable", canary_service="canary", routing=TrafficRouting(("fake",))
    )
    return Policy("demo", strategy, replicas=5)


def test_an_inline_gate_ends_its_step_with_a_pass() -> None:
    world = played(inline(gated("errors", DECISIVE, watches=False, expires_after_ms=600_000)), GOOD)
    assert world.events(Promoted)
    taken = world.events(MeasurementTaken)
    assert taken[-1][1].phase is MeasurementPhase.SUCCESSFUL


@pytest.mark.parametrize("more", [{"expires_after_ms": 60_000}, {"count": 3}])
def test_an_inline_gate_that_runs_out_is_inconclusive_and_never_a_pass(more: dict[str, Any]) -> None:
    world = played(inline(gated("errors", DECISIVE, watches=False, **more)), GOOD, rate_rps=0.5)
    assert reasons(world) == ["InconclusiveAnalysisRun"]
    assert not world.events(Promoted)


def test_an_absolute_gate_counts_also_where_the_canary_has_everybody() -> None:
    metric = gated("objective", WaldSprt(0.01, 0.03), stable=None)
    steps = (SetWeight(100), Pause(120_000))
    world = played(background(metric, steps=steps), BAD)
    assert world.events(Aborted)


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (MeasureError("prometheus is away"), "away"),
        (Counted(()), "spans"),
        (Counted((Counts(5, 9, 100, 1),)), "impossible"),
        (Counted((Counts(-1, 0, 100, 1),)), "impossible"),
        (MeasurementPhase.SUCCESSFUL, "no counts"),
    ],
)
def test_an_answer_that_is_none_is_an_error_with_a_reason(outcome: Outcome, word: str) -> None:
    class Broken(GatedWorld):
        def counts(self, request: Measure) -> Outcome:
            return outcome if len(request.spans) == 1 else Counted(())

    world = Broken(background(gated("errors", DECISIVE)))
    world.release(40_000)
    errors = [e for _, e in world.events(MeasurementTaken) if e.phase is MeasurementPhase.ERROR]
    assert errors
    assert all(word in e.message for e in errors)
    world.run(1_000_000)
    assert not world.events(Promoted)
    assert world.events(Aborted), "five errors in a row, as for any metric"


def test_counts_that_fall_are_refused_and_the_verdict_stands() -> None:
    class Falling(GatedWorld):
        def counts(self, request: Measure) -> Outcome:
            real = super().counts(request)
            late = len(self.asked) == 4
            assert isinstance(real, Counted)
            return Counted(tuple(Counts(1, 0, 1, 0) for _ in real.spans)) if late else real

    world = Falling(background(gated("errors", DECISIVE)), rates=lambda at: GOOD)
    world.release(900_000)
    refused = [e for _, e in world.events(MeasurementTaken) if "refused" in e.message]
    assert len(refused) == 1
    assert world.events(Promoted)


@pytest.mark.parametrize("weight", [0, 100])
def test_weights_without_two_versions_decide_nothing(weight: int) -> None:
    steps = (SetWeight(weight), Pause(60_000), SetWeight(50), Pause(10_000))
    world = played(background(gated("errors", DECISIVE), steps=steps), BAD, until_ms=50_000)
    taken = world.events(MeasurementTaken)
    assert taken
    assert all(e.phase is MeasurementPhase.RUNNING for _, e in taken)
    assert all("nan" not in (e.value + e.message).lower() for _, e in taken)


# --- the record -------------------------------------------------------------------------------------


def test_state_and_journal_survive_json_and_replay() -> None:
    policy = background(
        gated("errors", DECISIVE), gated("share", EventShare()), gated("z", TwoProportionZ(min_requests=50))
    )
    world = played(policy, (0.012, 0.01))
    assert from_json(Policy, json.loads(json.dumps(to_json(policy)))) == policy
    state = world.session.state
    assert from_json(State, json.loads(json.dumps(to_json(state)))) == state
    assert replay(policy, world.first, world.journal) == state


def test_every_look_tells_its_evidence() -> None:
    world = played(background(gated("errors", DECISIVE)), GOOD)
    for _, event in world.events(MeasurementTaken):
        assert "e-value" in event.value
        assert "canary" in event.value
        assert event.message or event.phase is MeasurementPhase.SUCCESSFUL
