"""Slots and a router as the loop's hands and eyes: one release from start to end, by engine's words."""

from __future__ import annotations

import pytest

from rolloutsim.engine import Failure, RevisionSeen, Role, ServiceSeen, WeightSeen
from rolloutsim.lab import Server
from rolloutsim.live.cluster import ClusterTraffic, ClusterWorkload, observations, watched
from rolloutsim.live.hands import Pods, Traffic, Undone, Workload
from rolloutsim.live.port import DEPLOYMENT, HTTP_ROUTE, SERVICE, Object
from rolloutsim.live.routers import Router, router_for
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.policy.model import Policy
from tests.live.kube.standing import (
    Site,
    blue_green_policy,
    canary_policy,
    deployment,
    http_route,
    service,
    template,
)


def hands(
    site: Site, policy: Policy, templates: dict[str, Object], stable: str
) -> tuple[SlotPair, Router, ClusterWorkload, ClusterTraffic]:
    slots, router = SlotPair(site.api, policy, site.namespace), router_for(site.api, policy, site.namespace)
    workload = ClusterWorkload(slots, router, templates.get, lambda: stable)
    return slots, router, workload, ClusterTraffic(router)


@pytest.mark.cluster
def test_a_canary_from_start_to_end(cluster: Site) -> None:
    cluster.put_slots()
    cluster.put(http_route())
    policy, stable, templates = canary_policy("httproute/api"), cluster.held("api-a"), {}
    slots, router, workload, traffic = hands(cluster, policy, templates, stable)
    protocols: tuple[Workload, Traffic] = (workload, traffic)
    assert protocols
    new = slots.identify(template("shop/api:2"), stable)
    templates[new] = template("shop/api:2")

    assert workload.create(new).desired == 0
    cluster.caught_up(cluster.ref(DEPLOYMENT, "api-b"))
    assert workload.scale(new, 1).desired == 1
    cluster.caught_up(cluster.ref(DEPLOYMENT, "api-b"), ready=1)
    assert traffic.set_weight(5) is False  # no controller has answered
    traffic.set_service(Role.CANARY, new)

    objects = look(cluster.api, watched(slots, router))
    assert {ref.kind for ref in objects} == {DEPLOYMENT, SERVICE, HTTP_ROUTE}
    seen = list(observations(slots.read(objects), router.read(objects), 9))
    assert seen[:3] == [
        ServiceSeen(9, Role.STABLE, stable),
        ServiceSeen(9, Role.CANARY, new),
        WeightSeen(9, 5, False),
    ]
    if not cluster.controllers:
        assert seen[3:] == [RevisionSeen(9, stable, 2, 2, 2, 2), RevisionSeen(9, new, 1, 1, 1, 1)]

    traffic.set_weight(100)
    traffic.set_service(Role.STABLE, new)
    traffic.set_weight(0)
    workload.scale(stable, 0)
    assert cluster.api.get(cluster.ref(SERVICE, "api-stable"))["spec"]["selector"]["slot"] == "b"
    assert workload.remove(stable).desired == 0
    assert cluster.held("api-b") == new


def test_counts_wait_for_the_controller(site: Site) -> None:
    site.put_slots()
    slots, router, workload, _ = hands(site, blue_green_policy(), {}, site.held("api-a"))
    workload.scale(site.held("api-a"), 5)
    objects = look(site.api, watched(slots, router))
    seen = list(observations(slots.read(objects), router.read(objects), 1))
    assert [one.revision for one in seen if isinstance(one, RevisionSeen)] == [site.held("api-b")]


def test_what_could_not_be_done(server: Server, site: Site) -> None:
    site.put_slots()
    stable = site.held("api-a")
    _, _, workload, traffic = hands(site, blue_green_policy(), {}, stable)
    for refused in (
        lambda: workload.create("new"),
        lambda: workload.scale("new", 1),
        lambda: traffic.set_weight(5),
        lambda: traffic.set_service(Role.ACTIVE, "new"),
        lambda: traffic.set_route("header", "{}"),
    ):
        with pytest.raises(Undone) as caught:
            refused()
        assert caught.value.how is Failure.REFUSED
    server.faults.lose(1, method="PATCH")
    with pytest.raises(Undone) as caught:
        workload.scale(stable, 3)
    assert caught.value.how is Failure.UNKNOWN
    traffic.remove_routes()


def test_a_single_deployment_is_bound_before_its_copy_gets_pods(site: Site) -> None:
    """Both would get the requests of a Service that selects ``app: api`` alone."""
    site.put(deployment("api", {"app": "api"}, "shop/api:1", replicas=2))
    site.put(service("api-stable", {"app": "api"}), service("api-canary", {"app": "api"}))
    site.replica_set(site.ref(DEPLOYMENT, "api"), "5c6d7")
    policy = blue_green_policy(deployments=("api",), revision_label="pod-template-hash")
    stable = site.held("api")
    templates: dict[str, Object] = {}
    slots, router, workload, traffic = hands(site, policy, templates, stable)
    new = slots.identify(template("shop/api:2"), stable)
    templates[new] = template("shop/api:2")

    def services() -> list[str]:
        objects = look(site.api, watched(slots, router))
        return [
            one.revision
            for one in observations(slots.read(objects), router.read(objects), 0)
            if isinstance(one, ServiceSeen)
        ]

    assert services() == [stable, stable]
    assert workload.create(new) == Pods()
    for name in ("api-stable", "api-canary"):
        selector = site.api.get(site.ref(SERVICE, name))["spec"]["selector"]
        assert selector == {"app": "api", "pod-template-hash": "5c6d7"}
    assert services() == [stable, stable]

    with pytest.raises(Undone, match="no ReplicaSet for its template yet"):
        traffic.set_service(Role.PREVIEW, new)
    site.replica_set(site.ref(DEPLOYMENT, "api-next"), "77aa1")
    traffic.set_service(Role.PREVIEW, new)
    assert services() == [stable, new]
    assert router.kubectl_service(Role.ACTIVE, new) == (
        'kubectl -n shop patch service api-stable --type=merge -p \'{"spec":{"selector":'
        '{"pod-template-hash":"77aa1"}}}\'',
    )
    ref = site.ref(SERVICE, "api-canary")
    site.api.merge_patch(ref, {"spec": {"selector": {"pod-template-hash": "5c6d7"}}})
    assert services() == [stable, ""]
