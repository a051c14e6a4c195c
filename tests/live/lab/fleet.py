"""Many small rollouts at once in one lab, each under an executor of its own, and what their journals say."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import httpx

from rolloutsim.engine import (
    Measured,
    MeasurementTaken,
    ReleaseAsked,
    RevisionSeen,
    Scale,
    SetWeight,
    StepCompleted,
    WeightSeen,
)
from rolloutsim.lab.children import free_port
from rolloutsim.lab.demo import deployment, route, service
from rolloutsim.live.clock import SystemClock, elapsed_ms
from rolloutsim.live.executor import Ending, Executor, Surroundings, instruments
from rolloutsim.live.journal import FileJournal
from rolloutsim.live.kubeconfig import load_access
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.port import DEPLOYMENT, HTTP_ROUTE, SERVICE, Kubernetes, Ref
from rolloutsim.live.release import Release
from rolloutsim.policy.load import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.prometheus import Server
from rolloutsim.session import Entry
from rolloutsim.sim.platform import Delay

NAMESPACE = "default"
PATIENCE_S = 90.0
KINDS = {kind.name: kind for kind in (DEPLOYMENT, SERVICE, HTTP_ROUTE)}

POLICY = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata:
  name: {name}
spec:
  replicas: 3
  progressDeadlineSeconds: 60
  target:
    deployments: [{name}, {name}-new]
    service: {name}-stable
    route: {{kind: HTTPRoute, name: {name}}}
    revisionLabel: slot
  strategy:
    canary:
      stableService: {name}-stable
      canaryService: {name}-canary
      scaleDownDelaySeconds: 1
      abortScaleDownDelaySeconds: 1
      steps:
        - setWeight: 20
        - pause: {{duration: {first}}}
        - setWeight: 50
        - pause: {{duration: {second}}}
      analysis:
        startingStep: 1
        metrics:
          - name: error-rate
            initialDelay: 2s
            interval: 2s
            successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < 0.05
            failureLimit: 1
            provider:
              prometheus:
                query: |
                  sum(rate(http_requests_total{{service="{name}", status=~"5.."}}[4s]))
                  /
                  sum(rate(http_requests_total{{service="{name}"}}[4s]))
"""
"""The guide's query on a small scale: the error rate of the whole service, both versions together."""


def policy_of(name: str, first: str = "6s", second: str = "8s") -> Policy:
    """The policy of one of them; ``first`` and ``second`` are its pauses."""
    return load_policy_text(POLICY.format(name=name, first=first, second=second))


def objects_of(name: str) -> list[dict[str, Any]]:
    """What stands in the cluster before: the old version on three pods, and an idle Deployment."""
    old, new = ({"app": name, "slot": slot} for slot in "ab")
    return [
        deployment(name, old, "fleet:1", 3),
        deployment(f"{name}-new", new, "fleet:1", 0),
        service(f"{name}-stable", old),
        service(f"{name}-canary", new),
        route(name, f"{name}.localhost", {f"{name}-stable": 100, f"{name}-canary": 0}),
    ]


def release_of(policy: Policy, version: str, error_rate: float) -> Release:
    """A version that fails this share of its requests."""
    labels, environment = {"app": policy.name}, {"LAB_ERROR_RATE": str(error_rate)}
    template = deployment(policy.name, labels, f"fleet:{version}", 0, environment)["spec"]["template"]
    return Release(policy, version, {version: template})


# --- the lab --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Site:
    """A lab in a process of its own, as every real cluster is."""

    folder: Path
    web_port: int
    prometheus: str

    def connect(self) -> HttpKubernetes:
        """As an administrator."""
        return HttpKubernetes(load_access(kubeconfig=str(self.folder / "kubeconfig")))

    def requests_per_s(self, service: str) -> float:
        """How many requests the pods of a service counted lately."""
        query = f'sum(rate(http_requests_total{{service="{service}"}}[8s]))'
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": query}, trust_env=False)
        (sample,) = answer.json()["data"]["result"]
        return float(sample["value"][1])


@contextmanager
def lab(folder: Path) -> Iterator[Site]:
    """``rolloutsim lab up`` without the demo."""
    web, prometheus = free_port(), free_port()
    words = ["up", "--no-demo", "--dir", str(folder), "--web-port", str(web)]
    words += ["--prometheus-port", str(prometheus)]
    program = [sys.executable, "-c", "from rolloutsim.cli import main; main()", "lab", *words]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(program, stdout=out, stderr=out)
    try:
        _until(lambda: (folder / "lab.json").exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "out").read_text()
        yield Site(folder, web, f"http://127.0.0.1:{prometheus}")
    finally:
        process.terminate()
        process.wait(30.0)


def populate(api: Kubernetes, names: Sequence[str]) -> None:
    """Put all of them into the cluster, and wait for their pods."""
    for body in (body for name in names for body in objects_of(name)):
        api.create(Ref(KINDS[body["kind"]], NAMESPACE, body["metadata"]["name"]), body)

    def all_there() -> bool:
        found = {body["metadata"]["name"]: body for body in api.list(DEPLOYMENT, NAMESPACE).items}
        return all(found[name].get("status", {}).get("availableReplicas") == 3 for name in names)

    _until(all_there)


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


# --- executing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """How a rollout ended, and its journal."""

    ending: str
    entries: Sequence[Entry]


def execute_all(site: Site, releases: Mapping[str, Release]) -> dict[str, Ran]:
    """All of them at once, in threads of this process; they begin at the same moment."""
    together = threading.Barrier(len(releases))
    with ThreadPoolExecutor(len(releases)) as pool:
        found = {
            name: pool.submit(_execute, site, name, release, together) for name, release in releases.items()
        }
        return {name: future.result() for name, future in found.items()}


def _execute(site: Site, name: str, release: Release, together: threading.Barrier) -> Ran:
    entries: list[Entry] = []
    with ExitStack() as stack:
        api = site.connect()
        stack.callback(api.close)
        around = Surroundings(
            clock=SystemClock,
            elapsed_ms=elapsed_ms,
            journal=lambda m: FileJournal(site.folder / "journals" / f"{name}-{release.revision}.jsonl", m),
            instruments=instruments(api, NAMESPACE, name, {"": Server(site.prometheus)}),
            holder=name,
            heard=entries.append,
        )
        executor = Executor(api, NAMESPACE, name, around)
        stack.callback(executor.close)
        executor.take()
        together.wait(PATIENCE_S)
        executor.begin(release)
        stands = executor.run()
    assert stands in (Ending.PROMOTED, Ending.ABORTED), f"{name} was {stands}"
    return Ran(str(stands), entries)


# --- what journals say ----------------------------------------------------------------------------


def times_s(entries: Iterable[Entry]) -> dict[str, float]:
    """Seconds from the release to the end of each step, and to the last measurement that failed."""
    times: dict[str, float] = {}
    asked = 0
    for entry in entries:
        if isinstance(entry.seen, ReleaseAsked):
            asked = entry.seen.at
        for event in entry.events:
            at_s = (entry.seen.at - asked) / 1000
            if isinstance(event, StepCompleted):
                times[f"step {event.index}"] = at_s
            elif isinstance(event, MeasurementTaken) and str(event.phase) == "Failed":
                times["failure"] = at_s
    return times


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds that things took: the first pods of a version, further ones, routes, measurements."""

    first_pods: list[int]
    further_pods: list[int]
    routes: list[int]
    queries: list[int]


def delays(journals: Iterable[Sequence[Entry]], version: str) -> Delays:
    """What these journals of rollouts of one version say."""
    found = Delays([], [], [], [])
    for entries in journals:
        scaled, moved = (0, 0), 0
        for entry in entries:
            seen = entry.seen
            if isinstance(seen, RevisionSeen) and seen.revision == version:
                since, wanted = scaled
                if wanted and seen.available >= wanted:
                    (found.first_pods if wanted == 1 else found.further_pods).append(seen.at - since)
                    scaled = (0, 0)
            elif isinstance(seen, WeightSeen) and seen.verified and moved:
                found.routes.append(seen.at - moved)
                moved = 0
            elif isinstance(seen, Measured):
                found.queries.append(seen.finished - seen.started)
            for action in entry.actions:
                if isinstance(action, Scale) and action.revision == version and action.replicas:
                    scaled = (seen.at, action.replicas)
                elif isinstance(action, SetWeight):
                    moved = seen.at
    return found


def lognormal(samples_ms: Sequence[int], beyond_ms: int = 0) -> Delay:
    """The lognormal delay with the median and the spread of these, less ``beyond_ms``."""
    left = [max(1, sample - beyond_ms) for sample in samples_ms]
    return Delay(round(statistics.median(left)), round(statistics.stdev(map(log, left)), 3))
