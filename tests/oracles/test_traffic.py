"""How many requests reach a version while the rate follows the day."""

from __future__ import annotations

import math

import pytest

from rolloutsim.policy.model import Policy
from rolloutsim.sim.run import play, trace_run
from rolloutsim.sim.scenario import DiurnalRate, Scenario
from tests.oracles.cases import Found, Oracle, adapter, meet, unknown
from tests.oracles.worlds import all_at_once, ideal_telemetry, world

GROUP = "traffic"
DAY_S = 86_400


def day_window(oracle: Oracle, start_s: float, end_s: float) -> tuple[Policy, Scenario]:
    """Everybody is on the new version from the start of a window to its end, the horizon."""
    rate = DiurnalRate(oracle.inputs["lam0"], oracle.inputs["A"], phase_ms=round(1000 * start_s))
    telemetry = ideal_telemetry(scrape_s=end_s - start_s)
    return all_at_once(), world(rate, 0.1, end_s - start_s, telemetry=telemetry)


def expected_count(oracle: Oracle, start_s: float, end_s: float) -> float:
    return play(*day_window(oracle, start_s, end_s)).requests_exposed


def diurnal(oracle: Oracle) -> Found:
    if oracle.key == "counts":
        return [expected_count(oracle, start, end) for start, end in oracle.inputs["windows"]]
    if oracle.key == "peak_to_trough":
        peak, trough = DAY_S / 4, 3 * DAY_S / 4
        return expected_count(oracle, peak, peak + 1) / expected_count(oracle, trough, trough + 1)
    return unknown(oracle)


ADAPTERS = (adapter("lam0 A windows", diurnal),)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)


def test_counters_count_what_is_expected(oracle: Oracle) -> None:
    """The scraped counters hold a Poisson number of requests around the closed form."""
    if oracle.key != "counts" or not ADAPTERS[0].fits(oracle.inputs):
        pytest.skip("no requests to count")
    for (start, end), expected in zip(oracle.inputs["windows"], oracle.expected, strict=True):
        _, records = trace_run(*day_window(oracle, start, end))
        last: dict[str, float] = {}
        for record in records:
            if record["kind"] == "sample" and record["labels"]["__name__"] == "http_requests_total":
                last[str(record["labels"])] = record["value"]
        counted = sum(value for value in last.values() if isinstance(value, float))
        assert abs(counted - expected) <= 4.0 * math.sqrt(expected)
