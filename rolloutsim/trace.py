"""What happened, as one file: JSON Lines that every world writes and every table and plot reads.

Each line is an object with ``kind``:

``manifest``  once, first: versions, policy (digest and canonical form), scenario, seed, run, start
``seen``      an observation that the engine heard (``seq``, ``at``, ``value``)
``did``       an action that was decided upon it (``seq``, ``at``, ``value``)
``event``     something worth telling people (``seq``, ``at``, ``value``)
``sample``    one scraped sample (``at``, ``labels``, ``value``)
``truth``     what really was (``at``, ``revision``, ``share``, ``rate_rps``, ``error_rate``,
              ``latency_median_s``, ``pods``), from ``at`` until the next record of that revision;
              only a simulated world knows it

Times are integer milliseconds since the Unix epoch; special floats are the strings NaN, +Inf, -Inf,
and StaleNaN where a series ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolloutsim.engine.codec import to_json
from rolloutsim.errors import InputError, Position
from rolloutsim.promql import is_stale
from rolloutsim.promql.intake import value_text
from rolloutsim.session import Entry

__all__ = ["KINDS", "Trace", "Truth", "entry_records", "read_trace", "sample_record", "write_trace"]

KINDS = ("manifest", "seen", "did", "event", "sample", "truth")

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """The state of one revision from ``at`` on: share of traffic, rates, pods.

    ``latency_median_s`` is the median of the time that its requests take at a pod, slow ones included and
    waiting in a queue not.
    """

    at: int
    revision: str
    share: float
    rate_rps: float
    error_rate: float
    latency_median_s: float
    pods: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace in memory: its manifest, and all further records in the order they were written."""

    manifest: Record
    records: tuple[Record, ...]

    def of(self, kind: str) -> Iterator[Record]:
        """The records of one kind."""
        return (record for record in self.records if record["kind"] == kind)


def entry_records(entry: Entry) -> Iterator[dict[str, Any]]:
    """The ``seen``, ``did`` and ``event`` records of one journal entry."""
    head = {"seq": entry.seq, "at": entry.seen.at}
    yield {"kind": "seen", **head, "value": to_json(entry.seen)}
    for action in entry.actions:
        yield {"kind": "did", **head, "value": to_json(action)}
    for event in entry.events:
        yield {"kind": "event", **head, "value": to_json(event)}


def sample_record(at: int, labels: Mapping[str, str], value: float) -> dict[str, Any]:
    return {"kind": "sample", "at": at, "labels": dict(labels), "value": _number(value)}


def truth_record(truth: Truth) -> dict[str, Any]:
    return {
        "kind": "truth",
        "at": truth.at,
        "revision": truth.revision,
        "share": truth.share,
        "rate_rps": truth.rate_rps,
        "error_rate": truth.error_rate,
        "latency_median_s": truth.latency_median_s,
        "pods": truth.pods,
    }


def write_trace(path: str | Path, manifest: Mapping[str, Any], records: Iterable[Record]) -> None:
    """Write a whole trace; the same records give the same bytes."""
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for record in ({"kind": "manifest", **manifest}, *records):
            out.write(json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False))
            out.write("\n")


def read_trace(path: str | Path) -> Trace:
    """Read a trace.

    Raises
    ------
    InputError : the file is not a trace, with the line that is not one.
    """
    records: list[Record] = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            records.append(_record(line, Position(str(path), number)))
    if not records or records[0]["kind"] != "manifest":
        raise InputError("a trace begins with a manifest record", at=Position(str(path), 1))
    return Trace(records[0], tuple(records[1:]))


def _record(line: str, at: Position) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        raise InputError("this line is not JSON", at=at, fix="is the file a complete trace?") from None
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise InputError(f"a trace record needs a kind out of {', '.join(KINDS)}", at=at)
    return record


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "StaleNaN" if is_stale(value) else value_text(value)
