"""The loop's state in the cluster, and what other processes leave there for this one.

Each save is conditional on what was last read there, and made under the Lease. A request that somebody put
into the ConfigMap meanwhile stays and goes to the inbox; one that the saved state has obeyed is taken away
with it, so that it is obeyed exactly once, also by an executor that takes over in between.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

from rolloutsim.engine import State
from rolloutsim.errors import ExecutorError
from rolloutsim.live.inbox import Command, Fact, Verb
from rolloutsim.live.lease import LeaseLost
from rolloutsim.live.loop import NotSaved
from rolloutsim.live.port import ApiError, Refused, Throttled, Unknown, Unreachable
from rolloutsim.live.state import Saved, StateStore

__all__ = ["ClusterMemory", "NoMemory", "command_json", "command_of"]

PASSING = (LeaseLost, Throttled, Unreachable)
"""Refusals that may not be repeated by a later write."""


def command_json(command: Command) -> str:
    """The text of a command as it is left in the cluster; `command_of` reads it."""
    content = {"verb": command.verb.value, "actor": command.actor, "id": command.id}
    return json.dumps({**content, "revision": command.revision})


def command_of(text: str) -> Command | None:
    """The command in a text; None if it is none of this version's."""
    try:
        content = json.loads(text)
        verb, actor, key = Verb(content["verb"]), str(content["actor"]), str(content["id"])
        return Command(verb, actor, key, str(content["revision"]))
    except (KeyError, TypeError, ValueError):
        return None


class ClusterMemory:
    """Where one rollout's state outlives its executors.

    Parameters
    ----------
    found : what was there when this executor took the Lease; None: nothing.
    frame : everything of a save but the state: policy, plan.
    fence : the number of lease transitions, read at each save. Raises `LeaseLost`.
    deliver : puts a request of somebody else into the inbox.
    """

    def __init__(
        self,
        store: StateStore,
        found: Saved | None,
        frame: Saved,
        *,
        fence: Callable[[], int],
        deliver: Callable[[Fact], object],
    ) -> None:
        self._store = store
        self._base = found
        self._frame = frame
        self._fence = fence
        self._deliver = deliver
        self._lock = threading.Lock()
        self._aborts = 0
        self._abort_id = ""
        self._delivered = ""

    def notice(self, found: Saved) -> None:
        """The ConfigMap, as it was read or as a watch brought it: deliver what is asked for there."""
        with self._lock:
            if found.abort and not self._abort_id:
                self._aborts += 1
                self._abort_id = f"abort {self._aborts}"
                self._deliver(Command(Verb.ABORT, found.abort_reason, self._abort_id))
            command = command_of(found.command) if found.command else None
            if command is not None and found.command != self._delivered:
                self._delivered = found.command
                self._deliver(command)

    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        base = self._base
        written = self._written(state, seq, obeyed, base)
        if _outlived(written, self._abort_id, obeyed):
            # it came in since the last save, so this one had to leave it
            written = self._written(state, seq, obeyed, written)
        with self._lock:
            if not written.abort and self._abort_id in obeyed:
                self._abort_id = ""
        self._base = written
        self.notice(written)

    def _written(self, state: State, seq: int, obeyed: frozenset[str], base: Saved | None) -> Saved:
        try:
            saved = replace(
                self._frame,
                state=state,
                sequence=seq,
                fence=self._fence(),
                abort=base is not None and base.abort and self._abort_id not in obeyed,
                abort_reason="" if base is None else base.abort_reason,
                command="" if base is None or _obeyed(base.command, obeyed) else base.command,
            )
            return self._store.write(saved, base)
        except PASSING as error:
            raise NotSaved(_waits(error)) from None
        except Unknown as error:
            return self._settled(saved, base, error)
        except Refused as error:
            raise ExecutorError(str(error)) from None

    def _settled(self, saved: Saved, base: Saved | None, error: Unknown) -> Saved:
        """What became of a save without an answer."""
        try:
            found = self._store.read()
        except ApiError:
            raise NotSaved(_waits(error)) from None
        if found is not None and (found.fence, found.sequence) == (saved.fence, saved.sequence):
            return found
        if (found is None and base is None) or (
            found is not None
            and base is not None
            and (found.fence, found.sequence) == (base.fence, base.sequence)
        ):
            self._base = found
            raise NotSaved(_waits(error))
        raise ExecutorError(f"another executor wrote {self._store.ref}; this one stops")


class NoMemory:
    """For an executor that only looks: it has nothing to lose."""

    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        """Nothing."""


def _obeyed(command: str, obeyed: frozenset[str]) -> bool:
    """Whether a command's text needs to stay no longer; one that nobody understands does not."""
    known = command_of(command) if command else None
    return known is None or known.id in obeyed


def _outlived(written: Saved, abort_id: str, obeyed: frozenset[str]) -> bool:
    """Whether a request is still there that the state has obeyed."""
    return (written.abort and abort_id in obeyed) or (
        written.command != "" and _obeyed(written.command, obeyed)
    )


def _waits(error: ApiError) -> str:
    return (
        f"the state cannot be saved in the cluster, so nothing is done for now: {error}; it is tried again, "
        "and Ctrl-C leaves everything as it is"
    )
