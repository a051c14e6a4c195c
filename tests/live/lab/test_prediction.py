"""What the simulator predicts of the lab, with real Traefik, real requests and real Prometheus, comes true.

A good release goes out first, to all at once. What its journals say about pods, routes and measurements is
the description of the service by which the next releases, good ones and broken ones, are predicted.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from rolloutsim.lab.children import find_program
from rolloutsim.lab.load import Load
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry
from rolloutsim.sim.scenario import (
    Cluster,
    ConstantRate,
    Fault,
    FaultKind,
    Operators,
    Release,
    Scenario,
    Service,
    Split,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.verdict import outcome
from rolloutsim.sim.world import World
from tests.live.lab.fleet import (
    Delays,
    Ran,
    delays,
    execute_all,
    lab,
    lognormal,
    policy_of,
    populate,
    release_of,
    times_s,
)

pytestmark = [
    pytest.mark.soak,  # twenty executors and their traffic want the machine for themselves
    pytest.mark.skipif(find_program("traefik") is None, reason="traefik is not installed"),
    pytest.mark.skipif(find_program("prometheus") is None, reason="prometheus is not installed"),
]

NAMES = [f"r{number:02}" for number in range(20)]
FAULTS = dict(zip(NAMES, [0.0] * 10 + [0.5] * 5 + [0.15] * 5, strict=True))
"""The share of its requests that each broken version fails."""
RATE_RPS = 10.0
RUNS = 300
SHARE = 0.9


def service_like(found: Delays, *, left_closed: bool) -> Service:
    """The lab as a service of the simulator."""
    return Service(
        "fleet",
        Traffic(ConstantRate(RATE_RPS)),
        error_rate=0.0,
        telemetry=Telemetry(
            scrape_interval_ms=1000,
            left_closed=left_closed,
            history_ms=20_000,
            query_ms=round(statistics.mean(found.queries)),
        ),
        operators=Operators(notice_excess=None),
        cluster=Cluster(
            pod_ready=lognormal(found.pods), router_delay=lognormal(found.routes), split=Split.EXACT
        ),
        horizon_ms=120_000,
    )


Bands = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The shares of the endings, and for each ending the bands of the times in the runs that ended so."""

    endings: Mapping[str, float]
    bands: Mapping[str, Bands]

    def surprise(self, ran: Ran) -> str:
        """What of a rollout is not as predicted; "" if all is."""
        share = self.endings.get(ran.ending, 0.0)
        if share < (1 - SHARE) / 2:
            return f"{ran.ending} ({share:.1%})"
        times, found = times_s(ran.entries), self.bands[ran.ending]
        return ", ".join(f"{what} at {times[what]:.2f} s {found.get(what)}" for what in outside(times, found))


def forecast(policy: Policy, service: Service, error_rate: float) -> Forecast:
    """What the simulator expects of a release with this fault."""
    faults = (Fault(FaultKind.ERROR_STEP, error_rate),) if error_rate else ()
    scenario = Scenario("lab", service, Release(f"{error_rate:.0%}", faults))
    courses: dict[str, list[dict[str, float]]] = {}
    for run in range(RUNS):
        entries: list[Entry] = []
        world = World(policy, scenario, 1, run, record=entries.append)
        world.play()
        courses.setdefault(str(outcome(world, run).end), []).append(times_s(entries))
    return Forecast(
        {ending: len(found) / RUNS for ending, found in courses.items()},
        {ending: bands(found) for ending, found in courses.items()},
    )


def bands(courses: Sequence[Mapping[str, float]]) -> Bands:
    """The narrowest bands of equal tails such that 90 % of these courses stay inside at all times."""
    names = {name for one in courses for name in one}
    times = {name: sorted(one[name] for one in courses if name in one) for name in names}
    for cut in range(int(len(courses) * (1 - SHARE) / 2), 0, -1):
        found = {
            name: (all_[at := min(cut, (len(all_) - 1) // 2)], all_[-1 - at]) for name, all_ in times.items()
        }
        if sum(not outside(one, found) for one in courses) >= SHARE * len(courses):
            return found
    return {name: (all_[0], all_[-1]) for name, all_ in times.items()}


def outside(times: Mapping[str, float], found: Bands) -> list[str]:
    """The times that leave their band."""
    return [what for what, at in times.items() if not within(at, found.get(what, (1.0, 0.0)))]


def within(at: float, band: tuple[float, float]) -> bool:
    return band[0] <= at <= band[1]


def test_twenty_rollouts_at_once_go_as_predicted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = stack.enter_context(lab(tmp_path))
        api = site.connect()
        stack.callback(api.close)
        populate(api, NAMES)
        for name in NAMES:
            load = Load(site.web_port, f"{name}.localhost", rate=RATE_RPS, connections=2).start()
            stack.callback(load.stop)
        good = {name: release_of(policy_of(name, "1s", "3s", "3s"), "v2", 0.0) for name in NAMES}
        before = execute_all(site, good)
        assert {ran.ending for ran in before.values()} == {"promoted"}
        found = delays([ran.entries for ran in before.values()], "v2")
        left_closed = site.is_left_closed()
        live = execute_all(
            site, {name: release_of(policy_of(name), "v3", fault) for name, fault in FAULTS.items()}
        )
    service = service_like(found, left_closed=left_closed)
    policy = policy_of("fleet")
    forecasts = {fault: forecast(policy, service, fault) for fault in sorted(set(FAULTS.values()))}
    surprises = {name: forecasts[fault].surprise(live[name]) for name, fault in FAULTS.items()}
    inside = [name for name, surprise in surprises.items() if not surprise]
    assert len(inside) >= 15, surprises
    slower = forecast(policy_of("fleet", first="12s"), service, 0.0)
    assert all(slower.surprise(live[name]) for name, fault in FAULTS.items() if not fault)
