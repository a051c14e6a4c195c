"""Who has the change and what fails of it: closed forms, cohorts in order, and drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rolloutsim.evidence.incidents import Incident, Play, Reach, load_incident
from rolloutsim.evidence.incidents.exposure import Course, Exposure, Population
from rolloutsim.sim.randomness import stream

DRAWS = stream(1, 0, "cohorts")


def exposure(incident: Incident, play: Play, *, faulty: bool = True) -> Exposure:
    return Exposure(incident.model, Population(incident.model.cohorts, play, DRAWS), 0.0, faulty=faulty)


def test_a_course_is_integrated_exactly() -> None:
    course = Course.of([(0.0, 0.0, False), (300.0, 0.9, False), (600.0, 0.1, True)], dormant=100.0)
    found = [course.at(age) for age in (0, 399, 400, 550, 700, 900)]
    assert found == pytest.approx([0.0, 0.0, 0.9, 0.5, 0.1, 0.1])
    steps = 90_000
    numeric = sum(course.at((k + 0.5) / 100.0) for k in range(steps)) / 100.0
    assert course.integral(0.0, 900.0) == pytest.approx(numeric, rel=1e-6)
    assert course.integral(0.0, 900.0) == pytest.approx(300 * 0.5 + 200 * 0.1)
    assert course.largest(1e9) == 0.9


def test_a_course_that_comes_and_goes() -> None:
    """Bad for the first two of every five minutes."""
    incident = load_incident("crates-io-2023-07-20")
    first = incident.model.fault.course[0]
    points = (first, replace(first, at=120.0, failing=replace(first.failing, value=0.0)))
    course = Course.failing(points, 60.0, 300.0)
    assert [course.at(age) for age in (0, 60, 179, 180, 359, 360, 479, 480)] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert course.integral(0.0, 3660.0) == pytest.approx(12 * 120.0)
    assert course.largest(100.0) == 1.0


def test_instances_age_from_the_moment_at_which_they_took_the_change() -> None:
    incident = load_incident("afd-2025-10-29")
    truth = exposure(incident, incident.plays[0])
    truth.reach(0.01)
    truth.advance(120.0)
    truth.reach(0.10)
    truth.advance(300.0)
    assert truth.failing() == pytest.approx(0.9 * 0.01)
    truth.advance(480.0)
    assert truth.failing() == pytest.approx(0.9 * 0.10)
    assert truth.failed_s == pytest.approx(0.9 * (0.01 * 180 + 0.09 * 60))


def test_a_canary_with_half_the_load_ages_half_as_fast() -> None:
    incident = load_incident("github-2023-11-03-authz-leak")
    truth = exposure(incident, incident.plays[0])
    truth.reach(0.01)
    truth.pace = 0.5
    assert truth.next_bend_s() == pytest.approx(600.0)
    truth.advance(700.0)
    assert truth.failed_s == pytest.approx(0.9 * 0.01 * 100)


def test_whoever_took_it_last_gives_it_back_first_and_the_hurt_stay_hurt() -> None:
    incident = load_incident("crowdstrike-2024-07-19")
    truth = exposure(incident, incident.plays[0])
    truth.reach(0.001)
    truth.advance(60.0)
    truth.reach(0.01)
    truth.advance(61.0)
    truth.reach(0.001)
    assert [part.age_s for part in truth.slices] == [61.0]
    truth.reach(0.0)
    truth.advance(100.0)
    assert truth.hurt == pytest.approx(0.01)
    assert not truth.slices


def test_units_are_reached_whole_and_in_order() -> None:
    incident = load_incident("cloudflare-2022-06-21")
    first_new = Population(incident.model.cohorts, incident.play("policy_stratified"), DRAWS)
    assert first_new.reached(0.002) == (1 / 19, 0.0)
    assert first_new.traffic(0.002) == pytest.approx(0.5 / 19)
    old_first = Population(incident.model.cohorts, incident.play("as_it_was"), DRAWS)
    assert old_first.reached(0.5)[1] == 0.0
    assert old_first.reached(1.0) == (1.0, 1.0)
    within = Population(incident.model.cohorts, incident.play("policy_within_the_new_architecture"), DRAWS)
    assert within.traffic(0.01) == pytest.approx(0.005)


def test_a_sample_at_random_misses_as_often_as_the_hypergeometric_law_says() -> None:
    incident = load_incident("cloudflare-2022-06-21")
    play = replace(incident.play("policy_random_sites_1pct"), reach=Reach.RANDOM)
    draws = 400
    missed = 0
    for run in range(draws):
        population = Population(incident.model.cohorts, play, stream(7, run, "cohorts"))
        missed += population.reached(0.01)[1] == 0.0
    expected = math.comb(456, 5) / math.comb(475, 5)
    assert abs(missed / draws - expected) < 3 * math.sqrt(expected * (1 - expected) / draws)


def test_a_fault_of_the_fleet_hits_by_reach_and_not_by_age() -> None:
    incident = load_incident("pagerduty-2022-10-31")
    truth = exposure(incident, incident.plays[0])
    truth.reach(0.7)
    truth.advance(1000.0)
    assert truth.failed_s == 0.0
    truth.reach(1.0)
    assert truth.failing() == pytest.approx(0.3)


def test_a_good_release_hurts_nobody() -> None:
    incident = load_incident("crates-io-2023-07-20")
    truth = exposure(incident, incident.plays[0], faulty=False)
    truth.reach(1.0)
    truth.advance(1000.0)
    assert (truth.failed_s, truth.hurt, truth.failing()) == (0.0, 0.0, 0.0)
