"""What other policies would have made of a recorded rollout, once the one that ran is decided again."""

from __future__ import annotations

from dataclasses import dataclass

from rolloutsim.errors import InputError
from rolloutsim.evidence.recorded.bundle import Bundle, BundleError, names_of
from rolloutsim.evidence.recorded.timeline import Did, Timeline
from rolloutsim.evidence.recorded.whatif import Flow, bad_requests, tells_failures
from rolloutsim.evidence.recorded.world import RecordedWorld
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import Canary, Policy, PrometheusProvider
from rolloutsim.policy.reading import STATUS, queries_of, reads_of, unread

__all__ = ["Retold", "check_recording", "retell"]

TOLERANCE_MS = 60_000
LOOK_MS = 300_000
"""Best and worst behaviour of a version are taken over stretches of this length."""
LEAST_REQUESTS = 100.0
"""A stretch with fewer requests says nothing about how a version behaves."""


@dataclass(frozen=True, slots=True)
class Retold:
    """One policy on one recording.

    ``end`` is what became of the rollout, ``ended_ms`` when; None where the recording ends first. ``same``
    of ``recorded`` decisions were those that were taken then. ``line_ms``: what came before it is measured,
    what came after is modelled; None where all is measured. ``difference`` says what was done otherwise.
    ``bad`` are failures of the new version beyond the stable one's, ``actual_bad`` those that happened;
    ``low`` and ``high`` set what is modelled to the new version's best and worst five minutes; where it
    got too few requests in any (``seldom``), to none and all of its requests. From
    ``wider_ms`` on the new version got more than it ever got, from ``held_ms`` on a version got requests
    when it got none in the recording: both are extrapolation. ``unread`` are metrics that read what the
    recording does not have.
    """

    policy: str
    end: Did | None
    ended_ms: int | None
    gate: str
    message: str
    same: int
    recorded: int
    line_ms: int | None
    difference: str
    bad: float
    low: float
    high: float
    seldom: bool
    actual_bad: float
    wider_ms: int | None
    held_ms: int | None
    unread: tuple[str, ...]
    measurements: int

    @property
    def as_it_ran(self) -> bool:
        """Whether it did all that was done, and nothing else."""
        return self.same == self.recorded and self.line_ms is None


def check_recording(policy: Policy, bundle: Bundle, timeline: Timeline) -> None:
    """Refuse a question that the recording cannot answer.

    Raises
    ------
    BundleError : a version or a metric that the policy reads is not in the bundle, or nothing in it tells
        which requests failed; a metric is no query, or a step needs pods of its own; the rollout began or
        ended outside of the recording.
    """
    for value in (timeline.stable, timeline.new):
        if value not in bundle.values():
            known = ", ".join(bundle.values())
            raise BundleError(
                f"the bundle has no series of version {value!r}",
                fix=f"its {bundle.label} are: {known}; is this the rollout's timeline, and its label?",
            )
    if not bundle.start_ms <= timeline.started_ms <= bundle.end_ms:
        raise BundleError(
            "the rollout did not begin within the recorded stretch", fix="record from before it began"
        )
    if any(move.at_ms > bundle.end_ms for move in timeline.decisions()):
        raise BundleError(
            "the rollout ended after the recorded stretch", fix="record until after it ended, with --to"
        )
    if not tells_failures(bundle.store, bundle.requests):
        raise BundleError(
            f"no series of {bundle.requests} has a label {', '.join(STATUS)} or classification, so nothing "
            "tells which requests failed",
            fix="record it again with --requests COUNTER, one that has such a label",
        )
    if isinstance(policy.strategy, Canary) and policy.strategy.routing is None:
        raise BundleError(
            f"policy {policy.name} has no traffic router: its share of the requests follows its pods, and a "
            "recording does not say how many there would have been",
            fix="give it a router (trafficRouting, or a route) for this question",
        )
    for step in steps_beside(policy):
        raise BundleError(
            f"policy {policy.name} has a step {step}, and nobody recorded what its pods would have answered",
            fix="leave it out of the policy for this question",
        )
    names = names_of(bundle.store)
    for name, reads in _reads(policy):
        if missing := sorted(reads - set(names)):
            raise BundleError(
                f"policy {policy.name}: metric {name} reads {missing[0]}, which the bundle does not have",
                fix=f"record it again with --match '{missing[0]}'",
            )


def retell(policy: Policy, bundle: Bundle, timeline: Timeline, *, tolerance_ms: int = TOLERANCE_MS) -> Retold:
    """Play a policy against a recording: as it was up to the first other action, modelled from there on.

    Raises
    ------
    BundleError : as `check_recording`.
    """
    check_recording(policy, bundle, timeline)
    world = RecordedWorld(policy, bundle, timeline, tolerance_ms)
    world.play()
    begin, end = timeline.started_ms, bundle.end_ms
    recorded = _flows(bundle, timeline, modelled=None)
    told = _flows(bundle, timeline, modelled=world)
    rates = _rates(recorded[1], begin, end)
    seldom = world.line_ms is not None and not rates
    low, high = _bounds(world, recorded, told, rates or (0.0, 1.0))
    last = world.moves[-1] if world.moves and world.moves[-1].did in (Did.PROMOTED, Did.ABORTED) else None
    failed = [event for _, event in world.measured if str(event.phase) in ("Failed", "Error")]
    stopped = last is not None and last.did is Did.ABORTED
    return Retold(
        policy=policy.name,
        end=last.did if last is not None else None,
        ended_ms=last.at_ms if last is not None else None,
        gate=failed[-1].metric if stopped and failed else "",
        message=world.message,
        same=world.same(),
        recorded=len(timeline.decisions()),
        line_ms=world.line_ms,
        difference=world.difference,
        bad=bad_requests(*told, begin, end),
        low=low,
        high=high,
        seldom=seldom,
        actual_bad=bad_requests(*recorded, begin, end),
        wider_ms=world.what_if.wider_ms,
        held_ms=world.what_if.held_ms,
        unread=tuple(map(str, unread(policy, map(bundle.store.labels, range(len(bundle.store)))))),
        measurements=len(world.measured),
    )


def _reads(policy: Policy) -> list[tuple[str, set[str]]]:
    found = []
    for analysis in analyses_of(policy):
        for metric in analysis.metrics:
            queries = queries_of(metric.provider)
            if not queries:
                raise BundleError(
                    f"policy {policy.name}: metric {metric.name} is no Prometheus query, so a recording of "
                    "series does not say what it found",
                    fix="leave it out of the policy for this question",
                )
            if isinstance(metric.provider, PrometheusProvider) and metric.provider.range_query is not None:
                raise InputError(f"metric {metric.name} uses a rangeQuery", fix="use an instant query")
            found.append((metric.name, {read.metric for q in queries for read in reads_of(q) if read.metric}))
    return found


def _flows(bundle: Bundle, timeline: Timeline, modelled: RecordedWorld | None) -> tuple[Flow, Flow]:
    store = bundle.store if modelled is None else modelled.what_if.store
    stable, new = (
        Flow(store, bundle.requests, bundle.label, v, bundle.interval_ms)
        for v in (timeline.stable, timeline.new)
    )
    return stable, new


def _rates(new: Flow, begin: int, end: int) -> tuple[float, ...]:
    """Shares of bad requests of the new version, in each five minutes in which it got enough."""
    rates = []
    for first in range(begin, end - LOOK_MS, LOOK_MS // 5):
        requests, bad = new.between(first, first + LOOK_MS)
        if requests >= LEAST_REQUESTS:
            rates.append(bad / requests)
    return tuple(rates)


def _bounds(
    world: RecordedWorld, recorded: tuple[Flow, Flow], told: tuple[Flow, Flow], rates: tuple[float, ...]
) -> tuple[float, float]:
    """Bad requests with the modelled part at the new version's best and worst behaviour."""
    begin, end = world.timeline.started_ms, world.bundle.end_ms
    middle = bad_requests(*told, begin, end)
    if world.line_ms is None:
        return middle, middle
    measured = bad_requests(*told, begin, world.line_ms)
    modelled = told[1].between(world.line_ms, end)[0]
    total, failed = recorded[0].between(begin - LOOK_MS, end)
    usual = failed / total if total > 0.0 else 0.0
    low, high = (max(0.0, one - usual) for one in (min(rates), max(rates)))
    return min(middle, measured + low * modelled), max(middle, measured + high * modelled)
