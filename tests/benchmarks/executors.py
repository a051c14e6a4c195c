"""What it costs to hand work to other processes, and that nobody can see from the results who did it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import rolloutsim as rs
from rolloutsim.sim import run

from .measure import Goal, Row, Sizes
from .request_rollouts import watched_inputs
from .rollouts import article_inputs

__all__ = ["overhead", "sameness"]

TASK_S = 0.005


def _spin(count: int, _: int) -> float:
    """Tasks of 5 ms of CPU time each; the wall time that they took. No two calls may look alike to Dask."""
    began = time.perf_counter()
    for _ in range(count):
        end = time.thread_time() + TASK_S
        while time.thread_time() < end:
            pass
    return time.perf_counter() - began


def _waited(executor: Executor, tasks: int) -> tuple[float, float]:
    """Wall seconds for all tasks in chunks as `rolloutsim.sim.run` makes them: here, and in the workers."""
    start = time.perf_counter()
    waiting = [executor.submit(_spin, run.CHUNK, number) for number in range(tasks // run.CHUNK)]
    worked = sum(one.result() for one in waiting)
    return time.perf_counter() - start, worked


@contextmanager
def _dask(workers: int) -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        yield executor


def overhead(sizes: Sizes) -> list[Row]:
    """Milliseconds per task that one worker waits for the next one; speed-up of two workers.

    What a worker waits for is what its tasks did not take: so a busy machine does not count as overhead.
    The speed-up is of wall times and needs an idle machine; how busy both workers were kept does not.
    """
    tasks = sizes.tasks - sizes.tasks % run.CHUNK
    lost_ms: tuple[list[float], list[float]] = ([], [])
    speed_up: list[float] = []
    kept: list[float] = []
    with run._workers(1) as one, run._workers(2) as two, _dask(1) as dask:
        for executor in (one, two, dask):
            _waited(executor, 4 * run.CHUNK)
        for _ in range(sizes.rounds):
            (single, alone), (remote, there), (both, shared) = (
                _waited(executor, tasks) for executor in (one, dask, two)
            )
            lost_ms[0].append(1000.0 * (single - alone) / tasks)
            lost_ms[1].append(1000.0 * (remote - there) / tasks)
            speed_up.append(single / both)
            kept.append(shared / both)
    name = f"{tasks} tasks of 5 ms"
    return [
        Row(f"G8 {name}, process pool", "ms/task", tuple(lost_ms[0]), Goal(0.1, at_least=False)),
        Row(f"G8 {name}, Dask", "ms/task", tuple(lost_ms[1]), Goal(0.5, at_least=False)),
        Row("G8 speed-up of 2 workers, wall", "x", tuple(speed_up), Goal(1.9, at_least=True)),
        Row("G8 workers kept busy, of 2", "workers", tuple(kept)),
    ]


class Backwards(Executor):
    """Does nothing until somebody waits for a result, and then the last task first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future = _Lazy(self)
        self._waiting.append((future, fn, args))
        return future

    def work(self) -> None:
        while self._waiting:
            future, fn, args = self._waiting.pop()
            future.set_result(fn(*args))


class _Lazy(Future[Any]):
    def __init__(self, executor: Backwards) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self._executor.work()
        return super().result(timeout)


def _digest(results: rs.Results) -> str:
    digest = sha256(json.dumps(results.to_json()).encode())
    for column in results.columns.values():
        digest.update(column.tobytes())
    return digest.hexdigest()


def sameness(sizes: Sizes) -> list[Row]:
    """Different results of 1, 2 and 3 workers, chunk sizes, orders and executors."""
    return [
        _different("G9 SHA-256, aggregate", *article_inputs(), sizes.same_runs),
        _different("G9 SHA-256, request by request", *watched_inputs(), sizes.same_played),
    ]


def _different(name: str, policy: rs.Policy, scenario: rs.Scenario, runs: int) -> Row:
    def played(**options: Any) -> str:
        return _digest(rs.simulate(policy, scenario, runs=runs, seed=7, **options))

    usual = run.CHUNK
    found = set()
    try:
        for chunk in (usual, 1, 3):
            run.CHUNK = chunk
            found |= {played(jobs=jobs) for jobs in (1, 2, 3)}
            with ThreadPoolExecutor(2) as threads:
                found.add(played(executor=threads))
            found.add(played(executor=Backwards()))
        with _dask(2) as dask:
            found.add(played(executor=dask))
    finally:
        run.CHUNK = usual
    return Row(f"{name}, different", "results", (float(len(found)),), Goal(1, at_least=False))
