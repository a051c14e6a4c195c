"""Who plays the chunks: processes of our own, or the workers of a Dask cluster.

Both are ``concurrent.futures`` executors, and nothing that they return depends on which it was.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures import Future as _Future
from concurrent.futures import wait as _wait
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as _readable
from multiprocessing.context import ForkServerContext
from threading import Thread
from typing import Any, TypeVar

from rolloutsim.errors import ExecutorError, InputError

__all__ = ["dask", "finished", "in_order", "prepare", "processes"]

AHEAD = 64
"""Tasks that are handed to an executor before their results are taken."""
CONNECT_S = 10
"""Patience with a Dask scheduler, and with the first of its workers."""

_PRELOADED = ["__main__", "rolloutsim.sim.warm"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], tasks: Iterable[T], executor: Executor) -> Iterator[R]:
    """The results in the order of the tasks, with a bounded number of them on the way."""
    pending: deque[_Future[R]] = deque()
    for task in tasks:
        pending.append(executor.submit(function, task))
        if len(pending) >= AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def finished(function: Callable[[T], R], tasks: Iterable[T], executor: Executor) -> Iterator[tuple[T, R]]:
    """Each task and its result, as soon as it is there, with a bounded number of them on the way."""
    pending: dict[_Future[R], T] = {}
    for task in tasks:
        pending[executor.submit(function, task)] = task
        if len(pending) >= AHEAD:
            yield from _taken(pending)
    while pending:
        yield from _taken(pending)


def _taken(pending: dict[_Future[R], T]) -> Iterator[tuple[T, R]]:
    for future in _wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()


# --- processes ------------------------------------------------------------------------------------


def prepare() -> None:
    """Let what worker processes are forked from start now, and load what they need meanwhile.

    Returns at once. Whoever knows early that there will be workers saves most of the time of their start.
    """
    _forking()


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Worker processes; when the block is left by an exception, or this process dies, so do they, at once.

    Raises
    ------
    ExecutorError : a worker ended by itself.
    """
    context = _forking()
    # The first child waits until what it is forked from has loaded. A worker that is given up meanwhile
    # starts later, misses the locks it was to share, and complains; this child shares none.
    first = context.Process(target=_nothing)
    first.start()
    first.join()
    alive, lifeline = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow, initargs=(alive,))
    try:
        yield pool
    except BrokenExecutor as error:
        raise ExecutorError(
            "a worker process ended before its work did; was it killed, or is memory short? "
            "fewer --jobs need less"
        ) from error
    except BaseException:
        lifeline.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        alive.close()


def _forking() -> ForkServerContext:
    """The way to make workers; what they are forked from is started with interrupts blocked, as they are."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # else it is started by the next line, and unblocks interrupts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _nothing() -> None:
    """What the first child does."""


def _follow(alive: Connection) -> None:
    """In a worker: an interrupt is not for it, and it does not outlive whom it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: Connection) -> None:
    _readable([alive])  # nothing is ever sent: this is the other side being closed
    os._exit(1)


# --- Dask -----------------------------------------------------------------------------------------


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster, by the address of its scheduler: ``tcp://127.0.0.1:8786``.

    Raises
    ------
    InputError : the package ``distributed`` is missing.
    ExecutorError : the scheduler does not answer, has no worker, or has one with another version of ours;
        or the cluster was lost.
    """
    client = _client(address)
    try:
        _check_workers(client, address)
        # pure: looking for an equal task costs more than a small one takes, and there is none
        executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)
    except CancelledError as error:
        raise ExecutorError(
            f"the Dask cluster at {address} was lost, or its workers die of the work"
        ) from error
    finally:
        client.close()


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "a Dask cluster needs the package distributed", fix="pip install 'rolloutsim[dask]'"
        ) from None
    try:
        client: Any = Client
        return client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExecutorError(
            f"no Dask scheduler answers at {address}: {_first_line(error)}; "
            "is it the address that the scheduler printed, as tcp://HOST:8786?"
        ) from error


def _check_workers(client: Any, address: str) -> None:
    """All workers have our code: with another one the same seed would give other bytes."""
    from rolloutsim.sim.identity import build

    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise ExecutorError(f"the Dask scheduler at {address} has no workers; start one") from error
    for worker, found in client.run(build, on_error="return").items():
        if isinstance(found, BaseException):
            raise ExecutorError(
                f"the Dask worker {worker} cannot play: {_first_line(found)}; is rolloutsim installed there?"
            ) from found
        if found != build():
            raise ExecutorError(
                f"the Dask worker {worker} has another rolloutsim, Python, numpy or simpy than this process; "
                "install the same everywhere"
            )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
