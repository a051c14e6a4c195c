"""What an executor tells while it works: one JSON line and one Kubernetes Event for each decision.

Neither is ever read back, and neither may hold the rollout up: Events are written by a thread of their own,
and one that cannot be written is left out.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from rolloutsim.engine import ReleaseAsked, State, from_json
from rolloutsim.live.decisions import Decided, decided
from rolloutsim.live.port import DEPLOYMENT, EVENT, AlreadyExists, ApiError, Kubernetes, Object, Ref
from rolloutsim.live.prediction import Prediction, released_ms
from rolloutsim.policy import digest
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry

__all__ = ["DecisionLog", "EventWriter", "Teller", "clock_text"]

LONGEST_MESSAGE = 1_000
"""Bytes of an Event's message; the API refuses more than 1,024 (events.k8s.io/v1, ``note``)."""
WAITING_EVENTS = 200
COMPONENT = "rolloutsim"


def clock_text(at_ms: int) -> str:
    """A time in ms since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Listener = Callable[[Decided], object]


@dataclass(slots=True)
class Teller:
    """Hears every journal entry of an executor and hands on the decisions.

    ``begin`` has to be called with the manifest of the journal before the first entry.
    """

    listeners: list[Listener] = field(default_factory=list)
    policy: Policy | None = None
    state: State | None = None
    """As the executor found it."""
    prediction: Prediction | None = None
    _released_ms: int = 0

    def begin(self, manifest: Mapping[str, Any]) -> None:
        self.policy = from_json(Policy, manifest["policy"])
        self.state = from_json(State, manifest["state"])
        told = manifest.get("prediction")
        self.prediction = None if told is None else from_json(Prediction, told)
        self._released_ms = released_ms(self.state)

    def hear(self, entry: Entry) -> None:
        """An entry, right after it was journalled."""
        if self.policy is None:
            raise ValueError("a teller has to begin with the manifest of a journal")
        if isinstance(entry.seen, ReleaseAsked):
            self._released_ms = entry.seen.at
        told = decided(self.policy, entry, self.prediction, self._released_ms)
        if told is not None:
            for listener in self.listeners:
                listener(told)


class DecisionLog:
    """JSON lines for machines. ``run`` is the name of the journal."""

    def __init__(self, out: TextIO, rollout: str, namespace: str) -> None:
        self._out = out
        self._head = {"rollout": rollout, "namespace": namespace}
        self._step: int | None = None
        self._weight: int | None = None

    def begin(self, run: str, policy: Policy, state: State) -> None:
        """What all further lines have in common."""
        self._head |= {"run_id": run, "policy_hash": digest(policy)}
        self._step = state.status.step_index
        self._weight = state.facts.weight

    def tell(self, told: Decided) -> None:
        """One decision."""
        self._step = told.step if told.step is not None else self._step
        self._weight = told.weight if told.weight is not None else self._weight
        gates = [
            {
                "gate": one.gate,
                "run": one.run,
                "n": one.n,
                "value": one.value,
                "verdict": one.verdict,
                "threshold": one.threshold,
                **({} if one.band is None else {"predicted": [one.band.low, one.band.high]}),
            }
            for one in told.judged
        ]
        self._write(
            "warning" if told.warning else "info",
            told.at,
            told.sentence,
            seq=told.seq,
            reason=told.reason,
            step=self._step,
            weight=self._weight,
            gates=gates,
        )

    def note(self, at_ms: int, sentence: str, level: str = "warning") -> None:
        """Something that is no decision."""
        self._write(level, at_ms, sentence)

    def _write(self, level: str, at_ms: int, message: str, **more: Any) -> None:
        line = {"time": clock_text(at_ms), "level": level, "msg": message, **self._head, **more}
        self._out.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")
        self._out.flush()


class EventWriter:
    """Writes one Event for each decision, on the rollout's first Deployment."""

    def __init__(self, api: Kubernetes, namespace: str, deployment: str, holder: str) -> None:
        self._api = api
        self._about = Ref(DEPLOYMENT, namespace, deployment)
        self._holder = holder
        self._run = ""
        self._uid = ""
        self._queue: queue.Queue[Object | None] = queue.Queue(WAITING_EVENTS)
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self.lost = 0
        """Events that could not be written."""

    def begin(self, run: str) -> None:
        """``run`` is the name of the journal: Events of one run have names of their own."""
        self._run = hashlib.sha256(run.encode()).hexdigest()[:10]
        self._thread.start()

    def tell(self, told: Decided) -> None:
        """One decision."""
        self.write(told.at, told.reason, told.sentence, f"{told.seq:x}", warning=told.warning)

    def write(self, at_ms: int, reason: str, sentence: str, key: str, *, warning: bool = False) -> None:
        """One Event; ``key`` tells it from the others of this run."""
        stamp = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = self._about
        body: Object = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": f"{about.name}.{self._run}.{key}", "namespace": about.namespace},
            "involvedObject": {
                "apiVersion": DEPLOYMENT.api_version,
                "kind": DEPLOYMENT.name,
                "namespace": about.namespace,
                "name": about.name,
            },
            "reason": reason,
            "message": _shortened(sentence),
            "type": "Warning" if warning else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._holder[:128],
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            self._queue.put_nowait(body)
        except queue.Full:
            self.lost += 1

    def close(self, timeout_s: float = 3.0) -> None:
        """Write what waits, for at most that long."""
        if self._thread.ident is None:
            return
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (body := self._queue.get()) is not None:
            if not self._uid:
                self._uid = self._known_uid()
            if self._uid:
                body["involvedObject"]["uid"] = self._uid
            try:
                self._api.create(Ref(EVENT, self._about.namespace, body["metadata"]["name"]), body)
            except AlreadyExists:
                continue
            except ApiError:
                self.lost += 1

    def _known_uid(self) -> str:
        """The uid of what the Events are about, by which ``kubectl describe`` finds them."""
        try:
            return str(self._api.get(self._about)["metadata"].get("uid", ""))
        except ApiError:
            return ""


def _shortened(text: str) -> str:
    data = text.encode()
    return text if len(data) <= LONGEST_MESSAGE else data[: LONGEST_MESSAGE - 3].decode(errors="ignore") + "…"
