"""Play a policy in a scenario, many times: `simulate`, `compare`, and one run in full: `trace_run`.

Replications are independent and addressed by number, so any executor may play them in any order; rows
are put in order before anything is computed from them.
"""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from rolloutsim.engine.codec import to_json
from rolloutsim.outcomes import Outcome
from rolloutsim.policy import digest
from rolloutsim.policy.model import (
    Policy,
)
from rolloutsim.session import Entry
from rolloutsim.sim.needs import check, reads_latency
from rolloutsim.sim.scenario import Basis, Scenario
from rolloutsim.sim.verdict import outcome
from rolloutsim.sim.world import ORIGIN_MS, World
from rolloutsim.tables import API_VERSION, Results, build_results, provenance
from rolloutsim.trace import Truth, entry_records, sample_record, truth_record

__all__ = ["compare", "play", "simulate", "trace_run"]

CHUNK = 16
"""Replications that one task of an executor plays."""
AHEAD = 64
"""Tasks that are handed to an executor before their results are taken."""

Progress = Callable[[int, int], object]


def simulate(
    policy: Policy,
    scenario: Scenario,
    *,
    runs: int = 400,
    seed: int = 1,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Results:
    """Play one policy in one scenario ``runs`` times.

    Parameters
    ----------
    seed : root of all randomness; the same seed gives the same bytes, whatever ``jobs`` is.
    jobs : worker processes; None takes one per core.
    executor : any ``concurrent.futures.Executor`` to use instead of worker processes of our own.
    progress : called with (runs done, runs in all) as they finish.

    Raises
    ------
    ScenarioError : the scenario does not say what a metric of the policy would find.
    """
    rows = _rows([policy], [scenario], runs, seed, jobs, executor, progress)
    return _results("Simulation", rows, [policy], [scenario], runs, seed)


def compare(
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    *,
    runs: int = 400,
    seed: int = 1,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Results:
    """Play every policy in every scenario, each ``runs`` times, in the same worlds.

    Replication k of a scenario is one world for all policies (common random numbers), so the
    differences in the result are paired. Parameters as for `simulate`.
    """
    rows = _rows(policies, scenarios, runs, seed, jobs, executor, progress)
    return _results("Comparison", rows, policies, scenarios, runs, seed)


def play(policy: Policy, scenario: Scenario, *, seed: int = 1, run: int = 0) -> Outcome:
    """Play one replication and return its row."""
    check(policy, scenario)
    return outcome(_played(policy, scenario, seed, run, latency=reads_latency(policy, scenario)), run)


def trace_run(
    policy: Policy, scenario: Scenario, *, seed: int = 1, run: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Play one replication and return all that happened: the manifest and the records of its trace.

    The run is the same as in `simulate` with this seed.
    """
    check(policy, scenario)
    entries: list[Entry] = []
    truths: list[Truth] = []
    world = World(policy, scenario, seed, run, record=entries.append, truth=truths.append)
    world.play()
    return _manifest(world, seed, run), list(_records(world, entries, truths))


# --- playing --------------------------------------------------------------------------------------


def _rows(
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    runs: int,
    seed: int,
    jobs: int | None,
    executor: Executor | None,
    progress: Progress | None,
) -> Iterator[Outcome]:
    if runs < 1:
        raise ValueError(f"runs must be at least 1, not {runs}")
    for policy in policies:
        for scenario in scenarios:
            check(policy, scenario)
    tasks = (
        (policy, scenario, seed, first, min(first + CHUNK, runs))
        for scenario in scenarios
        for policy in policies
        for first in range(0, runs, CHUNK)
    )
    total = len(policies) * len(scenarios) * runs
    inline = executor is None and (jobs == 1 or total <= CHUNK)
    done = 0
    for chunk in map(_chunk, tasks) if inline else _spread(tasks, jobs or os.cpu_count() or 1, executor):
        done += len(chunk)
        if progress is not None:
            progress(done, total)
        yield from chunk


Task = tuple[Policy, Scenario, int, int, int]


def _spread(tasks: Iterable[Task], jobs: int, executor: Executor | None) -> Iterator[list[Outcome]]:
    """The chunks of all tasks, in the order of the tasks, with a bounded number of them on the way."""
    with _workers(jobs) if executor is None else nullcontext(executor) as pool:
        pending: deque[Future[list[Outcome]]] = deque()
        for task in tasks:
            pending.append(pool.submit(_chunk, task))
            if len(pending) >= AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _workers(jobs: int) -> Executor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rolloutsim.sim.run"])
    return ProcessPoolExecutor(jobs, mp_context=context)


def _chunk(task: Task) -> list[Outcome]:
    policy, scenario, seed, first, last = task
    latency = reads_latency(policy, scenario)
    with _garbage_kept():
        return [
            outcome(_played(policy, scenario, seed, run, latency=latency), run) for run in range(first, last)
        ]


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """No search for cyclic garbage meanwhile: a chunk makes little of it, and the search costs a tenth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _played(policy: Policy, scenario: Scenario, seed: int, run: int, *, latency: bool) -> World:
    world = World(policy, scenario, seed, run, latency=latency)
    world.play()
    return world


# --- what is said about it ------------------------------------------------------------------------


def _results(
    kind: str,
    rows: Iterator[Outcome],
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    runs: int,
    seed: int,
) -> Results:
    known = provenance(
        policies={policy.name: digest(policy) for policy in policies},
        scenarios={scenario.name: _scenario_digest(scenario) for scenario in scenarios},
        seed=seed,
        runs=runs,
    )
    return build_results(rows, kind=kind, notes=_notes(policies, scenarios, runs, seed), provenance=known)


def _notes(
    policies: Sequence[Policy], scenarios: Sequence[Scenario], runs: int, seed: int
) -> tuple[str, ...]:
    notes = [f"{runs} runs of each, seed {seed}, aggregate fidelity (no queueing), common random numbers"]
    for service in dict.fromkeys(scenario.service for scenario in scenarios):
        telemetry = service.telemetry
        phase = "random phase" if telemetry.scrape_phase_ms is None else "fixed phase"
        notes.append(
            f"service {service.name}: scrape every {telemetry.scrape_interval_ms / 1000:g} s ({phase}, lag "
            f"{telemetry.lag_ms / 1000:g} s), dispersion of requests {service.traffic.dispersion:g}, "
            f"correlation of errors {service.error_icc:g}, looked at for {service.horizon_ms / 60_000:g} min"
        )
        notes.append(
            f"service {service.name}: a bad request fails, is wrong, or takes over "
            f"{service.operators.slow_s:g} s, beyond what the stable version would have had"
        )
    notes += [_basis(scenario) for scenario in scenarios if scenario.inputs]
    for policy in policies:
        notes += [f"policy {policy.name}: not modelled: {item}" for item in policy.not_modelled]
    return tuple(dict.fromkeys(notes))


def _basis(scenario: Scenario) -> str:
    counts = {basis: sum(one.basis is basis for one in scenario.inputs) for basis in Basis}
    said = ", ".join(f"{count} {basis}" for basis, count in counts.items() if count)
    return f"scenario {scenario.name}: inputs: {said}"


def _scenario_digest(scenario: Scenario) -> str:
    """SHA-256 of what a scenario says, not of how its file says it."""
    content = to_json(replace(scenario, name="", inputs=()))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _manifest(world: World, seed: int, run: int) -> dict[str, Any]:
    policy, scenario = world.policy, world.scenario
    known = provenance(
        {policy.name: digest(policy)}, {scenario.name: _scenario_digest(scenario)}, seed=seed, runs=1
    )
    return {
        "apiVersion": API_VERSION,
        "world": "simulated",
        "run": run,
        "start": ORIGIN_MS,
        "policy": to_json(policy),
        "snapshot": to_json(world.snapshot),
        "provenance": known,
    }


def _records(world: World, entries: list[Entry], truths: list[Truth]) -> Iterator[dict[str, Any]]:
    """Journal, samples and truth in the order of time; at one instant truth, samples, journal."""
    timed: list[tuple[int, int, int, dict[str, Any]]] = []
    for truth in truths:
        timed.append((truth.at, 0, len(timed), truth_record(truth)))
    store = world.metrics.store
    for series in range(len(store)):
        labels = store.labels(series)
        times, values = store.samples(series)
        for at, value in zip(times.tolist(), values.tolist(), strict=True):
            timed.append((at, 1, len(timed), sample_record(at, labels, value)))
    for entry in entries:
        for record in entry_records(entry):
            timed.append((entry.seen.at, 2, len(timed), record))
    yield from (record for *_, record in sorted(timed, key=lambda one: one[:3]))
