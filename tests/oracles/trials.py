"""How often a gate stops a release: runs of the simulated world, counted.

Arrivals are Poisson, or *fixed*: an exact split of so many requests that chance moves the release's share of
them by far less than one request, with the scrapes half a request after it begins, gives the same number in
every window.

An event too rare to be seen is looked for in a world that is worse, and every run counts by how much likelier
or less likely its errors are in the world that is asked about (importance sampling by exponential tilting;
S. Asmussen, P. W. Glynn, Stochastic Simulation, 2007, chapter V).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rolloutsim.outcomes import End
from rolloutsim.policy.model import Policy
from rolloutsim.sim.run import simulate, trace_run
from rolloutsim.sim.scenario import Scenario, Split
from tests.oracles.cases import FEWEST_EVENTS, NotPlayed, Sampled
from tests.oracles.worlds import (
    ANALYSIS,
    RELEASE,
    ideal_telemetry,
    instant_cluster,
    metric,
    routed_canary,
    scraped_first,
    set_weight,
    world,
)

FEWEST_RUNS, MOST_RUNS = 200, 1000
FEWEST_WINDOWS, MOST_WINDOWS = 1000, 3000
TILTED_RUNS = 600
TILT = 1.0 / 3.0
"""How far a run is tilted from its error rate to one that often aborts: beyond that a few runs weigh so much
that the standard error cannot be trusted."""
RAREST = 1e-3
"""The rarest abort that this many runs of a worse world show often enough."""
SEED = 1

SMALL_SHARE = 1e-9
"""Share of the requests that a release of fixed counts gets."""
POISSON_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Gate:
    """A query judged on a grid of ticks, and the traffic that it looks at.

    The release gets ``requests`` in each ``interval_s``; ticks come at ``first_s`` after its first request
    and every ``interval_s`` from then on. ``condition`` is that of a tick that passes; ``query`` has
    ``{errors}`` and ``{total}``, the numbers of the last ``window_s``. The gate fails at the tick with more
    than ``limit`` failures, or, if ``in_a_row``, errors one after the other.
    """

    query: str
    condition: str
    requests: float
    fixed: bool
    interval_s: float
    window_s: float
    first_s: float
    ticks: int
    limit: int
    in_a_row: bool = False

    @property
    def offset_ms(self) -> int:
        """From the first request to the grid of scrapes and ticks: half a request if they are fixed."""
        return round(500.0 * self.interval_s / self.requests) if self.fixed else 0

    @property
    def ahead_s(self) -> int:
        """How long a pod is scraped before its first request: a window."""
        return math.ceil(self.window_s)

    @property
    def begins_ms(self) -> int:
        """Start of the first interval, from the release."""
        return 1000 * self.ahead_s + self.offset_ms

    def policy(self) -> Policy:
        """A canary of one step, whose analysis is the gate."""
        window = f"[{round(1000 * self.window_s)}ms]"
        counts = {
            "errors": f'sum(increase(http_requests_total{{{RELEASE}, status=~"5.."}}{window}))',
            "total": f"sum(increase(http_requests_total{{{RELEASE}}}{window}))",
        }
        gate = metric(
            self.query.format(**counts),
            self.condition,
            initialDelay=f"{round(1000 * self.first_s) + self.offset_ms}ms",
            interval=f"{round(1000 * self.interval_s)}ms",
            count=self.ticks,
            failureLimit=0 if self.in_a_row else self.limit,
            consecutiveErrorLimit=self.limit if self.in_a_row else 0,
        )
        share = SMALL_SHARE if self.fixed else POISSON_SHARE
        steps = [*scraped_first(self.ahead_s), set_weight(share), {"analysis": ANALYSIS}]
        return routed_canary(steps, [gate])

    def world(self, error_rate: float) -> Scenario:
        """A release of which this share of the requests fails, until the last tick."""
        share = SMALL_SHARE if self.fixed else POISSON_SHARE
        scrape_ms = round(1000 * self.interval_s)
        last_ms = self.begins_ms + round(1000 * (self.first_s + (self.ticks - 1) * self.interval_s))
        return world(
            self.requests / self.interval_s / share,
            error_rate,
            (last_ms + 1) / 1000,
            telemetry=ideal_telemetry(self.interval_s, self.begins_ms % scrape_ms),
            cluster=instant_cluster(Split.EXACT if self.fixed else Split.RANDOM),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether and when (seconds) a gate failed, and the requests and errors until then."""

    failed: bool
    at_s: float
    requests: int = 0
    errors: int = 0


# --- whole runs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """Trials of a gate where requests fail with ``drawn``, to say something about ``error_rate``.

    ``chance`` is the expected share of those that fail.
    """

    trials: Sequence[Trial]
    error_rate: float
    drawn: float
    chance: float

    def weights(self) -> list[float]:
        """How much each trial counts: 0 if the gate did not fail, else its likelihood ratio."""
        return [self._ratio(trial) if trial.failed else 0.0 for trial in self.trials]

    def _ratio(self, trial: Trial) -> float:
        if self.error_rate == self.drawn:
            return 1.0
        good = math.log1p(-self.error_rate) - math.log1p(-self.drawn)
        bad = math.log(self.error_rate / self.drawn)
        return math.exp(trial.errors * bad + (trial.requests - trial.errors) * good)

    def share(self) -> Sampled:
        """Share of the trials that fail; its error is the expected one where nothing is weighted."""
        weights, runs = self.weights(), len(self.trials)
        mean = sum(weights) / runs
        if self.error_rate == self.drawn:
            error = math.sqrt(self.chance * (1.0 - self.chance) / runs)
        else:
            error = math.sqrt(sum((weight - mean) ** 2 for weight in weights)) / runs
        return Sampled(mean, error, self._events())

    def mean_time(self, unit_s: float) -> Sampled:
        """Mean time of the failures."""
        weights = self.weights()
        total = sum(weights) or 1.0
        times = [trial.at_s / unit_s if trial.failed else 0.0 for trial in self.trials]
        mean = sum(w * t for w, t in zip(weights, times, strict=True)) / total
        spread = sum((w * (t - mean)) ** 2 for w, t in zip(weights, times, strict=True))
        return Sampled(mean, math.sqrt(spread) / total, self._events())

    def _events(self) -> float:
        """Expected number of failures, or, in a worse world, the number of those that were seen."""
        if self.error_rate == self.drawn:
            return self.chance * len(self.trials)
        return sum(trial.failed for trial in self.trials)


def needs_a_worse_world(chance: float) -> bool:
    """Whether an abort of this chance is so rare that runs of the world itself would be too many."""
    return RAREST <= chance < FEWEST_EVENTS / MOST_RUNS


def aborts(gate: Gate, error_rate: float, worse: float, chance: float) -> Sample | NotPlayed:
    """Runs of the gate, sized for an abort of this chance; ``worse`` is a rate that often aborts."""
    if chance < RAREST:
        return NotPlayed(f"an abort of probability {chance:.2g} is too rare for the time of a test")
    if not needs_a_worse_world(chance):
        wanted = max(FEWEST_RUNS, math.ceil(FEWEST_EVENTS / chance))
        return Sample(_runs(gate, error_rate, wanted), error_rate, error_rate, chance)
    drawn = error_rate + TILT * (worse - error_rate)
    return Sample(_traced_runs(gate, drawn), error_rate, drawn, chance)


def windows(gate: Gate, error_rate: float, worse: float, chance: float) -> Sample:
    """Windows that do not overlap, each a trial; otherwise as `aborts`."""
    if MOST_WINDOWS * chance >= FEWEST_EVENTS:
        count = max(FEWEST_WINDOWS, math.ceil(FEWEST_EVENTS / chance))
        return Sample(_windows(gate, error_rate, count), error_rate, error_rate, chance)
    return Sample(_windows(gate, worse, FEWEST_WINDOWS), error_rate, worse, chance)


@lru_cache(maxsize=64)
def _runs(gate: Gate, error_rate: float, runs: int) -> tuple[Trial, ...]:
    frame = simulate(gate.policy(), gate.world(error_rate), runs=runs, seed=SEED).runs
    begins_s = gate.begins_ms / 1000
    return tuple(
        Trial(end == End.ABORTED, duration_s - begins_s)
        for end, duration_s in zip(frame["end"], frame["duration_s"], strict=True)
    )


@lru_cache(maxsize=64)
def _traced_runs(gate: Gate, error_rate: float) -> tuple[Trial, ...]:
    policy, bad_world = gate.policy(), gate.world(error_rate)
    return tuple(_traced(gate, policy, bad_world, run) for run in range(TILTED_RUNS))


def _traced(gate: Gate, policy: Policy, bad_world: Scenario, run: int) -> Trial:
    manifest, records = trace_run(policy, bad_world, seed=SEED, run=run)
    aborted = [record["at"] for record in records if _is_event(record, "Aborted")]
    if not aborted:
        return Trial(failed=False, at_s=math.nan)
    at_ms = aborted[0] - manifest["start"]
    successes, errors = _counters(records, manifest["start"])[at_ms]
    return Trial(True, (at_ms - gate.begins_ms) / 1000, successes + errors, errors)


@lru_cache(maxsize=64)
def _windows(gate: Gate, error_rate: float, count: int) -> tuple[Trial, ...]:
    """One long run of a gate that never fails as a whole."""
    endless = replace(gate, ticks=count, limit=count)
    manifest, records = trace_run(endless.policy(), endless.world(error_rate), seed=SEED)
    counters = _counters(records, manifest["start"])
    trials = []
    for record in records:
        if _is_event(record, "MeasurementTaken"):
            at_ms = record["at"] - manifest["start"]
            before, now = counters[at_ms - round(1000 * gate.window_s)], counters[at_ms]
            requests, errors = sum(now) - sum(before), now[1] - before[1]
            assert not gate.fixed or requests == gate.requests
            failed = record["value"]["phase"] == "Failed"
            trials.append(Trial(failed, (at_ms - gate.begins_ms) / 1000, requests, errors))
    assert len(trials) == count
    return tuple(trials)


def _is_event(record: dict[str, Any], kind: str) -> bool:
    return bool(record["kind"] == "event" and record["value"]["kind"] == kind)


def _counters(records: Sequence[dict[str, Any]], start: int) -> dict[int, tuple[int, int]]:
    """Successes and errors of the release at each scrape (ms from the release)."""
    found: dict[int, dict[str, int]] = {}
    for record in records:
        if record["kind"] == "sample":
            labels, value = record["labels"], record["value"]
            mine = labels["__name__"] == "http_requests_total" and labels["app_version"] == "v2"
            if mine and value not in ("NaN", "StaleNaN"):
                found.setdefault(record["at"] - start, {})[labels["status"]] = int(value)
    return {at: (counts["200"], counts["500"]) for at, counts in found.items()}
