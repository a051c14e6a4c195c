"""Label sets of the presets."""

from __future__ import annotations

import math
import re

import pytest

from rolloutsim.telemetry import PRESETS, Labels, Preset, le_label, request_series, unknown_placeholders

NAMES = ["app", "istio", "ingress-nginx", "traefik", "envoy-gateway", "linkerd"]
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def labels(series: Labels) -> dict[str, str]:
    return dict(series)


def every_series(preset: Preset, revision: str = "abc", *, canary: bool = False) -> list[Labels]:
    all_of = request_series(preset, "api", revision, canary=canary)
    histograms = [series for h in all_of.durations for series in (*h.buckets, h.sum, h.count)]
    return [all_of.success, all_of.error, *histograms]


def test_the_presets() -> None:
    assert list(PRESETS) == NAMES
    assert all(preset.name == name for name, preset in PRESETS.items())


@pytest.mark.parametrize("name", NAMES)
def test_series_are_distinct_complete_and_well_named(name: str) -> None:
    preset = PRESETS[name]
    series = every_series(preset)
    assert len(set(series)) == len(series)
    for labelset in series:
        assert list(labelset) == sorted(labelset)
        assert METRIC.fullmatch(labels(labelset)["__name__"])
        assert all(LABEL.fullmatch(key) for key, _ in labelset)
        assert not any("{" in value or not value for _, value in labelset)
    assert all(len(h.buckets) == len(preset.bounds_s) + 1 for h in request_series(preset, "a", "b").durations)
    assert list(preset.bounds_s) == sorted(set(preset.bounds_s))
    assert preset.bounds_s[-1] < math.inf
    assert preset.apart
    assert preset.source


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_truly_whether_it_tells_versions_apart(name: str) -> None:
    preset = PRESETS[name]
    stable, canary = every_series(preset, "old"), every_series(preset, "new", canary=True)
    assert (set(stable) & set(canary) == set()) == preset.tells_versions_apart
    assert preset.tells_versions_apart == (name != "envoy-gateway")


def test_the_applications_own_counter_is_what_the_guide_asks_for() -> None:
    series = request_series(PRESETS["app"], "api", "6c9f")
    assert labels(series.error) == {
        "__name__": "http_requests_total",
        "app_version": "6c9f",
        "rollouts_pod_template_hash": "6c9f",
        "service": "api",
        "status": "500",
    }
    assert labels(series.success)["status"] == "200"
    (histogram,) = series.durations
    les = [labels(bucket)["le"] for bucket in histogram.buckets]
    assert les == [
        "0.005",
        "0.01",
        "0.025",
        "0.05",
        "0.1",
        "0.25",
        "0.5",
        "1.0",
        "2.5",
        "5.0",
        "10.0",
        "+Inf",
    ]
    assert labels(histogram.buckets[0])["__name__"] == "http_request_duration_seconds_bucket"
    assert labels(histogram.sum)["__name__"] == "http_request_duration_seconds_sum"
    assert labels(histogram.count)["__name__"] == "http_request_duration_seconds_count"
    assert "status" not in labels(histogram.count)


def test_istio_durations_are_milliseconds_by_response_code() -> None:
    success, error = request_series(PRESETS["istio"], "api", "v2", canary=True).durations
    assert labels(success.count)["response_code"] == "200"
    assert labels(error.count)["response_code"] == "500"
    assert labels(error.count)["__name__"] == "istio_request_duration_milliseconds_count"
    assert labels(error.count)["destination_service"] == "api-canary.default.svc.cluster.local"
    assert labels(success.buckets[0])["le"] == "0.5"
    assert labels(success.buckets[-2])["le"] == "3.6e+06"


def test_ingress_nginx_names_the_canarys_upstream_only_for_the_canary() -> None:
    preset = PRESETS["ingress-nginx"]
    assert "canary" not in labels(request_series(preset, "api", "old").success)
    canary = labels(request_series(preset, "api", "new", (("namespace", "shop"),), canary=True).success)
    assert canary["canary"] == "shop-api-canary-80"
    assert canary["ingress"] == "api"
    # The revision is nowhere: after a promotion the new version's counts go on in the old one's series.
    assert request_series(preset, "api", "old") == request_series(preset, "api", "new")


def test_linkerd_classifies_the_counter_but_not_the_latency() -> None:
    series = request_series(PRESETS["linkerd"], "api", "v2")
    assert labels(series.error)["classification"] == "failure"
    assert labels(series.success)["classification"] == "success"
    assert "classification" not in labels(series.durations[0].count)


def test_extra_labels_add_replace_and_remove() -> None:
    extra = (("app_version", ""), ("service", "checkout"), ("track", "{revision}/{backend}"))
    series = labels(request_series(PRESETS["app"], "api", "r2", extra, canary=True).success)
    assert "app_version" not in series
    assert series["service"] == "checkout"
    assert series["track"] == "r2/api-canary"


def test_values_are_never_read_as_templates() -> None:
    series = labels(request_series(PRESETS["app"], "{revision}", "{service}").success)
    assert series["service"] == "{revision}"
    assert series["app_version"] == "{service}"


def test_unknown_placeholders() -> None:
    assert unknown_placeholders("{service}-{pod}-{revision.__class__}") == ("pod", "revision.__class__")
    assert unknown_placeholders("{namespace}/{backend}") == ()


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0.005, "0.005"), (1.0, "1.0"), (300000.0, "300000.0"), (1.8e6, "1.8e+06"), (math.inf, "+Inf")],
)
def test_le_is_written_as_prometheus_3_does(bound: float, text: str) -> None:
    assert le_label(bound) == text


def test_series_of_routers_outlive_pods() -> None:
    routers = {name for name, preset in PRESETS.items() if preset.by_router}
    assert routers == {"ingress-nginx", "traefik", "envoy-gateway"}
