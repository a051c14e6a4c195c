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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from rolloutsim.cli.cluster import Exit, Site, say
from rolloutsim.errors import ExecutorError, InputError, Position

if TYPE_CHECKING:
    from rolloutsim.engine import State
    from rolloutsim.live.executor import Ending, Executor, Surroundings
    from rolloutsim.live.inbox import Command, Inbox
    from rolloutsim.live.journal import Journal
    from rolloutsim.live.prediction import Prediction
    from rolloutsim.live.release import Release
    from rolloutsim.live.telling import DecisionLog
    from rolloutsim.policy.model import Policy
    from rolloutsim.prometheus import Server

__all__ = [
    "JournalOption",
    "LogOption",
    "Manner",
    "MetricsOption",
    "NoWait",
    "PrometheusHeaders",
    "PrometheusOption",
    "Timeout",
    "execute",
    "holder_name",
    "journal_directory",
    "servers",
]

JournalOption = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        envvar="ROLLOUTSIM_JOURNAL",
        help="Directory of the journals.",
        show_default="~/.local/state/rolloutsim",
    ),
]
LogOption = Annotated[
    Path | None,
    typer.Option("--log", help="Append one JSON line per decision here.", show_default="standard error"),
]
MetricsOption = Annotated[
    str,
    typer.Option("--metrics-listen", help="Serve Prometheus metrics at HOST:PORT.", show_default=False),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="End with code 6 where a person has to decide.")]
Timeout = Annotated[
    str,
    typer.Option(help="End with code 7 after this time (1h30m); the rollout stays.", show_default=False),
]
PrometheusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prometheus",
        envvar="ROLLOUTSIM_PROMETHEUS",
        help="ADDRESS for metrics that name none, or ADDRESS-IN-POLICY=ADDRESS-FROM-HERE; may be repeated.",
        show_default=False,
    ),
]
PrometheusHeaders = Annotated[
    Path | None,
    typer.Option(
        "--prometheus-headers",
        help="A file of headers for Prometheus, NAME: VALUE a line; they are shown nowhere.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an executor behaves, and towards the people who watch it.

    ``servers`` : metrics servers by the address that the policy writes.
    ``journal`` : the directory of journals; None: no record is kept (an abort must not need one).
    ``log`` : a file for the JSON lines; None: standard error, unless that is a terminal.
    ``metrics`` : HOST:PORT of the metrics, "" for none.
    ``wait`` : stay where a person has to decide.
    ``writes`` : False only looks on. ``measures`` : False asks no metrics server.
    ``plain`` : sentences instead of JSON lines or the live view.
    ``patience_ms`` : how long to wait for the Lease of another.
    ``commands`` : what people asked for already; it is heard before anything else.
    """

    servers: Mapping[str, Server] = field(default_factory=dict)
    journal: Path | None = None
    log: Path | None = None
    metrics: str = ""
    wait: bool = True
    timeout_s: float | None = None
    writes: bool = True
    measures: bool = True
    prediction: Prediction | None = None
    permit: Mapping[str, Any] | None = None
    patience_ms: int = 0
    commands: tuple[Command, ...] = ()
    plain: bool = False


def holder_name() -> str:
    """The identity of this process as the Lease has it; no other process ever has the same."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def journal_directory(given: Path | None, namespace: str, rollout: str) -> Path:
    """Where the journals of one rollout go."""
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path.home() / ".local" / "state"
    return (given or home / "rolloutsim") / namespace / rollout


def servers(addresses: list[str] | None, headers: Path | None) -> dict[str, Server]:
    """Metrics servers by the address that a policy writes; "" is for metrics without one."""
    from rolloutsim.prometheus import Server

    known = _headers(headers)
    found = {}
    for given in addresses or ():
        written, _, here = given.rpartition("=")
        if "://" not in here or (written and "://" not in written):
            # an "=" may stand in an address by itself
            written, here = "", given
        found[written.rstrip("/") if written else ""] = Server(here, known, confidential=bool(known))
    return found


def _headers(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the file of headers cannot be read", at=Position(str(path))) from error
    found = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise InputError("a header is NAME: VALUE", at=Position(str(path), number))
        if colon:
            found[name.strip()] = value.strip()
    return found


def execute(site: Site, namespace: str, name: str, release: Release | None, manner: Manner) -> Exit:
    """Take the Lease, begin, run to the end, and say how it ended. Ctrl-C leaves the rollout where it is.

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
        telling = stack.enter_context(_Telling(site, namespace, name, manner))
        around = _surroundings(site, namespace, name, manner, telling, inbox)
        executor = Executor(site.api, namespace, name, around, writes=manner.writes)
        stack.callback(executor.close)
        try:
            executor.take(manner.patience_ms)
            executor.begin(release)
            telling.watch(executor)
            stopped = stack.enter_context(_stopping(executor, manner.timeout_s))
            stands = executor.run(_over(manner))
        except KeyboardInterrupt:
            say(f"interrupted; see rolloutsim status {name}")
            return Exit.INTERRUPTED
        return _ended(name, stands, stopped, executor)


def _over(manner: Manner) -> Callable[[Policy, State, int | None], bool] | None:
    from rolloutsim.live.executor import Ending, ending

    if manner.wait:
        return None

    def over(policy: Policy, state: State, due: int | None) -> bool:
        return ending(policy, state, due) is not Ending.GOING_ON

    return over


def _surroundings(
    site: Site, namespace: str, name: str, manner: Manner, telling: _Telling, inbox: Inbox
) -> Surroundings:
    from rolloutsim.live.clock import SystemClock
    from rolloutsim.live.executor import Surroundings, instruments

    known = instruments(site.api, namespace, name, manner.servers)
    if not manner.measures:
        known = dict.fromkeys(known, _not_measured)
    return Surroundings(
        clock=SystemClock,
        elapsed_ms=SystemClock().now_ms,
        journal=lambda manifest: telling.begin(manifest, _journal(namespace, name, manner, manifest)),
        instruments=known,
        holder=telling.holder,
        inbox=inbox,
        heard=telling.teller.hear,
        note=telling.note,
    )


def _not_measured(question: Any) -> Any:
    from rolloutsim.engine import MeasureError

    return MeasureError("not measured: the rollout is being aborted")


def _journal(namespace: str, name: str, manner: Manner, manifest: Mapping[str, Any]) -> Journal:
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


class _Telling:
    """Everything that hears of decisions: the log, the Events, the metrics, the screen."""

    def __init__(self, site: Site, namespace: str, name: str, manner: Manner) -> None:
        from rolloutsim.live.telling import Teller

        self.holder = holder_name()
        self.teller = Teller()
        self._site = site
        self._namespace = namespace
        self._name = name
        self._manner = manner
        self._stack = ExitStack()
        self._log: DecisionLog | None = None
        self._executor: Executor | None = None
        self._screen: Any = None

    def __enter__(self) -> _Telling:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, manifest: Mapping[str, Any], journal: Journal) -> Journal:
        """The journal is open: everybody learns from where it starts."""
        from rolloutsim.live.telling import DecisionLog

        self.teller.begin(manifest)
        policy, state = self.teller.policy, self.teller.state
        assert policy is not None
        assert state is not None
        out = self._out()
        if out is not None:
            self._log = DecisionLog(out, self._name, self._namespace)
            self._log.begin(journal.name, policy, state)
            self.teller.listeners.append(self._log.tell)
        if self._manner.plain:
            self.teller.listeners.append(lambda told: say(told.sentence))
        if self._manner.permit is not None and self._log is not None:
            self._log.note(manifest["start"], f"permit: {self._manner.permit['how']}", "info")
        if self._manner.writes:
            self._begin_events(journal.name, policy, manifest["start"])
        if self._manner.metrics:
            self._begin_metrics(policy, state)
        return journal

    def _begin_events(self, run: str, policy: Policy, at: int) -> None:
        from rolloutsim.live.telling import EventWriter

        events = EventWriter(self._site.api, self._namespace, policy.target.deployments[0], self.holder)
        events.begin(run)
        self._stack.callback(events.close)
        self.teller.listeners.append(events.tell)
        permit = self._manner.permit
        if permit is not None:
            sentence = f"{permit['how']}: {permit.get('reason') or permit.get('certificate') or ''}"
            events.write(at, "Permitted", sentence, "permit", warning=permit["how"] != "certificate")

    def _begin_metrics(self, policy: Policy, state: State) -> None:
        from rolloutsim.live.exporter import Exporter, MetricsServer
        from rolloutsim.policy import digest

        exporter = Exporter(self._name, self._namespace, digest(policy), self._observed_weight)
        exporter.begin(state)
        server = MetricsServer(self._manner.metrics, exporter.text)
        self._stack.callback(server.close)
        self.teller.listeners.append(exporter.tell)
        say(f"metrics at port {server.port}")

    def _observed_weight(self) -> int | None:
        return self._executor.observer.routed().weighed.weight if self._executor is not None else None

    def _out(self) -> TextIO | None:
        if self._manner.log is not None:
            try:
                return self._stack.enter_context(open(self._manner.log, "a", encoding="utf-8"))
            except OSError as error:
                raise ExecutorError(
                    f"the log {self._manner.log} cannot be written: {error.strerror}; name another file"
                ) from None
        return None if self._on_screen or self._manner.plain else sys.stderr

    @property
    def _on_screen(self) -> bool:
        return not self._manner.plain and sys.stderr.isatty() and not os.environ.get("CI")

    def watch(self, executor: Executor) -> None:
        """The executor has begun."""
        self._executor = executor
        if self._on_screen:
            from rolloutsim.cli.screen import Screen

            self._screen = Screen(self._name, self._namespace, executor, self._manner.prediction)
            self.teller.listeners.append(self._screen.tell)
            self._stack.enter_context(self._screen)

    def note(self, sentence: str) -> None:
        """Something that is no decision."""
        from rolloutsim.live.clock import SystemClock

        if self._log is not None:
            self._log.note(SystemClock().now_ms(), sentence)
        if self._screen is not None:
            self._screen.note(sentence)
        elif self._manner.plain:
            say(sentence)


@dataclass(slots=True)
class _Stop:
    """Why an executor was stopped, if it was."""

    code: Exit | None = None


@contextmanager
def _stopping(executor: Executor, timeout_s: float | None) -> Iterator[_Stop]:
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


def _ended(name: str, stands: Ending, stop: _Stop, executor: Executor) -> Exit:
    """Say how it ended, in one line on standard output."""
    from rolloutsim.live.executor import Ending

    status = executor.loop.session.state.status
    if stands is Ending.PROMOTED:
        sys.stdout.write(f"promoted: {status.stable} is stable\n")
        return Exit.FINE
    if stands is Ending.ABORTED:
        sys.stdout.write(f"aborted: {status.stable} serves everybody; {status.message}\n")
        return Exit.FAILED
    where = f"step {status.step_index}" if status.step_index is not None else str(status.phase)
    ways = f"go on with: rolloutsim resume {name}; roll back with: rolloutsim abort {name}"
    if stop.code is not None:
        why = "no time left" if stop.code is Exit.TIMEOUT else "interrupted"
        sys.stdout.write(f"{why} at {where}: {name} stays as it is; {ways}\n")
        return stop.code
    sys.stdout.write(
        f"waiting at {where}: {status.message}; rolloutsim promote {name}, then resume; or abort\n"
    )
    return Exit.WAITING
