"""Lists and watches: selectors, pages, and events from a version on."""

from __future__ import annotations

import time

import pytest

from tests.lab.semantics.api import Api, Json, config_map

pytestmark = pytest.mark.cluster

LABELLED = ["a", "b", "c"]


@pytest.fixture
def maps(api: Api) -> Api:
    """Three maps; a cluster may keep one of its own beside them."""
    for name, labels in zip(LABELLED, ({"app": "x", "tier": "1"}, {"app": "y"}, {"tier": "2"}), strict=True):
        api.create("configmaps", config_map(name, labels))
    return api


def said(events: list[Json]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", ["a"]),
        ("app==y", ["b"]),
        ("app!=x,tier", ["c"]),
        ("app in (x,y)", ["a", "b"]),
        ("app notin (x),app", ["b"]),
        ("tier", ["a", "c"]),
        ("!app,tier", ["c"]),
        ("app=x,tier=1", ["a"]),
    ],
)
def test_labels_select(maps: Api, selector: str, names: list[str]) -> None:
    assert maps.get("configmaps", labelSelector=selector).names == names


def test_a_name_selects(maps: Api) -> None:
    assert maps.get("configmaps", fieldSelector="metadata.name=b").names == ["b"]


def test_a_list_has_a_kind_and_a_version(maps: Api) -> None:
    found = maps.get("configmaps")
    assert found.body["kind"] == "ConfigMapList"
    assert found.version.isdigit()


def test_a_list_comes_in_pages(maps: Api) -> None:
    first = maps.get("configmaps", limit=2)
    rest = maps.get("configmaps", limit=2, **{"continue": first.body["metadata"]["continue"]})
    assert len(first.names) == 2
    assert set(first.names + rest.names) >= set(LABELLED)


def test_a_watch_goes_on_from_a_version(api: Api) -> None:
    api.create("configmaps", config_map("before"))
    start = api.get("configmaps").version
    api.create("configmaps", config_map("a"))
    api.patch("configmaps/a", {"data": {"x": "1"}})
    api.delete("configmaps/a")
    events = api.watch("configmaps", 3, resourceVersion=start)
    assert said(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_sees_objects_come_into_its_selection_and_leave_it(api: Api) -> None:
    api.create("configmaps", config_map("a", {"on": "no"}))
    start = api.get("configmaps").version
    for value in ("yes", "no"):
        api.patch("configmaps/a", {"metadata": {"labels": {"on": value}}})
    events = api.watch("configmaps", 2, resourceVersion=start, labelSelector="on=yes")
    assert said(events) == [("ADDED", "a"), ("DELETED", "a")]


def test_a_watch_ends_when_its_time_is_over(api: Api) -> None:
    began = time.monotonic()
    start = api.get("configmaps").version
    api.watch("configmaps", wait_s=8, resourceVersion=start, timeoutSeconds=1)
    assert time.monotonic() - began < 6


def test_a_watch_may_begin_with_what_is_there(maps: Api) -> None:
    """All that is there comes as added; a bookmark says that this was all."""
    events = maps.watch(
        "configmaps",
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
        timeoutSeconds=2,
    )
    kinds = [event["type"] for event in events]
    first = kinds.index("BOOKMARK")
    assert {name for _, name in said(events[:first])} >= set(LABELLED)
    annotations = events[first]["object"]["metadata"]["annotations"]
    assert annotations["k8s.io/initial-events-end"] == "true"


def test_a_watch_from_a_version_that_is_forgotten_is_gone(api: Api) -> None:
    first = api.watch("configmaps", 1, resourceVersion="1")[0]
    assert 410 in (first.get("code"), first.get("object", {}).get("code"))
