"""Whole numbers of requests out of raw samples: resets, births, ends, holes, and changes of the weight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.engine import Counted, Counts, Measure, MeasureError, Span
from rolloutsim.engine.counting import count_arms
from rolloutsim.policy.gated import ArmCounters, GatedCounts
from rolloutsim.policy.gates import RateRatio, WaldSprt
from rolloutsim.policy.model import PrometheusProvider
from rolloutsim.promql import Matrix, PromQLError, SeriesStore, evaluate

BOTH = GatedCounts(
    RateRatio(),
    ArmCounters('r{v="new"}', errors='r{v="new", code="500"}'),
    ArmCounters('r{v="old"}', errors='r{v="old", code="500"}'),
)
START = 1_000_000


class Prometheus:
    """A store of series; `counts` answers a gate about it."""

    def __init__(self) -> None:
        self.store = SeriesStore()

    def add(self, labels: dict[str, str], samples: dict[int, float]) -> None:
        for at_s, value in samples.items():
            self.store.append({"__name__": "r", **labels}, START + at_s * 1000, value)

    def ask(self, query: str, at: int) -> Matrix:
        answer = evaluate(query, self.store, at)
        assert isinstance(answer, Matrix)
        return answer

    def counts(self, *spans: tuple[int, int | None], at: int, provider: Any = BOTH) -> Any:
        asked = tuple(Span(START + a * 1000, None if b is None else START + b * 1000, 5.0) for a, b in spans)
        request = Measure("1", "run", "errors", 1, provider, asked)
        return count_arms(request, START + at * 1000, self.ask)


def stable(world: Prometheus) -> None:
    world.add({"v": "old", "code": "200"}, {t: 1000.0 + t for t in range(-300, 301, 15)})
    world.add({"v": "old", "code": "500"}, {t: 50.0 + (t + 300) // 30 for t in range(-300, 301, 15)})


def canary(outcome: Any) -> list[tuple[int, int]]:
    assert isinstance(outcome, Counted), outcome
    return [(c.canary_requests, c.canary_bad) for c in outcome.spans]


def test_counts_between_the_first_and_the_last_scrape_of_a_span() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new", "code": "200"}, {0: 3.0, 15: 10.0, 30: 20.0, 45: 21.0})
    world.add({"v": "new", "code": "500"}, {0: 0.0, 15: 1.0, 30: 1.0, 45: 4.0})
    outcome = world.counts((-5, None), at=50)
    assert outcome == Counted((Counts(3 + 18 + 4, 4, 46, 1),))


def test_a_reset_counts_from_zero_and_a_series_that_ends_keeps_what_it_had() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new", "pod": "a"}, {0: 5.0, 15: 9.0})
    world.add({"v": "new", "pod": "b"}, {0: 100.0, 15: 102.0, 30: 1.0, 45: 4.0})
    assert canary(world.counts((0, None), at=60)) == [(5 + 4 + 100 + 2 + 1 + 3, 0)]


def test_a_series_that_begins_counts_from_zero() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new", "code": "200"}, {0: 4.0, 15: 8.0, 30: 12.0})
    world.add({"v": "new", "code": "500"}, {30: 3.0})
    assert canary(world.counts((0, None), at=40)) == [(4 + 8 + 3, 3)]


def test_what_straddles_a_change_of_the_weight_belongs_to_neither_span() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new", "code": "200"}, {0: 0.0, 15: 10.0, 30: 20.0, 45: 40.0, 60: 60.0})
    world.add({"v": "new", "code": "500"}, {30: 5.0, 60: 7.0})
    assert canary(world.counts((0, 20), (21, None), at=60)) == [(10, 0), (40 + 2, 2)]


def test_a_hole_in_the_scrapes_across_the_change_is_left_out_too() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new"}, {0: 0.0, 15: 10.0, 120: 500.0, 135: 510.0})
    assert canary(world.counts((0, 60), (61, None), at=140)) == [(10, 0), (10, 0)]


def test_a_stable_version_of_which_nothing_is_known_begins_at_its_first_sample() -> None:
    world = Prometheus()
    world.add({"v": "old"}, {30: 1_000_000.0, 45: 1_000_100.0})
    world.add({"v": "new"}, {30: 7.0})
    assert world.counts((0, None), at=50) == Counted((Counts(7, 0, 100, 0),))


def test_a_new_stable_pod_counts_from_zero_when_others_were_there() -> None:
    world = Prometheus()
    world.add({"v": "old", "pod": "a"}, {t: 10.0 * (t + 60) for t in range(-60, 46, 15)})
    world.add({"v": "old", "pod": "b"}, {45: 30.0})
    outcome = world.counts((0, None), at=50)
    assert outcome.spans[0].stable_requests == 450 + 30


def test_requests_that_were_not_fast_are_bad() -> None:
    world = Prometheus()
    stable(world)
    world.add({"v": "new", "kind": "all"}, {0: 0.0, 15: 50.0, 30: 90.0})
    world.add({"v": "new", "kind": "fast"}, {0: 0.0, 15: 45.0, 30: 80.0})
    arm = ArmCounters('r{v="new", kind="all"}', fast='r{v="new", kind="fast"}')
    provider = GatedCounts(WaldSprt(0.01, 0.05), arm)
    assert world.counts((0, None), at=30, provider=provider) == Counted((Counts(90, 10, 0, 0),))


def test_no_series_is_no_request_and_no_span_is_no_count() -> None:
    assert Prometheus().counts((0, None), at=60) == Counted((Counts(0, 0, 0, 0),))
    assert Prometheus().counts(at=60) == Counted(())


def test_counters_that_disagree_and_a_failing_server_are_errors_with_a_reason() -> None:
    world = Prometheus()
    world.add({"v": "new", "code": "500"}, {0: 0.0, 15: 9.0})
    arm = ArmCounters('r{v="new", code="200"}', errors='r{v="new", code="500"}')
    provider = GatedCounts(WaldSprt(0.01, 0.05), arm)
    outcome = world.counts((0, None), at=20, provider=provider)
    assert isinstance(outcome, MeasureError)
    assert "9 bad of 0 requests" in outcome.message

    def refuse(query: str, at: int) -> Matrix:
        raise PromQLError("execution", "too many samples", text=query)

    request = Measure("1", "run", "errors", 1, BOTH, (Span(0, None, 5.0),))
    assert isinstance(count_arms(request, 10, refuse), MeasureError)


def test_another_provider_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="PrometheusProvider"):
        count_arms(Measure("1", "run", "errors", 1, PrometheusProvider("up")), 0, Prometheus().ask)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=2, max_size=20),
    st.integers(1, 280),
)
def test_two_spans_hold_all_scraped_requests_but_those_across_the_border(
    rises: list[tuple[int, bool]], border: int
) -> None:
    """A counter that rises and is reset now and then, scraped every 15 s, cut anywhere."""
    world = Prometheus()
    value, samples, gained = 0.0, {0: 0.0}, {}
    for index, (rise, reset) in enumerate(rises, start=1):
        value = (0.0 if reset else value) + rise
        samples[15 * index] = value
        # a reset in which the counter catches up at once cannot be seen
        before = samples[15 * (index - 1)]
        gained[15 * index] = value - before if value >= before else value
    world.add({"v": "new"}, samples)
    world.add({"v": "old"}, dict.fromkeys(range(-60, 301, 15), 5.0))
    found = canary(world.counts((0, border), (border, None), at=15 * len(rises)))
    across = sum(gain for at, gain in gained.items() if at - 15 < border < at)
    assert sum(n for n, _ in found) == sum(gained.values()) - across
