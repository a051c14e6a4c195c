"""A policy: what a rollout does, as plain frozen data.

A policy is not a release. It holds the strategy, the metrics, their limits, the replicas, the
deadlines and what it acts on; it knows no image, no label of the pod template and no status. All
durations are integer milliseconds, all weights are shares of ``TrafficRouting.max_weight`` (100 unless
the manifest says otherwise). Everything here is hashable and comparable, and nothing is callable.

Names, defaults and meaning follow the Argo Rollouts API (argoproj.io/v1alpha1: ``Rollout``,
``AnalysisTemplate``); what a manifest leaves out is filled in with the controller's own default when
it is loaded, so that two manifests that mean the same are the same policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rolloutsim.conditions import Dialect
from rolloutsim.policy.gated import GatedCounts

__all__ = [
    "Analysis",
    "AnalysisStep",
    "Argument",
    "BlueGreen",
    "Canary",
    "ExperimentAnalysis",
    "ExperimentArgument",
    "ExperimentStep",
    "ExperimentTemplate",
    "FieldArgument",
    "GatedCounts",
    "IntOrPercent",
    "JobProvider",
    "Metric",
    "OtherProvider",
    "Pause",
    "PluginStep",
    "PodHashArgument",
    "Policy",
    "ProgressThreshold",
    "PrometheusProvider",
    "Provider",
    "RangeQuery",
    "Recreate",
    "Retention",
    "RollingUpdate",
    "SecretArgument",
    "SetCanaryScale",
    "SetHeaderRoute",
    "SetMirrorRoute",
    "SetWeight",
    "Step",
    "Strategy",
    "Target",
    "TrafficRouting",
    "WebProvider",
]


@dataclass(frozen=True, slots=True)
class IntOrPercent:
    """A number of pods, or a percentage of the replicas.

    Argo Rollouts reads any *string* as a percentage, with or without the sign ("3" is 3 %).
    """

    value: int
    percent: bool = False

    def resolve(self, replicas: int, *, round_up: bool) -> int:
        """Number of pods out of ``replicas``; surge rounds up, unavailable rounds down."""
        if not self.percent:
            return self.value
        share = self.value * replicas / 100
        return math.ceil(share) if round_up else math.floor(share)


# --- analysis -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """``rangeQuery`` of a Prometheus metric: start and end are expressions that give a time."""

    start: str
    end: str
    step_ms: int


@dataclass(frozen=True, slots=True)
class PrometheusProvider:
    """A PromQL query. ``headers`` and the secrets in them stay references until the measurement."""

    query: str
    address: str = ""
    timeout_ms: int = 30_000
    range_query: RangeQuery | None = None
    settings_json: str = "{}"
    """Authentication, headers, TLS: canonical JSON, used by a live executor only."""


@dataclass(frozen=True, slots=True)
class WebProvider:
    """A web check: an HTTP request whose JSON answer is judged by the conditions."""

    url: str
    json_path: str = "{$}"
    timeout_ms: int = 10_000
    settings_json: str = "{}"


@dataclass(frozen=True, slots=True)
class JobProvider:
    """A Kubernetes Job, for example a smoke test: complete is Successful, failed is Failed."""

    spec_json: str = "{}"


@dataclass(frozen=True, slots=True)
class OtherProvider:
    """Any other provider of Argo Rollouts, kept as it stands; not measured in a simulation."""

    kind: str
    spec_json: str = "{}"


Provider = PrometheusProvider | WebProvider | JobProvider | OtherProvider | GatedCounts


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of an analysis. Texts may still hold ``{{args.x}}`` of late-bound arguments.

    ``count`` None means: once without an interval, without end with one (Argo Rollouts,
    ``AnalysisTemplate.spec.metrics``). A limit is exceeded by *more* than its value;
    ``failure_limit`` -1 switches it off; ``consecutive_success_limit`` 0 means not used.
    """

    name: str
    provider: Provider
    interval_ms: int | None = None
    initial_delay_ms: int = 0
    count: int | None = None
    success_condition: str = ""
    failure_condition: str = ""
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    consecutive_success_limit: int = 0
    dialect: Dialect = Dialect.MASTER
    """The release of Argo Rollouts whose condition language judges; no manifest says it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument whose value is known when the policy is loaded."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class PodHashArgument:
    """``valueFrom.podTemplateHashValue``: bound when the analysis run is created."""

    name: str
    latest: bool
    """True for Latest (the revision under test), False for Stable."""


@dataclass(frozen=True, slots=True)
class FieldArgument:
    """``valueFrom.fieldRef``: a path into the Rollout object, bound when the run is created."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class SecretArgument:
    """``valueFrom.secretKeyRef``: read by the world at the measurement, never kept."""

    name: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class ExperimentArgument:
    """A value with tags such as ``{{templates.NAME.podTemplateHash}}``, bound when the run is created."""

    name: str
    text: str


LateArgument = PodHashArgument | FieldArgument | SecretArgument | ExperimentArgument


@dataclass(frozen=True, slots=True)
class Retention:
    """``measurementRetention``: keep the last ``limit`` measurements of metrics that match."""

    pattern: str
    limit: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an analysis run measures: its templates flattened, merged and bound.

    ``metrics`` have every argument of known value filled in; ``late`` lists those that are bound when
    the run is created (pod hash, field) or at each measurement (secret). ``dry_run`` and ``retention``
    hold unanchored regular expressions over metric names, as in the manifest.
    """

    metrics: tuple[Metric, ...]
    late: tuple[LateArgument, ...] = ()
    dry_run: tuple[str, ...] = ()
    retention: tuple[Retention, ...] = ()
    templates: tuple[str, ...] = ()
    """Names of the templates, for messages only; not part of the digest."""


# --- steps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetWeight:
    weight: int


@dataclass(frozen=True, slots=True)
class Pause:
    duration_ms: int | None = None
    """None waits for a person. Whole seconds in a manifest."""


@dataclass(frozen=True, slots=True)
class SetCanaryScale:
    """Pods of the canary apart from its weight; ``match_traffic_weight`` wins over the others."""

    replicas: int | None = None
    weight: int | None = None
    match_traffic_weight: bool = False


@dataclass(frozen=True, slots=True)
class AnalysisStep:
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class ExperimentTemplate:
    """Pods of an experiment: ``replicas`` of the canary's or of the stable revision's pod spec.

    ``weight`` is their share of the traffic. ``apart``: its labels take them away from Services that select
    the rollout's pods. ``extra_json`` holds selector, metadata and service as they stand.
    """

    name: str
    canary: bool
    replicas: int = 1
    weight: int | None = None
    apart: bool = False
    extra_json: str = "{}"


@dataclass(frozen=True, slots=True)
class ExperimentAnalysis:
    """``required``: the experiment is over no earlier than this analysis (``requiredForCompletion``)."""

    name: str
    analysis: Analysis
    required: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentStep:
    """An experiment: templates that run beside the rollout, and analyses once all of them are available.

    Without ``duration_ms`` it lasts until its required analyses are successful.
    """

    templates: tuple[ExperimentTemplate, ...]
    analyses: tuple[ExperimentAnalysis, ...] = ()
    duration_ms: int | None = None
    scale_down_delay_ms: int = 30_000
    extra_json: str = "{}"


@dataclass(frozen=True, slots=True)
class SetHeaderRoute:
    name: str
    match_json: str = "[]"


@dataclass(frozen=True, slots=True)
class SetMirrorRoute:
    name: str
    match_json: str = "[]"
    percentage: int | None = None


@dataclass(frozen=True, slots=True)
class PluginStep:
    name: str
    config_json: str = "{}"


Step = (
    SetWeight
    | Pause
    | SetCanaryScale
    | AnalysisStep
    | ExperimentStep
    | SetHeaderRoute
    | SetMirrorRoute
    | PluginStep
)


# --- strategies -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrafficRouting:
    """How a canary gets its share of the traffic apart from its share of the pods.

    ``verifies`` tells whether the router can confirm a weight: a setWeight step then waits until it
    does. Argo Rollouts' ``VerifyWeight`` is None for most routers.
    """

    routers: tuple[str, ...]
    max_weight: int = 100
    verifies: bool = False
    managed_routes: tuple[str, ...] = ()
    settings_json: str = "{}"


@dataclass(frozen=True, slots=True)
class ProgressThreshold:
    """``replicaProgressThreshold``: when enough pods of the canary are available to go on."""

    value: int
    percent: bool


DEFAULT_DISRUPTION = IntOrPercent(25, percent=True)


@dataclass(frozen=True, slots=True)
class Canary:
    """``strategy.canary``. None in a ``*_ms`` field means not set, which can differ from 0."""

    steps: tuple[Step, ...] = ()
    max_surge: IntOrPercent = DEFAULT_DISRUPTION
    max_unavailable: IntOrPercent = DEFAULT_DISRUPTION
    stable_service: str = ""
    canary_service: str = ""
    routing: TrafficRouting | None = None
    background: Analysis | None = None
    starting_step: int | None = None
    scale_down_delay_ms: int | None = None
    scale_down_delay_revision_limit: int | None = None
    abort_scale_down_delay_ms: int | None = None
    dynamic_stable_scale: bool = False
    min_pods_per_replica_set: int | None = None
    progress_threshold: ProgressThreshold | None = None
    ping_pong: tuple[str, str] | None = None
    extra_json: str = "{}"
    """Fields that change no decision (metadata, antiAffinity), kept for export."""


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """``strategy.blueGreen``."""

    active_service: str
    preview_service: str = ""
    preview_replica_count: int | None = None
    auto_promotion_enabled: bool = True
    auto_promotion_ms: int = 0
    scale_down_delay_ms: int | None = None
    scale_down_delay_revision_limit: int | None = None
    abort_scale_down_delay_ms: int | None = None
    pre_promotion: Analysis | None = None
    post_promotion: Analysis | None = None
    max_unavailable: IntOrPercent = DEFAULT_DISRUPTION
    extra_json: str = "{}"


@dataclass(frozen=True, slots=True)
class RollingUpdate:
    """A Deployment's rolling update. The world's Deployment controller does the arithmetic."""

    max_surge: IntOrPercent = DEFAULT_DISRUPTION
    max_unavailable: IntOrPercent = DEFAULT_DISRUPTION


@dataclass(frozen=True, slots=True)
class Recreate:
    """A Deployment that stops all old pods before it starts new ones."""


Strategy = Canary | BlueGreen | RollingUpdate | Recreate


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy acts on in a cluster without a rollout controller.

    ``deployments`` are the two slots (one name: the second slot is ``NAME-next``); ``service`` is the
    Service that users reach; ``route`` is ``httproute/NAME`` or ``ingress/NAME``, empty for a plain
    Service; ``revision_label`` is the selector key that the executor owns.
    """

    deployments: tuple[str, ...] = ()
    service: str = ""
    route: str = ""
    revision_label: str = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Policy:
    """One rollout policy.

    ``kind`` is the kind of the document that it came from (``Rollout``, ``RolloutPolicy``,
    ``Deployment``, ``Ingress``). ``not_modelled`` names, in words for people, what the manifest asks
    for and the simulated world does not play; results repeat it. Neither they, nor ``name`` and
    ``namespace``, change a decision.
    """

    name: str
    strategy: Strategy
    replicas: int = 1
    namespace: str = "default"
    kind: str = "Rollout"
    min_ready_ms: int = 0
    progress_deadline_ms: int = 600_000
    progress_deadline_abort: bool = False
    revision_history_limit: int = 10
    rollback_window_revisions: int | None = None
    paused: bool = False
    restart_at_ms: int | None = None
    target: Target = field(default_factory=Target)
    not_modelled: tuple[str, ...] = ()
