"""The executor's own Prometheus metrics, in the text format, on one address.

Names and units follow Prometheus, "Metric and label naming"; the form is its text exposition format 0.0.4.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rolloutsim.engine import Phase, State
from rolloutsim.errors import ExecutorError
from rolloutsim.live.decisions import Decided, Judged
from rolloutsim.live.prediction import number_in
from rolloutsim.live.surroundings import Turn

__all__ = ["Exporter", "MetricsServer"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a decision without a write to one whose writes run into the time-out of the API."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exporter:
    """Counts what an executor decides; `text` is what Prometheus reads. Safe from any thread.

    ``observed`` gives the weight that the cluster shows now, None if it cannot be told; ``now_ms`` the
    executor's time.
    """

    def __init__(
        self,
        rollout: str,
        namespace: str,
        policy_hash: str,
        observed: Callable[[], int | None],
        now_ms: Callable[[], int],
    ) -> None:
        self._labels = {"rollout": rollout, "namespace": namespace}
        self._policy_hash = policy_hash
        self._observed = observed
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._phase: Phase | None = None
        self._step: int | None = None
        self._weight: int | None = None
        self._decisions = 0
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._samples: dict[str, int] = {}
        self._values: dict[str, float] = {}
        self._residuals: dict[str, float] = {}
        self._aborts: Counter[str] = Counter()
        self._paused = _Waited()
        self._manual = _Waited()
        self._manual_since: int | None = None
        self._took = [0] * (len(BUCKETS_S) + 1)
        self._took_s = 0.0
        self._last_at = 0

    def begin(self, state: State) -> None:
        """Where the executor found the rollout."""
        with self._lock:
            self._phase, self._step = state.status.phase, state.status.step_index
            self._weight = state.facts.weight
            self._last_at = state.now
            self._paused.goes_on(self._phase is Phase.PAUSED, self._now_ms())

    def tell(self, told: Decided) -> None:
        """One decision."""
        with self._lock:
            self._decisions += 1
            self._last_at = told.at
            self._step = told.step if told.step is not None else self._step
            self._weight = told.weight if told.weight is not None else self._weight
            for one in told.judged:
                self._verdicts[one.gate, one.verdict] += 1
                self._samples[one.gate] = one.n
                self._values[one.gate] = _number(one.value)
                residual = _residual(one)
                if residual is not None:
                    self._residuals[one.gate] = residual
            if told.reason == "Aborted":
                self._aborts["gate" if told.judged else "asked or deadline"] += 1
            if told.phase is not None:
                self._phase = told.phase
                self._paused.goes_on(told.phase is Phase.PAUSED, told.at)

    def turned(self, turn: Turn) -> None:
        """One wake of the executor."""
        with self._lock:
            self._manual_since = turn.waits_since
            self._manual.goes_on(turn.waits_since is not None, self._now_ms())
            if turn.decided:
                self._took[bisect_left(BUCKETS_S, turn.took_s)] += 1
                self._took_s += turn.took_s

    def text(self) -> str:
        """All metrics."""
        observed = self._observed()
        with self._lock:
            return "".join(self._families(observed, self._now_ms()))

    def _families(self, observed: int | None, now_ms: int) -> Iterator[str]:
        info = {"phase": self._phase.value if self._phase else "", "policy_hash": self._policy_hash}
        yield self._family("run_info", "gauge", "What runs.", [(info, 1.0)])
        if self._step is not None:
            yield self._family("step_index", "gauge", "Steps that are complete.", [({}, float(self._step))])
        weights = {"desired": self._weight, "observed": observed}
        shown = [({"kind": kind}, float(one)) for kind, one in weights.items() if one is not None]
        if shown:
            yield self._family("weight", "gauge", "Weight of the canary.", shown)
        yield self._family("decisions_total", "counter", "Decisions.", [({}, float(self._decisions))])
        verdicts = [({"gate": g, "verdict": v}, float(n)) for (g, v), n in sorted(self._verdicts.items())]
        yield self._family("gate_verdict_total", "counter", "Measurements by verdict.", verdicts)
        samples = [({"gate": gate}, float(n)) for gate, n in sorted(self._samples.items())]
        yield self._family("gate_samples", "gauge", "Measurements in the present analysis run.", samples)
        values = [({"gate": gate}, value) for gate, value in sorted(self._values.items())]
        yield self._family("gate_value", "gauge", "The last measurement; NaN if it is no number.", values)
        residuals = [({"gate": gate}, value) for gate, value in sorted(self._residuals.items())]
        about = "How far the last measurement lies above (below: negative) its predicted band; 0 inside."
        yield self._family("prediction_residual", "gauge", about, residuals)
        yield from self._waits(now_ms)
        yield self._durations()
        aborts = [({"reason": reason}, float(n)) for reason, n in sorted(self._aborts.items())]
        yield self._family("aborts_total", "counter", "Aborts.", aborts)
        last_s = self._last_at / 1000
        yield self._family(
            "last_decision_timestamp_seconds", "gauge", "When it last decided.", [({}, last_s)]
        )

    def _waits(self, now_ms: int) -> Iterator[str]:
        paused_s, manual_s = self._paused.total_s(now_ms), self._manual.total_s(now_ms)
        yield self._family("paused_seconds_total", "counter", "Time in pauses.", [({}, paused_s)])
        about = "Time in which only a person could let it go on."
        yield self._family("manual_pause_seconds_total", "counter", about, [({}, manual_s)])
        if self._manual_since is not None:
            about = "Since when it waits for a person; there while it does."
            since_s = self._manual_since / 1000
            name = "manual_pause_start_timestamp_seconds"
            yield self._family(name, "gauge", about, [({}, since_s)])

    def _durations(self) -> str:
        """The histogram of `Turn.took_s`; a bucket counts all that took no longer than its ``le``."""
        name = "rolloutsim_decision_seconds"
        about = "From hearing facts to having decided, written and saved."
        lines = [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), self._took, strict=True):
            total += count
            lines.append(f"{name}_bucket{_labelled({**self._labels, 'le': bound})} {total}")
        lines.append(f"{name}_sum{_labelled(self._labels)} {self._took_s!r}")
        lines.append(f"{name}_count{_labelled(self._labels)} {total}")
        return "\n".join(lines) + "\n"

    def _family(self, name: str, kind: str, about: str, samples: list[tuple[dict[str, str], float]]) -> str:
        if not samples:
            return ""
        lines = [f"# HELP rolloutsim_{name} {about}", f"# TYPE rolloutsim_{name} {kind}"]
        for labels, value in samples:
            lines.append(f"rolloutsim_{name}{_labelled({**self._labels, **labels})} {value!r}")
        return "\n".join(lines).replace(" nan", " NaN") + "\n"


class _Waited:
    """How long something lasted, all times together, the present one included."""

    def __init__(self) -> None:
        self._ms = 0
        self._since: int | None = None

    def goes_on(self, lasts: bool, at: int) -> None:
        """From this time in ms on it lasts, or does not."""
        if self._since is not None:
            self._ms += max(0, at - self._since)
        self._since = at if lasts else None

    def total_s(self, at: int) -> float:
        return (self._ms + (0 if self._since is None else max(0, at - self._since))) / 1000


class MetricsServer:
    """Answers ``GET /metrics`` at HOST:PORT.

    Raises
    ------
    ExecutorError : the address is none, or is taken.
    """

    def __init__(self, address: str, text: Callable[[], str]) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(text))
        except (OSError, ValueError, OverflowError) as error:
            raise ExecutorError(
                f"metrics cannot be served at {address} ({error}); give HOST:PORT, for example 127.0.0.1:9464"
            ) from None
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(text: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path.split("?")[0] not in ("/metrics", "/"):
                self.send_error(404)
                return
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler


def _labelled(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _residual(judged: Judged) -> float | None:
    value, band = number_in(judged.value), judged.band
    if value is None or band is None:
        return None
    return value - min(max(value, band.low), band.high)


def _number(text: str) -> float:
    try:
        return float(text.strip("[]"))
    except ValueError:
        return float("nan")
