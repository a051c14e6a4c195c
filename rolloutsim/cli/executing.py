"""Execute a rollout in the foreground: what ``run``, ``resume``, ``undo`` and ``abort`` have in common."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rolloutsim.cli.audience import Audience
from rolloutsim.cli.cluster import Exit, Site, say

if TYPE_CHECKING:
    from rolloutsim.cli.manner import Manner
    from rolloutsim.engine import State
    from rolloutsim.live.executor import Ending, Executor
    from rolloutsim.live.inbox import Inbox
    from rolloutsim.live.journal import Journal
    from rolloutsim.live.release import Release
    from rolloutsim.live.surroundings import Surroundings
    from rolloutsim.policy.model import Policy

__all__ = ["execute", "holder_name", "open_journal", "stopping"]


def holder_name() -> str:
    """The identity of this process as the Lease has it; no other process ever has the same."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def execute(
    site: Site,
    namespace: str,
    name: str,
    release: Release | None,
    manner: Manner,
    say_end: Callable[[str, Ending, Exit | None, Executor], Exit] | None = None,
) -> Exit:
    """Take the Lease, begin, run to the end, and say how it ended. Ctrl-C leaves the rollout where it is.

    ``say_end`` says it in another way: it is given the name, how the rollout stands, why the executor was
    stopped (None: it was not), and the executor.

    Raises
    ------
    ExecutorError : another executor has it, or the cluster does not let this one act.
    """
    from rolloutsim.live.executor import Executor
    from rolloutsim.live.inbox import Inbox

    inbox = Inbox()
    for command in manner.commands:
        inbox.put(command)
    with ExitStack() as stack:
        audience = stack.enter_context(Audience(site, namespace, name, holder_name(), manner))
        around = _surroundings(site, namespace, name, manner, audience, inbox)
        executor = Executor(site.api, namespace, name, around, writes=manner.writes)
        stack.callback(executor.close)
        try:
            executor.take(manner.patience_ms)
            executor.begin(release)
            audience.watch(executor)
            stopped = stack.enter_context(stopping(executor, manner.timeout_s))
            stands = executor.run(_over(manner))
        except KeyboardInterrupt:
            say(f"interrupted; see rolloutsim status {name}")
            return Exit.INTERRUPTED
    return (say_end or _ended)(name, stands, stopped.code, executor)


def _over(manner: Manner) -> Callable[[Policy, State, int | None], bool] | None:
    from rolloutsim.live.executor import Ending, ending

    if manner.wait:
        return None

    def over(policy: Policy, state: State, due: int | None) -> bool:
        return ending(policy, state, due) is not Ending.GOING_ON

    return over


def _surroundings(
    site: Site, namespace: str, name: str, manner: Manner, audience: Audience, inbox: Inbox
) -> Surroundings:
    from rolloutsim.live.clock import SystemClock
    from rolloutsim.live.surroundings import Surroundings, instruments

    known = instruments(site.api, namespace, name, manner.servers)
    if not manner.measures:
        known = dict.fromkeys(known, _not_measured)
    return Surroundings(
        clock=SystemClock,
        elapsed_ms=SystemClock().now_ms,
        journal=lambda manifest: audience.begin(manifest, open_journal(manner, manifest)),
        instruments=known,
        holder=audience.holder,
        inbox=inbox,
        heard=audience.teller.hear,
        note=audience.note,
        turned=audience.turned,
        probes=manner.measures,
    )


def _not_measured(question: Any) -> Any:
    from rolloutsim.engine import MeasureError

    return MeasureError("not measured: the rollout is being aborted")


def open_journal(manner: Manner, manifest: Mapping[str, Any]) -> Journal:
    """A journal of this process, with the leave to run in its manifest."""
    from rolloutsim.live.journal import FileJournal

    record = dict(manifest) if manner.permit is None else {**manifest, "permit": dict(manner.permit)}
    if manner.journal is None:
        return _NoJournal()
    stamp = f"{manifest['start']}-{secrets.token_hex(3)}.jsonl"
    return FileJournal(manner.journal / stamp, record)


class _NoJournal:
    """Keeps nothing."""

    name = "none"

    def record(self, entry: Any) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""


class Stoppable(Protocol):
    """What can be told to return after its present turn."""

    def stop(self) -> None: ...


@dataclass(slots=True)
class _Stop:
    """Why an executor was stopped, if it was."""

    code: Exit | None = None


@contextmanager
def stopping(executor: Stoppable, timeout_s: float | None) -> Iterator[_Stop]:
    """Signals and the time limit end the run after its present turn; a second signal ends it at once."""
    stop = _Stop()

    def end(code: Exit) -> None:
        stop.code = stop.code or code
        executor.stop()

    def heard(number: int, frame: object) -> None:
        if stop.code is Exit.INTERRUPTED:
            raise KeyboardInterrupt
        end(Exit.INTERRUPTED)

    timer = threading.Timer(timeout_s, end, (Exit.TIMEOUT,)) if timeout_s is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    before: dict[int, Any] = {}
    with suppress(ValueError):  # not the main thread: signals are somebody else's
        before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        if timer is not None:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(name: str, stands: Ending, stopped: Exit | None, executor: Executor) -> Exit:
    """Say how it ended, in one line on standard output."""
    from rolloutsim.live.executor import Ending

    state = executor.loop.session.state
    status = state.status
    if stands is Ending.PROMOTED:
        sys.stdout.write(f"promoted: {status.stable} is stable\n")
        return Exit.FINE
    if stands is Ending.ABORTED:
        sys.stdout.write(f"aborted: {status.stable} serves everybody; {status.message}\n")
        return Exit.FAILED
    where = f"step {status.step_index}" if status.step_index is not None else str(status.phase)
    ways = f"go on with: rolloutsim resume {name}; roll back with: rolloutsim abort {name}"
    if stopped is not None:
        why = "no time left" if stopped is Exit.TIMEOUT else "interrupted"
        sys.stdout.write(f"{why} at {where}: {name} stays as it is; {ways}\n")
        return stopped
    verb = "unpause" if state.facts.paused else "promote"
    said = f": {status.message}" if status.message else ""
    sys.stdout.write(f"waiting at {where}{said}; rolloutsim {verb} {name}, then resume; or abort\n")
    return Exit.WAITING
