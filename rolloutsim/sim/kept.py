"""Chunks of runs in a directory: what was played is read, what is not there, or not whole, is played again.

One file per chunk, JSON Lines: what it holds, a row per run, and the SHA-256 of all that stands above. The
name says which policy, scenario, seed and runs it holds, by content and not by name, so that one directory
may serve any number of simulations. Files appear whole or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.errors import InputError, Position
from rolloutsim.outcomes import Outcome, column_names
from rolloutsim.policy.model import Policy
from rolloutsim.sim.identity import build, pair_digest
from rolloutsim.sim.scenario import Scenario

__all__ = ["Kept", "Task", "Was", "keeping"]

Task = tuple[Policy, Scenario, int, int, int]
"""Policy, scenario, seed, and the runs from ``first`` to ``last - 1``."""

_COLUMNS = tuple(name for name in column_names() if name not in ("policy", "scenario"))
_DIGITS = 24


class Was(StrEnum):
    """How a chunk was found."""

    WHOLE = "whole"
    ABSENT = "absent"
    DAMAGED = "damaged"
    OTHER = "of another version"


class Kept:
    """The chunks in a directory. Only one process at a time may hold it: see `keeping`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: tuple[Policy, Scenario, str] | None = None
        self.found: Counter[Was] = Counter()
        """How the chunks were found that were asked for."""

    def missing(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks that are to be played."""
        for task in tasks:
            was, _ = self._look(task)
            self.found[was] += 1
            if was is not Was.WHOLE:
                yield task

    def write(self, task: Task, rows: Sequence[Outcome]) -> None:
        """Keep the rows of a task.

        Raises
        ------
        InputError : the file cannot be written.
        """
        lines = [json.dumps(self._head(task))]
        for row in rows:
            content = to_json(row)
            lines.append(
                json.dumps([content[name] for name in _COLUMNS], ensure_ascii=False, allow_nan=False)
            )
        body = "".join(f"{line}\n" for line in lines).encode()
        path = self._path(task)
        new = path.with_suffix(".new")
        with _writing(path):
            new.write_bytes(body + _seal(body))
            os.replace(new, path)

    def read(self, task: Task) -> list[Outcome]:
        """The rows of a task that is not missing, under the names of its policy and scenario.

        Raises
        ------
        InputError : somebody has changed the file meanwhile.
        """
        was, lines = self._look(task)
        if was is not Was.WHOLE:
            raise InputError(f"the chunk is {was}, and was not", at=Position(str(self._path(task))))
        names = {"policy": task[0].name, "scenario": task[1].name}
        rows = (dict(zip(_COLUMNS, json.loads(line), strict=True)) for line in lines)
        return [from_json(Outcome, {**names, **row}) for row in rows]

    def _look(self, task: Task) -> tuple[Was, Sequence[bytes]]:
        try:
            content = self._path(task).read_bytes()
        except FileNotFoundError:
            return Was.ABSENT, ()
        except OSError:
            return Was.DAMAGED, ()
        lines = content.splitlines(keepends=True)
        body = b"".join(lines[:-1])
        if len(lines) < 2 or lines[-1] != _seal(body):
            return Was.DAMAGED, ()
        wanted = self._head(task)
        head = _object(lines[0])
        if head == wanted and len(lines) == 2 + wanted["last"] - wanted["first"]:
            return Was.WHOLE, lines[1:-1]
        other = head.get("build") != wanted["build"]
        return (Was.OTHER if other else Was.DAMAGED), ()

    def _head(self, task: Task) -> dict[str, Any]:
        _, _, seed, first, last = task
        return {
            "kind": "Chunk",
            "build": build(),
            "played": self._digest(task),
            "seed": seed,
            "first": first,
            "last": last,
            "columns": list(_COLUMNS),
        }

    def _path(self, task: Task) -> Path:
        _, _, seed, first, last = task
        digest = self._digest(task).removeprefix("sha256:")[:_DIGITS]
        return self._directory / f"{digest}-{seed}-{first}-{last}.jsonl"

    def _digest(self, task: Task) -> str:
        """The digest of what the task plays; the last policy and scenario are remembered."""
        policy, scenario, *_ = task
        if self._last is None or self._last[0] is not policy or self._last[1] is not scenario:
            self._last = (policy, scenario, pair_digest(policy, scenario))
        return self._last[2]


@contextmanager
def keeping(directory: str | Path) -> Iterator[Kept]:
    """Keep chunks in this directory, which is made when it does not exist.

    Raises
    ------
    InputError : it cannot be written, or another process keeps its chunks there now.
    """
    path = Path(directory)
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "another process writes here",
                at=Position(str(path)),
                fix="wait for it, or name another directory",
            ) from error
        yield Kept(path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"it cannot be written: {error.strerror}", at=Position(str(path))) from error


def _seal(body: bytes) -> bytes:
    return json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
