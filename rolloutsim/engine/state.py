"""What the engine remembers of a rollout: facts of the world, the status, analysis runs, open writes.

The state holds revisions, not two arms, and nothing that the history does not determine: no clock, no
secret, no random id. It is frozen, so a decision returns a new one, and it serialises
(`rolloutsim.engine.codec`). `Facts` change with observations, `Status` only with the status half of a
reconcile pass (or a person's patch), as ``status`` of an Argo Rollouts ``Rollout`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rolloutsim.engine.analysis import RunSeen, RunState
from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.events import Action, Event, Phase, Role
from rolloutsim.engine.experiment import ExperimentState
from rolloutsim.engine.spans import Exposed

__all__ = [
    "BLUE_GREEN_PAUSE",
    "CANARY_PAUSE",
    "EXPERIMENT_PAUSE",
    "GATE_PAUSE",
    "INCONCLUSIVE_PAUSE",
    "Decision",
    "Facts",
    "Note",
    "PauseChanges",
    "PauseCondition",
    "Progressing",
    "Recorded",
    "Revision",
    "RunSeen",
    "ServiceFact",
    "Snapshot",
    "State",
    "Status",
    "Waiting",
    "with_revisions",
]

CANARY_PAUSE = "CanaryPauseStep"
BLUE_GREEN_PAUSE = "BlueGreenPause"
INCONCLUSIVE_PAUSE = "InconclusiveAnalysisRun"
EXPERIMENT_PAUSE = "InconclusiveExperiment"
GATE_PAUSE = "GateUndecided"
"""Not Argo's: a background gate has not passed and everybody would be next (`rolloutsim.engine.holds`)."""


@built_fast
@dataclass(frozen=True, slots=True)
class Revision:
    """One revision (a ReplicaSet, or a slot) and its pods. Times in ms.

    ``number`` grows with every release, also when an old revision is asked for again.
    ``scale_down_at`` is the scale-down deadline, ``wanted`` the rollout's replicas when the engine last
    scaled this revision (the ``desired-replicas`` annotation of Argo Rollouts); None: never scaled.
    """

    id: str
    number: int
    created_at: int
    desired: int = 0
    created: int = 0
    ready: int = 0
    available: int = 0
    scale_down_at: int | None = None
    wanted: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """What a Service selects. ``managed``: it has selected a revision of ours before."""

    role: Role
    revision: str
    managed: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as found when the engine starts; empty is a first deployment.

    ``stable`` is the id of the revision that serves everybody ("" if there is none yet).
    """

    at: int = 0
    revisions: tuple[Revision, ...] = ()
    stable: str = ""
    services: tuple[tuple[Role, str], ...] = ()
    weight: int | None = None


@built_fast
@dataclass(frozen=True, slots=True)
class Facts:
    """The world as last observed, and what people ask for.

    ``asked`` is the revision of the template that should run, ``fields`` the values of its late-bound
    field arguments. ``observed`` tells whether the status was written since the last change of the spec
    (``observedGeneration``). ``weight_at`` is the time of the last `WeightSeen`. ``routes``: header or
    mirror routes were set and not removed since. ``additional`` are the weights beside the canary's, as in
    `WeightSeen`.
    """

    revisions: tuple[Revision, ...]
    services: tuple[ServiceFact, ...]
    weight: int | None
    verified: bool | None
    weight_at: int
    routes: bool
    asked: str
    fields: tuple[tuple[str, str], ...]
    replicas: int
    paused: bool
    steps_hash: str
    observed: bool
    additional: tuple[tuple[str, int], ...] = ()


def with_revisions(facts: Facts, revisions: tuple[Revision, ...]) -> Facts:
    """The facts with other revisions. Spelled out: `dataclasses.replace` is slow, and pods move often."""
    return Facts(
        revisions,
        facts.services,
        facts.weight,
        facts.verified,
        facts.weight_at,
        facts.routes,
        facts.asked,
        facts.fields,
        facts.replicas,
        facts.paused,
        facts.steps_hash,
        facts.observed,
        facts.additional,
    )


@dataclass(frozen=True, slots=True)
class PauseCondition:
    reason: str
    since: int


@built_fast
@dataclass(frozen=True, slots=True)
class Recorded:
    """``status.canary.weights``: the weights last sent to the router, and between which revisions.

    ``additional`` are those of an experiment's templates, which ``stable`` does not get.
    """

    canary: int
    stable: int
    canary_revision: str
    stable_revision: str
    verified: bool | None = None
    additional: tuple[tuple[str, int], ...] = ()


@built_fast
@dataclass(frozen=True, slots=True)
class Progressing:
    """The Progressing condition, whose ``updated`` time (ms) is the progress clock.

    ``status`` is True, False or None (Unknown), as in Kubernetes.
    """

    status: bool | None
    reason: str
    message: str
    updated: int


@built_fast
@dataclass(frozen=True, slots=True)
class Status:
    """``status`` of a rollout, as the last reconcile wrote it.

    ``step_index`` is None without steps. ``healthy`` and ``paused`` are the conditions of that name,
    None while never set. The counts are those that the last reconcile saw: progress is judged by them.
    """

    stable: str = ""
    current: str = ""
    step_index: int | None = None
    steps_hash: str = ""
    pauses: tuple[PauseCondition, ...] = ()
    controller_pause: bool = False
    abort: bool = False
    aborted_at: int | None = None
    promote_full: bool = False
    weights: Recorded | None = None
    step_run: RunSeen | None = None
    background_run: RunSeen | None = None
    pre_run: RunSeen | None = None
    post_run: RunSeen | None = None
    experiment: RunSeen | None = None
    ping_pong: str = ""
    preview_checkpoint: bool = False
    active: str = ""
    preview: str = ""
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    progressing: Progressing | None = None
    paused: bool | None = None
    healthy: bool | None = None
    phase: Phase | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class PauseChanges:
    """What the action half of a pass decided about pauses and abort, for the status half to write."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    abort: str | None = None
    """Message of an automatic abort; None: no abort is added."""
    remove_abort: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What a revision remembers once it has been scaled: see `Revision`."""

    revision: str
    wanted: int
    forget_deadline: bool


@built_fast
@dataclass(frozen=True, slots=True)
class Waiting:
    """A pass whose writes are not all answered: what its status half will need.

    ``scaling_only``: the pass only followed a change of the replicas. ``created``: it created the new
    revision and did nothing else. ``fast_rollback``: blue-green, back to a revision that had not been scaled
    down yet. ``applied``: the revision whose template a plain Deployment was given.
    """

    revisions: tuple[Revision, ...]
    """The revisions as the pass found them."""
    changes: PauseChanges = PauseChanges()
    weights: Recorded | None = None
    runs: tuple[RunSeen | None, RunSeen | None, RunSeen | None, RunSeen | None] = (None, None, None, None)
    """Step, background, pre-promotion and post-promotion run."""
    notes: tuple[Note, ...] = ()
    scaling_only: bool = False
    created: bool = False
    fast_rollback: bool = False
    applied: str = ""
    experiment: RunSeen | None = None


@built_fast
@dataclass(frozen=True, slots=True)
class State:
    """Everything the engine knows. Times in ms.

    ``dirty``: something changed since the last pass. ``retry_at``: when an unanswered write, or a
    refused one, is tried again. ``looked_at``: time of the last pass. ``writes`` counts the actions so
    far and gives them their ids. ``run_names`` are all names of analysis runs ever used, and those of
    experiments after ``experiment/``. ``exposed`` is None for a policy without gates, which need it.
    ``experiments`` are those of the revision asked for, and others that still have pods.
    """

    now: int
    facts: Facts
    status: Status
    runs: tuple[RunState, ...] = ()
    run_names: tuple[str, ...] = ()
    waiting: Waiting | None = None
    unanswered: tuple[Action, ...] = ()
    retry_at: int | None = None
    backoff_ms: int = 0
    writes: int = 0
    dirty: bool = True
    looked_at: int = 0
    exposed: Exposed | None = None
    experiments: tuple[ExperimentState, ...] = ()


class Decision(NamedTuple):
    """What one observation brings: the next state, what to do, what to tell people."""

    state: State
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
