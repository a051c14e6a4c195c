"""What runs in the cluster: the Role is what an executor uses, and the image has what it needs."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rolloutsim.cli.rbac import rbac_manifests, yaml_text
from rolloutsim.lab.target import parse_target
from rolloutsim.policy import load_policy
from tests.live.ground import NEW, NEXT
from tests.live.verbs.stage import MAIN, NAMESPACE, Stage, manifest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:rolloutsim"


def test_the_shipped_role_is_the_generated_one() -> None:
    policy = load_policy(ROOT / "scenarios/policies/httproute-canary.yaml")
    comment, _, text = (DEPLOY / "rbac.yaml").read_text().partition("\n")
    assert comment.startswith("# Made by: rolloutsim rbac")
    assert text == yaml_text(rbac_manifests(policy, "shop", "rolloutsim"))


Rights = set[tuple[str, str, str, str]]
"""(verb, group, resource, name)"""


def granted(role: dict[str, Any]) -> Rights:
    return {
        (verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or ("",)
    }


def used(shop: Stage, names: Rights) -> Rights:
    """What the account asked for and got, by the Role's own way to name it."""
    found: Rights = set()
    for seen in shop.server.requests:
        if seen.user != ACCOUNT or "/selfsubjectaccessreviews" in seen.url:
            continue
        asked = parse_target(seen.url, shop.server.kinds).attributes(seen.method)
        right = (asked.verb, asked.group, asked.resource, asked.name)
        found.add(right if right in names else (*right[:3], ""))
    return found


@pytest.mark.slow
def test_the_role_is_what_an_executor_uses(shop: Stage) -> None:
    """Under the Role alone a release is promoted, one is rolled back, one aborted from elsewhere, and all is
    forgotten. Every verb of the Role was needed for that."""
    policy = shop.canary(("setWeight: 20", "pause: {duration: 2s}"))
    account, role, binding = rbac_manifests(load_policy(policy), NAMESPACE, "rolloutsim")
    role["rules"].append({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["delete"]})
    for body in (account, role, binding):
        shop.server.apply(body, NAMESPACE)
    token = shop.server.account(ACCOUNT)
    shop.server.kubeconfig(shop.kubeconfig, token=token, namespace=NAMESPACE)
    assert shop.finish(shop.start("run", policy, "--image", NEW, "--unvetted", "a test"))[0] == 0
    shop.metrics.value = 0.5
    assert shop.finish(shop.start("run", policy, "--image", NEXT, "--unvetted", "a test"))[0] == 1
    assert shop.verb("abort", "api").exit_code == 0
    assert shop.verb("forget", "api").exit_code == 0
    assert shop.server.list("ConfigMap", NAMESPACE) == []
    assert shop.server.list("Lease", NAMESPACE) == []
    rights = granted(role)
    asked = used(shop, rights)
    # questions whose answer may be no: the cluster's uid, and what may be in the way
    optional = {
        ("get", "", "namespaces", ""),
        ("list", "networking.k8s.io", "ingresses", ""),
        ("list", "gateway.networking.k8s.io", "httproutes", ""),
    }
    assert asked - optional <= rights
    assert rights - asked == set()


@pytest.mark.slow
def test_a_right_less_is_noticed_before_anything_is_done(shop: Stage) -> None:
    """Without any single verb of the Role nothing begins, and the verb is named."""
    policy = shop.canary()
    account, full, binding = rbac_manifests(load_policy(policy), NAMESPACE, "rolloutsim")
    for body in (account, full, binding):
        shop.server.apply(body, NAMESPACE)
    token = shop.server.account(ACCOUNT)
    shop.server.kubeconfig(shop.kubeconfig, token=token, namespace=NAMESPACE)
    for missing in sorted(granted(full)):
        shop.server.apply(without(full, missing), NAMESPACE)
        refused = shop.verb("run", policy, "--image", NEW, "--unvetted", "a test")
        assert refused.exit_code == 4, (missing, refused.output)
        assert missing[0] in refused.output
        assert missing[2] in refused.output
        assert shop.server.list("Lease", NAMESPACE) == []


def without(role: dict[str, Any], missing: tuple[str, str, str, str]) -> dict[str, Any]:
    """The Role with one verb less."""
    verb, group, resource, name = missing
    less = copy.deepcopy(role)
    for rule in less["rules"]:
        same = group in rule["apiGroups"] and resource in rule["resources"]
        if same and name in (rule.get("resourceNames") or [""]):
            rule["verbs"] = [one for one in rule["verbs"] if one != verb]
    return less


def test_the_job_starts_a_run_that_the_command_line_knows(shop: Stage) -> None:
    job = YAML(typ="safe").load((DEPLOY / "job.yaml").read_text())
    made = shop.server.apply(job, NAMESPACE)
    pod = made["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "rolloutsim"
    verb, plan, *options = pod["containers"][0]["args"]
    assert (verb, plan) == ("run", "/plan/plan.json")
    help_text = shop.verb("run", "--help").output
    for option in options:
        assert option.split("=")[0] in help_text
    assert "ROLLOUTSIM_PROMETHEUS" in {one["name"] for one in pod["containers"][0]["env"]}


HEAVY = ("numba", "pandas", "matplotlib", "scipy", "simpy", "jinja2", "lightkube", "pyarrow", "distributed")


@pytest.mark.slow
def test_an_executor_needs_only_what_the_image_has(shop: Stage) -> None:
    """A whole run, with all packages out of reach that the image leaves out."""
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); {MAIN}"
    words = ["run", shop.policy(manifest(("setWeight: 20",), shop.metrics.address)), "--image", NEW]
    words += ["--unvetted", "a test", "--kubeconfig", shop.kubeconfig]
    ran = subprocess.run(
        [sys.executable, "-c", block, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    listed = (DEPLOY / "requirements.txt").read_text()
    assert not any(name in listed for name in HEAVY)
