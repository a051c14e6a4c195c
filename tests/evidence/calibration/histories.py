"""Histories of services whose parameters are known: simulated, put together, and served over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from rolloutsim.policy.model import Canary, Pause, Policy, SetWeight
from rolloutsim.promql import SeriesStore
from rolloutsim.serve import QueryApi, QueryServer
from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.scenario import (
    ConstantRate,
    DiurnalRate,
    Latency,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.world import World

HOUR_MS = 3_600_000
END_MS = ORIGIN_MS
LATENCY, TELEMETRY = Latency(), Telemetry()
NOTHING = Policy("nothing", Canary(steps=(SetWeight(0), Pause(None))), replicas=2)


def service(
    rate: ConstantRate | DiurnalRate,
    *,
    dispersion: float = 1.0,
    error_rate: float = 0.001,
    error_icc: float = 0.0,
    latency: Latency = LATENCY,
    telemetry: Telemetry = TELEMETRY,
) -> Service:
    """A service without people, so that nothing is released."""
    return Service(
        "api",
        Traffic(rate, dispersion),
        error_rate=error_rate,
        error_icc=error_icc,
        latency=latency,
        telemetry=telemetry,
        operators=Operators(promote=None),
    )


def history(known: Service, hours: int, *, seed: int = 1) -> SeriesStore:
    """So many hours of a service until `END_MS`, as its simulation is scraped."""
    scraped = replace(known.telemetry, history_ms=hours * HOUR_MS)
    short = replace(known, telemetry=scraped, horizon_ms=1_000)
    world = World(NOTHING, Scenario("s", short, Release("r")), seed, 0)
    world.play()
    return world.metrics.store


def labelled(stores: Mapping[str, SeriesStore], label: str = "pod") -> SeriesStore:
    """Several stores as one, each with a value of a label of its own."""
    return SeriesStore.from_series(
        ({**store.labels(index), label: value}, *store.samples(index))
        for value, store in stores.items()
        for index in range(len(store))
    )


def restarted(store: SeriesStore, at_ms: Sequence[int]) -> SeriesStore:
    """The same counters, counting from zero from these times on."""

    def reset(times: np.ndarray, values: np.ndarray) -> np.ndarray:
        lost = np.zeros(len(values))
        for at in at_ms:
            rows = np.flatnonzero(times < at)
            if len(rows):
                lost[times >= at] = values[rows[-1]]
        return values - lost

    return SeriesStore.from_series(
        (store.labels(index), store.samples(index)[0], reset(*store.samples(index)))
        for index in range(len(store))
        if len(store.samples(index)[0])
    )


def between(store: SeriesStore, start_ms: int, end_ms: int, **labels: str) -> SeriesStore:
    """What was scraped in a stretch, counted from zero, with these labels (empty: without them)."""

    def part(index: int) -> tuple[dict[str, str], np.ndarray, np.ndarray]:
        named = {name: value for name, value in {**store.labels(index), **labels}.items() if value}
        times, values = store.samples(index)
        kept = (times >= start_ms) & (times <= end_ms)
        return named, times[kept], values[kept] - values[kept][:1]

    parts = [part(index) for index in range(len(store))]
    return SeriesStore.from_series(one for one in parts if len(one[1]))


def together(*stores: SeriesStore) -> SeriesStore:
    """All series of these stores."""
    return SeriesStore.from_series(
        (store.labels(index), *store.samples(index)) for store in stores for index in range(len(store))
    )


def without(store: SeriesStore, **labels: set[str]) -> SeriesStore:
    """The series whose label has none of these values."""
    return SeriesStore.from_series(
        (store.labels(index), *store.samples(index))
        for index in range(len(store))
        if all(store.labels(index).get(name) not in values for name, values in labels.items())
    )


@contextmanager
def served(store: SeriesStore) -> Iterator[str]:
    """The address of a server with these series."""
    with QueryServer(QueryApi(store), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
