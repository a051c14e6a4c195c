"""From a run that was played to its row: what became of it, what caught it, what it cost."""

from __future__ import annotations

import math

from rolloutsim.outcomes import CaughtBy, End, Outcome
from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.world import World

__all__ = ["outcome"]

TIMED_OUT = ("timed out progressing", "exceeded its progressDeadlineSeconds")
"""How an abort says that pods did not come: those of the release, or those of an experiment."""


def outcome(world: World, run: int) -> Outcome:
    """The row of a run that has been played."""
    service, healthy, tally = world.scenario.service, world.scenario.release.healthy, world.tally
    end, caught_by, decided, message = _verdict(world)
    stopped = caught_by in (CaughtBy.ANALYSIS, CaughtBy.DEADLINE)
    toll = world.toll
    bad = float(world.plane.bad.sum()) + world.plane.unserved + toll.beyond_usual + toll.cut_in_flight
    exposed = tally.exposed_until_over
    requests_exposed = exposed if exposed is not None else world.exposed()
    users_exposed, users_harmed = _users(world, requests_exposed, bad)
    schema, connections = toll.schema, toll.connections
    budget = (1.0 - service.slo) * world.plane.mean_rate_rps * service.slo_period_ms / 1000.0
    over = tally.promoted if end is End.PROMOTED else decided if end is End.ABORTED else None
    began = tally.onset if tally.onset is not None else ORIGIN_MS
    return Outcome(
        policy=world.policy.name,
        scenario=world.scenario.name,
        run=run,
        healthy=healthy,
        end=end,
        caught_by=caught_by,
        detected=stopped and not healthy,
        false_abort=end is End.ABORTED and healthy,
        time_to_detect_s=(decided - began) / 1000.0 if stopped and decided is not None else math.nan,
        time_to_mitigate_s=(tally.mitigated - began) / 1000.0 if tally.mitigated is not None else math.nan,
        bad_requests=bad,
        requests_exposed=requests_exposed,
        budget_spent=bad / budget if budget else 0.0,
        duration_s=(over - ORIGIN_MS) / 1000.0 if over is not None else service.horizon_ms / 1000.0,
        pod_hours=tally.extra_pod_ms / 3_600_000.0,
        peak_pods=tally.peak_pods,
        human_waits=world.people.waits,
        measurements=tally.measurements,
        message=message,
        unserved=toll.unserved,
        restore_s=_restore_s(world),
        users_exposed=users_exposed,
        users_harmed=users_harmed,
        cut_connections=connections.cut if connections is not None else 0.0,
        cut_requests=toll.cut_in_flight,
        schema_violations=schema.violations if schema is not None else 0.0,
        rows_at_risk=schema.rows_at_risk if schema is not None else 0.0,
        free_rollback_s=_free_rollback_s(world),
        mixed_s=toll.mixed_ms / 1000.0,
        overlap_s=toll.overlap_ms / 1000.0,
        load_most=world.load_most,
    )


def _users(world: World, requests_exposed: float, bad: float) -> tuple[float, float]:
    """Users that met the new version, and those that it harmed: without sessions, requests."""
    sessions = world.toll.sessions
    if sessions is None:
        return requests_exposed, max(0.0, bad)
    horizon = world.scenario.service.horizon_ms
    over = world.tally.over
    return sessions.users(horizon, horizon if over is None else over - ORIGIN_MS)


def _restore_s(world: World) -> float:
    """From the decision to stop, by whomever, until users were as well off as before the release."""
    tally = world.tally
    decided = [at for at in (tally.gave_up, tally.aborted[0] if tally.aborted else None) if at is not None]
    if not decided or tally.restored is None:
        return math.nan
    return (tally.restored - min(decided)) / 1000.0


def _free_rollback_s(world: World) -> float:
    schema = world.toll.schema
    if schema is None or schema.free_until_ms is None:
        return math.nan
    return schema.free_until_ms / 1000.0


def _verdict(world: World) -> tuple[End, CaughtBy, int | None, str]:
    """How the run ended, what caught the release, when that was decided, and why."""
    tally = world.tally
    if tally.promoted is not None:
        return End.PROMOTED, CaughtBy.NOTHING, None, ""
    if tally.aborted is not None:
        at, message = tally.aborted
        if tally.gave_up is not None and tally.gave_up <= at:
            return End.ABORTED, CaughtBy.PERSON, at, message
        timed_out = any(words in message for words in TIMED_OUT)
        return End.ABORTED, CaughtBy.DEADLINE if timed_out else CaughtBy.ANALYSIS, at, message
    if tally.degraded is not None:
        at, message = tally.degraded
        return End.STUCK, CaughtBy.DEADLINE, at, message
    state = world.loop.session.state
    held = bool(state.status.pauses)
    return End.HELD if held else End.STUCK, CaughtBy.NOTHING, None, state.status.message
