"""What would fight a rollout is said beforehand, each with a way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.permissions import role
from rolloutsim.live.port import AUTOSCALER, DEPLOYMENT, HTTP_ROUTE, Object
from rolloutsim.live.routers import router_for
from rolloutsim.live.warnings import find_warnings, warning_rights
from rolloutsim.policy.model import Analysis, Metric, PodHashArgument, Policy, PrometheusProvider
from tests.live.kube.standing import Site, blue_green_policy, canary_policy, http_route, ingress


def found(site: Site, policy: Policy) -> list[str]:
    router = router_for(site.api, policy, site.namespace)
    return [str(warned) for warned in find_warnings(site.api, policy, site.namespace, router)]


@pytest.fixture
def shop(cluster: Site) -> Site:
    cluster.put_slots()
    cluster.put(http_route())
    return cluster


ROUTE = canary_policy("httproute/api")


@pytest.mark.cluster
class TestWarnings:
    def test_a_quiet_shop(self, shop: Site) -> None:
        assert found(shop, ROUTE) == []

    @pytest.mark.parametrize(
        ("metadata", "tool"),
        [
            ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:api"}}, "Argo CD"),
            ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD"),
            ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
            ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ],
    )
    def test_gitops(self, shop: Site, metadata: Object, tool: str) -> None:
        for ref in (shop.ref(DEPLOYMENT, "api-a"), shop.ref(HTTP_ROUTE, "api")):
            shop.api.merge_patch(ref, {"metadata": metadata})
        warned = found(shop, ROUTE)
        assert len(warned) == 2
        assert all(f"pause {tool} for it" in message for message in warned)
        assert warned[0].startswith("deployment.apps/api-a: ")

    def test_an_autoscaler(self, shop: Site) -> None:
        scaler: dict[str, Any] = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api-b"},
                "maxReplicas": 5,
            },
        }
        shop.api.create(shop.ref(AUTOSCALER, "h"), scaler)
        (message,) = found(shop, ROUTE)
        assert message.startswith("deployment.apps/api-b: the autoscaler h changes its replicas too")

    @pytest.mark.parametrize(
        ("host", "meets"),
        [
            ("api.example.com", True),
            ("*.example.com", True),
            ("", True),
            ("example.com", False),
            ("other.example.com", False),
            ("*.api.example.com", False),
        ],
    )
    def test_an_ingress_of_the_same_host(self, shop: Site, host: str, meets: bool) -> None:
        body = ingress("old", "api-stable")
        body["spec"]["rules"][0]["host"] = host
        if not host:
            del body["spec"]["rules"][0]["host"]
        shop.put(body)
        warned = found(shop, ROUTE)
        assert len(warned) == meets
        assert all("the Ingress old serves the same host" in message for message in warned)

    def test_a_second_canary_ingress(self, shop: Site) -> None:
        marked = {"nginx.ingress.kubernetes.io/canary": "true"}
        shop.put(ingress("api", "api-stable"), ingress("api-canary", "api-canary", marked))
        assert found(shop, canary_policy("ingress/api")) == []
        shop.put(ingress("api-second", "api-canary", marked))
        (message,) = found(shop, canary_policy("ingress/api"))
        assert "the canary Ingress api-second" in message

    def test_selecting_by_the_controllers_hash(self, shop: Site) -> None:
        (message,) = found(shop, blue_green_policy(revision_label="pod-template-hash"))
        assert "name it in revisionLabel" in message


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ('rate(x{pod_template_hash="{{args.h}}"}[1m])', True),
        ('rate(x{rollouts_pod_template_hash="{{args.h}}"}[1m])', False),
        ("rate(x[1m])", False),
    ],
)
def test_a_query_by_the_wrong_label(site: Site, query: str, warned: bool) -> None:
    analysis = Analysis((Metric("m", PrometheusProvider(query)),), (PodHashArgument("h", latest=True),))
    policy = blue_green_policy()
    policy = replace(policy, strategy=replace(policy.strategy, pre_promotion=analysis))  # type: ignore[type-var]
    messages = [message for message in found(site, policy) if "rollouts_pod_template_hash" in message]
    assert len(messages) == warned


def test_without_the_right_to_look(server: Server, shop: Site) -> None:
    policy = ROUTE
    reading = [*router_for(shop.api, policy, "shop").rights]
    rules = role("r", "shop", reading)["rules"]
    slots = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    token = server.account("robot", [*rules, slots], "shop")
    api = HttpKubernetes(Access("lab", server.url, credentials=Credentials(token=token)))
    messages = found(Site(api, "shop", controllers=False), policy)
    assert len(messages) == 2
    assert all(message.startswith("permissions: could not look") for message in messages)
    api.close()
    more = [*rules, slots, *role("r", "shop", warning_rights(policy))["rules"]]
    api = HttpKubernetes(
        Access("lab", server.url, credentials=Credentials(token=server.account("robot2", more, "shop")))
    )
    assert found(Site(api, "shop", controllers=False), policy) == []
    api.close()
