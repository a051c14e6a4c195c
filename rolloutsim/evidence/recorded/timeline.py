"""What really happened to a rollout, and when: its weights and its end.

A file of kind ``Timeline``, or the events of a rollout's own trace.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from rolloutsim.errors import InputError, Position
from rolloutsim.evidence.checked_file import read_record
from rolloutsim.evidence.incidents.quantity import STRICT
from rolloutsim.policy.load import manifest_text
from rolloutsim.trace import Trace, read_trace

__all__ = ["Did", "Move", "Timeline", "TimelineError", "load_timeline", "timeline_of"]


class TimelineError(InputError):
    """A timeline is wrong, or there is none in a trace."""


class Did(StrEnum):
    """What was done."""

    WEIGHT = "weight"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    RESUMED = "resumed"
    """A person went on with a rollout that waited."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Move:
    """One thing that was done at a time (ms since the epoch); a weight is a share between 0 and 1."""

    at_ms: int
    did: Did
    weight: float | None = None

    def words(self) -> str:
        """What was done."""
        return f"weight {100 * self.weight:g} %" if self.weight is not None else str(self.did)


@dataclass(frozen=True, slots=True, config=STRICT)
class Timeline:
    """A rollout as it ran: values of the label that tells versions apart, its begin, and its moves."""

    stable: str
    new: str
    started_ms: int
    moves: tuple[Move, ...]
    ready_ms: int = 0
    """How long a new pod took to become ready."""

    def offset(self, at_ms: int) -> str:
        """A time as minutes and seconds since the release."""
        seconds = abs(at_ms - self.started_ms) / 1000.0
        sign = "-" if at_ms < self.started_ms else "+"
        return f"{sign}{int(seconds // 60)}m{seconds % 60:02.0f}s"

    def end(self) -> Move | None:
        """How it ended; None if it had not when the record ends."""
        return next((move for move in self.moves if move.did in (Did.PROMOTED, Did.ABORTED)), None)

    def decisions(self) -> tuple[Move, ...]:
        """What the controller decided: the weights above 0, and the end."""
        found: list[Move] = []
        for move in self.moves:
            if move.did is Did.WEIGHT and move.weight:
                found.append(move)
            elif move.did in (Did.PROMOTED, Did.ABORTED):
                return (*found, move)
        return tuple(found)


# --- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, config=STRICT)
class _Line:
    at: datetime
    weight: float | None = None
    did: Did | None = None

    @model_validator(mode="after")
    def _one(self) -> _Line:
        if (self.weight is None) == (self.did is None):
            raise ValueError(
                "an event is a weight or a word; give weight: 25, or did: promoted, aborted, resumed"
            )
        if self.weight is not None and not 0.0 <= self.weight <= 100.0:
            raise ValueError("a weight is a percentage; give 0 to 100")
        if self.at.tzinfo is None:
            raise ValueError("the time has no zone; end it with Z for UTC")
        return self

    def move(self) -> Move:
        at_ms = round(self.at.timestamp() * 1000)
        if self.weight is not None:
            return Move(at_ms, Did.WEIGHT, self.weight / 100.0)
        assert self.did is not None
        return Move(at_ms, self.did)


@dataclass(frozen=True, slots=True, config=STRICT)
class _Spec:
    stable: str
    new: str
    started: datetime
    events: tuple[_Line, ...]
    ready_s: float = 0.0

    @model_validator(mode="after")
    def _in_order(self) -> _Spec:
        times = [self.started, *(line.at for line in self.events)]
        if self.started.tzinfo is None:
            raise ValueError("the time has no zone; end it with Z for UTC")
        if times != sorted(times):
            raise ValueError("the events are not in the order of their times; sort them")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class _File:
    apiVersion: Literal["rolloutsim.dev/v1alpha1"]
    kind: Literal["Timeline"]
    spec: _Spec
    metadata: dict[str, str] | None = None


_ADAPTER = TypeAdapter(_File)


def load_timeline(path: str | Path) -> Timeline:
    """A timeline from a file: YAML of kind Timeline, or a trace with events.

    Raises
    ------
    TimelineError : something in it is wrong, with the line and what to do.
    """
    if Path(path).suffix not in (".yaml", ".yml"):
        try:
            return timeline_of(read_trace(path), str(path))
        except OSError as error:
            raise TimelineError(
                f"the file cannot be read: {error.strerror}", at=Position(str(path))
            ) from error
    spec = read_record(manifest_text(path), str(path), _ADAPTER, TimelineError, {}).spec
    return Timeline(
        spec.stable,
        spec.new,
        round(spec.started.timestamp() * 1000),
        tuple(line.move() for line in spec.events),
        round(spec.ready_s * 1000),
    )


def timeline_of(trace: Trace, file: str = "") -> Timeline:
    """The timeline in the events of a rollout's own trace.

    Raises
    ------
    TimelineError : the trace has no events, as one of recorded series.
    """
    asked = next((r for r in trace.of("seen") if _kind(r) == "ReleaseAsked"), None)
    snapshot = trace.manifest.get("snapshot")
    if asked is None or not isinstance(snapshot, dict):
        raise TimelineError(
            "nothing here says what the rollout did",
            at=Position(file),
            fix="name its timeline with --as-run: a file of kind Timeline, or the trace of the rollout",
        )
    moves: list[Move] = []
    most = _most_weight(trace)
    for record in trace.records:
        if record["kind"] == "did" and _kind(record) == "SetWeight":
            moves.append(Move(record["at"], Did.WEIGHT, record["value"]["weight"] / most))
        elif record["kind"] == "event" and _kind(record) in ("Promoted", "Aborted"):
            moves.append(Move(record["at"], Did(_kind(record).lower())))
        elif record["kind"] == "seen" and _kind(record) == "StatusPatched":
            moves.append(Move(record["at"], Did.RESUMED))
    return Timeline(str(snapshot["stable"]), str(asked["value"]["revision"]), int(asked["at"]), tuple(moves))


def _kind(record: Any) -> str:
    return str(record["value"].get("kind", ""))


def _most_weight(trace: Trace) -> float:
    """What all traffic is called in the policy of a trace."""
    routing = trace.manifest.get("policy", {}).get("strategy", {}).get("routing") or {}
    return float(routing.get("max_weight", 100))
