"""Objects of the API: what the server adds, whole replacement, dry runs, validation, subresources."""

from __future__ import annotations

import pytest

from tests.lab.semantics.api import Api, config_map, deployment, lease, route, service

pytestmark = pytest.mark.cluster


def test_the_server_completes_a_new_object(api: Api) -> None:
    made = api.create("configmaps", config_map("a"))
    assert made.code == 201
    assert made.body["metadata"].keys() >= {"resourceVersion", "uid", "creationTimestamp"}


def test_a_name_is_taken_once(api: Api) -> None:
    api.create("configmaps", config_map("a"))
    assert api.create("configmaps", config_map("a")).failure == (409, "AlreadyExists")


def test_what_is_not_there_is_a_status(api: Api) -> None:
    missing = api.get("configmaps/none")
    assert missing.failure == (404, "NotFound")
    assert missing.body["kind"] == "Status"


def test_put_replaces_the_object(api: Api) -> None:
    found = api.create("configmaps", config_map("a", old="1", kept="1"))
    put = api.put("configmaps/a", {**found.body, "data": {"kept": "2"}})
    assert put.code == 200
    assert put.body["data"] == {"kept": "2"}
    assert put.version != found.version


def test_put_of_an_outdated_object_is_a_conflict(api: Api) -> None:
    found = api.create("configmaps", config_map("a"))
    api.patch("configmaps/a", {"data": {"other": "1"}})
    assert api.put("configmaps/a", found.body).failure == (409, "Conflict")


def test_put_without_a_version_asks_no_condition(api: Api) -> None:
    api.create("configmaps", config_map("a"))
    assert api.put("configmaps/a", config_map("a", new="1")).code == 200


def test_put_of_a_lease_needs_a_version(api: Api) -> None:
    api.create("leases", lease("a", "one"))
    assert api.put("leases/a", lease("a", "two")).code == 422


def test_a_dry_run_creates_nothing(api: Api) -> None:
    assert api.create("configmaps", config_map("a"), dryRun="All").code == 201
    assert api.get("configmaps/a").code == 404


def test_a_dry_run_changes_nothing(api: Api) -> None:
    api.create("configmaps", config_map("a", x="1"))
    tried = api.patch("configmaps/a", {"data": {"x": "2"}}, dryRun="All")
    assert (tried.code, tried.body["data"]) == (200, {"x": "2"})
    assert api.get("configmaps/a").body["data"] == {"x": "1"}


def test_an_impossible_port_is_invalid(api: Api) -> None:
    assert api.create("services", service("a", port=99_999, app="a")).failure == (422, "Invalid")


def test_an_unknown_field_is_refused_when_asked_for(api: Api) -> None:
    body = service("a", app="a")
    body["spec"]["unheardOf"] = 1
    assert api.create("services", body, fieldValidation="Strict").code == 400


def test_a_custom_resource_loses_unknown_fields_and_gets_its_defaults(api: Api) -> None:
    body = route("a", old=95, new=5)
    body["spec"]["unheardOf"] = 1
    made = api.create("httproutes", body)
    assert made.code == 201
    assert "unheardOf" not in made.body["spec"]
    rule = made.body["spec"]["rules"][0]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert [backend["kind"] for backend in rule["backendRefs"]] == ["Service", "Service"]


def test_the_status_is_written_apart(api: Api) -> None:
    api.create("deployments", deployment("a"))
    both = {"status": {"observedGeneration": 7}, "spec": {"replicas": 9}}
    main = api.patch("deployments/a", {"status": both["status"]})
    assert main.body.get("status", {}).get("observedGeneration") != 7
    status = api.patch("deployments/a/status", both)
    assert status.code == 200
    assert status.body["spec"]["replicas"] == 0


def test_the_generation_counts_changes_of_the_spec(api: Api) -> None:
    api.create("deployments", deployment("a"))

    def generation(patch: dict[str, object]) -> int:
        return int(api.patch("deployments/a", patch).body["metadata"]["generation"])

    first = generation({"spec": {"minReadySeconds": 1}})
    assert generation({"metadata": {"labels": {"x": "y"}}}) == first
    assert generation({"spec": {"minReadySeconds": 2}}) == first + 1


def test_pods_are_scaled_through_a_subresource(api: Api) -> None:
    api.create("deployments", deployment("a"))
    scaled = api.patch("deployments/a/scale", {"spec": {"replicas": 0}})
    assert (scaled.code, scaled.body["kind"]) == (200, "Scale")


def test_deletion_may_name_the_object_that_it_means(api: Api) -> None:
    api.create("configmaps", config_map("a"))
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "another"}}
    assert api.delete("configmaps/a", options).code == 409
    assert api.get("configmaps/a").code == 200
