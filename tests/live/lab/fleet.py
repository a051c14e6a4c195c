"""Many small rollouts at once in one lab, each under an executor of its own, and what their journals say."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path
from random import Random
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
from rolloutsim.lab.demo import deployment, route, service
from rolloutsim.live.clock import SystemClock, elapsed_ms
from rolloutsim.live.executor import Ending, Executor
from rolloutsim.live.journal import FileJournal
from rolloutsim.live.kubeconfig import load_access
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.port import DEPLOYMENT, HTTP_ROUTE, INGRESS, SERVICE, Kubernetes, Object, Ref
from rolloutsim.live.release import Release
from rolloutsim.live.surroundings import Surroundings, instruments
from rolloutsim.policy.load import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.prometheus import Server
from rolloutsim.session import Entry
from rolloutsim.sim.platform import Delay

NAMESPACE = "default"
PATIENCE_S = 90.0
KINDS = {kind.name: kind for kind in (DEPLOYMENT, SERVICE, HTTP_ROUTE, INGRESS)}

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
        - setCanaryScale: {{replicas: 1}}
        - pause: {{duration: {settle}}}
        - setWeight: 20
        - pause: {{duration: {first}}}
        - setWeight: 50
        - pause: {{duration: {second}}}
      analysis:
        startingStep: 3
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
"""The guide's query on a small scale: the error rate of the whole service, both versions together.

The new version's pod is there before it gets requests, for as long as Prometheus may need to find it: its
discovery and its scraping wait for a tick of 5 s each (prometheus/prometheus, discovery/manager.go and
scrape/manager.go).
"""


START = (log(1.5), 0.4)
"""Of the seconds from a pod's start to readiness: the mean and the deviation of the logarithm. Nodes, images
and processes differ, so pods do in clusters; without it, all that differs is how busy this machine is."""


def policy_of(name: str, settle: str = "11s", first: str = "6s", second: str = "8s") -> Policy:
    """The policy of one of them, with these pauses."""
    return load_policy_text(POLICY.format(name=name, settle=settle, first=first, second=second))


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
    """A version that fails this share of its requests; its pods take their time, each time another."""
    start_s = Random(f"{policy.name} {version}").lognormvariate(*START)
    environment = {"LAB_ERROR_RATE": str(error_rate), "LAB_START_S": f"{start_s:.2f}"}
    body = deployment(policy.name, {"app": policy.name}, f"fleet:{version}", 0, environment)
    return Release(policy, version, {version: body["spec"]["template"]})


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

    def is_left_closed(self) -> bool:
        """Whether its Prometheus takes both ends into a range, as all before 3.0 do."""
        answer = httpx.get(f"{self.prometheus}/api/v1/status/buildinfo", trust_env=False)
        return int(answer.json()["data"]["version"].partition(".")[0]) < 3


_LAB = """
import sys
from pathlib import Path
from rolloutsim.lab.lab import Lab

with Lab(Path(sys.argv[1]), calls_per_second=float(sys.argv[2])) as lab:
    print(lab.router.port, lab.metrics.url, flush=True)
    sys.stdin.read()
"""
CALLS_PER_S = 400.0
"""Each rollout finds controllers that are as quick as if it were alone, for the simulator knows no others."""


@contextmanager
def lab(folder: Path) -> Iterator[Site]:
    """An emulated cluster, empty."""
    program = [sys.executable, "-c", _LAB, str(folder), str(CALLS_PER_S)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            web_port, prometheus = process.stdout.readline().split()
            yield Site(folder, int(web_port), prometheus)
        finally:
            process.stdin.close()


def create(api: Kubernetes, bodies: Iterable[Object]) -> None:
    """Put objects into the cluster."""
    for body in bodies:
        api.create(Ref(KINDS[body["kind"]], NAMESPACE, body["metadata"]["name"]), body)


def populate(api: Kubernetes, names: Sequence[str]) -> None:
    """Put all of them into the cluster, and wait for their pods."""
    create(api, (body for name in names for body in objects_of(name)))

    def all_there() -> bool:
        found = {body["metadata"]["name"]: body for body in api.list(DEPLOYMENT, NAMESPACE).items}
        return all(found[name].get("status", {}).get("availableReplicas") == 3 for name in names)

    until(all_there)


def until(holds: Callable[[], bool]) -> None:
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


STAGGER_S = 1.0
"""Between the beginnings of two rollouts.

Traefik publishes a configuration when it has written the status of each route that changed, and its client
writes five a second (client-go, rest.Config's default QPS): twenty routes that change together are reported
moved some seconds before they are. The simulator has one route.
"""


def execute_all(site: Site, releases: Mapping[str, Release]) -> dict[str, Ran]:
    """All of them at once, in threads of this process; they begin one after the other."""
    with ThreadPoolExecutor(len(releases)) as pool:
        found = {
            name: pool.submit(_execute, site, name, release, number * STAGGER_S)
            for number, (name, release) in enumerate(releases.items())
        }
        return {name: future.result() for name, future in found.items()}


def _execute(site: Site, name: str, release: Release, after_s: float) -> Ran:
    time.sleep(after_s)
    entries: list[Entry] = []
    with executor(site, release, entries.append) as running:
        stands = running.run()
    assert stands in (Ending.PROMOTED, Ending.ABORTED), f"{name} was {stands}"
    return Ran(str(stands), entries)


@contextmanager
def executor(
    site: Site,
    release: Release,
    heard: Callable[[Entry], object] = lambda entry: None,
    note: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Executor]:
    """An executor that has begun this release."""
    name = release.policy.name
    with ExitStack() as stack:
        api = site.connect()
        stack.callback(api.close)
        around = Surroundings(
            clock=SystemClock,
            elapsed_ms=elapsed_ms,
            journal=lambda m: FileJournal(site.folder / "journals" / name / f"{m['start']}.jsonl", m),
            instruments=instruments(api, NAMESPACE, name, {"": Server(site.prometheus)}),
            holder=name,
            heard=heard,
            note=note,
        )
        running = Executor(api, NAMESPACE, name, around)
        stack.callback(running.close)
        running.take()
        running.begin(release)
        yield running


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
    """Milliseconds that things took: a version's first pod, weights that a step waits for, measurements."""

    pods: list[int]
    routes: list[int]
    queries: list[int]


def delays(journals: Iterable[Sequence[Entry]], version: str) -> Delays:
    """What these journals of rollouts of one version say."""
    found = Delays([], [], [])
    for entries in journals:
        scaled, moved = 0, 0
        for entry in entries:
            seen = entry.seen
            if isinstance(seen, RevisionSeen) and seen.revision == version:
                if scaled and seen.available:
                    found.pods.append(seen.at - scaled)
                    scaled = 0
            elif isinstance(seen, WeightSeen) and seen.verified and moved:
                found.routes.append(seen.at - moved)
                moved = 0
            elif isinstance(seen, Measured):
                found.queries.append(seen.finished - seen.started)
            for action in entry.actions:
                if isinstance(action, Scale) and action.revision == version and action.replicas == 1:
                    scaled = seen.at
                elif isinstance(action, SetWeight) and 0 < action.weight < 100:
                    moved = seen.at
    return found


def lognormal(samples_ms: Sequence[int]) -> Delay:
    """The lognormal delay with the median and the spread of these."""
    return Delay(round(statistics.median(samples_ms)), round(statistics.stdev(map(log, samples_ms)), 3))
