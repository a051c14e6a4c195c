"""What a Rollout names beside its templates: Services, VirtualServices, Mappings."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policy_text
from tests.policy.policy_manifests import BLUE_GREEN, changed
from tests.policy.test_argo_rollout import ROUTED, SERVICES


def routed(router: str) -> str:
    return changed(ROUTED, "plugins: {fake: {}}", router) + SERVICES


@pytest.mark.parametrize("role", ["stable", "canary"])
def test_a_service_may_select_labels_that_only_its_version_has(role: str) -> None:
    services = changed(
        SERVICES,
        f"{{name: {role}}}\nspec: {{selector: {{app: api",
        f"{{name: {role}}}\nspec: {{selector: {{app: api, role: mine",
    )
    with pytest.raises(PolicyError, match=r"spec\.selector\.role: the selector of Service"):
        load_policy_text(ROUTED + services)
    labelled = changed(
        ROUTED,
        "      stableService",
        f"      {role}Metadata: {{labels: {{role: mine}}}}\n      stableService",
    )
    assert load_policy_text(labelled + services).name == "api"
    with pytest.raises(PolicyError, match="the selector of Service"):
        load_policy_text(labelled.replace("mine", "other") + services)


@pytest.mark.parametrize("role", ["active", "preview"])
def test_labels_of_the_versions_of_a_blue_green(role: str) -> None:
    name = {"active": "api", "preview": "api-preview"}[role]
    text = changed(
        BLUE_GREEN,
        f"metadata: {{name: {name}}}\nspec: {{selector: {{app: api}}}}",
        f"metadata: {{name: {name}}}\nspec: {{selector: {{role: mine}}}}",
    )
    with pytest.raises(PolicyError, match="the selector of Service"):
        load_policy_text(text)
    metadata = f"      {role}Metadata: {{labels: {{role: mine}}}}\n      activeService"
    assert load_policy_text(changed(text, "      activeService", metadata)).name == "api"


def test_a_mapping_that_is_split_has_no_weight_of_its_own() -> None:
    text = routed("ambassador: {mappings: [api]}")
    mapping = (
        "---\napiVersion: getambassador.io/v2\nkind: Mapping\nmetadata: {name: api}\nspec: {weight: W}\n"
    )
    for weight in ("0", "null"):
        assert load_policy_text(text + mapping.replace("W", weight)).name == "api"
    with pytest.raises(PolicyError, match=r"spec\.weight: a Mapping that Argo Rollouts splits .*got 20"):
        load_policy_text(text + mapping.replace("W", "20"))


BOTH = "route: [{destination: {host: stable}}, {destination: {host: canary.shop.svc}}]"
SUBSETS = "route: [{destination: {host: api, subset: old}}, {destination: {host: api, subset: new}}]"
RULE = "destinationRule: {name: api, stableSubsetName: old, canarySubsetName: new}"


def virtual_service(spec: str, name: str = "web") -> str:
    head = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
    return f"{head}metadata: {{name: {name}}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("istio", "spec"),
    [
        ("virtualService: {name: web}", f"{{http: [{{{BOTH}}}]}}"),
        ("virtualService: {name: web.shop}", f"{{http: [{{{BOTH}}}]}}"),
        ("virtualServices: [{name: web}]", f"{{http: [{{name: a, {BOTH}}}]}}"),
        ("virtualService: {name: web, routes: [b]}", f"{{http: [{{name: a}}, {{name: b, {BOTH}}}]}}"),
        (f"virtualService: {{name: web}}, {RULE}", f"{{http: [{{{SUBSETS}}}]}}"),
        ("virtualService: {name: web}", f"{{http: [{{name: mine}}, {{{BOTH}}}]}}"),
        ("virtualService: {name: web}", f"{{tcp: [{{{BOTH}}}]}}"),
        (
            "virtualService: {name: web, tcpRoutes: [{port: 5}]}",
            f"{{tcp: [{{}}, {{match: [{{port: 5}}], {BOTH}}}]}}",
        ),
        (
            "virtualService: {name: web, tlsRoutes: [{port: 443, sniHosts: [b, a]}]}",
            f"{{tls: [{{match: [{{port: 443, sniHosts: [a, b]}}], {BOTH}}}, {{match: [{{port: 444}}]}}]}}",
        ),
        (
            "virtualService: {name: web, tlsRoutes: [{sniHosts: [a]}]}",
            f"{{tls: [{{match: [{{sniHosts: [a]}}], {BOTH}}}]}}",
        ),
        ("virtualService: {name: elsewhere}", "{}"),
    ],
)
def test_virtual_services_that_lead_to_both_versions(istio: str, spec: str) -> None:
    text = routed(f"managedRoutes: [{{name: mine}}]\n        istio: {{{istio}}}")
    assert load_policy_text(text + virtual_service(spec)).name == "api"


ONE = "route: [{destination: {host: stable}}]"


@pytest.mark.parametrize(
    ("istio", "spec", "why"),
    [
        ("virtualService: {name: web}", "{hosts: [web]}", "has no HTTP, TCP or TLS routes"),
        ("virtualService: {name: web}", f"{{http: [{{{ONE}}}]}}", "no destination with the Service 'canary'"),
        ("virtualService: {name: web}", f"{{tls: [{{{ONE}}}]}}", "no destination with the Service 'canary'"),
        (
            "virtualService: {name: web}",
            f"{{http: [{{{ONE.replace('stable', 'canary')}}}]}}",
            "the Service 'stable'",
        ),
        (
            "virtualService: {name: web, routes: [b]}",
            f"{{http: [{{name: a, {BOTH}}}]}}",
            "has no such http route",
        ),
        ("virtualService: {name: web}", f"{{http: [{{name: a, {BOTH}}}, {{{BOTH}}}]}}", "has 2 http routes"),
        ("virtualService: {name: web}", f"{{tcp: [{{{BOTH}}}, {{{BOTH}}}]}}", "has 2 tcp routes"),
        (f"virtualService: {{name: web}}, {RULE}", f"{{http: [{{{BOTH}}}]}}", "the subset 'new'"),
        (
            "virtualService: {name: web}, destinationRule: {name: a}",
            f"{{http: [{{{BOTH}}}]}}",
            "the subset ''",
        ),
        (
            "virtualService: {name: web, tcpRoutes: [{port: 5}]}",
            f"{{tcp: [{{match: [{{port: 5}}, {{port: 6}}], {BOTH}}}]}}",
            "has no such tcp route",
        ),
        (
            "virtualService: {name: web, tlsRoutes: [{port: 5, sniHosts: [a]}]}",
            f"{{tls: [{{match: [{{port: 5, sniHosts: [a, b]}}], {BOTH}}}]}}",
            "has no such tls route",
        ),
        ("virtualService: {name: web}", "{http: {a: 1}}", "expected a list"),
    ],
)
def test_virtual_services_that_do_not(istio: str, spec: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        load_policy_text(routed(f"istio: {{{istio}}}") + virtual_service(spec))
