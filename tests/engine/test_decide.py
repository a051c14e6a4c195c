"""Worlds that are not perfect: refusals, silence, slow routers, found states, plain Deployments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Action,
    CreateRevision,
    Failed,
    Failure,
    Measure,
    Observation,
    Phase,
    PhaseChanged,
    PolicyChanged,
    Promoted,
    ReleaseAsked,
    ReplicasWanted,
    Revision,
    RevisionSeen,
    Role,
    Scale,
    SetRoute,
    SetService,
    SetWeight,
    Snapshot,
    StatusPatched,
    StepCompleted,
    Tick,
    WeightSeen,
    deadline,
    decide,
    start,
)
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    Canary,
    FieldArgument,
    JobProvider,
    Metric,
    Pause,
    PluginStep,
    Policy,
    PrometheusProvider,
    Recreate,
    RollingUpdate,
    SetHeaderRoute,
    TrafficRouting,
)
from rolloutsim.policy.model import (
    SetWeight as SetWeightStep,
)
from rolloutsim.session import Entry, Session
from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.sim.world import World
from tests.engine.chaos import Answer, answered
from tests.engine.fake_world import FakeWorld

FOUND = Snapshot(
    at=1_000,
    revisions=(Revision("v1", 7, 0, 4, 4, 4, 4, wanted=4),),
    stable="v1",
    services=((Role.STABLE, "v1"), (Role.CANARY, "v1")),
    weight=0,
)
ROUTED = Policy(
    "demo",
    Canary(
        steps=(SetWeightStep(50), Pause(10_000)),
        stable_service="s",
        canary_service="c",
        routing=TrafficRouting(("fake",), verifies=True),
    ),
    replicas=4,
)
NO_OUTCOME = MeasurementPhase.RUNNING


class Driver:
    """A session on a found world, answered by hand."""

    def __init__(self, policy: Policy = ROUTED, found: Snapshot = FOUND) -> None:
        self.now = found.at
        self.journal: list[Entry] = []
        self.open: list[Action] = []
        self.session = Session(policy, start(policy, found), self.journal.append)

    def hear(self, *seen: Observation) -> None:
        for item in seen:
            self.session.hear(item)

    def settle(self) -> list[Action]:
        """What is asked for at this instant; nothing is answered."""
        asked: list[Action] = []

        def note(action: Action) -> Iterable[Observation]:
            asked.append(action)
            return ()

        self.session.settle(self.now, note)
        self.open = asked
        return asked

    def answer(self) -> None:
        for action in self.open:
            self.hear(*answered(action, self.now, Answer(0, "ok"), NO_OUTCOME))

    def rest(self) -> None:
        """Answer all that is asked for, until the engine is quiet."""
        while self.settle():
            self.answer()

    @property
    def due(self) -> int | None:
        return self.session.due()

    def events(self) -> list[Any]:
        return [event for entry in self.journal for event in entry.events]


def test_a_found_rollout_is_healthy_and_has_no_deadline() -> None:
    driver = Driver()
    assert driver.settle() == []
    assert driver.events() == [PhaseChanged(Phase.HEALTHY, "", 2)]
    assert driver.due is None


def test_a_found_stable_revision_must_exist() -> None:
    with pytest.raises(ValueError, match="v9"):
        start(ROUTED, Snapshot(stable="v9"))


def test_a_new_revision_gets_the_next_number() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    (create,) = driver.settle()
    assert isinstance(create, CreateRevision)
    assert create.number == 8


def test_a_refused_write_is_tried_again_with_doubling_delays() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    (action,) = driver.settle()
    delays = []
    for _ in range(16):
        driver.hear(Failed(driver.now, action.id, Failure.REFUSED))
        assert driver.due is not None
        delays.append(driver.due - driver.now)
        assert driver.settle() == []
        driver.now = driver.due
        (action,) = driver.settle()
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert delays[-1] == 10_000
    driver.answer()
    driver.settle()
    driver.hear(Failed(driver.now, driver.open[0].id, Failure.UNKNOWN))
    assert driver.due == driver.now + 1


def test_a_lost_answer_is_asked_for_again_after_thirty_seconds() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    (first,) = driver.settle()
    assert driver.due == driver.now + 30_000
    driver.now += 30_000
    (second,) = driver.settle()
    assert isinstance(second, CreateRevision)
    assert second.id != first.id


def test_a_late_answer_to_a_dropped_write_does_no_harm() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    driver.hear(ReleaseAsked(driver.now, "v3"))
    before = driver.session.state
    driver.hear(RevisionSeen(driver.now, "v9", 1, 1, 1, 1))
    assert driver.session.state == before


def test_a_step_waits_until_the_router_confirms_its_weight() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.settle()
    driver.answer()
    driver.settle()
    driver.answer()  # 2 pods, at once available
    weights = [action for action in driver.settle() if isinstance(action, SetWeight)]
    assert [action.weight for action in weights] == [50]
    driver.hear(WeightSeen(driver.now, 50, False))
    for action in driver.open:
        if isinstance(action, SetService):
            driver.hear(*answered(action, driver.now, Answer(0, "ok"), NO_OUTCOME))
    driver.settle()
    assert not [e for e in driver.events() if isinstance(e, StepCompleted)]
    assert driver.due == driver.now + 10_000
    driver.now += 10_000
    assert [a.weight for a in driver.settle() if isinstance(a, SetWeight)] == [50]
    driver.hear(WeightSeen(driver.now, 50, True))
    driver.settle()
    assert [e.index for e in driver.events() if isinstance(e, StepCompleted)] == [1]


def test_nothing_is_promoted_before_the_router_confirms_all_traffic() -> None:
    driver = Driver()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    driver.now += 10_000

    def last_weight() -> int | None:
        asked = [a.weight for a in driver.open if isinstance(a, SetWeight)]
        return asked[-1] if asked else None

    while last_weight() != 100:
        driver.settle()
        if last_weight() != 100:
            driver.answer()
    driver.hear(WeightSeen(driver.now, 100, False))
    driver.settle()
    assert not [e for e in driver.events() if isinstance(e, Promoted)]
    driver.hear(WeightSeen(driver.now, 100, True))
    driver.rest()
    assert [e.reason for e in driver.events() if isinstance(e, Promoted)] == ["Completed all 2 canary steps"]


def test_a_field_that_the_rollout_does_not_have_backs_off_and_then_goes_on() -> None:
    metric = Metric("m", PrometheusProvider('up{team="{{args.team}}"}'))
    analysis = Analysis((metric,), late=(FieldArgument("team", "metadata.labels['team']"),))
    policy = Policy("demo", Canary(steps=(AnalysisStep(analysis), Pause())), replicas=4)
    driver = Driver(policy)
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    assert driver.due is not None
    assert driver.due > driver.now
    driver.hear(ReleaseAsked(driver.now, "v2", (("metadata.labels['team']", "blue"),)))
    driver.now = driver.due
    asked = driver.settle()
    assert 'up{team="blue"}' in str(asked)


def test_plugins_and_routes_are_over_at_once() -> None:
    steps = (
        SetWeightStep(25),
        SetHeaderRoute("beta", "[]"),
        PluginStep("x"),
        Pause(),
    )
    policy = Policy(
        "demo",
        Canary(steps=steps, routing=TrafficRouting(("fake",), managed_routes=("beta",))),
        replicas=4,
    )
    driver = Driver(policy)
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    assert [e.step for e in driver.events() if isinstance(e, StepCompleted)] == [
        "setWeight: 25",
        "setHeaderRoute: beta",
        "plugin: x",
    ]
    routes = [a for e in driver.journal for a in e.actions if isinstance(a, SetRoute)]
    assert [action.name for action in routes] == ["beta"]
    driver.hear(StatusPatched(driver.now, abort=True))
    driver.rest()
    assert "RemoveRoutes" in {type(a).__name__ for e in driver.journal for a in e.actions}


def test_a_job_without_an_answer_is_asked_for_again() -> None:
    analysis = Analysis((Metric("smoke", JobProvider()),))
    policy = Policy("demo", Canary(steps=(AnalysisStep(analysis), Pause())), replicas=4)
    driver = Driver(policy)
    driver.hear(ReleaseAsked(driver.now, "v2"))
    asked: list[Action] = []
    while not (asked := [a for a in driver.settle() if isinstance(a, Measure)]):
        driver.answer()
    assert driver.due == driver.now + 15 * 60_000
    driver.now += 15 * 60_000
    again = [a for a in driver.settle() if isinstance(a, Measure)]
    assert [(a.run, a.metric, a.attempt) for a in again] == [("v2-8-0", "smoke", 1)]
    assert again != asked
    driver.hear(*answered(again[0], driver.now, Answer(0, "ok"), MeasurementPhase.SUCCESSFUL))
    driver.settle()
    assert [e.index for e in driver.events() if isinstance(e, StepCompleted)] == [1]


def test_an_autoscaler_changes_the_replicas() -> None:
    driver = Driver()
    driver.settle()
    driver.hear(ReplicasWanted(driver.now, 6))
    assert [(a.revision, a.replicas) for a in driver.settle() if isinstance(a, Scale)] == [("v1", 6)]


def test_a_policy_with_other_steps_starts_over() -> None:
    world = FakeWorld(Policy("demo", Canary(steps=(SetWeightStep(50), Pause())), replicas=4))
    other = Policy("demo", Canary(steps=(SetWeightStep(25), Pause())), replicas=4)
    script = [
        (0, lambda: world.hear(ReleaseAsked(world.now, "v1"))),
        (100_000, lambda: world.hear(ReleaseAsked(world.now, "v2"))),
        (200_000, lambda: world.hear(PolicyChanged(world.now, other))),
    ]
    world.run(300_000, script)
    assert world.session.state.status.step_index == 1
    assert {r.id: r.desired for r in world.session.state.facts.revisions} == {"v1": 3, "v2": 1}


def test_a_tick_after_a_long_sleep_does_what_is_late() -> None:
    world = FakeWorld(ROUTED)
    script = [
        (0, lambda: world.hear(ReleaseAsked(world.now, "v1"))),
        (50_000, lambda: world.hear(ReleaseAsked(world.now, "v2"))),
    ]
    world.run(56_000, script)
    assert world.session.due() == 65_000
    late = decide(ROUTED, world.session.state, Tick(10**7))
    assert [event.step for event in late.events if isinstance(event, StepCompleted)] == ["pause: 10s"]


# --- plain Deployments ----------------------------------------------------------------------------


def deployment(strategy: RollingUpdate | Recreate, **more: Any) -> Driver:
    return Driver(Policy("demo", strategy, replicas=4, **more))


@pytest.mark.parametrize("strategy", [RollingUpdate(), Recreate()])
def test_a_deployment_is_promoted_when_all_its_pods_are_new(strategy: RollingUpdate | Recreate) -> None:
    driver = deployment(strategy)
    driver.rest()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    (create,) = driver.settle()
    assert isinstance(create, CreateRevision)
    driver.answer()
    assert driver.settle() == []
    driver.hear(RevisionSeen(driver.now, "v2", 4, 4, 4, 4))
    driver.settle()
    assert not [e for e in driver.events() if isinstance(e, Promoted)]
    driver.hear(RevisionSeen(driver.now, "v1", 0, 0, 0, 0))
    driver.settle()
    assert [e.revision for e in driver.events() if isinstance(e, Promoted)] == ["v2"]
    assert driver.session.state.status.phase is Phase.HEALTHY
    assert driver.due is None


def test_an_aborted_deployment_gets_the_stable_template_again() -> None:
    driver = deployment(RollingUpdate())
    driver.rest()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    driver.hear(RevisionSeen(driver.now, "v2", 2, 2, 0, 0))
    driver.settle()
    driver.hear(StatusPatched(driver.now, abort=True))
    (undo,) = driver.settle()
    assert isinstance(undo, CreateRevision)
    assert undo.revision == "v1"
    driver.answer()
    driver.hear(RevisionSeen(driver.now, "v1", 4, 4, 4, 4), RevisionSeen(driver.now, "v2", 0, 0, 0, 0))
    assert driver.settle() == []
    assert [e.number for e in driver.events() if isinstance(e, Aborted)] == [8]
    assert driver.session.state.status.phase is Phase.DEGRADED


def test_a_deployment_that_makes_no_progress_is_degraded() -> None:
    driver = deployment(RollingUpdate(), progress_deadline_ms=60_000)
    driver.rest()
    driver.hear(ReleaseAsked(driver.now, "v2"))
    driver.rest()
    driver.hear(RevisionSeen(driver.now, "v2", 1, 1, 0, 0))
    driver.settle()
    assert driver.due == driver.now + 61_000
    driver.now += 61_000
    driver.settle()
    assert driver.session.state.status.phase is Phase.DEGRADED
    assert driver.session.state.status.message.startswith("ProgressDeadlineExceeded")


def test_an_unasked_engine_has_no_deadline() -> None:
    state = start(ROUTED, Snapshot())
    assert deadline(ROUTED, state) is None


def test_a_routed_canary_gives_up_its_old_pods_after_the_promotion() -> None:
    """Also when the engine took over a stable revision that it did not deploy."""
    policy = load_policy("scenarios/policies/httproute-canary.yaml")
    world = load_scenario("scenarios/article/worlds/good.yaml")
    last: dict[str, int] = {}

    def note(entry: Entry) -> None:
        if isinstance(entry.seen, RevisionSeen):
            last[entry.seen.revision] = entry.seen.desired

    World(policy, world, 1, 0, record=note).play()
    assert last == {STABLE: 0, NEW: policy.replicas}
