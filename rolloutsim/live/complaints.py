"""What does not work for a while: said once, and once more when it works again, however often it is met.

A loop tries what failed again many times a minute, and several watches break with one server. People need
the sentence once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["DEAF_MS", "Complaints"]

DEAF_MS = 1_000
"""Watches end all the time, and are opened again at once; one that cannot be is worth a word."""


@dataclass(slots=True)
class _Open:
    """A trouble that lasts: since when, and whether it was said."""

    since_ms: int
    told: bool = False


class Complaints:
    """Tells ``note`` of troubles by topic. Safe to use from several threads.

    ``now_ms`` counts on whatever happens to the machine's clock.
    """

    def __init__(self, note: Callable[[str], object], now_ms: Callable[[], int]) -> None:
        self._note = note
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}

    def met(self, topic: str, sentence: str, *, patience_ms: int = 0) -> None:
        """It does not work; said unless it was said before, or has lasted for less than ``patience_ms``."""
        now = self._now_ms()
        with self._lock:
            trouble = self._open.setdefault(topic, _Open(now))
            if now - trouble.since_ms < patience_ms or trouble.told:
                return
            trouble.told = True
        self._note(sentence)

    def over(self, topic: str, sentence: str) -> None:
        """It works; said if it was ever said that it did not."""
        with self._lock:
            trouble = self._open.pop(topic, None)
        if trouble is not None and trouble.told:
            self._note(sentence)
