"""The executor's time: milliseconds since the Unix epoch that never go back.

Durations (a pause, a bake time, a deadline) have to be true even while somebody sets the machine's clock,
so time is the epoch at the start plus what a clock that nobody can set has counted since. How far the
machine's own clock has come to differ is known, because a metrics server is asked in its time.
"""

from __future__ import annotations

import time
from typing import Protocol

from rolloutsim.live.inbox import Inbox

__all__ = ["JUMP_MS", "Clock", "SystemClock", "counted_s", "elapsed_ms"]

JUMP_MS = 1_000
"""A machine's clock that moved by this much against the executor's time has been set, and was not slow."""
LONGEST_WAIT_S = 60.0


class Clock(Protocol):
    """What the loop needs of time."""

    def now_ms(self) -> int:
        """Now, in ms since the epoch; never less than at the call before."""
        ...

    def ahead_ms(self) -> int:
        """How far this clock is ahead of the machine's own (negative: behind)."""
        ...

    def wait(self, inbox: Inbox, until_ms: int | None) -> None:
        """Wait for a fact in the inbox, at most until that time; None: for as long as it takes."""
        ...


class SystemClock:
    """The real one. ``not_before_ms``: time goes on from there if the machine's clock is behind it.

    A rollout that another machine left at a later time is resumed so; its deadlines keep their distance.
    """

    def __init__(self, not_before_ms: int = 0) -> None:
        self._began_ms = max(_wall_ms(), not_before_ms)
        self._began_at = elapsed_ms()

    def now_ms(self) -> int:
        return self._began_ms + elapsed_ms() - self._began_at

    def ahead_ms(self) -> int:
        return self.now_ms() - _wall_ms()

    def wait(self, inbox: Inbox, until_ms: int | None) -> None:
        while not inbox.waiting():
            left_s = LONGEST_WAIT_S if until_ms is None else (until_ms - self.now_ms()) / 1000
            if left_s <= 0:
                return
            inbox.wait(min(left_s, LONGEST_WAIT_S))


def counted_s() -> float:
    """Seconds to measure with how long something took; they mean nothing else."""
    return time.perf_counter()  # noqa: TID251 - what is measured so decides nothing


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251 - the one place where the real world's time comes in


def elapsed_ms() -> int:
    """Milliseconds that nobody can set; they count on while the machine sleeps, where it can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return time.monotonic_ns() // 1_000_000
