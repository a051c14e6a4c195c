"""What the engine hears, what it asks for, and what it tells people.

Three closed unions of frozen dataclasses: `Observation` in, `Action` and `Event` out. ``at`` is the
time of an observation in integer milliseconds; the engine has no other clock. An action states the
desired state, never a delta, so that doing it twice does no harm; its ``id`` is a function of the
history. An event is for people and traces and is never read back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.conditions import MeasurementPhase, Result
from rolloutsim.engine.construction import built_fast
from rolloutsim.policy.model import Policy, Provider

__all__ = [
    "Aborted",
    "Action",
    "Counted",
    "Counts",
    "CreateRevision",
    "CreateTemplate",
    "Event",
    "ExperimentChanged",
    "Failed",
    "Failure",
    "Measure",
    "MeasureError",
    "Measured",
    "MeasurementTaken",
    "Observation",
    "Outcome",
    "Paused",
    "Phase",
    "PhaseChanged",
    "PolicyChanged",
    "Promoted",
    "ReleaseAsked",
    "RemoveRevision",
    "RemoveRoutes",
    "ReplicasWanted",
    "Resumed",
    "RevisionSeen",
    "Role",
    "RunChanged",
    "RunPhase",
    "Scale",
    "ServiceSeen",
    "SetRoute",
    "SetService",
    "SetWeight",
    "Span",
    "StatusPatched",
    "StepCompleted",
    "StepsSkipped",
    "TerminateMeasurement",
    "Tick",
    "WeightSeen",
]


class Role(StrEnum):
    """The four Services that a strategy may own."""

    STABLE = "stable"
    CANARY = "canary"
    ACTIVE = "active"
    PREVIEW = "preview"


class Phase(StrEnum):
    """Phase of a rollout, as ``status.phase`` of Argo Rollouts."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    HEALTHY = "Healthy"


class Failure(StrEnum):
    """How a write went wrong: refused is certain, unknown may have happened (a time-out)."""

    REFUSED = "refused"
    UNKNOWN = "unknown"


class RunPhase(StrEnum):
    """Phase of a run or of a metric in it (Argo Rollouts, ``AnalysisPhase``); NEW is its empty phase."""

    NEW = ""
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"

    def __init__(self, name: str) -> None:
        self.completed = name not in ("", "Pending", "Running")
        self.bad = name in ("Failed", "Error", "Inconclusive")
        """One such metric ends its run."""


# --- observations ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """Somebody wants this revision (a new pod template) to run.

    ``fields`` are the values of the Rollout's fields that late-bound arguments name, as pairs
    (path, value).
    """

    at: int
    revision: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    at: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class ReplicasWanted:
    """The number of replicas changed (an autoscaler or a person)."""

    at: int
    replicas: int


@built_fast
@dataclass(frozen=True, slots=True)
class RevisionSeen:
    """Pods of one revision: asked for, created, ready, and available for long enough.

    It also answers `CreateRevision`, `CreateTemplate`, `Scale` and `RemoveRevision`. The pods of an
    experiment's template are told in the same way.
    """

    at: int
    revision: str
    desired: int
    created: int
    ready: int
    available: int


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """The revision that a Service selects (empty: none). It also answers `SetService`."""

    at: int
    role: Role
    revision: str


@dataclass(frozen=True, slots=True)
class WeightSeen:
    """The weight of the canary at the router. It also answers `SetWeight`, whose ``additional`` it repeats.

    ``verified`` is True or False where the router can confirm what traffic does, None where it
    cannot say.
    """

    at: int
    weight: int
    verified: bool | None = None
    additional: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MeasureError:
    """A measurement that gave no result: time-out, HTTP error, missing secret, unknown query."""

    message: str


@built_fast
@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of both versions in one span, and how many of them were bad. A version not asked for has 0."""

    canary_requests: int
    canary_bad: int
    stable_requests: int
    stable_bad: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a gate's counters came to: one item per span of the `Measure`, in its order."""

    spans: tuple[Counts, ...]


Outcome = Result | MeasurementPhase | MeasureError | Counted
"""A typed result (an empty vector is a value), a phase (jobs, plugins), an error, or counts (gates)."""


@built_fast
@dataclass(frozen=True, slots=True)
class Measured:
    """The answer to `Measure`; ``attempt`` counts from 1 per run and metric."""

    at: int
    run: str
    metric: str
    attempt: int
    started: int
    finished: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Failed:
    """A write that was refused, or whose fate is unknown. ``action`` is the action's id."""

    at: int
    action: str
    how: Failure
    message: str = ""


@dataclass(frozen=True, slots=True)
class StatusPatched:
    """What a person's command writes into the status, as the field's own command line does.

    None leaves a field alone. ``clear_pauses`` deletes the pause conditions.
    """

    at: int
    clear_pauses: bool = False
    controller_pause: bool | None = None
    step_index: int | None = None
    abort: bool | None = None
    promote_full: bool | None = None
    spec_paused: bool | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has come: run exactly one reconcile pass."""

    at: int


Observation = (
    ReleaseAsked
    | PolicyChanged
    | ReplicasWanted
    | RevisionSeen
    | ServiceSeen
    | WeightSeen
    | Measured
    | Failed
    | StatusPatched
    | Tick
)


# --- actions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateRevision:
    """Make this revision exist, with no pods (Argo) or as the Deployment's new template."""

    id: str
    revision: str
    number: int


@dataclass(frozen=True, slots=True)
class CreateTemplate:
    """Make the pods of an experiment's template exist, with no pods yet.

    They have the pod spec of revision ``like`` and ``pod_hash`` as their label; ``apart`` as in
    `rolloutsim.policy.model.ExperimentTemplate`.
    """

    id: str
    revision: str
    like: str
    pod_hash: str
    apart: bool


@dataclass(frozen=True, slots=True)
class Scale:
    id: str
    revision: str
    replicas: int


@dataclass(frozen=True, slots=True)
class RemoveRevision:
    id: str
    revision: str


@dataclass(frozen=True, slots=True)
class SetService:
    id: str
    role: Role
    revision: str


@dataclass(frozen=True, slots=True)
class SetWeight:
    """The weight of the canary, and those of an experiment's templates: pairs (revision, weight)."""

    id: str
    weight: int
    additional: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SetRoute:
    """A header or mirror route, sent to the canary. ``route_json`` is the step as it stands."""

    id: str
    name: str
    route_json: str


@dataclass(frozen=True, slots=True)
class RemoveRoutes:
    id: str


@dataclass(frozen=True, slots=True)
class Span:
    """A time (ms, both ends) in which one weight was in force; ``end`` None: until the measurement."""

    start: int
    end: int | None
    weight_percent: float


@built_fast
@dataclass(frozen=True, slots=True)
class Measure:
    """Take one measurement; all arguments are filled in, secrets stay references.

    ``spans`` are what a gate counts in (`rolloutsim.engine.counting.count_arms` answers it in any world);
    empty for every other provider, and for a gate while there is nothing to count yet.
    """

    id: str
    run: str
    metric: str
    attempt: int
    provider: Provider
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class TerminateMeasurement:
    id: str
    run: str
    metric: str
    attempt: int


Action = (
    CreateRevision
    | CreateTemplate
    | Scale
    | RemoveRevision
    | SetService
    | SetWeight
    | SetRoute
    | RemoveRoutes
    | Measure
    | TerminateMeasurement
)


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """Phase, message or the list of pause reasons changed. ``step_index`` None: no steps."""

    phase: Phase
    message: str
    step_index: int | None


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """Step ``index`` of ``total`` (from 1) is done; ``step`` is its text, as ``setWeight: 20``."""

    index: int
    total: int
    step: str


@dataclass(frozen=True, slots=True)
class Paused:
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    pass


@dataclass(frozen=True, slots=True)
class StepsSkipped:
    reason: str


@dataclass(frozen=True, slots=True)
class RunChanged:
    """An analysis run changed phase."""

    run: str
    phase: RunPhase
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentChanged:
    """An experiment changed phase."""

    experiment: str
    phase: RunPhase
    message: str = ""


@built_fast
@dataclass(frozen=True, slots=True)
class MeasurementTaken:
    """One judged measurement: the value as people read it, and the verdict."""

    run: str
    metric: str
    attempt: int
    phase: MeasurementPhase
    value: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Aborted:
    revision: str
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """The revision is now stable."""

    revision: str
    number: int
    reason: str


Event = (
    PhaseChanged
    | StepCompleted
    | Paused
    | Resumed
    | StepsSkipped
    | RunChanged
    | ExperimentChanged
    | MeasurementTaken
    | Aborted
    | Promoted
)
