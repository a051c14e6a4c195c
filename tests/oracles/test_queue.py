"""Closed forms of queueing, met by the requests that are played one by one.

A unit of time of a case is a second. Each value is the mean over independent runs, after a warm-up of many
relaxation times, with its standard error; quantiles are met as the share of requests below the closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.requests.layout import REJECTED, STARTED
from rolloutsim.sim.requests.model import Balancing, Endpoint, Law, Pods, Requests
from rolloutsim.sim.requests.plane import RequestPlane, Route
from tests.oracles.cases import Found, Oracle, Sampled, adapter, meet, unknown

GROUP = "queue"
RUNS = 24
WARM_UP_S = 1_500.0
SECONDS = 6_000.0
STEPS = 400
"""Looks at what is in the system, per run."""
UNBOUNDED = 50_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Station:
    """One pool: arrivals per second, work of a request, slots, places to wait."""

    rate: float
    work: Endpoint
    slots: int = 1
    waiting: int = UNBOUNDED


@dataclass(frozen=True, slots=True)
class Played:
    """Per run: see the names. ``below`` is the share of the answers within the first bound."""

    requests: float
    latency: Floats
    wait: Floats
    waited: Floats
    waited_longer: Floats
    blocked: Floats
    throughput: Floats
    present: Floats
    queued: Floats
    busy: Floats
    below: Floats


def exponential(rate: float) -> Endpoint:
    return Endpoint(1000.0 / rate, Law.EXPONENTIAL)


def work_of_scv(mean_s: float, scv: float) -> Endpoint:
    """Work with this squared coefficient of variation: lognormal, or always the same."""
    if scv == 0.0:
        return Endpoint(1000.0 * mean_s, Law.DETERMINISTIC)
    return Endpoint(1000.0 * mean_s, Law.LOGNORMAL, math.sqrt(math.log1p(scv)))


@lru_cache(maxsize=64)
def played(station: Station, bound_s: float = 1.0) -> Played:
    """All runs of a station; ``bound_s`` divides latencies and waits into shorter and longer ones."""
    rows = np.array([_run(station, run, bound_s) for run in range(RUNS)])
    return Played(float(rows[:, 0].sum()), *rows[:, 1:].T)


def _run(station: Station, run: int, bound_s: float) -> tuple[float, ...]:
    requests = Requests((station.work,), Balancing.RANDOM, Pods(station.slots, station.waiting))
    plane = RequestPlane(
        requests,
        1,
        run,
        expected=lambda edges: np.diff(edges) * (station.rate / 1000.0),
        bounds_ms=(1000.0 * bound_s,),
    )
    pod = plane.start_pod(warm=True)
    plane.route([Route(1.0, (pod,))])
    plane.advance(1000.0 * WARM_UP_S)
    before = plane.histogram, plane.waits, plane.seconds, plane.counts
    looks = np.empty((STEPS, 2))
    for step in range(STEPS):
        plane.advance(1000.0 * (WARM_UP_S + SECONDS * (step + 1) / STEPS))
        looks[step] = plane.loads()[pod]
    histogram, waits = plane.histogram - before[0], plane.waits - before[1]
    seconds, counts = plane.seconds - before[2], plane.counts - before[3]
    answers, started = float(histogram.sum()), float(counts[0, STARTED])
    busy, queued = looks.mean(axis=0)
    return (
        started,
        seconds[0, :2].sum() / answers,
        seconds[0, 2] / answers,
        waits.sum() / answers,
        waits[0, 1] / answers,
        counts[0, REJECTED] / started,
        answers / SECONDS,
        busy + queued,
        queued,
        busy,
        histogram[0, 0, 0] / answers,
    )


def mean(values: Floats, events: float, of: float | None = None) -> Sampled:
    return Sampled(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), events, of)


def read(oracle: Oracle, station: Station) -> Found:
    """The value of a steady state that a key names."""
    key = oracle.key
    if key.startswith("p") and key[1:].isdigit():
        within = played(station, oracle.expected)
        return mean(within.below, within.requests, float(f"0.{key[1:]}"))
    if key.startswith("wait_gt_"):
        within = played(station, float(key.removeprefix("wait_gt_")))
        return mean(within.waited_longer, within.requests)
    found = played(station)
    values = {
        "rho": found.busy / station.slots,
        "erlang_c": found.waited,
        "p_block": found.blocked,
        "block": found.blocked,
        "throughput": found.throughput,
        "L": found.present,
        "Lq": found.queued,
        "W": found.latency,
        "Wq": found.wait,
    }
    return mean(values[key], found.requests) if key in values else unknown(oracle)


# --- cases ----------------------------------------------------------------------------------------


def markov(oracle: Oracle) -> Found:
    """Exponential work: any slots, any bound on who is in the system."""
    given = oracle.inputs
    slots = given.get("c", 1)
    waiting = given["K"] - slots if "K" in given else UNBOUNDED
    return read(oracle, Station(given["lam"], exponential(given["mu"]), slots, waiting))


def loss(oracle: Oracle) -> Found:
    """Nobody waits."""
    return read(oracle, Station(oracle.inputs["a"], exponential(1.0), oracle.inputs["c"], 0))


def any_work(oracle: Oracle) -> Found:
    given = oracle.inputs
    return read(oracle, Station(given["lam"], work_of_scv(given["ES"], given.get("scv", 0.0))))


def slower_release(oracle: Oracle) -> Found:
    """The same regression at the peak and off it."""
    given = oracle.inputs
    when, _, which = oracle.key.partition("_")
    rates = {"peak": given["lam_peak"], "off": given["lam_offpeak"]}
    if when not in rates or which not in ("old", "new", "ratio"):
        return unknown(oracle)
    new = played(Station(rates[when], exponential(given["mu_new"])))
    old = played(Station(rates[when], exponential(given["mu_old"])))
    if which != "ratio":
        chosen = new if which == "new" else old
        return mean(chosen.latency, chosen.requests)
    ratio = new.latency.mean() / old.latency.mean()
    relative: Callable[[Floats], float] = lambda x: float(x.std(ddof=1) / x.mean()) / math.sqrt(len(x))  # noqa: E731
    error = ratio * math.hypot(relative(new.latency), relative(old.latency))
    return Sampled(float(ratio), error, new.requests)


ADAPTERS = (
    adapter("lam mu", markov, also="c K"),
    adapter("c a", loss),
    adapter("lam ES", any_work, also="scv"),
    adapter("mu_old mu_new lam_peak lam_offpeak", slower_release),
)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)
