"""A history that holds a release is not that of a service at rest: which can be told, and from what."""

from __future__ import annotations

import pytest

from rolloutsim.evidence.calibration import (
    Calibration,
    StoreSource,
    calibrate,
    given_reads,
    service_files,
)
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.scenario import ConstantRate
from tests.evidence.calibration.histories import END_MS, HOUR_MS, between, history, service, together

HOURS = 12
START_MS = END_MS - HOURS * HOUR_MS
MINUTE_MS = 60_000
REVISION = ("app_version", "rollouts_pod_template_hash")
OLD, NEW = "6d4b75cb6d", "7f9c8d5b4x"


@pytest.fixture(scope="module")
def quiet() -> SeriesStore:
    return history(service(ConstantRate(20.0), error_rate=0.01), HOURS)


def measured(store: SeriesStore) -> Calibration:
    return calibrate(StoreSource(store), "api", START_MS, END_MS)


def by_version(quiet: SeriesStore, *stretches: tuple[str, float, float]) -> SeriesStore:
    """Versions and the hours in which they are there."""
    return together(
        *(
            between(quiet, START_MS + int(first * HOUR_MS), START_MS + int(last * HOUR_MS), app_version=name)
            for name, first, last in stretches
        )
    )


def by_pod(quiet: SeriesStore, *stretches: tuple[str, float, float]) -> SeriesStore:
    """As before, where no label but the pods' names tells versions apart."""
    none = dict.fromkeys(REVISION, "")
    return together(
        *(
            between(
                quiet,
                START_MS + int(first * HOUR_MS),
                START_MS + int(last * HOUR_MS),
                **none,
                pod=f"api-{name}-x2b{k}z",
            )
            for name, first, last in stretches
            for k in (4, 5)
        )
    )


def hours(found: Calibration) -> list[tuple[float, float]]:
    return [
        (round((one.first_ms - START_MS) / HOUR_MS, 1), round((one.last_ms - START_MS) / HOUR_MS, 1))
        for one in found.releases.changes
    ]


def test_a_service_at_rest_has_no_release(quiet: SeriesStore) -> None:
    found = measured(quiet)
    assert found.releases.labels == REVISION
    assert found.releases.changes == ()
    assert not any("release" in line for line in found.absent)


@pytest.mark.parametrize("told", [by_version, by_pod])
def test_a_release_is_seen_with_the_time_in_which_both_versions_got_requests(told, quiet) -> None:
    found = measured(told(quiet, (OLD, 0, 7.5), (NEW, 7, 12)))
    assert hours(found) == [(7.0, 7.5)]
    (change,) = found.releases.changes
    assert change.version == {by_version: f"app_version {NEW}", by_pod: f"pod hash {NEW}"}[told]
    start, end = found.releases.calm_ms
    assert start == pytest.approx(START_MS, abs=2 * MINUTE_MS)
    assert end == pytest.approx(START_MS + 7 * HOUR_MS, abs=2 * MINUTE_MS)


@pytest.mark.parametrize("told", [by_version, by_pod])
def test_an_aborted_release_is_one_too(told, quiet) -> None:
    assert hours(measured(told(quiet, (OLD, 0, 12), (NEW, 3, 3.5)))) == [(3.0, 3.5)]


def test_what_is_replaced_at_once_is_seen(quiet: SeriesStore) -> None:
    assert hours(measured(by_version(quiet, (OLD, 0, 6), (NEW, 6, 12)))) == [(6.0, 6.0)]


def test_several_releases_are_counted_and_one_that_began_before_is_seen_to_end(quiet: SeriesStore) -> None:
    found = measured(by_version(quiet, ("1", 0, 1.5), ("2", 0.5, 9.2), ("3", 9, 12)))
    assert hours(found) == [(0.5, 1.5), (9.0, 9.2)]
    assert "and 1 more after it" in str(found.releases)


@pytest.mark.parametrize(
    "stretches",
    [
        [("1", 0, 12), ("2", 0, 12)],  # two that are always there
        [("1", 0, 5), ("1", 5.5, 12), ("2", 0, 12)],  # a version that is away for half an hour
    ],
)
def test_what_is_no_release(stretches: list[tuple[str, float, float]], quiet: SeriesStore) -> None:
    assert hours(measured(by_version(quiet, *stretches))) == []


def test_where_nothing_tells_versions_apart_that_is_said(quiet: SeriesStore) -> None:
    none = dict.fromkeys(REVISION, "")
    plain = together(
        between(quiet, START_MS, END_MS - HOUR_MS, **none, instance="10.0.0.1:80"),
        between(quiet, END_MS - HOUR_MS, END_MS, **none, instance="10.0.0.2:80"),
    )
    found = measured(plain)
    assert found.releases.labels == ()
    (said,) = [line for line in found.absent if line.startswith("releases:")]
    assert said == (
        'releases: no label of http_requests_total{service="api"} tells versions apart, so one in this '
        "history is not seen; what is measured includes it"
    )


def test_selectors_that_the_user_spells_are_looked_at_as_well(quiet: SeriesStore) -> None:
    store = by_version(quiet, (OLD, 0, 7.5), (NEW, 7, 12))
    reads = given_reads('http_requests_total{service="api"}', "", "")
    found = calibrate(StoreSource(store), "api", START_MS, END_MS, reads=reads)
    assert hours(found) == [(7.0, 7.5)]


def test_the_file_says_so_and_the_stretch_that_it_names_holds_none(quiet: SeriesStore) -> None:
    store = by_version(quiet, (OLD, 0, 7.5), (NEW, 7, 12))
    found = measured(store)
    text = service_files(found, "api")["api.yaml"]
    assert "# Beware: this history looks as if it held a release (" in text
    assert f"app_version {NEW} begins to get requests)" in text
    again = calibrate(StoreSource(store), "api", *found.releases.calm_ms)
    assert again.releases.changes == ()
    assert "Beware" not in service_files(again, "api")["api.yaml"]
