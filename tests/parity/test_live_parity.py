"""The live loop and the simulator write the same journal, record by record.

The world is the simulated one, on virtual time; the executor speaks real HTTP to an embedded Kubernetes API
and to a Prometheus API over the simulated series. Ties are engineered: commands and failing pods at the very
millisecond at which something else happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from rolloutsim.engine import Measured
from rolloutsim.live.inbox import Fact, Verb
from rolloutsim.policy.load import load_policy, load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.scenario import Delay, Gap, Scenario
from rolloutsim.sim.scenario_file import load_scenario
from tests.parity.play import (
    POD_FAILS,
    Deed,
    Record,
    difference,
    lived,
    lived_bare,
    simulated,
    with_queries,
)
from tests.parity.virtual import WatchedInbox

ROOT = Path(__file__).parents[2]
ERRORS = 'sum(rate(http_requests_total{service="api", status=~"5.."}[2m]))'
ALL = 'sum(rate(http_requests_total{service="api"}[2m]))'
QUERY = f"'{ERRORS} / {ALL}'"
ARTICLE_ON_SLOTS = f"""
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {{name: api}}
spec:
  replicas: 10
  target: {{deployments: [api-a, api-b], service: api, revisionLabel: slot}}
  strategy:
    canary:
      steps:
        - setWeight: 5
        - pause: {{duration: 5m}}
        - setWeight: 25
        - pause: {{duration: 10m}}
        - setWeight: 50
        - pause: {{}}
        - setWeight: 100
      analysis:
        startingStep: 1
        metrics:
          - name: error-rate
            interval: 1m
            successCondition: result[0] < 0.05
            failureLimit: 3
            provider:
              prometheus:
                address: http://prometheus:9090
                query: {QUERY}
"""
TWO_THRESHOLDS = f"""
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {{name: api}}
spec:
  replicas: 4
  minReadySeconds: 5
  target:
    deployments: [api-a, api-b]
    service: api-stable
    route: {{kind: HTTPRoute, name: api}}
    revisionLabel: slot
  strategy:
    canary:
      stableService: api-stable
      canaryService: api-canary
      abortScaleDownDelaySeconds: 45
      steps:
        - setWeight: 10
        - pause: {{duration: 60s}}
        - analysis:
            metrics:
              - name: errors
                interval: 20s
                count: 4
                successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < 0.02
                failureCondition: len(result) > 0 && result[0] >= 0.05
                failureLimit: 1
                inconclusiveLimit: 1
                provider: &errors
                  prometheus:
                    address: http://prometheus:9090
                    query: {QUERY}
              - name: traffic
                interval: 30s
                count: 2
                successCondition: result[0] > 0
                provider:
                  prometheus:
                    address: http://prometheus:9090
                    query: '{ALL}'
        - setWeight: 50
        - pause: {{duration: 60s}}
        - setWeight: 100
        - pause: {{duration: 10s}}
"""


def _policies() -> dict[str, Policy]:
    return {
        "article-on-slots": load_policy_text(ARTICLE_ON_SLOTS),
        "httproute": load_policy(ROOT / "scenarios/policies/httproute-canary.yaml"),
        "blue-green": load_policy(ROOT / "scenarios/policies/native-blue-green.yaml"),
        "two-thresholds": load_policy_text(TWO_THRESHOLDS),
        "gate": load_policy(ROOT / "scenarios/policies/api-gated.yaml"),
    }


def _scenario(release: str) -> Scenario:
    folder = ROOT / "scenarios"
    return with_queries(load_scenario(f"{folder}/services/api.yaml+{folder}/releases/{release}.yaml"))


def _worlds() -> dict[str, Scenario]:
    healthy = _scenario("good")
    service = healthy.service
    gap = replace(service.telemetry, gaps=(Gap(60_000, 600_000),), missed=0.1, lag_ms=3_000)
    slow = replace(service.cluster, pod_ready=Delay(45_000, 0.8), router_delay=Delay(4_000, 0.5))
    return {
        "healthy": healthy,
        "errors": _scenario("error-step-20pp"),
        "latency": _scenario("latency-regression"),
        "crash": _scenario("crash-at-start"),
        "broken": _scenario("broken-at-start"),
        "blip": _scenario("dependency-blip"),
        "leak": _scenario("slow-leak"),
        "gap": replace(healthy, service=replace(service, telemetry=gap)),
        "slow-pods": replace(healthy, service=replace(service, cluster=slow)),
    }


POLICIES, WORLDS = _policies(), _worlds()
GRID = [(policy, world, seed) for policy in POLICIES for world in WORLDS for seed in (1, 2, 3)]
SOME = [
    ("article-on-slots", "errors", 1),
    ("httproute", "healthy", 2),
    ("blue-green", "errors", 3),
    ("two-thresholds", "gap", 1),
    ("gate", "errors", 1),
]


@pytest.mark.parametrize(("policy", "world", "seed"), SOME)
def test_live_journal_over_http_is_the_simulators(policy: str, world: str, seed: int, tmp_path: Path) -> None:
    args = POLICIES[policy], WORLDS[world], seed
    expected = simulated(*args)
    assert difference(expected, lived(*args, tmp_path)) == ""
    assert any(record["kind"] == "did" for record in expected)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "world", "seed"), [case for case in GRID if case not in SOME])
def test_live_journal_over_http_is_the_simulators_everywhere(
    policy: str, world: str, seed: int, tmp_path: Path
) -> None:
    args = POLICIES[policy], WORLDS[world], seed
    assert difference(simulated(*args), lived(*args, tmp_path)) == ""


# --- ties -----------------------------------------------------------------------------------------

VERBS = (Verb.PAUSE, Verb.RESUME, Verb.PROMOTE, Verb.ABORT, Verb.RETRY, Verb.PROMOTE_FULL)


def _instants(records: Sequence[Record]) -> list[int]:
    """The times after the release at which anything was recorded."""
    return sorted({record["at"] - ORIGIN_MS for record in records} - {0})


def _ties(records: Sequence[Record], seed: int) -> list[Deed]:
    """Commands, and pods that fail, at the very instants of a recorded run."""
    instants = _instants(records)
    step = max(1, len(instants) // 8)
    picked = instants[seed % step :: step]
    deeds = []
    for number, at in enumerate(picked):
        if number % 2 == 0:
            deeds.append(Deed(at, POD_FAILS))
        deeds.append(Deed(at, VERBS[(number + seed) % len(VERBS)]))
    return deeds


def test_everything_at_one_millisecond(tmp_path: Path) -> None:
    """A pod that fails, an answer, the end of a pause and a command, all at the same instant."""
    policy = load_policy_text(
        TWO_THRESHOLDS.replace("interval: 20s", "interval: 19960ms").replace("count: 4", "count: 9")
    )
    healthy = WORLDS["healthy"]
    cluster = replace(healthy.service.cluster, pod_ready=Delay(10_000), router_delay=Delay(160))
    scenario = replace(healthy, service=replace(healthy.service, cluster=cluster))
    plain = simulated(policy, scenario, 1)
    answers = {record["at"] for record in plain if record["value"]["kind"] == "Measured"}
    at = sorted(answers)[1] - ORIGIN_MS
    deeds = [Deed(at, POD_FAILS), Deed(at, Verb.PROMOTE), Deed(at, POD_FAILS), Deed(at, Verb.PAUSE)]
    deeds += [Deed(at + 30_000, Verb.RESUME)]
    expected = simulated(policy, scenario, 1, deeds)
    kinds = [r["value"]["kind"] for r in expected if r["kind"] == "seen" and r["at"] == at + ORIGIN_MS]
    assert {"Measured", "StatusPatched", "RevisionSeen", "Tick"} <= set(kinds)
    assert difference(expected, lived(policy, scenario, 1, tmp_path, deeds)) == ""


@pytest.mark.parametrize(("policy", "world"), [("httproute", "healthy"), ("two-thresholds", "slow-pods")])
@pytest.mark.parametrize("seed", [1, 2])
def test_ties_everywhere(policy: str, world: str, seed: int) -> None:
    args = POLICIES[policy], WORLDS[world], seed
    deeds = _ties(simulated(*args), seed)
    expected = simulated(*args, deeds)
    assert difference(expected, lived_bare(*args, deeds)) == ""
    assert sum(r["value"]["kind"] == "StatusPatched" for r in expected if r["kind"] == "seen") >= 5


@pytest.mark.slow
@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("world", ["healthy", "errors", "slow-pods"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_ties_over_http(policy: str, world: str, seed: int, tmp_path: Path) -> None:
    args = POLICIES[policy], WORLDS[world], seed
    deeds = _ties(simulated(*args), seed)
    assert difference(simulated(*args, deeds), lived(*args, tmp_path, deeds)) == ""


# --- mutants --------------------------------------------------------------------------------------


class Forgetful(WatchedInbox):
    """Loses one answer."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self._left = lost

    def drain(self) -> tuple[Fact, ...]:
        facts = []
        for fact in super().drain():
            if isinstance(fact, Measured):
                self._left -= 1
                if self._left == 0:
                    continue
            facts.append(fact)
        return tuple(facts)


class Swapped(WatchedInbox):
    """Hands out what happened at an instant only after that instant's tick."""

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[Fact, ...] = ()

    def drain(self) -> tuple[Fact, ...]:
        ready, self._held = self._held, super().drain()
        if self._held:
            self.ring()
        return ready


def test_the_comparison_sees_a_tick_that_is_one_millisecond_late(tmp_path: Path) -> None:
    args = POLICIES["httproute"], WORLDS["errors"], 1
    expected = simulated(*args)
    assert difference(expected, lived(*args, tmp_path)) == ""
    assert "Tick" in difference(expected, lived(*args, tmp_path, late_ms=1))


def test_the_comparison_sees_a_lost_answer(tmp_path: Path) -> None:
    args = POLICIES["httproute"], WORLDS["errors"], 1
    assert "Measured" in difference(simulated(*args), lived(*args, tmp_path, inbox=Forgetful(2)))


def test_the_comparison_sees_a_swapped_tie(tmp_path: Path) -> None:
    args = POLICIES["httproute"], WORLDS["healthy"], 1
    ends = [at for at, after in pairwise(_instants(simulated(*args))) if after - at > 100]
    deeds = [Deed(ends[len(ends) // 2], Verb.ABORT)]
    expected = simulated(*args, deeds)
    assert difference(expected, lived(*args, tmp_path, deeds)) == ""
    assert difference(expected, lived(*args, tmp_path, deeds, inbox=Swapped())) != ""
