"""The canary Ingress: created, taken over, left alone."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.live.port import INGRESS, NotFound, Object, Refused
from rolloutsim.live.routers.ingress import CanaryIngress
from rolloutsim.live.state import OWNER_LABEL
from tests.live.kube.standing import Site, canary_policy, ingress

PREFIX = "nginx.ingress.kubernetes.io/"


def weights(site: Site, total: int = 100) -> CanaryIngress:
    policy = canary_policy("ingress/api", max_weight=total)
    return CanaryIngress(site.api, policy, site.namespace, "api", total)


def canary(site: Site) -> Object:
    return site.api.get(site.ref(INGRESS, "api-canary"))


def marks(**annotations: Any) -> dict[str, str]:
    return {PREFIX + key.replace("_", "-"): str(value) for key, value in annotations.items()}


@pytest.mark.cluster
class TestCreation:
    def test_it_is_made_from_the_main_one(self, cluster: Site) -> None:
        main = ingress("api", "api-stable", {"cert": "theirs"})
        main["spec"]["ingressClassName"] = "nginx"
        other = {
            "path": "/admin",
            "pathType": "Exact",
            "backend": {"service": {"name": "admin", "port": {"number": 81}}},
        }
        main["spec"]["rules"][0]["http"]["paths"].append(other)
        cluster.put(main)
        weights(cluster).set_weight(5)
        made = canary(cluster)
        assert made["metadata"]["annotations"] == marks(canary="true", canary_weight=5)
        assert made["metadata"]["labels"][OWNER_LABEL] == "api"
        assert made["spec"]["ingressClassName"] == "nginx"
        (rule,) = made["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert (rule["host"], path["path"], path["pathType"]) == ("api.example.com", "/", "Prefix")
        assert path["backend"]["service"] == {"name": "api-canary", "port": {"number": 80}}

    def test_weight_0_needs_none(self, cluster: Site) -> None:
        cluster.put(ingress("api", "api-stable"))
        weights(cluster).set_weight(0)
        with pytest.raises(NotFound):
            canary(cluster)

    def test_clean_up_deletes_only_our_own_and_only_at_0(self, cluster: Site) -> None:
        cluster.put(ingress("api", "api-stable"))
        router = weights(cluster)
        router.set_weight(5)
        router.clean_up()
        assert canary(cluster)
        router.set_weight(0)
        router.clean_up()
        with pytest.raises(NotFound):
            canary(cluster)
        cluster.put(ingress("api-canary", "api-canary", marks(canary="true", canary_weight=0)))
        router.clean_up()
        assert canary(cluster)

    def test_it_follows_the_main_one(self, cluster: Site) -> None:
        cluster.put(ingress("api", "api-stable"))
        router = weights(cluster)
        router.set_weight(5)
        change = {"op": "replace", "path": "/spec/rules/0/host", "value": "new.example.com"}
        cluster.api.json_patch(cluster.ref(INGRESS, "api"), [change])
        refs = router.watches
        seen = router.read({ref: cluster.api.get(ref) for ref in refs})
        assert (seen.weight, seen.verified) == (5, False)
        assert "copied again" in seen.problem
        router.set_weight(5)
        assert canary(cluster)["spec"]["rules"][0]["host"] == "new.example.com"


@pytest.mark.cluster
class TestTakingOver:
    def test_the_guides_own_pair(self, cluster: Site) -> None:
        cluster.put(ingress("api", "api-stable"))
        cluster.put(ingress("api-canary", "api-canary", marks(canary="true", canary_weight=5, x="kept")))
        router = weights(cluster)
        seen = router.read({ref: cluster.api.get(ref) for ref in router.watches})
        assert (seen.weight, seen.verified) == (5, None)
        router.set_weight(25)
        expected = marks(canary="true", canary_weight=25, x="kept")
        assert canary(cluster)["metadata"]["annotations"] == expected

    def test_a_stranger_of_that_name(self, cluster: Site) -> None:
        cluster.put(ingress("api", "api-stable"), ingress("api-canary", "something-else"))
        router = weights(cluster)
        with pytest.raises(Refused, match="does not send its requests to api-canary"):
            router.set_weight(5)
        assert router.read({ref: cluster.api.get(ref) for ref in router.watches}).weight is None
        router.clean_up()
        assert canary(cluster)

    def test_a_main_one_without_the_stable_service(self, cluster: Site) -> None:
        cluster.put(ingress("api", "something-else"))
        with pytest.raises(Refused, match="sends no requests to api-stable"):
            weights(cluster).set_weight(5)


class TestTotals:
    @pytest.mark.parametrize(
        ("total", "weight", "annotations"),
        [
            (100, 5, marks(canary="true", canary_weight=5)),
            (1000, 5, marks(canary="true", canary_weight=5, canary_weight_total=1000)),
            (10, 5, marks(canary="true", canary_weight=50)),
        ],
    )
    def test_totals_below_100_do_not_count(
        self, site: Site, total: int, weight: int, annotations: dict[str, str]
    ) -> None:
        site.put(ingress("api", "api-stable"))
        router = weights(site, total)
        router.set_weight(weight)
        assert canary(site)["metadata"]["annotations"] == annotations
        assert router.read({ref: site.api.get(ref) for ref in router.watches}).weight == weight

    def test_what_cannot_be_said_in_percent(self, site: Site) -> None:
        site.put(ingress("api", "api-stable"))
        with pytest.raises(Refused, match="not a whole percentage"):
            weights(site, 30).set_weight(1)

    @pytest.mark.parametrize(
        ("annotations", "weight"),
        [
            (marks(canary="true", canary_weight=150), 100),
            (marks(canary="true", canary_weight=-3), 0),
            (marks(canary="true", canary_weight="many"), 0),
            (marks(canary="true", canary_weight=5, canary_weight_total=50), 5),
            (marks(canary="true", canary_weight=5, canary_weight_total=200), 3),
            (marks(canary="false", canary_weight=5), 0),
            (marks(canary_weight=5), 0),
        ],
    )
    def test_as_the_controller_reads_it(self, site: Site, annotations: dict[str, str], weight: int) -> None:
        site.put(ingress("api", "api-stable"), ingress("api-canary", "api-canary", annotations))
        router = weights(site)
        assert router.read({ref: site.api.get(ref) for ref in router.watches}).weight == weight

    def test_a_total_that_somebody_left_there_goes(self, site: Site) -> None:
        annotations = marks(canary="true", canary_weight=5, canary_weight_total=1000)
        site.put(ingress("api", "api-stable"), ingress("api-canary", "api-canary", annotations))
        weights(site).set_weight(5)
        assert canary(site)["metadata"]["annotations"] == marks(canary="true", canary_weight=5)
