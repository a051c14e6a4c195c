"""The full record of one executor's life: a trace as every world writes it, on the local disk.

Each start of an executor writes a file of its own, which begins with the state that it began from, so that
any of them can be replayed alone (`rolloutsim.session.replay`). ``after`` of its manifest names the journal
that it continues, and the last record of that one which the cluster's copy of the state includes: what
stands there beyond it was decided and never done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rolloutsim.engine import State, from_json, to_json
from rolloutsim.errors import ExecutorError, InputError, Position
from rolloutsim.live.prediction import Prediction
from rolloutsim.policy import digest
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry
from rolloutsim.trace import Trace, entry_records, read_trace

__all__ = ["API_VERSION", "FileJournal", "Journal", "beginning_of", "joined", "manifest_of"]

API_VERSION = "rolloutsim.dev/v1alpha1"

Record = Mapping[str, Any]


class Journal(Protocol):
    """Where the loop records what was seen and decided, before anything is done about it."""

    name: str

    def record(self, entry: Entry) -> None:
        """Write one entry. Raises ExecutorError if it cannot; nothing may be done then."""
        ...

    def sync(self) -> None:
        """Make sure that all records so far survive the machine."""
        ...


def manifest_of(
    world: str,
    policy: Policy,
    state: State,
    at_ms: int,
    prediction: Prediction | None = None,
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How a journal begins. ``world`` is live, or shadow for who only looks on. ``after``: see the module."""
    return {
        "apiVersion": API_VERSION,
        "world": world,
        "run": 0,
        "start": at_ms,
        "policy": to_json(policy),
        "state": to_json(state),
        "prediction": None if prediction is None else to_json(prediction),
        "after": after,
        "provenance": {
            "versions": {"rolloutsim": version("rolloutsim")},
            "policies": {policy.name: digest(policy)},
        },
    }


class FileJournal:
    """A journal file. It must not exist yet.

    An entry is one write to the system, so a process that is killed leaves no half of one. It is on the disk
    itself before its actions are performed, and at the latest when the loop comes to rest.

    Raises
    ------
    ExecutorError : the file exists, or cannot be written.
    """

    def __init__(self, path: str | Path, manifest: Record) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._synced = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._write([{"kind": "manifest", **manifest}])
        self.sync()

    def record(self, entry: Entry) -> None:
        self._write(entry_records(entry))
        if entry.actions:
            self.sync()

    def sync(self) -> None:
        if self._synced:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._synced = True

    def close(self) -> None:
        """Write all of it to the disk and let go of the file."""
        self.sync()
        os.close(self._file)

    def _write(self, records: Iterable[Record]) -> None:
        lines = [
            json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n"
            for record in records
        ]
        data = memoryview("".join(lines).encode())
        self._synced = False
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def _cannot_write(path: Path, error: OSError) -> ExecutorError:
    return ExecutorError(
        f"the journal {path} cannot be written: {error.strerror}; nothing was done without it; free the disk "
        "or name another place, then resume"
    )


def beginning_of(trace: Trace) -> tuple[Policy, State]:
    """The policy and the state that a journal began from.

    Raises
    ------
    InputError : the trace is not the journal of an executor.
    """
    try:
        return from_json(Policy, trace.manifest["policy"]), from_json(State, trace.manifest["state"])
    except (KeyError, ValueError) as error:
        raise InputError(f"this trace is not the journal of an executor: {error}") from None


def joined(paths: Iterable[str | Path]) -> list[Record]:
    """The records of one rollout out of the journals of all who executed it, the first one first.

    Raises
    ------
    InputError : a file is no journal, or continues one that is not among those before it.
    """
    records: dict[str, list[Record]] = {}
    last: list[Record] = []
    for path in paths:
        trace = read_trace(path)
        after = trace.manifest.get("after")
        before: list[Record] = []
        if after is not None:
            if after["journal"] not in records:
                raise InputError(
                    f"this journal continues {after['journal']}, which is not given before it",
                    at=Position(str(path)),
                )
            known = records[after["journal"]]
            before = [record for record in known if record["journal"] != after["journal"]]
            before += [r for r in known if r["journal"] == after["journal"] and r["seq"] <= after["seq"]]
        name = Path(path).name
        last = before + [{**record, "journal": name} for record in trace.records]
        records[name] = last
    return last
