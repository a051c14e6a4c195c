"""Experiments of a canary: each way to end, what that does to the rollout, weights, pods that go again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from rolloutsim.engine import (
    ExperimentChanged,
    Measure,
    Phase,
    PolicyChanged,
    Promoted,
    ReleaseAsked,
    RunPhase,
    Scale,
    SetWeight,
    StepCompleted,
    promote,
    promote_full,
    retry,
)
from rolloutsim.engine import abort as abort_now
from rolloutsim.engine.experiment import settled
from rolloutsim.policy.model import (
    Analysis,
    Canary,
    ExperimentAnalysis,
    ExperimentArgument,
    ExperimentStep,
    ExperimentTemplate,
    Metric,
    Pause,
    Policy,
    PrometheusProvider,
    RollingUpdate,
    TrafficRouting,
)
from rolloutsim.policy.model import SetWeight as SetWeightStep
from tests.engine.fake_world import READY_MS, FakeWorld

RELEASED = 100_000
UP = RELEASED + READY_MS
"""When the experiment's pods are available."""
TRIAL = ExperimentTemplate("trial", canary=True)
BASELINE = ExperimentTemplate("baseline", canary=False, replicas=2)


def analysis(name: str = "errors", *, required: bool = False, **metric: object) -> ExperimentAnalysis:
    fields = {"interval_ms": 10_000, "count": 2, **metric}
    return ExperimentAnalysis(name, Analysis((Metric(name, PrometheusProvider("up"), **fields),)), required)  # type: ignore[arg-type]


def experiment(*analyses: ExperimentAnalysis, **fields: object) -> ExperimentStep:
    return ExperimentStep((TRIAL, BASELINE), analyses, **fields)  # type: ignore[arg-type]


def policy(*steps: object, **fields: object) -> Policy:
    routing = TrafficRouting(("fake",))
    return Policy(
        "demo", Canary(steps=steps, routing=routing, stable_service="s", canary_service="c"), 4, **fields
    )  # type: ignore[arg-type]


class Play(FakeWorld):
    """v1 runs; v2 is asked for at `RELEASED`."""

    def to(self, until: int, *script: tuple[int, object]) -> Play:
        begin = [] if self.pods else [(0, lambda: self.hear(ReleaseAsked(self.now, "v1")))]
        begin += [] if self.now >= RELEASED else [(RELEASED, lambda: self.hear(ReleaseAsked(self.now, "v2")))]
        self.run(until, [*begin, *script])  # type: ignore[list-item]
        return self

    def told(self) -> list[tuple[int, str, RunPhase]]:
        return [
            (entry.seen.at, event.experiment, event.phase)
            for entry in self.journal
            for event in entry.events
            if isinstance(event, ExperimentChanged)
        ]

    def last(self) -> tuple[int, str, RunPhase]:
        return self.told()[-1]

    def did(self, kind: type) -> list[tuple[int, object]]:
        return [
            (e.seen.at, a)
            for e in self.journal
            for a in e.actions
            if isinstance(a, kind) and e.seen.at >= RELEASED
        ]

    def status(self):  # type: ignore[no-untyped-def]
        return self.session.state.status


def play(
    *steps: object, letters: Mapping[str, Sequence[str]] | None = None, until: int = 900_000, **fields: object
) -> Play:
    return Play(policy(*steps, **fields), letters or {}).to(until)


# --- how it ends ----------------------------------------------------------------------------------


def test_it_lasts_its_duration_from_when_all_pods_are_available_and_then_the_step_is_done() -> None:
    world = play(experiment(duration_ms=60_000), Pause())
    assert world.told() == [
        (RELEASED, "v2-2-0", RunPhase.PENDING),
        (UP, "v2-2-0", RunPhase.RUNNING),
        (UP + 60_000, "v2-2-0", RunPhase.SUCCESSFUL),
    ]
    assert world.status().step_index == 1
    assert world.status().phase is Phase.PAUSED


def test_without_an_end_it_runs_until_somebody_goes_on() -> None:
    world = play(experiment(), Pause())
    assert world.last() == (UP, "v2-2-0", RunPhase.RUNNING)
    assert world.status().step_index == 0
    assert world.session.due() is not None
    world.hear(promote(world.policy, world.session.state, world.now))
    world.to(1_000_000)
    assert world.status().step_index == 1
    assert all(not pods for name, pods in world.pods.items() if name.startswith("v2-2-0"))


def test_a_required_analysis_ends_it_when_it_is_successful() -> None:
    world = play(experiment(analysis(required=True), analysis("endless", count=None)), Pause())
    assert world.last() == (UP + 10_000, "v2-2-0", RunPhase.SUCCESSFUL)
    assert world.session.state.runs == ()


def test_a_required_analysis_keeps_it_beyond_its_duration() -> None:
    world = play(experiment(analysis(required=True, count=4), duration_ms=5_000), Pause())
    assert world.last() == (UP + 30_000, "v2-2-0", RunPhase.SUCCESSFUL)


def test_an_analysis_that_is_not_required_is_ended_with_the_duration() -> None:
    world = play(experiment(analysis(count=None), duration_ms=25_000), Pause())
    assert world.last() == (UP + 25_000, "v2-2-0", RunPhase.SUCCESSFUL)
    taken = [at for at, _ in world.did(Measure)]
    assert taken == [UP, UP + 10_000, UP + 20_000]


@pytest.mark.parametrize(("letter", "phase"), [("F", RunPhase.FAILED), ("E", RunPhase.ERROR)])
def test_a_bad_analysis_ends_it_at_once_and_aborts_the_rollout(letter: str, phase: RunPhase) -> None:
    one = analysis(consecutive_error_limit=0)
    world = play(experiment(one, duration_ms=600_000), SetWeightStep(50), letters={"errors": [letter]})
    assert world.last() == (UP, "v2-2-0", phase)
    assert world.status().abort
    message = world.status().message
    assert (
        "Rollout aborted update to revision 2: Experiment analysis phase is error/failed: Metric" in message
    )
    assert not any(action.weight for _, action in world.did(SetWeight))  # type: ignore[attr-defined]
    assert not any(isinstance(event, StepCompleted) for e in world.journal for event in e.events)


def test_an_inconclusive_one_pauses_and_is_run_again_when_somebody_goes_on() -> None:
    world = play(
        experiment(analysis(count=1, interval_ms=None)), Pause(), letters={"errors": ["I"]}, until=200_000
    )
    assert world.last() == (UP, "v2-2-0", RunPhase.INCONCLUSIVE)
    assert [pause.reason for pause in world.status().pauses] == ["InconclusiveExperiment"]
    assert world.status().message == "InconclusiveExperiment"
    assert not world.status().abort
    world.letters = {"errors": ["S"]}
    world.hear(promote(world.policy, world.session.state, world.now))
    world.to(400_000)
    assert (world.last()[1], world.last()[2]) == ("v2-2-0-1", RunPhase.RUNNING)
    assert world.status().phase is Phase.PROGRESSING


def test_pods_that_never_come_fail_it_at_the_progress_deadline() -> None:
    world = Play(policy(experiment(duration_ms=5_000), progress_deadline_ms=60_000))
    broken = (RELEASED + 1_000, lambda: _never(world, "v2-2-0-trial"))
    world.to(900_000, broken)
    # the clock of a template begins with the last change of its pods
    assert world.last() == (RELEASED + 60_000, "v2-2-0", RunPhase.FAILED)
    assert "Template 'trial' exceeded its progressDeadlineSeconds (60)" in world.status().message
    assert world.status().abort


def _never(world: FakeWorld, revision: str) -> None:
    for pod in world.pods[revision]:
        pod.available_at = None


def test_pods_that_fail_later_take_its_weights_away() -> None:
    weighted = replace(TRIAL, weight=10)
    step = ExperimentStep((weighted,), duration_ms=300_000)
    world = Play(policy(step, Pause(), progress_deadline_ms=60_000))
    world.to(900_000, (UP + 20_000, lambda: world.break_pods("v2-2-0-trial", 0)))
    assert [phase for _, _, phase in world.told()] == [
        RunPhase.PENDING,
        RunPhase.RUNNING,
        RunPhase.PENDING,
        RunPhase.FAILED,
    ]
    assert world.last()[0] == UP + 80_000
    weights = [(at, action.additional) for at, action in world.did(SetWeight)]  # type: ignore[attr-defined]
    assert weights == [(UP, (("v2-2-0-trial", 10),)), (UP + 20_000, ())]


# --- weights --------------------------------------------------------------------------------------


def test_templates_get_their_weights_from_stable_while_it_runs() -> None:
    step = ExperimentStep((replace(TRIAL, weight=5), replace(BASELINE, weight=10)), duration_ms=60_000)
    world = play(SetWeightStep(25), step, Pause())
    extra = (("v2-2-1-trial", 5), ("v2-2-1-baseline", 10))
    asked = [(action.weight, action.additional) for _, action in world.did(SetWeight)]  # type: ignore[attr-defined]
    assert asked == [(25, ()), (25, extra), (25, ())]
    running = next(
        e for e in world.journal if any(isinstance(a, SetWeight) and a.additional for a in e.actions)
    )
    later = Play(policy(SetWeightStep(25), step, Pause())).to(running.seen.at + 10_000)
    weights = later.status().weights
    assert (weights.canary, weights.stable, weights.additional) == (25, 60, extra)


# --- when it is ended from outside ----------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [0, 30_000])
def test_its_pods_go_after_its_own_delay(delay_ms: int) -> None:
    world = play(experiment(duration_ms=60_000, scale_down_delay_ms=delay_ms), Pause())
    gone = {
        at for at, action in world.did(Scale) if action.revision == "v2-2-0-trial" and not action.replicas
    }  # type: ignore[attr-defined]
    assert gone == {UP + 60_000 + delay_ms}
    assert all(settled(one) for one in world.session.state.experiments)


@pytest.mark.parametrize("required", [True, False])
def test_an_abort_ends_it(required: bool) -> None:
    world = Play(policy(experiment(analysis(count=None, required=required)), Pause()))
    world.to(
        900_000, (UP + 15_000, lambda: world.hear(abort_now(world.policy, world.session.state, world.now)))
    )
    assert world.last()[0] == UP + 15_000
    assert world.last()[2].completed
    assert max(at for at, _ in world.did(Measure)) == UP + 10_000
    assert all(settled(one) for one in world.session.state.experiments)
    assert not world.pods["v2-2-0-trial"]


def test_a_full_promotion_ends_it() -> None:
    world = Play(policy(experiment(), Pause()))
    world.to(
        900_000, (UP + 15_000, lambda: world.hear(promote_full(world.policy, world.session.state, world.now)))
    )
    assert world.status().stable == "v2"
    assert all(settled(one) for one in world.session.state.experiments)
    assert any(isinstance(event, Promoted) for e in world.journal for event in e.events)


def test_a_new_revision_ends_it_and_gets_its_own() -> None:
    world = Play(policy(experiment(duration_ms=60_000), Pause()))
    world.to(900_000, (UP + 15_000, lambda: world.hear(ReleaseAsked(world.now, "v3"))))
    by_name = {name: phase for _, name, phase in world.told()}
    assert by_name == {"v2-2-0": RunPhase.SUCCESSFUL, "v3-3-0": RunPhase.SUCCESSFUL}
    assert {template for template in world.pods if template.endswith("trial")} == {
        "v2-2-0-trial",
        "v3-3-0-trial",
    }


def test_another_strategy_leaves_no_pods_behind() -> None:
    world = Play(policy(experiment(), Pause()))
    other = replace(world.policy, strategy=RollingUpdate())
    world.to(600_000, (UP + 15_000, lambda: world.hear(PolicyChanged(world.now, other))))
    assert not world.pods["v2-2-0-trial"]


def test_a_retry_runs_it_again_under_another_name() -> None:
    world = play(experiment(analysis()), Pause(), letters={"errors": ["F"]}, until=300_000)
    assert world.status().abort
    world.hear(retry(world.policy, world.session.state, world.now))
    world.to(600_000)
    assert {name for _, name, _ in world.told()} == {"v2-2-0", "v2-2-0-1"}


def test_the_first_deployment_runs_none() -> None:
    world = FakeWorld(policy(experiment(), Pause()))
    world.run(100_000, [(0, lambda: world.hear(ReleaseAsked(world.now, "v1")))])
    assert list(world.pods) == ["v1"]


# --- what its analyses are told -------------------------------------------------------------------


def test_arguments_name_the_templates_pods() -> None:
    query = 'up{hash="{{args.hash}}",set="{{args.set}}",at="{{args.at}}"}'
    late = (
        ExperimentArgument("hash", "{{templates.trial.podTemplateHash}}"),
        ExperimentArgument("set", "x-{{ templates.baseline.replicaset.name }}"),
        ExperimentArgument("at", "{{experiment.availableAt}}"),
    )
    one = ExperimentAnalysis("one", Analysis((Metric("one", PrometheusProvider(query)),), late))
    world = play(experiment(one, duration_ms=5_000), Pause())
    (_, asked), *_ = world.did(Measure)
    assert asked.provider.query == (  # type: ignore[attr-defined]
        'up{hash="v2-trial",set="x-v2-2-0-baseline",at="1970-01-01T00:01:45Z"}'
    )
