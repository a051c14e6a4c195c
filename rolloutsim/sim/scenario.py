"""What the simulated world is like: a service, a release, and the two together.

A `Service` is what stays the same from release to release: traffic, telemetry, people, cluster. A
`Release` is what is new, with its faults. Any release can meet any service, so one set of faults
serves every service. All of it is frozen data; times are integer milliseconds, relative to the moment
at which the release is asked for (0), and rates are per second.

Every number carries its `Basis` in `Scenario.bases`, so that a result can say how much of it rests on
measurement and how much on assumption.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rolloutsim.sim.clients import Connections, Sessions, Sticky, Swap
from rolloutsim.sim.platform import (
    Autoscaler,
    Cluster,
    Controller,
    Delay,
    Drain,
    PodPhases,
    Probe,
    Split,
)
from rolloutsim.sim.requests.model import Requests
from rolloutsim.sim.schema_change import Change, Migration, SchemaChange

__all__ = [
    "TAIL_SHARE",
    "Autoscaler",
    "Basis",
    "Change",
    "Check",
    "Cluster",
    "Connections",
    "ConstantRate",
    "Controller",
    "Delay",
    "DiurnalRate",
    "Drain",
    "Fault",
    "FaultKind",
    "Gap",
    "Input",
    "Latency",
    "Logs",
    "Measurements",
    "Migration",
    "Operators",
    "PodPhases",
    "Probe",
    "RecordedRate",
    "Release",
    "Resources",
    "Scenario",
    "SchemaChange",
    "Service",
    "Sessions",
    "Split",
    "Sticky",
    "Swap",
    "Telemetry",
    "Traffic",
    "WorkingHours",
]


_PROMOTE = Delay(600_000)
_RESPOND = Delay(300_000, 0.5)
_PLAIN_CLUSTER = Cluster()
_REQUESTS_ALONE = Sessions()


class Basis(StrEnum):
    """How a number is known."""

    MEASURED = "measured"
    SOURCE = "source"
    STATED = "stated"
    """Given by the user in a file, without saying how it is known."""
    ASSUMED = "assumed"
    """A default of this package that nobody looked at."""


@dataclass(frozen=True, slots=True)
class Input:
    """One number of a scenario: where it stands, its value as text, and how it is known."""

    path: str
    value: str
    basis: Basis
    source: str = ""


# --- traffic --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConstantRate:
    rate_rps: float


@dataclass(frozen=True, slots=True)
class DiurnalRate:
    """``mean_rps * (1 + amplitude * sin(2 pi (t + phase) / period))``, t from the release."""

    mean_rps: float
    amplitude: float
    period_ms: int = 86_400_000
    phase_ms: int = 0


@dataclass(frozen=True, slots=True)
class RecordedRate:
    """A recorded rate: steps that hold from their time to the next; repeated when it ends.

    ``times_ms`` begin at 0 and rise; ``period_ms`` is the length of the whole record.
    """

    times_ms: tuple[int, ...]
    rates_rps: tuple[float, ...]
    period_ms: int
    file: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """``dispersion`` is variance over mean of the requests per minute at the mean rate; 1 is Poisson.

    Above 1 the rate of each minute is multiplied by an independent gamma variable of mean 1.
    """

    rate: ConstantRate | DiurnalRate | RecordedRate
    dispersion: float = 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Lognormal latency of a request: median in seconds and sigma of the logarithm."""

    median_s: float = 0.06
    sigma: float = 0.6


# --- telemetry ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """No scrapes between two times (milliseconds from the release)."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Resources:
    """Gauges of memory and CPU, per pod and version.

    A pod holds ``memory_bytes`` when it is young; a leak takes it to ``memory_limit_bytes`` by the time at
    which it fails most. A request costs ``cpu_s`` of CPU.
    """

    memory_bytes: float = 256e6
    memory_limit_bytes: float = 512e6
    cpu_s: float = 0.005


@dataclass(frozen=True, slots=True)
class Logs:
    """Error classes in the logs: a request logs an error with probability ``rate``.

    There are ``classes`` of them and class i has a probability in proportion to ``i ** -exponent``. What
    the stable version logged in the ``baseline_ms`` before the release, and since, is known; any other
    class is new.
    """

    rate: float = 0.01
    classes: int = 1_000
    exponent: float = 1.2
    baseline_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Telemetry:
    """How counters become samples.

    ``preset`` names the metric names and labels (`rolloutsim.telemetry`). A scrape happens every
    ``scrape_interval_ms`` at ``scrape_phase_ms`` after the release (None: a random phase per run), is
    visible to queries ``lag_ms`` later, and is missed with probability ``missed``. With
    ``counters_from_zero`` every series exists from a version's first scrape; otherwise a counter of a
    status appears with its first increment, as client libraries do. ``left_closed`` reads ranges as
    Prometheus 2.x does. A version is scraped from ``discovery_ms`` after its first pod was created, once one
    is ready; pods that come later are found at once, and a leak's memory counts from the first scrape. Of the
    new version's requests the share ``unlabelled`` is counted without its version's labels, and the share
    ``mislabelled`` under those of the stable version.
    """

    preset: str = "app"
    labels: tuple[tuple[str, str], ...] = ()
    scrape_interval_ms: int = 15_000
    scrape_phase_ms: int | None = None
    lag_ms: int = 0
    missed: float = 0.0
    gaps: tuple[Gap, ...] = ()
    query_ms: int = 0
    counters_from_zero: bool = False
    left_closed: bool = False
    discovery_ms: int = 0
    history_ms: int = 900_000
    """How long the stable version has been scraped before the release."""
    unlabelled: float = 0.0
    mislabelled: float = 0.0
    resources: Resources | None = None
    logs: Logs | None = None


# --- people and cluster ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """When people answer who are not on call: from ``start_ms`` to ``end_ms`` of a day, Monday to Friday.

    The release is asked for at ``released_ms`` of a Monday.
    """

    start_ms: int
    end_ms: int
    released_ms: int


@dataclass(frozen=True, slots=True)
class Operators:
    """People: who promotes a rollout that waits, and who notices a bad release that got through.

    ``promote`` is the time until somebody promotes an indefinite pause (None: nobody does). When the
    share of all requests that fail beyond the stable version's own failures has been above
    ``notice_excess`` for ``notice_after_ms`` somebody is paged, and after ``respond`` aborts the
    rollout, or rolls back what was promoted. Latency counts as noticed when the excess share of
    requests slower than ``slow_s`` is above the same bound. Who is asked to promote looks first, but with
    probability ``rubber_stamp`` does not; ``hours`` (None: always) are those in which somebody promotes.
    """

    promote: Delay | None = _PROMOTE
    notice_excess: float | None = 0.05
    notice_after_ms: int = 300_000
    respond: Delay = _RESPOND
    slow_s: float = 1.0
    rubber_stamp: float = 0.0
    hours: WorkingHours | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A check that is no query (a smoke test as a job or web metric): what it finds before users do.

    A measurement of ``metric`` fails with probability ``false_failure`` whatever the release is like; a
    release with faults fails it always or never: it finds each kind of fault with the probability in
    ``finds``.
    """

    metric: str
    finds: tuple[tuple[str, float], ...] = ()
    false_failure: float = 0.0
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that does not change with a release. ``error_rate`` is the stable version's own.

    ``error_icc`` is the intra-class correlation of errors within a minute (0: independent errors).
    ``horizon_ms`` is how long after the release a run is looked at.
    """

    name: str
    traffic: Traffic
    error_rate: float = 0.001
    error_icc: float = 0.0
    latency: Latency = Latency()
    telemetry: Telemetry = Telemetry()
    operators: Operators = Operators()
    cluster: Cluster = _PLAIN_CLUSTER
    slo: float = 0.999
    slo_period_ms: int = 30 * 86_400_000
    horizon_ms: int = 7_200_000
    sessions: Sessions = _REQUESTS_ALONE
    connections: Connections | None = None
    checks: tuple[Check, ...] = ()
    requests: Requests | None = None
    """How requests meet on pods; None: they do not."""


# --- releases -------------------------------------------------------------------------------------


TAIL_SHARE = 0.002
"""The share of the requests that a latency-tail hits, unless it says another one."""


class FaultKind(StrEnum):
    ERROR_STEP = "error-step"
    """A share ``size`` of the requests fails, beyond the service's own errors."""
    LATENCY_SHIFT = "latency-shift"
    """Latency is multiplied by ``size``."""
    LATENCY_TAIL = "latency-tail"
    """Latency is multiplied by ``size`` for a ``share`` of the requests, the others take what they took."""
    CRASH_AT_START = "crash-at-start"
    """A share ``size`` of the new pods never becomes ready."""
    BROKEN_AT_START = "broken-at-start"
    """As crash-at-start where readiness is deep; where it is shallow the pods serve only errors."""
    LEAK = "leak"
    """From ``onset_ms`` after a version's first pod, failures grow to ``size`` over ``ramp_ms``."""
    DEPENDENCY_BLIP = "dependency-blip"
    """A share ``size`` of the requests of *every* version fails: nobody's release is to blame."""
    SILENT_WRONG = "silent-wrong"
    """A share ``size`` of the answers is wrong with status 200: no HTTP metric shows it."""
    CAPACITY = "capacity"
    """A request costs ``size`` times as much, so that a pod can take that much less load."""
    COLD_START = "cold-start"
    """Latency is multiplied by ``size`` at first and is normal after ``ramp_ms``: nothing is wrong."""
    CRASH_LOOP = "crash-loop"
    """All new pods crash together every ``ramp_ms``, start again, and count from zero."""
    NEW_LOG_CLASS = "new-log-class"
    """A share ``size`` of the requests logs an error of a class that nobody has seen before."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    ``onset_ms`` counts from the release (blips), or from the first pod of the new version (all
    others); the effect grows linearly over ``ramp_ms`` and ends at ``end_ms`` (None: never), counted
    alike. It acts only while the new version's share of traffic is at least ``above_weight`` (0..1) and
    the service's rate at least ``above_rps``. ``share`` is the share of the requests that a latency-tail
    hits; a request is hit by one of them at most.
    """

    kind: FaultKind
    size: float
    onset_ms: int = 0
    ramp_ms: int = 0
    end_ms: int | None = None
    above_weight: float = 0.0
    above_rps: float = 0.0
    share: float = TAIL_SHARE

    @property
    def healthy(self) -> bool:
        """True when the new version is not to blame, so that aborting it would be a false abort."""
        return self.kind in (FaultKind.DEPENDENCY_BLIP, FaultKind.COLD_START) or 0.0 in (
            self.size,
            self.share,
        )


@dataclass(frozen=True, slots=True)
class Measurements:
    """Outcomes of metrics that a simulation cannot play (jobs, web checks, other providers).

    ``pass_probability`` holds for a measurement of this metric on the new version.
    """

    metric: str
    pass_probability: float
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A new version and what is wrong with it (nothing, if ``faults`` is empty)."""

    name: str
    faults: tuple[Fault, ...] = ()
    measurements: tuple[Measurements, ...] = ()
    description: str = ""
    schema: SchemaChange | None = None

    @property
    def healthy(self) -> bool:
        """True for a good release: aborting it is a false abort.

        A release that changes the schema in one step is a bad one: some version cannot work with it.
        """
        breaks = self.schema is not None and self.schema.change is Change.ONE_STEP
        return not breaks and all(fault.healthy for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A release meeting a service."""

    name: str
    service: Service
    release: Release
    inputs: tuple[Input, ...] = field(default=(), compare=False)
