"""One row per run: what became of a rollout, and what it cost.

The vocabulary of every table, plot and verdict. Durations are seconds from the moment the release was
asked for; counts of requests are expectations given what happened in the run (the intensity integrated
over the path that the run took), which has the same mean as a count and less noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum

__all__ = ["CaughtBy", "End", "Outcome", "column_names"]


class End(StrEnum):
    """How a rollout stood at the end of the run."""

    PROMOTED = "promoted"
    ABORTED = "aborted"
    HELD = "held"
    """Waiting for a person, or at an inconclusive analysis."""
    STUCK = "stuck"
    """Not finished and not waiting: no progress within the deadline, or the horizon was reached."""


class CaughtBy(StrEnum):
    """What stopped a release before it was promoted."""

    NOTHING = "nothing"
    ANALYSIS = "analysis"
    DEADLINE = "deadline"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    ``detected``: the policy itself (analysis or progress deadline, not a person) stopped or held the
    release before it was promoted, and the release was bad. ``false_abort``: the rollout was aborted
    and the release was good. ``time_to_detect_s`` runs from the first request that the fault touched to
    the decision, ``time_to_mitigate_s`` to the moment at which no traffic reached the version; NaN when
    it did not happen. ``bad_requests``: failures (or wrong answers) beyond what the stable version
    would have had, until the horizon, promotion included. ``requests_exposed``: requests that reached
    the new version; a good one until it was promoted, a bad one until it was gone or the horizon was
    reached. ``budget_spent``: ``bad_requests`` as a share of the service's error budget.
    ``duration_s``: until promoted, or aborted, else the horizon. ``pod_hours``: above the wanted
    replicas. ``human_waits``: times the rollout waited for a person.

    What follows is 0 where a scenario does not model it. ``unserved``: requests that found no pod.
    ``restore_s``: from the decision to stop, by whomever, to the moment at which no traffic reached the
    version and the old one served everybody; NaN when that did not happen. ``users_exposed`` and
    ``users_harmed``: users (sessions) of whose requests at least one reached the new version, or was bad
    and would not have been on the stable one; a user is one request unless the service has sessions.
    ``cut_connections``: long-lived connections that did not end by themselves; ``cut_requests``: those in
    flight when their pod ended. ``schema_violations``: requests that met a schema which their version
    does not know; ``rows_at_risk``: rows written in a shape that the stable version cannot read;
    ``free_rollback_s``: until when a rollback lost nothing (NaN: always). ``mixed_s``: seconds in which
    both versions got requests, ``overlap_s``: in which both had pods. ``load_most``: the most work that
    was ever offered to a version's pods, as a multiple of what they can do, where requests are played one
    by one.
    """

    policy: str
    scenario: str
    run: int
    healthy: bool
    end: End
    caught_by: CaughtBy
    detected: bool
    false_abort: bool
    time_to_detect_s: float
    time_to_mitigate_s: float
    bad_requests: float
    requests_exposed: float
    budget_spent: float
    duration_s: float
    pod_hours: float
    peak_pods: int
    human_waits: int
    measurements: int
    message: str
    unserved: float = 0.0
    restore_s: float = math.nan
    users_exposed: float = 0.0
    users_harmed: float = 0.0
    cut_connections: float = 0.0
    cut_requests: float = 0.0
    schema_violations: float = 0.0
    rows_at_risk: float = 0.0
    free_rollback_s: float = math.nan
    mixed_s: float = 0.0
    overlap_s: float = 0.0
    load_most: float = 0.0


def column_names() -> tuple[str, ...]:
    """Names of the columns, in order."""
    return tuple(field.name for field in fields(Outcome))
