"""Replica arithmetic of a canary: examples that can be checked by hand, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.engine.replicas import (
    Count,
    Limits,
    Pair,
    Picture,
    Weights,
    abort_router_weight,
    at_desired_counts,
    canary_scale_at,
    desired_counts,
    limits,
    progress_reached,
    reverse_walk_weight,
    stable_can_serve,
    target,
    weight_at,
    weight_before,
)
from rolloutsim.policy.model import (
    Canary,
    IntOrPercent,
    Pause,
    ProgressThreshold,
    SetCanaryScale,
    SetWeight,
    TrafficRouting,
)

ROUTED = TrafficRouting(("nginx",))
STEPS = (
    SetWeight(20),
    Pause(),
    SetWeight(60),
    SetCanaryScale(replicas=3),
    SetCanaryScale(match_traffic_weight=True),
)


def arrived(strategy: Canary, picture: Picture, stable_created: int) -> bool:
    return at_desired_counts(strategy, picture, desired_counts(strategy, picture), stable_created)


def percent(value: int) -> IntOrPercent:
    return IntOrPercent(value, percent=True)


# --- limits and steps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        (percent(25), percent(25), 10, Limits(3, 2)),
        (percent(1), percent(0), 10, Limits(1, 0)),
        (percent(0), percent(10), 5, Limits(0, 1)),  # both come to 0
        (IntOrPercent(2), IntOrPercent(50), 10, Limits(2, 10)),
        (percent(25), percent(25), 0, Limits(0, 0)),
    ],
)
def test_limits(surge: IntOrPercent, unavailable: IntOrPercent, replicas: int, expected: Limits) -> None:
    assert limits(Canary(max_surge=surge, max_unavailable=unavailable), replicas) == expected


def test_weights_of_steps() -> None:
    assert [weight_at(STEPS, index) for index in range(6)] == [20, 20, 60, 60, 60, 100]
    assert [weight_before(STEPS, index) for index in range(6)] == [0, 20, 20, 60, 60, 60]
    assert weight_at((), None, 1000) == 1000
    assert weight_at((Pause(), SetWeight(5)), 0) == 0


def test_canary_scale_of_steps() -> None:
    assert canary_scale_at(STEPS, 2) is None
    assert canary_scale_at(STEPS, 3) == SetCanaryScale(replicas=3)
    assert canary_scale_at(STEPS, 4) is None
    assert canary_scale_at(STEPS, 5) is None
    assert canary_scale_at((), None) is None


# --- desired counts ---------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(0, 100), st.integers(0, 3), st.sampled_from([100, 1000, 7]))
def test_target_pair(replicas: int, weight: int, surge: int, max_weight: int) -> None:
    weight = min(weight, max_weight)
    pair = target(replicas, weight, max_weight, surge)
    total = pair.canary + pair.stable
    assert pair.canary >= 0
    assert pair.stable >= 0
    assert total == replicas or (surge > 0 and total == replicas + 1)
    if 0 < weight < max_weight and (replicas > 1 or surge > 0):
        assert pair.canary >= 1
        assert pair.stable >= 1
    if weight == 0:
        assert pair == Pair(0, replicas)
    if weight == max_weight:
        assert pair == Pair(replicas, 0)


counts = st.integers(0, 12).flatmap(lambda spec: st.builds(Count, st.just(spec), st.integers(0, spec)))


@st.composite
def basic(draw: st.DrawFn) -> tuple[Canary, Picture]:
    strategy = Canary(
        steps=(SetWeight(draw(st.integers(0, 100))),),
        max_surge=IntOrPercent(draw(st.integers(0, 4))),
        max_unavailable=IntOrPercent(draw(st.integers(0, 4))),
    )
    picture = Picture(
        replicas=draw(st.integers(1, 12)),
        canary=draw(counts),
        stable=draw(counts),
        others=tuple(draw(st.lists(counts, max_size=2))),
        step_index=draw(st.integers(0, 1)),
        abort=draw(st.booleans()),
    )
    return strategy, picture


@given(basic())
def test_one_move_keeps_the_surge_limit(drawn: tuple[Canary, Picture]) -> None:
    strategy, picture = drawn
    assert picture.canary is not None
    assert picture.stable is not None
    pair = desired_counts(strategy, picture)
    before = picture.canary.spec + picture.stable.spec
    old = sum(count.spec for count in picture.others)
    bound = picture.replicas + limits(strategy, picture.replicas).surge
    assert pair.canary >= 0
    assert pair.stable >= 0
    if pair.canary + pair.stable > before:
        assert pair.canary + pair.stable + old <= bound


@given(
    replicas=st.integers(1, 15),
    weight=st.integers(0, 100),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    start=st.integers(0, 15),
)
def test_moves_reach_the_target(replicas: int, weight: int, surge: int, unavailable: int, start: int) -> None:
    """With pods that become available at once, single moves end at the target, always inside the limits."""
    strategy = Canary(
        steps=(SetWeight(weight),),
        max_surge=IntOrPercent(surge),
        max_unavailable=IntOrPercent(unavailable),
    )
    bounds = limits(strategy, replicas)
    canary = min(start, replicas)
    now = Pair(canary, replicas - canary)
    goal = target(replicas, weight, 100, bounds.surge)
    for _ in range(100):
        picture = Picture(
            replicas, Count(now.canary, now.canary), Count(now.stable, now.stable), step_index=0
        )
        if arrived(strategy, picture, now.stable):
            break
        moved = desired_counts(strategy, picture)
        # The controller writes the stable revision first and the canary in the next pass.
        now = Pair(now.canary, moved.stable) if moved.stable != now.stable else moved
        assert replicas - bounds.unavailable <= now.canary + now.stable <= replicas + bounds.surge
    assert now == goal


def test_others_drain_first() -> None:
    strategy = Canary(steps=(SetWeight(50),), max_surge=IntOrPercent(0), max_unavailable=IntOrPercent(5))
    picture = Picture(10, Count(0, 0), Count(10, 10), (Count(1, 1),), 0)
    assert desired_counts(strategy, picture) == Pair(0, 10)


def test_first_deployment_takes_all_replicas() -> None:
    strategy = Canary(steps=(SetWeight(10),))
    assert desired_counts(strategy, Picture(4, Count(0, 0), None, step_index=0)) == Pair(4, 0)
    routed = Canary(steps=(SetWeight(10),), routing=ROUTED)
    assert desired_counts(routed, Picture(4, Count(0, 0), None, step_index=0)) == Pair(4, 4)


def test_named_pods_are_not_lifted_to_the_minimum() -> None:
    strategy = Canary(
        steps=(SetWeight(20), SetCanaryScale(replicas=1)), routing=ROUTED, min_pods_per_replica_set=2
    )
    at_weight = Picture(4, Count(0, 0), Count(4, 4), step_index=0)
    assert desired_counts(strategy, at_weight) == Pair(2, 4)
    at_scale = Picture(4, Count(0, 0), Count(4, 4), step_index=1)
    assert desired_counts(strategy, at_scale) == Pair(1, 4)


@pytest.mark.parametrize(("delay_ms", "canary"), [(None, 0), (30_000, 0), (0, 3)])
def test_abort_keeps_a_canary_scale_only_without_delay(delay_ms: int | None, canary: int) -> None:
    strategy = Canary(steps=(SetCanaryScale(replicas=3),), routing=ROUTED, abort_scale_down_delay_ms=delay_ms)
    picture = Picture(10, Count(3, 3), Count(10, 10), step_index=0, abort=True)
    assert desired_counts(strategy, picture).canary == canary


def test_promote_full_asks_for_everything() -> None:
    strategy = Canary(steps=(SetWeight(20),), routing=ROUTED, dynamic_stable_scale=True)
    picture = Picture(10, Count(2, 2), Count(8, 8), step_index=0, promote_full=True, weights=Weights(20, 80))
    assert desired_counts(strategy, picture) == Pair(10, 8)


# --- guards -----------------------------------------------------------------------------------------


def test_an_extra_available_pod_blocks_the_step() -> None:
    strategy = Canary(steps=(SetWeight(20),), routing=ROUTED)
    exact = Picture(10, Count(2, 2), Count(10, 0), step_index=0)
    assert arrived(strategy, exact, 10)  # created pods of stable count, not available ones
    assert not arrived(strategy, exact, 9)
    assert not arrived(strategy, Picture(10, Count(2, 3), Count(10, 10), step_index=0), 10)
    assert not arrived(strategy, Picture(10, None, Count(10, 10), step_index=0), 10)


def test_stable_counts_for_nothing_under_dynamic_scale() -> None:
    strategy = Canary(steps=(SetWeight(20),), routing=ROUTED, dynamic_stable_scale=True)
    assert arrived(strategy, Picture(10, Count(2, 2), Count(3, 3), step_index=0), 3)


def test_pods_of_others_block_a_canary_without_router() -> None:
    strategy = Canary(steps=(SetWeight(20),))
    clean = Picture(10, Count(2, 2), Count(8, 8), (Count(0, 0),), 0)
    assert arrived(strategy, clean, 8)
    assert not arrived(strategy, Picture(10, Count(2, 2), Count(8, 8), (Count(0, 1),), 0), 8)


@pytest.mark.parametrize(
    ("threshold", "available", "desired", "reached"),
    [
        (None, 10, 10, False),
        (ProgressThreshold(-1, percent=True), 10, 10, False),
        (ProgressThreshold(80, percent=True), 4, 5, True),
        (ProgressThreshold(80, percent=True), 3, 5, False),
        (ProgressThreshold(80, percent=True), 0, 0, True),
        (ProgressThreshold(33, percent=True), 1, 3, True),
        (ProgressThreshold(6, percent=False), 5, 5, False),
        (ProgressThreshold(6, percent=False), 6, 5, True),
    ],
)
def test_progress_threshold(
    threshold: ProgressThreshold | None, available: int, desired: int, reached: bool
) -> None:
    assert progress_reached(threshold, available, desired) is reached


def test_a_threshold_replaces_the_exact_counts() -> None:
    strategy = Canary(
        steps=(SetWeight(50),), routing=ROUTED, progress_threshold=ProgressThreshold(80, percent=True)
    )
    assert arrived(strategy, Picture(10, Count(7, 4), Count(10, 10), step_index=0), 10)
    assert not arrived(strategy, Picture(10, Count(5, 3), Count(10, 10), step_index=0), 10)


def test_stable_needs_the_pods_of_its_share() -> None:
    strategy = Canary(steps=(SetWeight(25),), routing=ROUTED)
    assert stable_can_serve(strategy, Picture(10, Count(3, 3), Count(10, 7), step_index=0), 25)
    assert not stable_can_serve(strategy, Picture(10, Count(3, 3), Count(10, 6), step_index=0), 25)
    assert stable_can_serve(strategy, Picture(10, Count(10, 10), None, step_index=1), 100)


# --- dynamicStableScale after an abort --------------------------------------------------------------

WALK = Canary(steps=(SetWeight(20), SetWeight(60), SetWeight(80)), routing=ROUTED, dynamic_stable_scale=True)


@pytest.mark.parametrize(
    ("stable", "canary", "recorded", "walked", "routed"),
    [
        (2, 8, 80, 60, 80),  # stable cannot yet serve 40 %
        (4, 8, 80, 60, 60),
        (4, 6, 60, 20, 60),
        (8, 6, 60, 20, 20),
        (8, 2, 20, 0, 20),
        (10, 2, 20, 0, 0),
    ],
)
def test_the_weight_walks_back(stable: int, canary: int, recorded: int, walked: int, routed: int) -> None:
    picture = Picture(
        10,
        Count(canary, canary),
        Count(stable, stable),
        step_index=0,
        abort=True,
        weights=Weights(recorded, 100 - recorded),
    )
    assert reverse_walk_weight(WALK, picture) == walked
    assert abort_router_weight(WALK, picture) == routed


def test_an_explicit_abort_delay_walks_by_what_stable_lacks() -> None:
    strategy = Canary(
        steps=WALK.steps, routing=ROUTED, dynamic_stable_scale=True, abort_scale_down_delay_ms=60_000
    )
    picture = Picture(10, Count(8, 8), Count(8, 8), step_index=0, abort=True, weights=Weights(80, 20))
    assert reverse_walk_weight(WALK, picture) == 60
    assert reverse_walk_weight(strategy, picture) == 0


def test_abort_without_recorded_weights_or_replicas() -> None:
    fresh = Picture(10, Count(8, 8), Count(2, 2), step_index=0, abort=True)
    assert abort_router_weight(WALK, fresh) == 80
    assert abort_router_weight(WALK, Picture(0, Count(0, 0), Count(0, 0), step_index=0, abort=True)) == 0


@given(stable=st.integers(0, 10), canary=st.integers(0, 10), recorded=st.integers(0, 100))
def test_the_router_weight_never_rises_after_an_abort(stable: int, canary: int, recorded: int) -> None:
    picture = Picture(
        10,
        Count(canary, canary),
        Count(stable, stable),
        step_index=0,
        abort=True,
        weights=Weights(recorded, 100 - recorded),
    )
    assert 0 <= abort_router_weight(WALK, picture) <= recorded
