"""Play a policy in a scenario, many times: `simulate`, `compare`, and one run in full: `trace_run`.

Replications are independent and addressed by number, so any executor may play them in any order; rows
are put in order before anything is computed from them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rolloutsim.engine.codec import to_json
from rolloutsim.outcomes import Outcome
from rolloutsim.policy import digest
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import (
    Policy,
)
from rolloutsim.session import Entry
from rolloutsim.sim.compiled import courses_of
from rolloutsim.sim.executors import finished, in_order
from rolloutsim.sim.executors import processes as _workers
from rolloutsim.sim.identity import scenario_digest
from rolloutsim.sim.kept import Kept, Task
from rolloutsim.sim.model_card import left_out, model_card
from rolloutsim.sim.needs import check, reads_latency
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.scenario import Basis, Scenario
from rolloutsim.sim.unseen import sees_nothing, unread_in
from rolloutsim.sim.verdict import outcome
from rolloutsim.sim.world import ORIGIN_MS, World
from rolloutsim.tables import API_VERSION, Results, build_results, provenance
from rolloutsim.trace import Truth, entry_records, sample_record, truth_record

__all__ = ["chunk", "compare", "fidelity", "notes", "play", "rows", "simulate", "trace_run"]

CHUNK = 16
"""Replications that one task of an executor plays."""

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
    keep: Kept | None = None,
) -> Results:
    """Play one policy in one scenario ``runs`` times.

    Parameters
    ----------
    seed : root of all randomness; the same seed gives the same bytes, whatever ``jobs`` is.
    jobs : worker processes; None takes one per core.
    executor : any ``concurrent.futures.Executor`` to use instead of worker processes of our own.
    progress : called with (runs done, runs in all) as they finish.
    keep : chunks of an earlier call that was interrupted; what is there is not played again.

    Raises
    ------
    ScenarioError : the scenario does not say what a metric of the policy would find.
    """
    played = rows(
        [(policy, scenario)],
        runs=runs,
        seed=seed,
        jobs=jobs,
        executor=executor,
        progress=progress,
        keep=keep,
    )
    return _results("Simulation", played, [policy], [scenario], runs, seed)


def compare(
    policies: Sequence[Policy],
    scenarios: Sequence[Scenario],
    *,
    runs: int = 400,
    seed: int = 1,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    keep: Kept | None = None,
) -> Results:
    """Play every policy in every scenario, each ``runs`` times, in the same worlds.

    Replication k of a scenario is one world for all policies (common random numbers), so the
    differences in the result are paired. Parameters as for `simulate`.
    """
    cells = [(policy, scenario) for scenario in scenarios for policy in policies]
    played = rows(cells, runs=runs, seed=seed, jobs=jobs, executor=executor, progress=progress, keep=keep)
    return _results("Comparison", played, policies, scenarios, runs, seed)


def play(policy: Policy, scenario: Scenario, *, seed: int = 1, run: int = 0) -> Outcome:
    """Play one replication and return its row."""
    check(policy, scenario)
    return outcome(_played(policy, scenario, seed, run, latency=reads_latency(policy, scenario)), run)


def trace_run(
    policy: Policy, scenario: Scenario, *, seed: int = 1, run: int = 0, progress: Progress | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Play one replication and return all that happened: the manifest and the records of its trace.

    The run is the same as in `simulate` with this seed. ``progress`` hears of (minutes played, in all)
    where requests are played one by one.
    """
    check(policy, scenario)
    entries: list[Entry] = []
    truths: list[Truth] = []
    world = World(policy, scenario, seed, run, record=entries.append, truth=truths.append)
    world.play(progress)
    return _manifest(world, seed, run), list(_records(world, entries, truths))


# --- playing --------------------------------------------------------------------------------------


def rows(
    cells: Sequence[tuple[Policy, Scenario]],
    *,
    runs: int,
    seed: int,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    keep: Kept | None = None,
) -> Iterator[Outcome]:
    """Play each policy in its scenario ``runs`` times: rows, cell by cell; options as for `simulate`."""
    if runs < 1:
        raise ValueError(f"runs must be at least 1, not {runs}")
    for policy, scenario in cells:
        check(policy, scenario)
    tasks = [
        (policy, scenario, seed, first, min(first + CHUNK, runs))
        for policy, scenario in cells
        for first in range(0, runs, CHUNK)
    ]
    if keep is not None:
        _fill(keep, tasks, jobs, executor, progress)
        for task in tasks:
            yield from keep.read(task)
        return
    total = sum(map(_runs_of, tasks))
    if total == 1 and executor is None:
        yield from chunk(tasks[0], progress)
        return
    with _player(total, jobs, executor) as player:
        done = 0
        for found in map(chunk, tasks) if player is None else in_order(chunk, tasks, player):
            done += len(found)
            if progress is not None:
                progress(done, total)
            yield from found


def _fill(
    keep: Kept, tasks: list[Task], jobs: int | None, executor: Executor | None, progress: Progress | None
) -> None:
    """Play what is missing, and keep each chunk as soon as it is there."""
    missing = list(keep.missing(tasks))
    total, left = sum(map(_runs_of, tasks)), sum(map(_runs_of, missing))
    done = total - left
    with _player(left, jobs, executor) as player:
        played = ((task, chunk(task)) for task in missing)
        for task, found in played if player is None else finished(chunk, missing, player):
            keep.write(task, found)
            done += len(found)
            if progress is not None:
                progress(done, total)


def _player(
    total: int, jobs: int | None, executor: Executor | None
) -> AbstractContextManager[Executor | None]:
    """Who plays so many runs: the executor that is given, or processes, or None for this process."""
    if executor is None and jobs != 1 and total > CHUNK:
        return _workers(jobs or os.cpu_count() or 1)
    return nullcontext(executor)


def _runs_of(task: Task) -> int:
    *_, first, last = task
    return last - first


def chunk(task: Task, progress: Progress | None = None) -> list[Outcome]:
    """The rows of a task (`check` has seen its policy and scenario).

    ``progress`` hears of the minutes of its runs, where requests are played.
    """
    policy, scenario, seed, first, last = task
    latency = reads_latency(policy, scenario)
    # The fast path has to be loaded and rehearsed first: it is for those who play many runs.
    courses = courses_of(policy, scenario) if first >= CHUNK else None
    rows = []
    with _garbage_kept():
        for run in range(first, last):
            row = courses.play(seed, run) if courses is not None else None
            if row is None:
                row = outcome(_played(policy, scenario, seed, run, latency=latency, progress=progress), run)
            rows.append(row)
    return rows


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


def _played(
    policy: Policy,
    scenario: Scenario,
    seed: int,
    run: int,
    *,
    latency: bool,
    progress: Progress | None = None,
) -> World:
    world = World(policy, scenario, seed, run, latency=latency)
    world.play(progress)
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
        scenarios={scenario.name: scenario_digest(scenario) for scenario in scenarios},
        seed=seed,
        runs=runs,
    )
    return build_results(
        rows,
        kind=kind,
        notes=notes(policies, scenarios, runs, seed),
        provenance=known,
        card=model_card(policies, scenarios, fidelity(policies, scenarios)),
    )


def notes(policies: Sequence[Policy], scenarios: Sequence[Scenario], runs: int, seed: int) -> tuple[str, ...]:
    """What has to be known to read the results of these."""
    said = [f"{runs} runs of each, seed {seed}, {fidelity(policies, scenarios)}, common random numbers"]
    for service in dict.fromkeys(scenario.service for scenario in scenarios):
        telemetry = service.telemetry
        phase = "random phase" if telemetry.scrape_phase_ms is None else "fixed phase"
        said.append(
            f"service {service.name}: scrape every {telemetry.scrape_interval_ms / 1000:g} s ({phase}, lag "
            f"{telemetry.lag_ms / 1000:g} s), dispersion of requests {service.traffic.dispersion:g}, "
            f"correlation of errors {service.error_icc:g}, looked at for {service.horizon_ms / 60_000:g} min"
        )
        said.append(
            f"service {service.name}: a bad request fails, is wrong, or takes over "
            f"{service.operators.slow_s:g} s, beyond what the stable version would have had"
        )
    said += [_basis(scenario) for scenario in scenarios if scenario.inputs]
    common = set.intersection(*({*left_out(scenario).values()} for scenario in scenarios))
    said.append("not modelled: " + "; ".join(sorted(common)))
    for policy in policies:
        said += [f"policy {policy.name}: not modelled: {item}" for item in policy.not_modelled]
        if any(_lacks_series(policy, scenario) for scenario in scenarios):
            item = "experiment: its pods export no memory, CPU or log series"
            said.append(f"policy {policy.name}: not modelled: {item}")
        for service, scenario in {scenario.service: scenario for scenario in scenarios}.items():
            said += sees_nothing(policy, service.name, unread_in(policy, scenario))
    return tuple(dict.fromkeys(said))


def fidelity(policies: Sequence[Policy], scenarios: Sequence[Scenario]) -> str:
    """How requests are played: one sentence, or one for each scenario where they differ."""
    found = {
        scenario.name: dict.fromkeys(_fidelity(policy, scenario) for policy in policies)
        for scenario in scenarios
    }
    said = list(dict.fromkeys(text for texts in found.values() for text in texts))
    if len(said) == 1:
        return said[0]
    return "; ".join(f"{name}: {' or '.join(texts)}" for name, texts in found.items())


def _lacks_series(policy: Policy, scenario: Scenario) -> bool:
    telemetry = scenario.service.telemetry
    return "experiment" in steps_beside(policy) and (
        telemetry.resources is not None or telemetry.logs is not None
    )


def _fidelity(policy: Policy, scenario: Scenario) -> str:
    return fidelity_of(scenario, policy.replicas, beside=bool(steps_beside(policy)))[1]


def _basis(scenario: Scenario) -> str:
    counts = {basis: sum(one.basis is basis for one in scenario.inputs) for basis in Basis}
    said = ", ".join(f"{count} {basis}" for basis, count in counts.items() if count)
    return f"scenario {scenario.name}: inputs: {said}"


def _manifest(world: World, seed: int, run: int) -> dict[str, Any]:
    policy, scenario = world.policy, world.scenario
    known = provenance(
        {policy.name: digest(policy)}, {scenario.name: scenario_digest(scenario)}, seed=seed, runs=1
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
