"""Faults that tests put into the API server: slow, refused and lost answers."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

__all__ = ["Fault", "Faults"]


@dataclass(slots=True)
class Fault:
    """What happens to the next ``count`` matching requests.

    delay_s : wait before anything else. code : answer this status instead of acting; 0 acts as usual.
    lost : end the connection without an answer. acted : do what is asked all the same before ``code`` or
    ``lost``, so that the client cannot know. retry_after_s : the header of a 429 or 503.
    """

    count: int
    method: str = ""
    path: str = ""
    delay_s: float = 0.0
    code: int = 0
    lost: bool = False
    acted: bool = False
    retry_after_s: int | None = None
    seen: int = field(default=0, init=False)

    def matches(self, method: str, path: str) -> bool:
        """Whether it is for this request (``method`` and ``path`` are regular expressions)."""
        return bool(
            self.count > self.seen
            and re.fullmatch(self.method or ".*", method)
            and re.search(self.path, path)
        )


class Faults:
    """The faults that are waiting for their requests; the oldest that matches is taken."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def slow(self, delay_s: float, count: int = 1, *, method: str = "", path: str = "") -> Fault:
        """Answer late."""
        return self._add(Fault(count, method, path, delay_s=delay_s))

    def answer(
        self,
        code: int,
        count: int = 1,
        *,
        method: str = "",
        path: str = "",
        acted: bool = False,
        retry_after_s: int | None = None,
    ) -> Fault:
        """Answer an error."""
        return self._add(Fault(count, method, path, code=code, acted=acted, retry_after_s=retry_after_s))

    def lose(self, count: int = 1, *, method: str = "", path: str = "", acted: bool = True) -> Fault:
        """End the connection without an answer, by default after the request was carried out."""
        return self._add(Fault(count, method, path, lost=True, acted=acted))

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for a request, counted."""
        with self._lock:
            for fault in self._waiting:
                if fault.matches(method, path):
                    fault.seen += 1
                    return fault
        return None

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault
