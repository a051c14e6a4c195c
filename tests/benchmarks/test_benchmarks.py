"""The benchmarks run and say what they measure. What they find is not judged: that takes a quiet machine."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import rolloutsim as rs

from .__main__ import BENCHMARKS, line
from .measure import Contestant, Goal, Row, Sizes, rates, ratio, turns
from .naive import ArticleCanary, GatedCanary
from .peers.outside import Peers
from .rollouts import article_inputs, gated_inputs

ByHand = type[ArticleCanary] | type[GatedCanary]

IN_PROCESS = ("article", "gated")
"""The others start several interpreters, which takes seconds."""

TINY = Sizes(
    rounds=1,
    article_rollouts=2,
    gated_rollouts=1,
    compare_runs=1,
    memory_runs=(1, 2),
    pool_s=30,
    balanced_s=15,
    peer_s=1,
    memory_s=15,
    tasks=64,
    same_runs=2,
    same_played=1,
    pairs=4,
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in IN_PROCESS)) for name in BENCHMARKS],
)
def test_every_benchmark_fills_its_rows(name: str) -> None:
    rows = list(BENCHMARKS[name](TINY))
    assert rows
    for row in rows:
        assert all(math.isfinite(sample) for sample in row.samples)
        assert len(line(row)) <= 100
        assert row.name in line(row)


@pytest.mark.parametrize(
    ("inputs", "by_hand"), [(article_inputs, ArticleCanary), (gated_inputs, GatedCanary)]
)
def test_both_sides_of_a_comparison_play_the_same_rollout(
    inputs: Callable[[], tuple[rs.Policy, rs.Scenario]], by_hand: ByHand
) -> None:
    ours, naive = rs.play(*inputs()), by_hand(np.random.default_rng(1))
    assert ours.end == "promoted"
    assert naive.play()
    assert naive.measurements == pytest.approx(ours.measurements, abs=1)
    assert naive.env.now == pytest.approx(ours.duration_s, abs=15.0)


@pytest.mark.parametrize("by_hand", [ArticleCanary, GatedCanary])
def test_a_loop_by_hand_stops_when_requests_fail(by_hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "ERROR_RATE", 0.2)
    assert not by_hand(np.random.default_rng(1)).play()


def test_contestants_take_turns() -> None:
    turns: list[str] = []

    def contestant(name: str) -> Contestant:
        def play(count: int) -> None:
            turns.append(f"{name}{count}")
            sum(range(200_000))  # a little CPU time

        return Contestant(name, play, 3)

    found = rates([contestant("a"), contestant("b")], rounds=2)
    assert turns == ["a1", "b1", "a3", "b3", "a3", "b3"]
    assert [len(samples) for samples in found] == [2, 2]


def test_ratios_are_formed_within_a_round() -> None:
    assert ratio((2.0, 30.0), (1.0, 10.0)) == (2.0, 3.0)


def test_a_peer_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with Peers() as peers:
        assert peers.compiled("pool", "slots", "1") is None
    found = turns({"here": float, "absent": None}, rounds=1)
    assert found == {"here": (2.0,), "absent": ()}
    row = Row("here / absent", "x", ratio(found["here"], found["absent"]), Goal(1.0, at_least=True))
    assert line(row).split(maxsplit=3)[-1] == "not measured: its peer is not installed"


def test_a_line_shows_the_median_the_range_and_the_goal() -> None:
    row = Row("name", "x", (3.0, 1.0, 2.0), Goal(2.5, at_least=True))
    assert line(row).split() == ["name", "2", "1", "..", "3", "x", ">=2.5", "MISS"]
    assert line(Row("name", "x", (2.0,), Goal(2.5, at_least=False))).split()[-2:] == ["<=2.5", "met"]
