"""The four kinds of patches, and what each makes of lists, absent keys and versions."""

from __future__ import annotations

import pytest

from tests.lab.semantics.api import (
    APPLY,
    JSON_PATCH,
    STRATEGIC,
    Answer,
    Api,
    Json,
    config_map,
    deployment,
    named,
    route,
    service,
)

pytestmark = pytest.mark.cluster


def images(found: Answer) -> dict[str, str]:
    containers = found.body["spec"]["template"]["spec"]["containers"]
    return {container["name"]: container["image"] for container in containers}


def containers(*each: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": list(each)}}}}


def weights(found: Answer) -> list[int]:
    return [backend["weight"] for backend in found.body["spec"]["rules"][0]["backendRefs"]]


# --- merge patches --------------------------------------------------------------------------------


def test_merge_removes_what_is_null(api: Api) -> None:
    api.create("configmaps", config_map("a", x="1", y="1"))
    assert api.patch("configmaps/a", {"data": {"x": None}}).body["data"] == {"y": "1"}


def test_merge_with_an_outdated_version_is_a_conflict(api: Api) -> None:
    old = api.create("configmaps", config_map("a")).version
    api.patch("configmaps/a", {"data": {"x": "1"}})
    late = api.patch("configmaps/a", {"metadata": {"resourceVersion": old}, "data": {"x": "2"}})
    assert late.failure == (409, "Conflict")


def test_only_a_change_makes_a_version(api: Api) -> None:
    api.create("configmaps", config_map("a"))
    first, same, other = (api.patch("configmaps/a", {"data": {"x": value}}).version for value in "112")
    assert first == same != other


def test_merge_replaces_a_list(api: Api) -> None:
    api.create("deployments", deployment("a"))
    patched = api.patch("deployments/a", containers({"name": "server", "image": "server:2"}))
    assert images(patched) == {"server": "server:2"}


def test_merge_keeps_the_other_annotations(api: Api) -> None:
    canary, weight = (f"nginx.ingress.kubernetes.io/canary{end}" for end in ("", "-weight"))
    backend = {"service": {"name": "a", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    body = named(
        "networking.k8s.io/v1", "Ingress", "a", spec={"rules": [{"host": "a", "http": {"paths": paths}}]}
    )
    body["metadata"]["annotations"] = {canary: "true"}
    api.create("ingresses", body)
    patched = api.patch("ingresses/a", {"metadata": {"annotations": {weight: "25"}}})
    assert patched.body["metadata"]["annotations"] == {canary: "true", weight: "25"}


# --- strategic merge patches ----------------------------------------------------------------------


def test_strategic_merge_finds_containers_by_name(api: Api) -> None:
    api.create("deployments", deployment("a"))
    patched = api.patch("deployments/a", containers({"name": "server", "image": "server:2"}), STRATEGIC)
    assert images(patched) == {"server": "server:2", "proxy": "proxy:1"}


def test_strategic_merge_deletes_by_directive(api: Api) -> None:
    api.create("deployments", deployment("a"))
    patched = api.patch("deployments/a", containers({"name": "proxy", "$patch": "delete"}), STRATEGIC)
    assert images(patched) == {"server": "server:1"}


def test_strategic_merge_is_not_for_custom_resources(api: Api) -> None:
    api.create("httproutes", route("a", old=1))
    assert api.patch("httproutes/a", {"metadata": {"labels": {"x": "y"}}}, STRATEGIC).code == 415


# --- JSON patches ---------------------------------------------------------------------------------


def test_json_patch_does_its_operations(api: Api) -> None:
    api.create("deployments", deployment("a"))
    patched = api.patch(
        "deployments/a",
        [
            {"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "proxy:2"},
            {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
        ],
        JSON_PATCH,
    )
    assert patched.code == 200
    assert patched.body["metadata"]["labels"] == {"x": "y"}
    assert images(patched) == {"server": "server:1", "proxy": "proxy:2"}


def test_json_patch_is_whole_or_nothing(api: Api) -> None:
    api.create("deployments", deployment("a"))
    patch = [
        {"op": "replace", "path": "/spec/replicas", "value": 5},
        {"op": "test", "path": "/spec/paused", "value": True},
    ]
    assert api.patch("deployments/a", patch, JSON_PATCH).code == 422
    assert api.get("deployments/a").body["spec"]["replicas"] == 0


def test_json_patch_may_ask_for_a_version(api: Api) -> None:
    """As the router writes weights: against the very route that it read."""
    read = api.create("httproutes", route("a", old=95, new=5)).version

    def move(weight: int) -> Answer:
        return api.patch(
            "httproutes/a",
            [
                {"op": "test", "path": "/metadata/resourceVersion", "value": read},
                {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": weight},
            ],
            JSON_PATCH,
        )

    assert move(50).code == 200
    assert move(60).code in (409, 422)
    assert weights(api.get("httproutes/a")) == [95, 50]


def test_a_weight_below_zero_is_invalid(api: Api) -> None:
    api.create("httproutes", route("a", old=95, new=5))
    patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": -1}]
    assert api.patch("httproutes/a", patch, JSON_PATCH).code == 422


def test_a_patch_of_no_kind_is_refused(api: Api) -> None:
    api.create("configmaps", config_map("a"))
    assert api.patch("configmaps/a", {"data": {}}, "application/json").code == 415


# --- server-side apply ----------------------------------------------------------------------------


def test_apply_creates_and_remembers_who_owns(api: Api) -> None:
    made = api.apply("services/a", service("a", app="a"), "one")
    assert made.code == 201
    owners = [(entry["manager"], entry["operation"]) for entry in made.body["metadata"]["managedFields"]]
    assert ("one", "Apply") in owners


def test_apply_to_the_field_of_another_is_a_conflict_that_names_it(api: Api) -> None:
    api.apply("services/a", service("a", app="a"), "one")
    theirs = named("v1", "Service", "a", spec={"selector": {"app": "b"}})
    refused = api.apply("services/a", theirs, "two")
    assert refused.code == 409
    fields = [cause["field"] for cause in refused.body["details"]["causes"]]
    assert fields
    assert all(field.startswith(".spec.selector") for field in fields)


def test_apply_by_force_takes_the_field(api: Api) -> None:
    api.apply("services/a", service("a", app="a"), "one")
    theirs = named("v1", "Service", "a", spec={"selector": {"app": "b"}})
    forced = api.apply("services/a", theirs, "two", force="true")
    assert (forced.code, forced.body["spec"]["selector"]) == (200, {"app": "b"})


def test_apply_removes_what_it_does_not_say_any_more(api: Api) -> None:
    api.apply("configmaps/a", config_map("a", x="1", y="1"), "one")
    assert api.apply("configmaps/a", config_map("a", x="1"), "one").body["data"] == {"x": "1"}


def test_apply_needs_a_manager(api: Api) -> None:
    assert api.patch("configmaps/a", config_map("a"), APPLY).code in (400, 422)
