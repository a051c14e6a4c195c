"""Injected faults, the in-process interface, and watches that end."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest

from rolloutsim.lab import Refused
from tests.lab.conftest import APPLY, MAPS, MERGE, config_map

GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"


def test_answers_for_the_next_matching_requests(server, call):
    server.create("ConfigMap", config_map("a"))
    server.faults.answer(429, 2, method="PATCH", path="/configmaps/", retry_after_s=1)
    assert call("GET", f"{MAPS}/a")[0] == 200
    for _ in range(2):
        answer = call.http.request(
            "PATCH", f"{MAPS}/a", json={"data": {"k": "v"}}, headers={"Content-Type": MERGE}
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "k" not in server.get("ConfigMap", "a")["data"]
    assert call("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, MERGE)[0] == 200


def test_an_error_after_the_write(server, call):
    server.faults.answer(500, acted=True)
    assert call("POST", MAPS, config_map("a"))[0] == 500
    assert server.get("ConfigMap", "a") is not None


@pytest.mark.parametrize("acted", [True, False])
def test_a_lost_answer(server, call, acted):
    server.faults.lose(1, acted=acted)
    with pytest.raises(httpx.TransportError):
        call("POST", MAPS, config_map("a"))
    assert (server.get("ConfigMap", "a") is not None) == acted


def test_slow(server, call):
    server.faults.slow(0.3)
    began = time.perf_counter()
    assert call("GET", MAPS)[0] == 200
    assert time.perf_counter() - began >= 0.3


def test_down_and_back_on_the_same_port(server, call):
    server.create("ConfigMap", config_map("a"))
    url = server.url
    server.stop()
    with pytest.raises(httpx.TransportError):
        call("GET", MAPS)
    server.start()
    assert server.url == url
    assert call("GET", f"{MAPS}/a")[0] == 200


def _watch(call, seen, ended, **query):
    def run():
        try:
            with call.http.stream("GET", MAPS, params={"watch": "1", **query}, timeout=5) as answer:
                for line in answer.iter_lines():
                    seen.append(json.loads(line))
        except httpx.TransportError as error:
            seen.append(error)
        ended.set()

    threading.Thread(target=run, daemon=True).start()


def _until(holds):
    ends = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_watches_are_cut(server, call):
    seen, ended = [], threading.Event()
    _watch(call, seen, ended)
    server.create("ConfigMap", config_map("a"))
    _until(lambda: seen)
    server.cut_watches()
    assert ended.wait(2)
    assert [each["type"] for each in seen[:1]] == ["ADDED"]
    assert isinstance(seen[-1], httpx.TransportError)


def test_a_watch_expires_with_the_history(server, call):
    at = call("GET", MAPS)[1]["metadata"]["resourceVersion"]
    server.create("ConfigMap", config_map("a"))
    server.expire_history()
    seen, ended = [], threading.Event()
    _watch(call, seen, ended, resourceVersion=at)
    assert ended.wait(2)
    assert [each["type"] for each in seen] == ["ERROR"]
    status = seen[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")


def test_a_running_watch_expires_too(server, call):
    seen, ended = [], threading.Event()
    at = call("GET", MAPS)[1]["metadata"]["resourceVersion"]
    _watch(call, seen, ended, resourceVersion=at)
    _until(lambda: any("watch=1" in each.url for each in server.requests))
    server.expire_history()
    assert ended.wait(2)
    assert [each["object"]["code"] for each in seen] == [410]


def test_a_list_goes_on_until_the_history_expires(server, call):
    for name in "abc":
        server.create("ConfigMap", config_map(name))
    page = call("GET", MAPS, limit=2)[1]
    assert page["metadata"]["remainingItemCount"] == 1
    rest = call("GET", MAPS, limit=2, **{"continue": page["metadata"]["continue"]})[1]
    assert [each["metadata"]["name"] for each in rest["items"]] == ["c"]
    server.expire_history()
    assert call("GET", MAPS, **{"continue": page["metadata"]["continue"]})[0] == 410


def test_bookmarks_of_a_quiet_watch(server, call):
    server.bookmark_s = 0.1
    seen, ended = [], threading.Event()
    _watch(call, seen, ended, allowWatchBookmarks="true", timeoutSeconds=1)
    _until(lambda: [each for each in seen if each["type"] == "BOOKMARK"])
    server.create("Secret", {"metadata": {"name": "other"}})
    newest = server.store.revision
    _until(lambda: seen[-1]["object"]["metadata"]["resourceVersion"] == str(newest))
    assert ended.wait(3)


def test_callbacks_run_in_the_request_and_may_write(server, call):
    seen = []

    def told(kind, thing):
        seen.append((kind, thing["metadata"]["name"]))
        if server.get(kind, thing["metadata"]["name"]) is not None:
            server.write_status(kind, thing["metadata"]["name"], {"parents": [{"n": 1}]})

    server.after_write(told)
    route = {"metadata": {"name": "r"}, "spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80}]}]}}
    assert call("POST", GATEWAY, route)[0] == 201
    assert call("GET", f"{GATEWAY}/r")[1]["status"] == {"parents": [{"n": 1}]}
    assert call("PATCH", f"{GATEWAY}/r", {"metadata": {"labels": {}}}, MERGE)[0] == 200
    call("PATCH", f"{GATEWAY}/r", {"metadata": {"labels": {"a": "b"}}}, MERGE, dryRun="All")
    server.patch("HTTPRoute", "r", {"metadata": {"labels": {"a": "b"}}})
    assert seen == [("HTTPRoute", "r"), ("HTTPRoute", "r")]  # the second: an empty map is a change
    assert call("DELETE", f"{GATEWAY}/r")[0] == 200
    assert seen[-1] == ("HTTPRoute", "r")
    assert server.get("HTTPRoute", "r") is None


def test_what_is_given_out_is_a_copy(server):
    server.create("ConfigMap", config_map("a", k="v"))
    server.get("ConfigMap", "a")["data"]["k"] = "changed"
    server.list("ConfigMap")[0]["data"]["k"] = "changed"
    assert server.get("ConfigMap", "a")["data"] == {"k": "v"}
    with pytest.raises(Refused, match="not found"):
        server.write_status("HTTPRoute", "none", {})


def test_an_apply_meets_a_foreign_edit(server, call):
    """The executor's weights, somebody's kubectl patch, and who owns what afterwards."""
    backends = [{"name": "a", "port": 80, "weight": 95}, {"name": "b", "port": 80, "weight": 5}]
    body = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"}}
    body["spec"] = {"rules": [{"backendRefs": backends}]}
    assert call("PATCH", f"{GATEWAY}/r", body, APPLY, fieldManager="rolloutsim")[0] == 201
    edit = {"spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80, "weight": 1}]}]}}
    assert call("PATCH", f"{GATEWAY}/r", edit, MERGE, fieldManager="kubectl-patch")[0] == 200
    code, told = call("PATCH", f"{GATEWAY}/r", body, APPLY, fieldManager="rolloutsim")
    assert (code, told["reason"]) == (409, "Conflict")
    assert told["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-patch" using gateway.networking.k8s.io/v1',
            "field": ".spec.rules",
        }
    ]
    code, after = call("PATCH", f"{GATEWAY}/r", body, APPLY, fieldManager="rolloutsim", force="true")
    assert code == 200
    assert after["spec"]["rules"][0]["backendRefs"][1]["weight"] == 5
    owners = [each["manager"] for each in after["metadata"]["managedFields"]]
    assert owners == ["rolloutsim"]
    again = call("PATCH", f"{GATEWAY}/r", body, APPLY, fieldManager="rolloutsim")[1]
    assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def test_apply_removes_the_item_it_no_longer_names(server, call):
    def deployment(*names):
        containers = [{"name": name, "image": "x"} for name in names]
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}

    path = "/apis/apps/v1/namespaces/default/deployments/d"
    assert call("PATCH", path, deployment("one", "two"), APPLY, fieldManager="m")[0] == 201
    code, after = call("PATCH", path, deployment("two"), APPLY, fieldManager="m")
    assert code == 200, after
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["two"]
    code, after = call(
        "PATCH",
        path,
        {"spec": {"template": {"spec": {"containers": [{"name": "three", "image": "y"}]}}}},
        "application/strategic-merge-patch+json",
    )
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["two", "three"]
    code, after = call("PATCH", path, deployment("one"), APPLY, fieldManager="m")
    assert {each["name"] for each in after["spec"]["template"]["spec"]["containers"]} == {"one", "three"}


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({"metadata": {"annotations": {"canary-weight": 25}}}, "cannot unmarshal number"),
        ({"spec": {"replicas": "3"}}, "cannot unmarshal string"),
    ],
)
def test_wrong_types_are_refused_as_the_decoder_does(server, call, patch, told):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    server.create("Deployment", {"metadata": {"name": "d"}, "spec": spec})
    code, answer = call("PATCH", "/apis/apps/v1/namespaces/default/deployments/d", patch, MERGE)
    assert code == 400
    assert told in answer["message"]


def test_too_much_for_a_config_map(server, call):
    code, told = call("POST", MAPS, config_map("a", k="x" * 1_048_577))
    assert (code, told["reason"]) == (422, "Invalid")


def test_owners_take_their_dependents_with_them(server, call):
    owner = server.create("ConfigMap", config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    for name in ("one", "two"):
        server.create("ConfigMap", {"metadata": {"name": name, "ownerReferences": [reference]}})
    orphan = {"propagationPolicy": "Orphan"}
    assert call("DELETE", f"{MAPS}/owner", orphan)[0] == 200
    assert len(server.list("ConfigMap")) == 2
    owner = server.create("ConfigMap", config_map("owner"))
    reference["uid"] = owner["metadata"]["uid"]
    server.create("ConfigMap", {"metadata": {"name": "three", "ownerReferences": [reference]}})
    assert call("DELETE", f"{MAPS}/owner")[0] == 200
    assert {each["metadata"]["name"] for each in server.list("ConfigMap")} == {"one", "two"}


def test_finalizers_hold_an_object(server, call):
    server.create("ConfigMap", {"metadata": {"name": "a", "finalizers": ["x/y"]}})
    code, held = call("DELETE", f"{MAPS}/a")
    assert code == 200
    assert "deletionTimestamp" in held["metadata"]
    assert call("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, MERGE)[0] == 200
    assert server.get("ConfigMap", "a") is None


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", MAPS, [1], 400),
        ("POST", MAPS, {"metadata": "x"}, 400),
        ("POST", MAPS, {"metadata": {"name": "Not Valid"}}, 422),
        ("POST", MAPS, {"metadata": {"name": "a", "namespace": "other"}}, 400),
        ("POST", MAPS.replace("default", "none"), {"metadata": {"name": "a"}}, 404),
        ("GET", MAPS + "?limit=many", None, 400),
        ("GET", MAPS + "?labelSelector=a%3D%3D%3D", None, 400),
        ("GET", MAPS + "?fieldSelector=data.k%3D1", None, 400),
        ("GET", "/apis/none/v1/things", None, 404),
        ("PUT", MAPS, {}, 405),
        ("PATCH", MAPS + "/a", [], 415),
    ],
)
def test_what_cannot_be_understood_is_answered(server, call, method, path, body, code):
    answer = call.http.request(method, path, json=body)
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status"


def test_an_answer_too_large_or_without_length(server, call):
    assert call("POST", MAPS, config_map("a", k="x" * 4_000_000))[0] == 413
    answer = call.http.post(MAPS, content=iter([b"{}"]))
    assert answer.status_code == 411
