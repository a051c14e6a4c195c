"""The programme over windows: against published numbers, closed forms and counting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from rolloutsim.evidence.stream import Look, Stream, at_least
from rolloutsim.evidence.windows import NotExact, kill_chances
from tests.evidence.streams import steady

ORACLES = Path(__file__).parents[1] / "oracles" / "statistics.json"
ARGO = [
    (case, name)
    for case in json.loads(ORACLES.read_text(encoding="utf-8"))["cases"]
    if "failureLimit" in case["inputs"] and "window_min" in case["inputs"]
    for name in case["expected"]
    if "poisson_p_abort" in (case["expected"][name] if isinstance(case["expected"][name], dict) else ())
]


@pytest.mark.parametrize(("case", "name"), ARGO, ids=[f"{case['id']} {name}" for case, name in ARGO])
def test_the_published_law_of_an_argo_metric(case: dict[str, Any], name: str) -> None:
    given, expected = case["inputs"], case["expected"][name]
    interval, first = given["interval_min"], given["first_tick_min"]
    stream = steady(
        threshold=given["theta"],
        window_s=60 * given["window_min"],
        interval_s=60 * interval,
        looks=(given["minutes"] - first) // interval + 1,
        limit=given["failureLimit"],
        rate_rps=given["canary_req_per_min"] / 60,
        error_rate=float(name.removeprefix("p_")),
    )
    chances = kill_chances(stream)
    minutes = first + interval * np.arange(chances.size)
    assert chances.sum() == pytest.approx(expected["poisson_p_abort"], rel=1e-8)
    assert chances @ minutes / chances.sum() == pytest.approx(expected["poisson_mean_abort_min"], rel=1e-8)


def test_there_are_published_laws() -> None:
    assert ARGO


def counted(stream: Stream, n: int) -> list[float]:
    """How often each look killed, of ``n`` drawn streams."""
    generator = np.random.Generator(np.random.Philox(key=1))
    bad = generator.poisson(stream.bad, (n, stream.bad.size))
    good = generator.poisson(stream.good, (n, stream.good.size))
    failures = np.zeros((n, 1 + max(look.run for look in stream.looks)), dtype=np.int64)
    alive = np.ones(n, dtype=np.bool_)
    found = []
    for look in stream.looks:
        k, m = bad[:, look.first : look.end].sum(axis=1), good[:, look.first : look.end].sum(axis=1)
        failures[:, look.run] += stream.rule.fails(k, m)
        killed = alive & (failures[:, look.run] > look.limit) & (look.limit >= 0)
        alive &= ~killed
        found.append(float(killed.mean()))
    return found


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(((0, 2, 0, 1), (1, 3, 0, 1), (2, 5, 0, 1), (4, 6, 0, 1)), id="overlaps of any length"),
        pytest.param(((0, 3, 0, 0), (2, 4, 0, 0), (6, 8, 0, 0)), id="and gaps"),
        pytest.param(((0, 2, 0, 1), (1, 3, 0, 1), (2, 4, 1, 0), (3, 6, 1, 0)), id="two analysis runs"),
        pytest.param(((0, 2, 0, -1), (1, 3, 0, -1), (2, 4, 1, 0)), id="a run without a limit"),
        pytest.param(((0, 2, 0, 0), (0, 2, 0, 0)), id="the same window twice"),
    ],
)
def test_it_agrees_with_counting(looks: tuple[tuple[int, int, int, int], ...]) -> None:
    """Weights that rise, windows that share any part with the next one."""
    bad, good = (
        np.array([1.0, 0.6, 2.0, 0.5, 1.5, 3.0, 0.2, 2.0]),
        np.array([30.0, 15, 40, 20, 35, 60, 8, 50]),
    )
    stream = Stream(bad, good, tuple(Look(*look) for look in looks), at_least(0.05))
    n = 50_000
    for exact, seen in zip(kill_chances(stream), counted(stream, n), strict=True):
        assert abs(seen - exact) <= 4.0 * math.sqrt(exact * (1.0 - exact) / n)


def test_windows_that_do_not_overlap_are_independent() -> None:
    one = kill_chances(steady(looks=1, rate_rps=2.0, error_rate=0.02)).sum()
    many = kill_chances(steady(looks=12, limit=2, rate_rps=2.0, error_rate=0.02)).sum()
    assert many == pytest.approx(binom.sf(2, 12, one), rel=1e-9)


def test_an_empty_window_fails_nothing() -> None:
    assert kill_chances(steady(looks=30, rate_rps=0.0, error_rate=0.5)).sum() == 0.0


def test_what_hardly_ever_fails_is_not_summed_up() -> None:
    """All looks together below 1e-15: the answer is 0, however many requests there are."""
    assert kill_chances(steady(window_s=120, looks=60, rate_rps=200.0, error_rate=0.001)).sum() == 0.0
    assert kill_chances(steady(window_s=120, looks=3, rate_rps=2.0, error_rate=0.01)).sum() > 1e-15


def test_what_has_no_law() -> None:
    with pytest.raises(NotExact, match="overlap by more than a half"):
        kill_chances(steady(window_s=300, rate_rps=1.0, error_rate=0.01))
    with pytest.raises(NotExact, match="too many requests"):
        kill_chances(steady(window_s=120, looks=60, limit=50, rate_rps=200.0, error_rate=0.04))
