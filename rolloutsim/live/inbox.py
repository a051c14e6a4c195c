"""What queries and people have to say, until the loop listens.

Any thread may put a fact in; only the loop takes facts out, all at once, in the order in which they came. How
the cluster is now (pods, Services, weight) is no fact of its own: a watch only rings, and the loop looks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.engine import Observation

__all__ = ["Command", "Fact", "Inbox", "Verb"]


class Verb(StrEnum):
    """What a person can ask of a rollout in progress."""

    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    SKIP_STEP = "skip-step"
    SKIP_ALL_STEPS = "skip-all-steps"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Command:
    """A person's command. What it writes depends on the state at the moment it is heard.

    ``id`` tells two commands apart; one that was obeyed is not obeyed again. Empty: it is heard once.
    ``revision`` is the one that it was meant for; while another is rolled out it is not obeyed. Empty: any.
    """

    verb: Verb
    actor: str = ""
    id: str = ""
    revision: str = ""


Fact = Observation | Command
"""An observation, whose time the loop writes when it listens, or a command."""


class Inbox:
    """A queue that many may fill and one empties."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._facts: list[Fact] = []
        self._alarm = False

    def put(self, fact: Fact) -> None:
        """Leave a fact for the loop."""
        with self._changed:
            self._facts.append(fact)
            self._changed.notify_all()

    def ring(self) -> None:
        """Wake the loop though there is no fact: something in the cluster changed, or it is to stop."""
        with self._changed:
            self._alarm = True
            self._changed.notify_all()

    def waiting(self) -> bool:
        """Whether there is anything to wake up for."""
        with self._changed:
            return self._anything()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to wake up for; whether there is."""
        with self._changed:
            return self._changed.wait_for(self._anything, timeout_s)

    def drain(self) -> tuple[Fact, ...]:
        """Take everything out, in the order in which it came."""
        with self._changed:
            facts, self._facts = tuple(self._facts), []
            self._alarm = False
            return facts

    def _anything(self) -> bool:
        return bool(self._facts) or self._alarm
