"""Arbitrary histories for the engine: policies, and worlds that answer, fail, lie, repeat and fall silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from rolloutsim.conditions import MeasurementPhase, VectorResult
from rolloutsim.engine import (
    Action,
    Counted,
    Counts,
    CreateRevision,
    CreateTemplate,
    Failed,
    Failure,
    Measure,
    Measured,
    MeasureError,
    Observation,
    Outcome,
    PolicyChanged,
    ReleaseAsked,
    RemoveRevision,
    ReplicasWanted,
    RevisionSeen,
    Role,
    Scale,
    ServiceSeen,
    SetService,
    SetWeight,
    Snapshot,
    StatusPatched,
    TerminateMeasurement,
    Tick,
    WeightSeen,
    start,
)
from rolloutsim.policy.gated import ArmCounters, GatedCounts, NoData, OnFail, Scope
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    GroupSequential,
    RateRatio,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentAnalysis,
    ExperimentStep,
    ExperimentTemplate,
    IntOrPercent,
    JobProvider,
    Metric,
    Pause,
    Policy,
    ProgressThreshold,
    PrometheusProvider,
    Recreate,
    RollingUpdate,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    TrafficRouting,
)
from rolloutsim.policy.model import (
    SetWeight as SetWeightStep,
)
from rolloutsim.session import Entry, Session

REVISIONS = ("v1", "v2", "v3")

# --- policies -------------------------------------------------------------------------------------

metrics = st.builds(
    Metric,
    name=st.just("errors"),
    provider=st.sampled_from([PrometheusProvider("up"), JobProvider()]),
    interval_ms=st.sampled_from([None, 5_000, 10_000]),
    initial_delay_ms=st.sampled_from([0, 3_000]),
    count=st.sampled_from([None, 1, 3]),
    success_condition=st.sampled_from(["", "result[0] < 0.5"]),
    failure_condition=st.sampled_from(["", "result[0] > 0.9"]),
    failure_limit=st.integers(0, 1),
    inconclusive_limit=st.integers(0, 1),
).filter(lambda m: m.count != 3 or m.interval_ms is not None)
gates = st.sampled_from(
    [
        RateRatio(),
        RateRatio(harmless_rate=0.3, min_requests=20, max_requests=200),
        EventShare(margin=1.0),
        SampleRatio(),
        TwoSampleBlocks(),
        WaldSprt(0.01, 0.2),
        GroupSequential(planned_requests=50, looks=2),
        TwoProportionZ(min_requests=5),
        FisherExact(),
        BetaPosterior(min_requests=5),
    ]
)
gated = st.builds(
    lambda counts, interval_ms, count: Metric("errors", counts, interval_ms=interval_ms, count=count),
    st.builds(
        GatedCounts,
        gate=gates,
        canary=st.just(ArmCounters("c", "d")),
        stable=st.sampled_from([ArmCounters("s", "t"), None]),
        on_no_data=st.sampled_from(list(NoData)),
        on_fail=st.sampled_from(list(OnFail)),
        scope=st.sampled_from(list(Scope)),
        expires_after_ms=st.sampled_from([None, 12_000]),
        approvers=st.sampled_from([(), ("anna",)]),
        watches=st.booleans(),
    ),
    st.sampled_from([5_000, 10_000]),
    st.sampled_from([None, 3]),
)
analyses = st.builds(lambda metric: Analysis((metric,)), st.one_of(metrics, gated))
finite_analyses = st.builds(
    lambda metric: Analysis((metric,)),
    st.one_of(metrics, gated).filter(lambda m: m.interval_ms is None or m.count is not None),
)
experiments = st.builds(
    ExperimentStep,
    templates=st.lists(
        st.builds(
            ExperimentTemplate,
            name=st.sampled_from(["trial", "baseline"]),
            canary=st.booleans(),
            replicas=st.integers(0, 2),
            weight=st.sampled_from([None, 0, 5]),
        ),
        max_size=2,
        unique_by=lambda template: template.name,
    ).map(tuple),
    analyses=st.lists(
        st.builds(
            ExperimentAnalysis,
            name=st.sampled_from(["errors", "latency"]),
            analysis=st.builds(lambda metric: Analysis((metric,)), metrics),
            required=st.booleans(),
        ),
        max_size=2,
        unique_by=lambda analysis: analysis.name,
    ).map(tuple),
    duration_ms=st.sampled_from([None, 0, 5_000, 40_000]),
    scale_down_delay_ms=st.sampled_from([0, 20_000]),
)
steps = st.one_of(
    st.builds(SetWeightStep, st.sampled_from([0, 10, 50, 100])),
    st.builds(Pause, st.sampled_from([None, 0, 5_000])),
    st.builds(SetCanaryScale, st.sampled_from([None, 2]), st.sampled_from([None, 30]), st.booleans()),
    st.builds(AnalysisStep, finite_analyses),
    experiments,
    st.just(SetHeaderRoute("beta", '[{"headerName": "x"}]')),
    st.just(SetMirrorRoute("copy", '[{"path": {"prefix": "/"}}]', 50)),
)
delays = st.sampled_from([None, 0, 20_000])
canaries = st.builds(
    Canary,
    steps=st.lists(steps, max_size=5).map(tuple),
    max_surge=st.sampled_from([IntOrPercent(25, percent=True), IntOrPercent(1), IntOrPercent(0)]),
    max_unavailable=st.sampled_from([IntOrPercent(25, percent=True), IntOrPercent(1)]),
    stable_service=st.just("stable"),
    canary_service=st.just("canary"),
    routing=st.one_of(st.none(), st.builds(TrafficRouting, st.just(("fake",)), verifies=st.booleans())),
    background=st.one_of(st.none(), analyses),
    starting_step=st.sampled_from([None, 1]),
    scale_down_delay_ms=delays,
    scale_down_delay_revision_limit=st.sampled_from([None, 0, 1]),
    abort_scale_down_delay_ms=delays,
    dynamic_stable_scale=st.booleans(),
    min_pods_per_replica_set=st.sampled_from([None, 2]),
    progress_threshold=st.sampled_from([None, ProgressThreshold(50, percent=True)]),
    ping_pong=st.sampled_from([None, None, ("ping", "pong")]),
)
blue_greens = st.builds(
    BlueGreen,
    active_service=st.just("active"),
    preview_service=st.sampled_from(["", "preview"]),
    preview_replica_count=st.sampled_from([None, 1]),
    auto_promotion_enabled=st.booleans(),
    auto_promotion_ms=st.sampled_from([0, 10_000]),
    scale_down_delay_ms=delays,
    scale_down_delay_revision_limit=st.sampled_from([None, 1]),
    abort_scale_down_delay_ms=delays,
    pre_promotion=st.one_of(st.none(), finite_analyses),
    post_promotion=st.one_of(st.none(), finite_analyses),
)
strategies = st.one_of(canaries, blue_greens, st.just(RollingUpdate()), st.just(Recreate()))
policies = st.builds(
    Policy,
    name=st.just("demo"),
    strategy=strategies,
    replicas=st.integers(0, 6),
    progress_deadline_ms=st.sampled_from([30_000, 600_000]),
    progress_deadline_abort=st.booleans(),
    revision_history_limit=st.sampled_from([0, 1, 10]),
    rollback_window_revisions=st.sampled_from([None, 1]),
)

# --- what happens ---------------------------------------------------------------------------------

outcomes = st.one_of(
    st.sampled_from([VectorResult((0.1,)), VectorResult((0.95,)), VectorResult((0.7,)), VectorResult(())]),
    st.sampled_from(list(MeasurementPhase)),
    st.just(MeasureError("boom")),
    st.sampled_from([Counted(()), Counted((Counts(10, 3, 50, 1),)), Counted((Counts(1, 3, 5, 1),))]),
)
counts = st.integers(0, 6)


@dataclass(frozen=True)
class Wait:
    """Time passes; ``to_deadline``: exactly as long as the engine asks for."""

    ms: int
    to_deadline: bool = False


@dataclass(frozen=True)
class Answer:
    """The oldest unanswered action but ``skip`` is answered, well or badly."""

    skip: int
    how: str
    ready: bool = True


waits = st.one_of(
    st.builds(Wait, st.sampled_from([0, 1, 1_000, 5_000, 30_000])), st.just(Wait(0, to_deadline=True))
)
answers = st.builds(Answer, st.integers(0, 3), st.sampled_from(["ok", "ok", "ok", "refused", "unknown"]))
raw = st.one_of(
    st.builds(ReleaseAsked, st.just(0), st.sampled_from(REVISIONS)),
    st.builds(ReplicasWanted, st.just(0), counts),
    st.builds(
        RevisionSeen,
        st.just(0),
        st.sampled_from((*REVISIONS, "v2-2-0-trial", "v2-2-1-baseline", "zz")),
        counts,
        counts,
        counts,
        counts,
    ),
    st.builds(ServiceSeen, st.just(0), st.sampled_from(list(Role)), st.sampled_from(("", *REVISIONS))),
    st.builds(WeightSeen, st.just(0), st.sampled_from([0, 10, 100]), st.sampled_from([None, True, False])),
    st.builds(
        Measured,
        st.just(0),
        st.sampled_from(["v2-2", "v2-2-1", "v9-9"]),
        st.just("errors"),
        st.integers(1, 3),
        st.just(0),
        st.just(0),
        outcomes,
    ),
    st.builds(
        Failed, st.just(0), st.sampled_from(["1-create", "7-scale", "x"]), st.sampled_from(list(Failure))
    ),
    st.builds(
        StatusPatched,
        st.just(0),
        clear_pauses=st.booleans(),
        controller_pause=st.sampled_from([None, None, False]),
        step_index=st.sampled_from([None, None, 1, 9]),
        abort=st.sampled_from([None, True, False]),
        promote_full=st.sampled_from([None, None, True]),
        spec_paused=st.sampled_from([None, None, True, False]),
    ),
    st.builds(PolicyChanged, st.just(0), policies),
)
happenings = st.one_of(waits, waits, answers, answers, answers, raw)
histories = st.lists(happenings, min_size=1, max_size=40)


@dataclass
class Chaos:
    """Plays a history; what the engine does lies open until some `Answer` answers it."""

    policy: Policy
    now: int = 1_000
    open: list[Action] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list)
    outcome: VectorResult = field(default_factory=lambda: VectorResult((0.1,)))

    def __post_init__(self) -> None:
        self.first = start(self.policy, Snapshot(at=self.now))
        self.session = Session(self.policy, self.first, self.journal.append)
        self.hear(ReleaseAsked(self.now, "v1"))

    def hear(self, seen: Observation) -> None:
        self.session.hear(seen)

    def play(self, history: Iterable[Wait | Answer | Observation]) -> None:
        for item in history:
            self.play_one(item)

    def play_one(self, item: Wait | Answer | Observation) -> None:
        if isinstance(item, Wait):
            self.wait(item)
        elif isinstance(item, Answer):
            if self.open:
                action = self.open.pop(min(item.skip, len(self.open) - 1))
                for seen in answered(action, self.now, item, self.outcome):
                    self.hear(seen)
        else:
            self.hear(dated(item, self.now))
        self.session.settle(self.now, self.note)

    def wait(self, item: Wait) -> None:
        due = self.session.due() if item.to_deadline else None
        self.now = max(self.now, due) if due is not None else self.now + item.ms

    def note(self, action: Action) -> Iterable[Observation]:
        self.open.append(action)
        return ()


def dated(seen: Observation, at: int) -> Observation:
    """The same observation at another time."""
    values = {name: getattr(seen, name) for name in seen.__dataclass_fields__}
    if isinstance(seen, Measured):
        values["started"] = values["finished"] = at
    return type(seen)(**{**values, "at": at})


def answered(action: Action, at: int, how: Answer, outcome: Outcome) -> Iterable[Observation]:
    """What a world says to one action."""
    if how.how != "ok":
        return [Failed(at, action.id, Failure(how.how))]
    match action:
        case CreateRevision(_, revision) | CreateTemplate(_, revision):
            return [RevisionSeen(at, revision, 0, 0, 0, 0)]
        case Scale(_, revision, n):
            ready = n if how.ready else 0
            return [RevisionSeen(at, revision, n, n, ready, ready)]
        case RemoveRevision(_, revision):
            return [RevisionSeen(at, revision, 0, 0, 0, 0)]
        case SetService(_, role, revision):
            return [ServiceSeen(at, role, revision)]
        case SetWeight(_, weight, additional):
            return [WeightSeen(at, weight, True, additional)]
        case Measure(_, run, metric, attempt, provider=GatedCounts()):
            return [Measured(at, run, metric, attempt, at, at, counted(action))]
        case Measure(_, run, metric, attempt):
            return [Measured(at, run, metric, attempt, at, at, outcome)]
        case TerminateMeasurement(_, run, metric, attempt):
            return [Measured(at, run, metric, attempt, at, at, MeasurementPhase.INCONCLUSIVE)]
    return []


def counted(request: Measure) -> Counted:
    """Counts that rise with the attempts, but for every fifth: those fall, or cannot be."""
    n = request.attempt
    if n % 5 == 4:
        return Counted(tuple(Counts(n, n + n % 2, 3, 1) for _ in request.spans))
    spans = (int(20 * n * max(span.weight_percent, 1.0)) for span in request.spans)
    return Counted(tuple(Counts(c, c // (3 + n % 7), 40 * n, n) for c in spans))


def ticks(journal: Iterable[Entry]) -> int:
    return sum(isinstance(entry.seen, Tick) for entry in journal)
