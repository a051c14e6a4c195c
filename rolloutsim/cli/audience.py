"""Who hears what an executor decides: the log, Kubernetes Events, metrics, the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, TextIO

from rolloutsim.cli.cluster import Site, say
from rolloutsim.errors import ExecutorError

if TYPE_CHECKING:
    from rolloutsim.cli.manner import Manner
    from rolloutsim.engine import State
    from rolloutsim.live.executor import Executor
    from rolloutsim.live.exporter import Exporter
    from rolloutsim.live.journal import Journal
    from rolloutsim.live.surroundings import Turn
    from rolloutsim.live.telling import DecisionLog, EventWriter
    from rolloutsim.policy.model import Policy

__all__ = ["Audience"]


class Audience:
    """Everything that hears of decisions: the log, the Events, the metrics, the screen."""

    def __init__(self, site: Site, namespace: str, name: str, holder: str, manner: Manner) -> None:
        from rolloutsim.live.telling import Teller

        self.holder = holder
        self.teller = Teller()
        self._site = site
        self._namespace = namespace
        self._name = name
        self._manner = manner
        self._stack = ExitStack()
        self._log: DecisionLog | None = None
        self._executor: Executor | None = None
        self._exporter: Exporter | None = None
        self._screen: Any = None
        self._events: EventWriter | None = None
        self._notes = count(1)

    def __enter__(self) -> Audience:
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
        self._events = events
        permit = self._manner.permit
        if permit is not None:
            sentence = f"{permit['how']}: {permit.get('reason') or permit.get('certificate') or ''}"
            events.write(at, "Permitted", sentence, "permit", warning=permit["how"] != "certificate")

    def _begin_metrics(self, policy: Policy, state: State) -> None:
        from rolloutsim.live.clock import SystemClock
        from rolloutsim.live.exporter import Exporter, MetricsServer
        from rolloutsim.policy import digest

        now_ms = SystemClock(state.now).now_ms
        exporter = Exporter(self._name, self._namespace, digest(policy), self._observed_weight, now_ms)
        exporter.begin(state)
        self._exporter = exporter
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

            self._screen = Screen(self._name, self._namespace, executor, executor.prediction)
            self.teller.listeners.append(self._screen.tell)
            self._stack.enter_context(self._screen)

    def turned(self, turn: Turn) -> None:
        """The executor woke, and is at rest again."""
        if self._exporter is not None:
            self._exporter.turned(turn)

    def note(self, sentence: str) -> None:
        """Something that is no decision."""
        from rolloutsim.live.clock import SystemClock

        at_ms = SystemClock().now_ms()
        if self._log is not None:
            self._log.note(at_ms, sentence)
        if self._events is not None:
            self._events.write(at_ms, "Noted", sentence, f"note-{next(self._notes)}", warning=True)
        if self._screen is not None:
            self._screen.note(sentence)
        elif self._manner.plain:
            say(sentence)
