"""What a policy would have made of an incident: played, not judged from the record.

The incident becomes a service, a release and a course of failures; the policy is played against it with
the engine, the scrapes and the queries of every simulation, and its series carry the names under which the
policy looks for its service. The numbers that nobody knows are set to both ends of their ranges, in every
combination: optimistic and pessimistic are the best and the worst of those, and of all runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean, median

from rolloutsim.errors import ScenarioError
from rolloutsim.evidence.incidents.exposure import LONGEST_S, Course
from rolloutsim.evidence.incidents.file import IncidentError
from rolloutsim.evidence.incidents.quantity import Quantity, quantities, with_values
from rolloutsim.evidence.incidents.record import Counts, Expectation, Incident, Model, Play
from rolloutsim.evidence.incidents.sight import blindness
from rolloutsim.evidence.incidents.world import IncidentWorld
from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import all_unread, seen_as, unread
from rolloutsim.sim.needs import check, reads_latency
from rolloutsim.sim.scenario import (
    Basis,
    Cluster,
    ConstantRate,
    Delay,
    Input,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)

__all__ = ["Bound", "Ending", "Replay", "actual_harm", "harm_unit", "replay", "scenario_of"]

RUNS = 20
HORIZON_MS = round(1000 * LONGEST_S)
AT_ONCE = Cluster(pod_ready=Delay(0), router_delay=Delay(0), weight_granularity=0.0)
"""A step reaches whom it reaches at once; the way back takes its time, which the incident states."""
LATE_SHARE = 0.5
"""A rollout that is stopped with more of the population reached is stopped late."""
USUAL_ERRORS = 0.001
"""Share of the requests that fails on a good version where a record does not say (an objective of 99.9 %)."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run ended.

    Times are seconds: ``decided_s`` from the moment the change reached anybody to the end of the rollout,
    good or bad; ``noticed_s`` from the moment it reached anybody whom the fault can hit to the stop; None
    where there was none. ``reached`` is the share of the population that had the change then; ``failed_s``
    and ``hurt`` what it cost until the way back was over, or until the rollout was: seconds of all traffic,
    and the share of the population.
    """

    verdict: Expectation
    decided_s: float | None
    noticed_s: float | None
    reached: float
    failed_s: float
    hurt: float
    gate: str
    message: str


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of what is possible: the harm there, the verdict, and the values that make it so."""

    harm: float
    verdict: Expectation
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What one policy makes of one incident.

    ``verdict`` is that of most runs and ``agree`` their share. ``harm`` is the mean over runs at the
    stated values, in ``unit``; ``actual`` what really happened, in the same unit. ``blind`` says why a
    policy that missed it could not have seen it (empty otherwise), ``no_gate`` that no gate could.
    ``unread`` are metrics of the policy that read series which the model of the incident does not have.
    """

    incident: str
    policy: str
    channel: str
    verdict: Expectation
    agree: float
    decided_s: float | None
    noticed_s: float | None
    reached: float
    gate: str
    message: str
    harm: float
    actual: float
    actual_range: tuple[float, float]
    unit: str
    optimistic: Bound
    pessimistic: Bound
    verdicts_of_corners: tuple[tuple[Expectation, int], ...]
    blind: str
    no_gate: bool
    unread: tuple[str, ...]
    runs: tuple[Ending, ...]

    @property
    def gain(self) -> float | None:
        """How many times less than what happened; None when nothing was harmed."""
        return self.actual / self.harm if self.harm > 0.0 else None


def replay(
    incident: Incident,
    policy: Policy,
    play: Play,
    *,
    runs: int = RUNS,
    seed: int = 1,
    bounds: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> Replay:
    """Play a policy against an incident.

    Parameters
    ----------
    play : which channel the policy stages, and whom its steps reach; its own policy is not looked at.
    runs : at the stated values; they differ in the phase of the scrapes, in noise, and in the order of
        units where that is random.
    bounds : also play every corner of the ranges, once each; without, the bounds are those of the runs.

    Raises
    ------
    IncidentError : a metric of the policy is not a PromQL query, so that nobody knows what it would find; or
        none of its queries reads a series that the model of the incident has.
    """
    corners = _corners(incident.model) if bounds else []
    models = [(dict[str, float](), incident.model)] * runs
    models += [(corner, with_values(incident.model, corner)) for corner in corners]
    endings: list[Ending] = []
    blind: tuple[str, ...] = ()
    for number, (_, model) in enumerate(models):
        run = number if number < runs else 0
        world = _played(incident, policy, model, play, seed, run)
        if not endings:
            blind = _unread(incident, policy, world)
        endings.append(_ending(world))
        if progress is not None:
            progress(number + 1, len(models))
    return _summed_up(incident, policy, play, endings[:runs], corners, endings[runs:], seed, blind)


def _unread(incident: Incident, policy: Policy, world: IncidentWorld) -> tuple[str, ...]:
    """Metrics that read what the world does not have; refused if there is no other."""
    store = world.metrics.store
    series = [store.labels(index) for index in range(len(store))]
    blind = unread(policy, series)
    if all_unread(policy, blind):
        raise IncidentError(
            f"policy {policy.name}: {blind[0]}, which the model of {incident.id} does not have, and so it is "
            "with all of its metrics",
            fix=f"ask for some of: {', '.join(sorted({labels['__name__'] for labels in series}))}",
        )
    return tuple(map(str, blind))


def scenario_of(incident: Incident, policy: Policy, model: Model | None = None) -> Scenario:
    """The service of an incident and a release without faults; a replay lets the course act on it.

    Its series carry the names by which the policy asks for its own service.
    """
    model = model or incident.model
    lag_ms = round(1000 * model.metric_lag_s.value)
    names = seen_as(policy, incident.id)
    service = Service(
        name=names.service,
        traffic=Traffic(ConstantRate(model.requests_per_s.value)),
        error_rate=USUAL_ERRORS if model.usual_errors is None else model.usual_errors.value,
        telemetry=Telemetry(preset=names.preset, labels=names.labels, lag_ms=lag_ms, counters_from_zero=True),
        operators=Operators(notice_excess=None),
        cluster=AT_ONCE,
        horizon_ms=HORIZON_MS,
    )
    inputs = tuple(
        Input(
            path, f"{value.value:g}", Basis.SOURCE if value.basis == "source" else Basis.ASSUMED, value.note
        )
        for path, value in quantities(model)
    )
    return Scenario(incident.id, service, Release(incident.id, description=incident.changed), inputs)


def actual_harm(incident: Incident) -> float:
    """What really happened, in the unit of `harm_unit`."""
    model = incident.model
    if model.counts is Counts.MACHINES:
        assert model.machines is not None
        return model.machines.value
    return _course_of_events(incident, incident.as_happened.until_s)


def _actual_range(incident: Incident) -> tuple[float, float]:
    low, high = _ends(incident)
    return actual_harm(low), actual_harm(high)


def _ends(incident: Incident) -> tuple[Incident, Incident]:
    """The incident with all that is assumed about what happened at one end, and at the other."""
    known = list(quantities(incident.as_happened))
    low = {path: one.low for path, one in known if one.low is not None}
    high = {path: one.high for path, one in known if one.high is not None}
    return (
        replace(incident, as_happened=with_values(incident.as_happened, low)),
        replace(incident, as_happened=with_values(incident.as_happened, high)),
    )


def _if_missed(incident: Incident) -> float:
    """What it costs when nothing stops it: what it did, unless something stopped it then."""
    happened = incident.as_happened
    return _course_of_events(incident, happened.if_missed_s or happened.until_s)


def _course_of_events(incident: Incident, until_s: Quantity) -> float:
    seconds = Course.failing(incident.as_happened.course).integral(0.0, until_s.value)
    return seconds * _per_second(incident.model)


def harm_unit(model: Model) -> str:
    """What the harm is told in."""
    if model.counts is Counts.MACHINES:
        return "machines"
    return "failed requests" if model.published_rate else "s of all traffic"


# --- playing --------------------------------------------------------------------------------------


def _corners(model: Model) -> list[dict[str, float]]:
    """Every combination of the ends of all ranges."""
    ranges = [(path, one.low, one.high) for path, one in quantities(model)]
    ends = [[(path, low), (path, high)] for path, low, high in ranges if low is not None and high is not None]
    return [dict(corner) for corner in product(*ends)]


def _played(
    incident: Incident, policy: Policy, model: Model, play: Play, seed: int, run: int, *, faulty: bool = True
) -> IncidentWorld:
    scenario = scenario_of(incident, policy, model)
    try:
        check(policy, scenario)
    except ScenarioError as error:
        raise IncidentError(
            f"policy {policy.name}: {error.why}", fix="leave it out of the policy for this question"
        ) from error
    latency = reads_latency(policy, scenario)
    world = IncidentWorld(policy, scenario, model, play, seed, run, latency=latency, faulty=faulty)
    world.play()
    return world


def _ending(world: IncidentWorld) -> Ending:
    if world.decided is None:
        world.exposure.advance(HORIZON_MS / 1000.0)
        held = world.exposure
        return Ending(Expectation.HELD, None, None, held.weight, held.failed_s, held.hurt, "", "")
    at_s, message = world.decided
    first, hit = world.first_reached_s, world.first_hit_s
    failing = [one for one in world.measured if one.at_s <= at_s and one.phase in ("Failed", "Error")]
    if not message:
        lasted_s = max(0.0, at_s - first) if first is not None else 0.0
        return Ending(Expectation.MISSED, lasted_s, None, 1.0, world.failed_s, world.hurt, "", "")
    return Ending(
        _stopped(world),
        at_s - first if first is not None else 0.0,
        at_s - hit if hit is not None else None,
        world.decided_weight,
        world.failed_s,
        world.hurt,
        failing[-1].metric if failing else "",
        message,
    )


def _stopped(world: IncidentWorld) -> Expectation:
    if world.decided_weight > LATE_SHARE:
        return Expectation.LATE
    at_once = world.first_hit_s is None or world.decided_weight <= world.first_hit_weight
    return Expectation.CAUGHT_AT_ONCE if at_once else Expectation.CAUGHT


# --- summing up -----------------------------------------------------------------------------------


def _summed_up(
    incident: Incident,
    policy: Policy,
    play: Play,
    endings: Sequence[Ending],
    corners: Sequence[dict[str, float]],
    at_corners: Sequence[Ending],
    seed: int,
    unread: tuple[str, ...],
) -> Replay:
    verdicts = [ending.verdict for ending in endings]
    verdict = max(Expectation, key=verdicts.count)
    typical = next(ending for ending in endings if ending.verdict is verdict)
    bounds = list(_bounds(incident, corners, at_corners))
    bounds += _bounds(incident, [{}] * len(endings), endings)
    seen = [ending.verdict for ending in at_corners]
    blind, no_gate = "", False
    if verdict is Expectation.MISSED:
        number = verdicts.index(verdict)
        worlds = [
            _played(incident, policy, incident.model, play, seed, number, faulty=faulty)
            for faulty in (True, False)
        ]
        blind, no_gate = blindness(incident, policy, play, *worlds)
    of_verdict = [ending for ending in endings if ending.verdict is verdict]
    return Replay(
        incident=incident.id,
        policy=policy.name,
        channel=play.channel,
        verdict=verdict,
        agree=len(of_verdict) / len(endings),
        decided_s=_median([ending.decided_s for ending in of_verdict]),
        noticed_s=_median([ending.noticed_s for ending in of_verdict]),
        reached=median(ending.reached for ending in of_verdict),
        gate=typical.gate,
        message=typical.message,
        harm=fmean(_harm(incident, incident.model, ending) for ending in endings),
        actual=actual_harm(incident),
        actual_range=_actual_range(incident),
        unit=harm_unit(incident.model),
        optimistic=min(bounds, key=lambda bound: bound.harm),
        pessimistic=max(bounds, key=lambda bound: bound.harm),
        verdicts_of_corners=tuple((one, seen.count(one)) for one in Expectation if one in seen),
        blind=blind,
        no_gate=no_gate,
        unread=unread,
        runs=tuple(endings),
    )


def _bounds(
    incident: Incident, corners: Sequence[dict[str, float]], endings: Sequence[Ending]
) -> Iterator[Bound]:
    """What each run may have cost; for a change that went through, at both ends of what happened then."""
    for corner, ending in zip(corners, endings, strict=True):
        model = with_values(incident.model, corner)
        for happened in (incident, *_ends(incident)) if ending.verdict is Expectation.MISSED else (incident,):
            yield Bound(_harm(happened, model, ending), ending.verdict, tuple(corner.items()))


def _harm(incident: Incident, model: Model, ending: Ending) -> float:
    """Harm of one run. A change that went through does what it did on top of what it did meanwhile."""
    if model.counts is Counts.MACHINES:
        assert model.machines is not None
        return model.machines.value * (1.0 if ending.verdict is Expectation.MISSED else ending.hurt)
    meanwhile = ending.failed_s * _per_second(model)
    return meanwhile + (_if_missed(incident) if ending.verdict is Expectation.MISSED else 0.0)


def _per_second(model: Model) -> float:
    return model.requests_per_s.value if model.published_rate else 1.0


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
