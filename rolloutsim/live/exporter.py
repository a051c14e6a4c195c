"""The executor's own Prometheus metrics, in the text format, on one address.

Names and units follow Prometheus, "Metric and label naming"; the form is its text exposition format 0.0.4.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rolloutsim.engine import Phase, State
from rolloutsim.errors import ExecutorError
from rolloutsim.live.decisions import Decided, Judged
from rolloutsim.live.prediction import number_in

__all__ = ["Exporter", "MetricsServer"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exporter:
    """Counts what an executor decides; `text` is what Prometheus reads. Safe from any thread.

    ``observed`` gives the weight that the cluster shows now, None if it cannot be told.
    """

    def __init__(
        self, rollout: str, namespace: str, policy_hash: str, observed: Callable[[], int | None]
    ) -> None:
        self._labels = {"rollout": rollout, "namespace": namespace}
        self._policy_hash = policy_hash
        self._observed = observed
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
        self._paused_ms = 0
        self._paused_since: int | None = None
        self._last_at = 0

    def begin(self, state: State) -> None:
        """Where the executor found the rollout."""
        with self._lock:
            self._phase, self._step = state.status.phase, state.status.step_index
            self._weight = state.facts.weight
            self._last_at = state.now

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
                self._pass_over(told.phase, told.at)

    def _pass_over(self, phase: Phase, at: int) -> None:
        if self._paused_since is not None:
            self._paused_ms += at - self._paused_since
        self._paused_since = at if phase is Phase.PAUSED else None
        self._phase = phase

    def text(self) -> str:
        """All metrics."""
        observed = self._observed()
        with self._lock:
            return "".join(self._families(observed))

    def _families(self, observed: int | None) -> Iterator[str]:
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
        paused_s = self._paused_ms / 1000
        yield self._family("paused_seconds_total", "counter", "Time in pauses.", [({}, paused_s)])
        aborts = [({"reason": reason}, float(n)) for reason, n in sorted(self._aborts.items())]
        yield self._family("aborts_total", "counter", "Aborts.", aborts)
        last_s = self._last_at / 1000
        yield self._family(
            "last_decision_timestamp_seconds", "gauge", "When it last decided.", [({}, last_s)]
        )

    def _family(self, name: str, kind: str, about: str, samples: list[tuple[dict[str, str], float]]) -> str:
        if not samples:
            return ""
        lines = [f"# HELP rolloutsim_{name} {about}", f"# TYPE rolloutsim_{name} {kind}"]
        for labels, value in samples:
            lines.append(f"rolloutsim_{name}{_labelled({**self._labels, **labels})} {value!r}")
        return "\n".join(lines).replace(" nan", " NaN") + "\n"


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
