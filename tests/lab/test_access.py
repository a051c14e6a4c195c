"""Tokens and RBAC."""

from __future__ import annotations

import stat

import httpx
import pytest

from rolloutsim.lab import Server
from rolloutsim.lab.children import find_program
from tests.lab.conftest import MAPS, MERGE, Client, config_map

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
READ = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}])
def test_without_a_token_nothing(server, header):
    answer = httpx.get(server.url + "/version", headers=header, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"


def test_only_what_the_role_allows(server):
    robot = Client(server, server.account("robot", [READ], "default"))
    assert robot("GET", DEPLOYMENTS)[0] == 200
    code, told = robot("GET", "/apis/apps/v1/namespaces/kube-system/deployments")
    assert code == 403
    assert told["message"] == (
        'deployments.apps is forbidden: User "robot" cannot list resource "deployments" in API group "apps" '
        'in the namespace "kube-system"'
    )
    code, told = robot("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 1}}, MERGE)
    assert (code, told["reason"]) == (403, "Forbidden")
    assert 'deployments.apps "web" is forbidden: User "robot" cannot patch' in told["message"]
    assert 'resource "deployments/scale"' in told["message"]
    code, told = robot("GET", MAPS, watch="1")
    assert code == 403
    assert "cannot watch" in told["message"]
    robot.http.close()


def test_names_of_resources(server):
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["mine"],
        "verbs": ["get", "list"],
    }
    robot = Client(server, server.account("robot", [rule], "default"))
    assert robot("GET", f"{MAPS}/mine")[0] == 404
    assert robot("GET", f"{MAPS}/other")[0] == 403
    assert robot("GET", MAPS)[0] == 403
    assert robot("GET", MAPS, fieldSelector="metadata.name=mine")[0] == 200
    robot.http.close()


def test_apply_of_what_is_not_there_needs_create(server):
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}
    robot = Client(server, server.account("robot", [rule], "default"))
    media = "application/apply-patch+yaml"
    code, told = robot("PATCH", f"{MAPS}/a", config_map("a", k="v"), media, fieldManager="m")
    assert code == 403
    assert "cannot create" in told["message"]
    server.create("ConfigMap", config_map("a"))
    assert robot("PATCH", f"{MAPS}/a", config_map("a", k="v"), media, fieldManager="m")[0] == 200
    robot.http.close()


def test_service_accounts_follow_the_objects(server, call):
    user = "system:serviceaccount:default:bot"
    token = server.account(user)
    bot = Client(server, token)
    assert bot("GET", MAPS)[0] == 403
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    assert call("POST", f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})[0] == 201
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}],
    }
    assert call("POST", f"{rbac}/rolebindings", binding)[0] == 201
    assert bot("GET", MAPS)[0] == 200
    assert call("DELETE", f"{rbac}/rolebindings/b")[0] == 200
    assert bot("GET", MAPS)[0] == 403
    bot.http.close()


def test_reviews_answer_as_the_role_does(server):
    robot = Client(server, server.account("robot", [READ], "default"))
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    def may(verb: str, resource: str = "deployments", namespace: str = "default") -> bool:
        what = {"verb": verb, "group": "apps", "resource": resource, "namespace": namespace}
        code, told = robot("POST", path, {"spec": {"resourceAttributes": what}})
        assert code == 201
        return told["status"]["allowed"]

    assert may("get")
    assert not may("patch")
    assert not may("get", "replicasets")
    assert not may("get", namespace="")
    robot.http.close()


def test_a_kubeconfig_is_for_its_owner_only(server, tmp_path):
    path = server.kubeconfig(tmp_path / "config")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("old")
    server.kubeconfig(path)
    assert server.token in path.read_text()


def test_two_servers_do_not_know_each_others_tokens(server):
    with Server() as other:
        answer = httpx.get(
            other.url + "/version", headers={"Authorization": f"Bearer {server.token}"}, trust_env=False
        )
        assert answer.status_code == 401


def test_programs_are_found_beside_this_python():
    assert find_program("python3") is not None
    assert find_program("no-such-program") is None
