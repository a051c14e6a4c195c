"""A cluster for the verbs, with a service in it, and a Prometheus on loopback.

Verbs run as a person has them: processes of their own, with nothing but a kubeconfig.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.lab import Server, self_signed
from rolloutsim.live.kubeconfig import load_access
from rolloutsim.live.kubernetes import HttpKubernetes
from tests.live.ground import NEW, Ground, available, populate, tend_embedded, tended

NAMESPACE = "shop"
"""Of the embedded server."""
MAIN = "from rolloutsim.__main__ import main; main()"
PATIENCE_S = 60.0

CANARY = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata:
  name: api
spec:
  replicas: 2
  progressDeadlineSeconds: 60
  target:
    deployments: [api-a, api-b]
    service: api-stable
    route: {kind: HTTPRoute, name: api}
    revisionLabel: slot
  strategy:
    canary:
      stableService: api-stable
      canaryService: api-canary
      scaleDownDelaySeconds: 1
      abortScaleDownDelaySeconds: 1
      steps:
%(steps)s
      analysis:
        templates: [{templateName: errors}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args:
    - name: token
      valueFrom:
        secretKeyRef: {name: metrics, key: token}
  metrics:%(more)s
    - name: error-rate
      interval: 1s
      successCondition: result[0] < 0.05
      failureLimit: 0
      consecutiveErrorLimit: 3
      provider:
        prometheus:
          address: %(address)s
          timeout: 2
          query: sum(rate(http_requests_total{code="500"}[1m])) / sum(rate(http_requests_total[1m]))
          headers: [{key: X-Token, value: "{{args.token}}"}]
"""
BLUE_GREEN = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata:
  name: api
spec:
  replicas: 2
  target:
    deployments: [api-a, api-b]
    service: api-stable
    revisionLabel: slot
  strategy:
    blueGreen:
      previewService: api-canary
      autoPromotionEnabled: false
      scaleDownDelaySeconds: 1
      abortScaleDownDelaySeconds: 1
"""
WAITS = ("setWeight: 20", "pause: {}", "setWeight: 50", "pause: {duration: 1s}")
SECRET = "s3cret-of-the-metrics-server"
"""Stands in a Secret of the cluster and must never be found in anything that we write."""


SMOKE = """
    - name: smoke
      provider:
        job:
          spec:
            template:
              spec:
                restartPolicy: Never
                containers: [{name: smoke, image: "shop/smoke:1"}]
"""
"""A Job that nobody ever ends, since the cluster has no controller for it."""


def manifest(steps: Sequence[str] = WAITS, address: str = "http://127.0.0.1:9", more: str = "") -> str:
    listed = "\n".join(f"        - {step}" for step in steps)
    return CANARY % {"steps": listed, "address": address, "more": more}


# --- metrics --------------------------------------------------------------------------------------


class Metrics:
    """A Prometheus that always finds ``value``; None: an empty vector. ``asked`` are the headers it got."""

    def __init__(self) -> None:
        self.value: float | None = 0.0
        self.delay_s = 0.0
        self.asked: list[str] = []
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metrics.asked.append(self.headers.get("X-Token", ""))
                time.sleep(metrics.delay_s)
                sample = [] if metrics.value is None else [{"metric": {}, "value": [0, str(metrics.value)]}]
                data = {"resultType": "vector", "result": sample}
                body = json.dumps({"status": "success", "data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):  # nobody waits for it any more
                    self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


# --- verbs ----------------------------------------------------------------------------------------


@dataclass
class Stage:
    """One cluster with a service in it, and a folder for a person's files.

    ``flags`` say which cluster and namespace; ``embedded`` is its server, if it is the embedded one.
    """

    ground: Ground
    flags: tuple[str, ...]
    metrics: Metrics
    folder: Path
    embedded: Server | None = None
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def server(self) -> Server:
        """The embedded server. A test that asks for it cannot be marked 'cluster'."""
        assert self.embedded is not None, "this test needs the embedded API server"
        return self.embedded

    @property
    def kubeconfig(self) -> Path:
        return Path(self.flags[1])

    def policy(self, text: str) -> Path:
        path = self.folder / "policy.yaml"
        path.write_text(text)
        return path

    def canary(self, steps: Sequence[str] = WAITS, more: str = "") -> Path:
        return self.policy(manifest(steps, self.metrics.address, more))

    # a verb in this process, or in one of its own

    def verb(self, *words: str | Path) -> Result:
        """Run a verb in this process, to its end."""
        return CliRunner().invoke(app, [str(word) for word in (*words, *self.flags)])

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a verb as a process of its own."""
        with (self.folder / f"stderr-{len(self.started)}").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *map(str, words), *self.flags],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "ROLLOUTSIM_JOURNAL": str(self.journals)},
            )
        self.started.append(process)
        return process

    def errors(self, process: subprocess.Popen[str]) -> str:
        """What a process wrote to standard error so far."""
        return (self.folder / f"stderr-{self.started.index(process)}").read_text()

    def told(self, process: subprocess.Popen[str]) -> list[str]:
        """The sentences of a run's log so far that are no good news."""
        lines = [json.loads(one) for one in self.errors(process).splitlines() if one.endswith("}")]
        return [line["msg"] for line in lines if line["level"] != "info"]

    def finish(self, process: subprocess.Popen[str], timeout_s: float = PATIENCE_S) -> tuple[int, str]:
        """The exit code and standard output of a process at its end."""
        out, _ = process.communicate(timeout=timeout_s)
        return process.returncode, out

    def run(
        self, *more: str | Path, steps: Sequence[str] = WAITS, metrics: str = ""
    ) -> subprocess.Popen[str]:
        """Release the new image, as a process of its own. ``metrics`` are added to the analysis."""
        policy = self.canary(steps, metrics)
        return self.start("run", policy, "--image", NEW, "--unvetted", "a test", *more)

    # what the cluster and the journals say

    @property
    def journals(self) -> Path:
        return self.folder / "journals"

    def journal_files(self) -> list[Path]:
        """All journals, the oldest first."""
        return sorted((self.journals / self.ground.namespace / "api").glob("*.jsonl"))

    def state(self) -> dict[str, Any]:
        """The engine's state in the cluster; empty before there is one."""
        body = self.ground.find("ConfigMap", "rolloutsim-api")
        return json.loads(body["data"]["state"]) if body and "state" in body["data"] else {}

    def status(self) -> dict[str, Any]:
        return self.state().get("status", {})

    def weight(self) -> int:
        return self.ground.weights()[1]

    def replicas(self) -> dict[str, int]:
        return self.ground.replicas()

    def untouched(self) -> bool:
        """Nobody has begun to execute anything here."""
        found = (self.ground.find(kind, "rolloutsim-api") for kind in ("ConfigMap", "Lease"))
        return not any(found)

    def until(self, condition: Any, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + timeout_s
        while not condition():
            over = bool(self.started) and all(one.poll() is not None for one in self.started)
            ended = over and not condition()
            if ended or time.monotonic() > ends:
                said = "\n".join(self.errors(process) for process in self.started)
                raise AssertionError(f"waited in vain until {what}\n{said}")
            time.sleep(0.02)

    def waits_at(self, weight: int) -> None:
        """Wait until a person is waited for at this weight, and the cluster knows."""
        self.until(
            lambda: self.weight() == weight and self.status().get("phase") == "Paused",
            f"the rollout waits at weight {weight}",
        )


@contextmanager
def stage(folder: Path, *, tls: bool = False) -> Iterator[Stage]:
    """The embedded server, populated; all processes that were started in it end with it."""
    certificate, key = self_signed(folder) if tls else (None, None)
    with Server(certificate=certificate, key=key) as server:
        server.create("Namespace", {"metadata": {"name": NAMESPACE}})
        kubeconfig = server.kubeconfig(folder / "kubeconfig", namespace=NAMESPACE)
        with _staged(folder, ("--kubeconfig", str(kubeconfig)), NAMESPACE) as made:
            made.embedded = server
            tend_embedded(server, made.ground)
            populate(made.ground, SECRET)
            yield made


@contextmanager
def stage_in(folder: Path, kubeconfig: str, namespace: str, *, controllers: bool) -> Iterator[Stage]:
    """A namespace of another cluster, populated."""
    flags = ("--kubeconfig", str(Path(kubeconfig).absolute()), "--namespace", namespace)
    with _staged(folder, flags, namespace) as made, tended(made.ground, controllers=controllers):
        populate(made.ground, SECRET)
        made.until(lambda: available(made.ground, "api-a") == 2, "the first version has its pods")
        yield made


@contextmanager
def _staged(folder: Path, flags: tuple[str, ...], namespace: str) -> Iterator[Stage]:
    api = HttpKubernetes(load_access(kubeconfig=flags[1]))
    metrics = Metrics()
    made = Stage(Ground(api, namespace), flags, metrics, folder)
    try:
        yield made
    finally:
        for process in made.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        metrics.close()
        api.close()
