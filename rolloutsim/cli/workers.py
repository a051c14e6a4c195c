"""Who plays, and where it is kept: the options ``--dask`` and ``--keep``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rolloutsim.sim.kept import Kept

__all__ = ["Dask", "Keep", "Workers", "executor", "start", "workers"]

Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Play on the Dask cluster whose scheduler is at tcp://HOST:PORT; no influence on results.",
        show_default=False,
    ),
]
Keep = Annotated[
    Path | None,
    typer.Option(
        help="Keep runs in this directory as they are played; what it has is not played again.",
        show_default=False,
    ),
]

_ALONE = 16
"""Runs that are played without workers: `rolloutsim.sim.run.CHUNK`, without the time of its import."""


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor that is not made for this call alone, and a place to keep chunks; None where not wanted."""

    executor: Executor | None
    keep: Kept | None


def start(jobs: int | None, dask: str | None, runs: int) -> None:
    """Let worker processes begin to start, if there will be some; to be called before files are read."""
    if dask is not None and jobs is not None:
        raise InputError("--jobs and --dask exclude each other", fix="give one of them")
    if dask is None and jobs != 1 and runs > _ALONE:
        from rolloutsim.sim.executors import prepare

        prepare()


def executor(jobs: int | None, dask: str | None) -> AbstractContextManager[Executor | None]:
    """The cluster, worker processes (``jobs`` None: one per core), or None for this process."""
    from rolloutsim.sim import executors

    if dask is not None:
        return executors.dask(dask)
    return nullcontext() if jobs == 1 else executors.processes(jobs or os.cpu_count() or 1)


@contextmanager
def workers(dask: str | None, keep: Path | None) -> Iterator[Workers]:
    """The cluster and the directory, while they are needed."""
    from rolloutsim.sim import executors
    from rolloutsim.sim.kept import keeping

    with ExitStack() as stack:
        kept = None if keep is None else stack.enter_context(keeping(keep))
        executor = None if dask is None else stack.enter_context(executors.dask(dask))
        try:
            yield Workers(executor, kept)
        except KeyboardInterrupt:
            if keep is not None:
                typer.echo(f"what was played is in {keep}: the same command goes on from there", err=True)
            raise
    if kept is not None:
        _say(kept)


def _say(kept: Kept) -> None:
    """What was found, where that is news."""
    from rolloutsim.sim.kept import Was

    total = kept.found.total()
    again = [f"{kept.found[was]} {was}" for was in (Was.DAMAGED, Was.OTHER) if kept.found[was]]
    if kept.found[Was.WHOLE] or again:
        played = f"; played again: {', '.join(again)}" if again else ""
        typer.echo(f"{kept.found[Was.WHOLE]} of {total} chunks were kept{played}", err=True)
