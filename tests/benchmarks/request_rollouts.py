"""Whole rollouts whose requests are played one by one, and how much pairing gains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import rolloutsim as rs
from rolloutsim.policy import load_policy_text
from rolloutsim.sim import run
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.requests.layout import STARTED
from rolloutsim.sim.requests.model import Client, Endpoint, Fidelity, Pods, Requests
from rolloutsim.sim.requests.plane import Lane
from rolloutsim.sim.scenario import Latency, Measurements, Scenario
from rolloutsim.sim.world import World

from .measure import Rate, Row, Sizes, least, most, ratio, turns
from .peers.outside import Peers
from .plane import balanced
from .rollouts import gated_inputs

__all__ = ["pairs", "whole"]

HERE = Path(__file__).parent
QUERY = ("prometheus:", "---\napiVersion: networking")


def watched_inputs() -> tuple[rs.Policy, rs.Scenario]:
    """The canary with a gate every 5 s whose requests meet on ten pods of 8 slots."""
    policy, scenario = gated_inputs()
    requests = Requests(
        (Endpoint(64.0, sigma=0.8326),),
        pods=Pods(8, 64),
        client=Client(1_000.0, 2, 100.0),
        fidelity=Fidelity.REQUEST,
    )
    service = replace(scenario.service, latency=Latency(0.04525, 0.8326), requests=requests)
    return policy, replace(scenario, service=service)


def without_queries(scenario: Scenario) -> tuple[rs.Policy, rs.Scenario]:
    """The same, but what is asked every 5 s needs no PromQL: its answer is stated."""
    text = (HERE / "gated-canary.yaml").read_text(encoding="utf-8")
    start, end = (text.index(mark) for mark in QUERY)
    policy = load_policy_text(text[:start] + "web: {url: http://gate}\n" + text[end:])
    release = replace(scenario.release, measurements=(Measurements("error-rate", 1.0),))
    return policy, replace(scenario, release=release)


class Spent:
    """CPU seconds in the data plane, while this is in force: requests, scrapes, and new routes and pods."""

    CALLS = ("advance", "change", "set_pods")

    def __enter__(self) -> Spent:
        self.seconds = 0.0
        self._own = {name: getattr(RequestDataPlane, name) for name in self.CALLS}
        for name, call in self._own.items():
            setattr(RequestDataPlane, name, self._timed(call))
        return self

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            found = call(*args, **kwargs)
            self.seconds += time.process_time() - start
            return found

        return timed

    def __exit__(self, *_: object) -> None:
        for name, call in self._own.items():
            setattr(RequestDataPlane, name, call)


def _play(policy: rs.Policy, scenario: rs.Scenario, seed: int) -> tuple[float, float, int]:
    """CPU seconds in all, of the data plane, and attempts, of one rollout."""
    with run._garbage_kept(), Spent() as spent:
        start = time.process_time()
        world = World(policy, scenario, seed, 0)
        world.play()
        whole = time.process_time() - start
    if world.tally.promoted is None or world._played is None:
        raise RuntimeError("the rollout to be measured should be promoted, request by request")
    attempts = int(world._played._played.counts[:, STARTED].sum())
    return whole, spent.seconds, attempts


def whole(sizes: Sizes, peers: Peers) -> list[Row]:
    """A canary of half an hour on the balanced pods, looked at every 5 s."""
    policy, scenario = watched_inputs()
    plain, stated = without_queries(scenario)
    asked_s: list[float] = []
    control: dict[str, list[float]] = {"stated": [], "asked": []}

    def ours(name: str, policy: rs.Policy, scenario: rs.Scenario) -> Rate:
        def rate(seed: int) -> float:
            seconds, spent, attempts = _play(policy, scenario, seed)
            control[name].append(100.0 * (1.0 - spent / seconds))
            if name == "asked":
                asked_s.append(seconds)
            return attempts / seconds

        return rate

    found = turns(
        {
            "stated": ours("stated", plain, stated),
            "asked": ours("asked", policy, scenario),
            "simpy": peers.python("simpy_balanced", sizes.peer_s),
            "happysim": peers.python("happysim_canary", sizes.peer_s),
        },
        sizes.rounds,
    )
    simpy, happysim = found["simpy"], found["happysim"]
    per_second = tuple(1.0 / seconds for seconds in asked_s[1:])
    of_stated, of_asked = (tuple(control[name][1:]) for name in ("stated", "asked"))
    return [
        Row("G4 whole rollouts of 30 min, 360 queries", "rollouts/s", per_second),
        Row("G4 whole rollout without PromQL / SimPy", "x", ratio(found["stated"], simpy), least(200)),
        Row("G4 whole rollout with PromQL / SimPy", "x", ratio(found["asked"], simpy), least(200)),
        Row("G4 whole rollout with PromQL / happysim", "x", ratio(found["asked"], happysim), least(500)),
        Row("G4 control plane without PromQL", "% of CPU", of_stated, most(10)),
        Row("G4 control plane with PromQL", "% of CPU", of_asked, most(25)),
    ]


def pairs(sizes: Sizes) -> list[Row]:
    """Common random numbers: variance of the difference of two policies, independent seeds over paired.

    On the balanced pods a canary of 10 % with 10 % errors is aborted after 150 s or after 180 s; counted
    are the errors of five minutes.
    """
    errors = np.array(
        [[_errors(run, abort_s) for abort_s in (150, 180)] for run in range(sizes.pairs)], dtype=np.float64
    )
    one, other = errors.T
    gain = float((np.var(one, ddof=1) + np.var(other, ddof=1)) / np.var(one - other, ddof=1))
    return [Row("G10 variance, independent seeds / paired", "x", (gain,), least(20))]


def _errors(run_number: int, abort_s: int) -> int:
    plane = balanced(1, run=run_number)
    plane.conditions([Lane(0.02), Lane(0.1)])
    plane.advance(1_000.0 * abort_s)
    stable, canary = plane.routes
    plane.route([replace(stable, share=1.0), replace(canary, share=0.0)])
    plane.advance(300_000.0)
    return int(plane.histogram[:, 1].sum())
