"""What an evaluation costs, in CPU time, best of several: the simulator asks all the time."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

import numpy as np
import pytest

from rolloutsim.promql import SeriesStore, Vector, compile_query

RATIO = (
    'sum(rate(http_requests_total{service="api",status=~"5.."}[2m]))'
    ' / sum(rate(http_requests_total{service="api"}[2m]))'
)
P99 = "histogram_quantile(0.99, sum by (le, version) (rate(http_request_duration_seconds_bucket[5m])))"
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")


def cpu_s(action: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(action, number=number, repeat=7, timer=time.process_time)) / number


def requests(scrapes: int, phase_ms: int) -> tuple[SeriesStore, int]:
    """Ten counters of five pods, scraped every 15 s, each pod with its own phase."""
    times = np.arange(scrapes) * 15_000
    store = SeriesStore.from_series(
        (
            {
                "__name__": "http_requests_total",
                "service": "api",
                "pod": f"p{i // 2}",
                "status": ("200", "503")[i % 2],
            },
            times + phase_ms * (i // 2),
            np.cumsum(np.arange(scrapes) % (i + 7)),
        )
        for i in range(10)
    )
    return store, int(times[-1]) + 5 * phase_ms


@pytest.mark.parametrize("phase_ms", [0, 7])
def test_an_error_ratio_takes_less_than_60_microseconds(phase_ms: int) -> None:
    store, end = requests(120, phase_ms)
    query = compile_query(RATIO)
    query.evaluate(store, end)
    assert cpu_s(lambda: query.evaluate(store, end), 500) < 60e-6


def test_the_cost_does_not_depend_on_the_length_of_the_run() -> None:
    query = compile_query(RATIO)
    costs = []
    for scrapes in (120, 12_000):
        store, end = requests(scrapes, 0)
        query.evaluate(store, end)
        costs.append(cpu_s(lambda store=store, end=end: query.evaluate(store, end), 500))  # type: ignore[misc]
    assert costs[1] < 2 * costs[0]


def test_a_scrape_of_a_pod_is_cheap() -> None:
    store = SeriesStore()
    ids = tuple(store.add_series({"__name__": "m", "i": str(i)}) for i in range(20))
    row = np.ones((1, 20))
    clock = iter(range(10**6))
    assert cpu_s(lambda: store.extend(ids, np.array([next(clock)]), row), 1_000) < 10e-6


def test_a_day_of_a_thousand_series_fits_and_answers() -> None:
    store = SeriesStore()
    ids = tuple(
        store.add_series(
            {
                "__name__": "http_request_duration_seconds_bucket",
                "le": BOUNDS[i % 10],
                "version": f"v{i // 10 % 2}",
                "pod": f"p{i // 10}",
            }
        )
        for i in range(1_000)
    )
    times = np.arange(5_760) * 15_000
    growth = np.arange(1.0, 1_001.0) % 10 + 1
    for start in range(0, len(times), 60):
        part = times[start : start + 60]
        store.extend(ids, part, (part[:, None] // 15_000) * growth)
    blocks = {id(block): block for record in store.records for block, _ in record.segments}
    assert sum(block.values.nbytes + 8 * len(block.times) for block in blocks.values()) < 150e6
    query = compile_query(P99)
    result = query.evaluate(store, int(times[-1]))
    assert isinstance(result, Vector)
    assert len(result.elements) == 2
    assert cpu_s(lambda: query.evaluate(store, int(times[-1])), 5) < 20e-3
