"""Measurements in the real world: each runs in a thread of its own and leaves its answer in the inbox.

A question is asked about the time at which the engine decided to ask, not about the moment at which a thread
came to it, as in the simulated world. Secrets are read from the cluster when the question is asked, filled
in, and forgotten; should an answer repeat one, it is blotted out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rolloutsim.conditions import JsonResult, StringResult
from rolloutsim.engine import Measure, Measured, MeasureError, Outcome, TerminateMeasurement
from rolloutsim.engine.binding import bound_metrics
from rolloutsim.engine.events import Span
from rolloutsim.errors import ExecutorError, PolicyError
from rolloutsim.live.clock import Clock
from rolloutsim.live.inbox import Inbox
from rolloutsim.policy.model import Analysis, FieldArgument, Metric, Provider, SecretArgument

__all__ = ["Instrument", "Measurer", "Question", "Secrets"]

BLOT = "***"
SHORTEST_BLOTTED = 4
"""A shorter secret would blot out words that have nothing to do with it."""


class Secrets(Protocol):
    """Where the values of secrets come from."""

    def read(self, secret: str, key: str) -> str:
        """One value. Raises ExecutorError if there is none, or nobody may read it."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One measurement to take; its provider holds the secrets, if it needs any, and is never shown.

    ``at_ms`` is the time asked about, by the clock of the machine, and so are the spans of a gate.
    ``confidential``: there are secrets in it. ``stopped`` is set when nobody waits for the answer any more.
    """

    request: Measure = field(repr=False)
    at_ms: int
    confidential: bool = False
    stopped: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)


Instrument = Callable[[Question], Outcome]
"""Takes one measurement, in its own time. May raise ExecutorError or PolicyError: an error as its answer."""

Key = tuple[str, str, int]


class Measurer:
    """Takes measurements with the ``instruments`` for each class of provider."""

    def __init__(
        self,
        inbox: Inbox,
        clock: Clock,
        instruments: Mapping[type[Any], Instrument],
        secrets: Secrets,
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._instruments = dict(instruments)
        self._secrets = secrets
        self._lock = threading.Lock()
        self._running: dict[Key, threading.Event] = {}

    def start(self, request: Measure, arguments: tuple[SecretArgument, ...], at: int) -> None:
        """Begin a measurement; ``arguments`` are the secrets of its run. One that runs already goes on."""
        key = (request.run, request.metric, request.attempt)
        stopped = threading.Event()
        with self._lock:
            if key in self._running:
                return
            self._running[key] = stopped
        ahead_ms = self._clock.ahead_ms()
        asked = replace(request, spans=tuple(_moved(span, -ahead_ms) for span in request.spans))
        question = Question(asked, at - ahead_ms, stopped=stopped)
        threading.Thread(
            target=self._answer, args=(question, arguments, at), name=f"measure {key}", daemon=True
        ).start()

    def terminate(self, request: TerminateMeasurement) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            stopped = self._running.get((request.run, request.metric, request.attempt))
        if stopped is not None:
            stopped.set()

    def stop(self) -> None:
        """Nobody waits for any answer any more."""
        with self._lock:
            for stopped in self._running.values():
                stopped.set()

    def _answer(self, question: Question, arguments: tuple[SecretArgument, ...], started: int) -> None:
        outcome = self._outcome(question, arguments)
        asked = question.request
        with self._lock:
            self._running.pop((asked.run, asked.metric, asked.attempt), None)
        finished = self._clock.now_ms()
        self._inbox.put(
            Measured(finished, asked.run, asked.metric, asked.attempt, started, finished, outcome)
        )

    def _outcome(self, question: Question, arguments: tuple[SecretArgument, ...]) -> Outcome:
        secrets: dict[str, str] = {}
        try:
            asked = question.request
            instrument = self._instruments.get(type(asked.provider))
            if instrument is None:
                return MeasureError(_unknown(asked.provider))
            for argument in arguments:
                secrets[argument.name] = self._secrets.read(argument.secret, argument.key)
            filled = replace(asked, provider=_filled(asked.provider, secrets))
            outcome = instrument(replace(question, request=filled, confidential=filled != asked))
        except (ExecutorError, PolicyError) as error:
            outcome = MeasureError(str(error))
        except Exception as error:  # a defect here must not look like silence, and its text may hold a secret
            outcome = MeasureError(f"the measurement broke off with {type(error).__name__}; please report it")
        return _blotted(outcome, secrets.values())


def _filled(provider: Provider, secrets: Mapping[str, str]) -> Provider:
    """The provider with ``{{args.NAME}}`` of each secret filled in, as the engine fills in late arguments."""
    late = tuple(FieldArgument(name, "") for name in secrets)
    (metric,) = bound_metrics(Analysis((Metric("", provider),), late), secrets)
    return metric.provider


def _moved(span: Span, by_ms: int) -> Span:
    """A span by another clock."""
    return replace(span, start=span.start + by_ms, end=None if span.end is None else span.end + by_ms)


def _unknown(provider: Provider) -> str:
    kind = getattr(provider, "kind", type(provider).__name__)
    return f"the provider {kind} cannot be measured by this executor; use prometheus, web or job"


def _blotted(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    hidden = [secret for secret in secrets if len(secret) >= SHORTEST_BLOTTED]
    if not hidden:
        return outcome
    match outcome:
        case MeasureError(message):
            return MeasureError(_without(message, hidden))
        case StringResult(value):
            return StringResult(_without(value, hidden))
        case JsonResult(value=value):
            return JsonResult(_without(value, hidden))
    return outcome


def _without(value: Any, hidden: list[str]) -> Any:
    match value:
        case str():
            for secret in hidden:
                value = value.replace(secret, BLOT)
            return value
        case list():
            return [_without(item, hidden) for item in value]
        case dict():
            return {_without(key, hidden): _without(item, hidden) for key, item in value.items()}
    return value
