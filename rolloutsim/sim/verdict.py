"""From a run that was played to its row: what became of it, what caught it, what it cost."""

from __future__ import annotations

import math

from rolloutsim.outcomes import CaughtBy, End, Outcome
from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.world import World

__all__ = ["outcome"]


def outcome(world: World, run: int) -> Outcome:
    """The row of a run that has been played."""
    service, healthy = world.scenario.service, world.scenario.release.healthy
    end, caught_by, decided, message = _verdict(world)
    stopped = caught_by in (CaughtBy.ANALYSIS, CaughtBy.DEADLINE)
    bad = float(world.plane.bad.sum()) + world.plane.unserved
    exposed = world.exposed_until_over
    budget = (1.0 - service.slo) * world.plane.mean_rate_rps * service.slo_period_ms / 1000.0
    over = world.promoted if end is End.PROMOTED else decided if end is End.ABORTED else None
    began = world.onset if world.onset is not None else ORIGIN_MS
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
        time_to_mitigate_s=(world.mitigated - began) / 1000.0 if world.mitigated is not None else math.nan,
        bad_requests=bad,
        requests_exposed=exposed if exposed is not None else float(world.plane.exposed[1:].sum()),
        budget_spent=bad / budget if budget else 0.0,
        duration_s=(over - ORIGIN_MS) / 1000.0 if over is not None else service.horizon_ms / 1000.0,
        pod_hours=world.extra_pod_ms / 3_600_000.0,
        peak_pods=world.peak_pods,
        human_waits=world.people.waits,
        measurements=world.measurements,
        message=message,
    )


def _verdict(world: World) -> tuple[End, CaughtBy, int | None, str]:
    """How the run ended, what caught the release, when that was decided, and why."""
    if world.promoted is not None:
        return End.PROMOTED, CaughtBy.NOTHING, None, ""
    if world.aborted is not None:
        at, message = world.aborted
        if world.gave_up is not None and world.gave_up <= at:
            return End.ABORTED, CaughtBy.PERSON, at, message
        timed_out = "timed out progressing" in message
        return End.ABORTED, CaughtBy.DEADLINE if timed_out else CaughtBy.ANALYSIS, at, message
    if world.degraded is not None:
        at, message = world.degraded
        return End.STUCK, CaughtBy.DEADLINE, at, message
    state = world.loop.session.state
    held = bool(state.status.pauses)
    return End.HELD if held else End.STUCK, CaughtBy.NOTHING, None, state.status.message
