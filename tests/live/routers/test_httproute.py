"""Which weights of a route count, and when they are verified."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from rolloutsim.live.port import HTTP_ROUTE, Object, Ref, Refused
from rolloutsim.live.routers.httproute import RouteWeights
from rolloutsim.live.routers.router import Weighed
from rolloutsim.policy.model import Policy
from tests.live.kube.standing import Site, canary_policy, http_route

REF = Ref(HTTP_ROUTE, "shop", "api")


def read(route: Object, *, total: int = 100) -> Weighed:
    policy: Policy = canary_policy("httproute/api", max_weight=total)
    return RouteWeights(None, policy, "shop", "api", total).read({REF: route})  # type: ignore[arg-type]


def answered(generation: int = 3, **conditions: str) -> Object:
    """A route at generation 3 whose parent's controller has answered for ``generation``."""
    route = http_route(75, 25)
    route["metadata"].update(generation=3, namespace="shop")
    said = {"Accepted": "True", "ResolvedRefs": "True", **conditions}
    route["status"] = {
        "parents": [
            {
                "parentRef": {"name": "public", "namespace": "shop"},
                "controllerName": "example.com/gateway",
                "conditions": [
                    {"type": kind, "status": status, "observedGeneration": generation, "message": "why"}
                    for kind, status in said.items()
                ],
            }
        ]
    }
    return route


class TestVerification:
    def test_accepted_at_the_present_generation(self) -> None:
        assert read(answered()) == Weighed(25, True)

    @pytest.mark.parametrize(
        ("route", "why"),
        [
            (answered(2), "has not seen the present weights"),
            (answered(Accepted="False"), "Accepted is False: why"),
            (answered(Accepted="Unknown"), "Accepted is Unknown"),
            (answered(ResolvedRefs="False"), "ResolvedRefs is False"),
            (answered(PartiallyInvalid="True"), "PartiallyInvalid"),
            (http_route(75, 25), "no controller has answered"),
        ],
    )
    def test_what_is_not_verified_says_why(self, route: Object, why: str) -> None:
        route = copy.deepcopy(route)
        route["metadata"].setdefault("generation", 3)
        seen = read(route)
        assert (seen.weight, seen.verified) == (25, False)
        assert why in seen.problem

    def test_a_controller_that_does_not_say_which_generation(self) -> None:
        route = answered()
        for condition in route["status"]["parents"][0]["conditions"]:
            del condition["observedGeneration"]
        assert read(route) == Weighed(25, None)

    def test_every_parent_has_to_agree(self) -> None:
        route = answered()
        route["spec"]["parentRefs"].append({"name": "internal", "sectionName": "http"})
        assert "no controller has answered httproute" in read(route).problem
        second = copy.deepcopy(route["status"]["parents"][0])
        second["parentRef"] = {"name": "internal", "namespace": "shop", "sectionName": "http"}
        route["status"]["parents"].append(second)
        assert read(route).verified is True
        second["conditions"][0]["status"] = "False"
        assert read(route).verified is False

    def test_without_parents_nobody_serves_it(self) -> None:
        route = answered()
        route["spec"]["parentRefs"] = []
        assert "no parentRefs" in read(route).problem

    def test_partially_invalid_that_is_over(self) -> None:
        assert read(answered(PartiallyInvalid="False")).verified is True


class TestShares:
    @pytest.mark.parametrize(
        ("stable", "canary", "total", "weight"),
        [
            (1, 0, 100, 0),
            (0, 1, 100, 100),
            (3, 1, 100, 25),
            (950, 50, 100, 5),
            (995, 5, 1000, 5),
            (2, 2, 10, 5),
        ],
    )
    def test_shares_are_of_the_sum(self, stable: int, canary: int, total: int, weight: int) -> None:
        assert read(http_route(stable, canary), total=total).weight == weight

    @pytest.mark.parametrize(("stable", "canary"), [(2, 1), (99, 200), (1000, 1)])
    def test_shares_between_two_weights_are_never_taken_for_a_weight(self, stable: int, canary: int) -> None:
        seen = read(http_route(stable, canary))
        assert seen.verified is False
        assert seen.weight is not None
        assert seen.weight > 100 * canary / (stable + canary)

    def test_a_weight_that_is_left_out_is_one(self) -> None:
        route = http_route()
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            del backend["weight"]
        assert read(route).weight == 50

    def test_rules_that_disagree(self) -> None:
        route = http_route(100, 0)
        route["spec"]["rules"].append(copy.deepcopy(route["spec"]["rules"][0]))
        assert read(route).weight == 0
        route["spec"]["rules"][2]["backendRefs"][1]["weight"] = 100
        seen = read(route)
        assert (seen.weight, seen.verified) == (51, False)

    def test_no_traffic_at_all_is_no_weight(self) -> None:
        assert read(http_route(0, 0)).verified is False

    @pytest.mark.parametrize(
        "change",
        [
            lambda backend: backend.update(name="other"),
            lambda backend: backend.update(namespace="elsewhere"),
            lambda backend: backend.update(kind="Bucket", group="storage"),
        ],
    )
    def test_only_the_two_services_count(self, change: Callable[[Any], None]) -> None:
        route = http_route(75, 25)
        change(route["spec"]["rules"][0]["backendRefs"][1])
        seen = read(route)
        assert seen.weight is None
        assert "no rule of httproute.gateway.networking.k8s.io/api sends requests to both" in seen.problem

    def test_a_third_backend(self) -> None:
        route = http_route(75, 25)
        route["spec"]["rules"][0]["backendRefs"].append({"name": "third", "weight": 0})
        assert read(route).weight == 25
        route["spec"]["rules"][0]["backendRefs"][2]["weight"] = 1
        assert "third backend" in read(route).problem


@pytest.mark.cluster
class TestWriting:
    def weights(self, cluster: Site, total: int = 100) -> RouteWeights:
        policy = canary_policy("httproute/api", max_weight=total)
        return RouteWeights(cluster.api, policy, cluster.namespace, "api", total)

    def test_other_rules_are_the_users(self, cluster: Site) -> None:
        cluster.put(http_route())
        ref = cluster.ref(HTTP_ROUTE, "api")
        before = cluster.api.get(ref)
        self.weights(cluster, 1000).set_weight(5)
        after = cluster.api.get(ref)
        assert [b["weight"] for b in after["spec"]["rules"][0]["backendRefs"]] == [995, 5]
        assert after["spec"]["rules"][1] == before["spec"]["rules"][1]

    def test_all_rules_that_split_are_set(self, cluster: Site) -> None:
        route = http_route()
        extra = copy.deepcopy(route["spec"]["rules"][0])
        extra["matches"] = [{"path": {"type": "PathPrefix", "value": "/v2"}}]
        extra["backendRefs"].reverse()
        route["spec"]["rules"].append(extra)
        cluster.put(route)
        self.weights(cluster).set_weight(10)
        rules = cluster.api.get(cluster.ref(HTTP_ROUTE, "api"))["spec"]["rules"]
        assert [b["weight"] for b in rules[0]["backendRefs"]] == [90, 10]
        assert [b["weight"] for b in rules[2]["backendRefs"]] == [10, 90]

    def test_what_would_mean_another_share_is_refused(self, cluster: Site) -> None:
        route = http_route()
        route["spec"]["rules"][0]["backendRefs"].append({"name": "third", "port": 80, "weight": 1})
        cluster.put(route)
        with pytest.raises(Refused, match="third backend"):
            self.weights(cluster).set_weight(10)
