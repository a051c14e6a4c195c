"""A status in the making."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from rolloutsim.engine.events import Phase
from rolloutsim.engine.state import PauseCondition, Progressing, Recorded, RunSeen, Status

__all__ = ["Draft"]


@dataclass(slots=True)
class Draft:
    """The fields of `Status`, to be written to within one pass; see there."""

    stable: str
    current: str
    step_index: int | None
    steps_hash: str
    pauses: tuple[PauseCondition, ...]
    controller_pause: bool
    abort: bool
    aborted_at: int | None
    promote_full: bool
    weights: Recorded | None
    step_run: RunSeen | None
    background_run: RunSeen | None
    pre_run: RunSeen | None
    post_run: RunSeen | None
    experiment: RunSeen | None
    ping_pong: str
    preview_checkpoint: bool
    active: str
    preview: str
    replicas: int
    updated: int
    ready: int
    available: int
    progressing: Progressing | None
    paused: bool | None
    healthy: bool | None
    phase: Phase | None
    message: str

    @classmethod
    def of(cls, status: Status) -> Draft:
        return cls(*_VALUES(status))

    def equals(self, status: Status) -> bool:
        """Whether `freeze` would give this status."""
        return bool(_VALUES(self) == _VALUES(status))

    def freeze(self) -> Status:
        return Status(*_VALUES(self))


_NAMES = tuple(field.name for field in fields(Status))
assert tuple(field.name for field in fields(Draft)) == _NAMES
_VALUES = attrgetter(*_NAMES)
