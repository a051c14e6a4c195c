"""Rights: asked for, written down, and no more than needed."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from ruamel.yaml import YAML

from rolloutsim.lab import Server
from rolloutsim.live.cluster import needed_rights
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.lease import Lease
from rolloutsim.live.permissions import READ, Right, merged, missing_rights, role
from rolloutsim.live.port import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    JOB,
    LEASE,
    SECRET,
    SERVICE,
    Forbidden,
    Kubernetes,
    Ref,
)
from rolloutsim.live.routers import router_for
from rolloutsim.live.state import Saved, StateStore
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy.model import Analysis, JobProvider, Metric, Policy, SecretArgument
from tests.live.kube.standing import Site, blue_green_policy, canary_policy, deployment, template


def rights_of(policy: Policy, api: Kubernetes) -> tuple[Right, ...]:
    return needed_rights(policy, "shop", SlotPair(api, policy, "shop"), router_for(api, policy, "shop"))


def robot(server: Server, name: str, rights: tuple[Right, ...]) -> HttpKubernetes:
    token = server.account(name, role("r", "shop", rights)["rules"], "shop")
    return HttpKubernetes(Access("lab", server.url, credentials=Credentials(token=token)))


def test_what_is_missing_comes_with_the_rule_that_gives_it(server: Server, site: Site) -> None:
    api = robot(server, "robot", (Right(SERVICE, ("get", "list"), "api"),))
    wanted = (Right(SERVICE, (*READ, "patch"), "api"), Right(HTTP_ROUTE, ("get",), "api"))
    service, route = missing_rights(api, "shop", wanted)
    assert service.right == Right(SERVICE, ("watch", "patch"), "api")
    assert route.right == Right(HTTP_ROUTE, ("get",), "api")
    rules = YAML(typ="safe").load(StringIO("\n".join(missing.rule for missing in (service, route))))
    assert rules == role("r", "shop", [service.right, route.right])["rules"]
    server.account("robot2", [*rules, *role("r", "shop", [Right(SERVICE, ("get", "list"), "api")])["rules"]])
    api.close()


@pytest.mark.cluster
def test_who_may_do_all_lacks_nothing(cluster: Site) -> None:
    policy = blue_green_policy()
    rights = needed_rights(
        policy,
        cluster.namespace,
        SlotPair(cluster.api, policy, cluster.namespace),
        router_for(cluster.api, policy, cluster.namespace),
    )
    assert missing_rights(cluster.api, cluster.namespace, rights) == ()


def test_a_create_has_no_name() -> None:
    rights = merged([Right(LEASE, ("create", "get"), "l"), Right(LEASE, ("get", "update"), "l")])
    assert rights == (Right(LEASE, ("create",)), Right(LEASE, ("get", "update"), "l"))


def test_the_table_of_a_policy(site: Site) -> None:
    table = {
        (r.kind.plural, r.name): set(r.verbs) for r in rights_of(canary_policy("httproute/api"), site.api)
    }
    assert table == {
        ("configmaps", "rolloutsim-api"): {"get", "list", "watch", "patch", "delete"},
        ("configmaps", ""): {"create"},
        ("leases", "rolloutsim-api"): {"get", "update"},
        ("leases", ""): {"create"},
        ("events", ""): {"create"},
        ("deployments", "api-a"): {"get", "list", "watch", "patch"},
        ("deployments", "api-b"): {"get", "list", "watch", "patch"},
        ("horizontalpodautoscalers", ""): {"list"},
        ("services", "api-stable"): {"get", "list", "watch", "patch"},
        ("services", "api-canary"): {"get", "list", "watch", "patch"},
        ("httproutes", "api"): {"get", "list", "watch", "patch"},
    }


def test_a_policy_that_needs_more(site: Site) -> None:
    single = blue_green_policy(deployments=("api",), revision_label="pod-template-hash")
    table = {(r.kind.plural, r.name): set(r.verbs) for r in rights_of(single, site.api)}
    assert table["deployments", ""] == {"create"}
    assert table["deployments", "api-next"] == {"get", "list", "watch", "patch", "delete"}
    assert table["replicasets", ""] == {"list"}
    analysis = Analysis((Metric("smoke", JobProvider()),), (SecretArgument("t", "tokens", "key"),))
    tested = replace(single, strategy=replace(single.strategy, pre_promotion=analysis))  # type: ignore[type-var]
    rights = rights_of(tested, site.api)
    assert Right(JOB, ("create", "get", "patch")) in rights
    assert Right(SECRET, ("get",), "tokens") in rights


def journey(api: Kubernetes, server: Server, policy: Policy) -> None:
    """All that slots, state and Lease do from the first release to the last trace of it."""
    store = StateStore(api, "shop", "api")
    saved = store.write(Saved(None, "d"), None)
    store.ask_abort()
    saved = store.write(replace(saved, sequence=1), saved)
    lease = Lease(api, Ref(LEASE, "shop", "rolloutsim-api"), "one", now_ms=lambda: 0)
    lease.acquire()
    lease.renew()
    lease.release()
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "shop"},
        "involvedObject": {"kind": "Service", "name": "api", "namespace": "shop"},
    }
    api.create(Ref(EVENT, "shop", "e"), event)
    slots = SlotPair(api, policy, "shop")
    first, _ = slots.now()
    revision = slots.identify(template("shop/api:2"), first.revision)
    slots.adopt()
    slots.fill(revision, template("shop/api:2"), first.revision)
    for ref in (*slots.refs, store.ref):
        field = f"metadata.name={ref.name}"
        version = api.list(ref.kind, "shop", fields=field).resource_version
        mark = {"metadata": {"annotations": {"touched": version}}}
        server.patch(ref.kind.name, ref.name, mark, "shop")
        watch = api.watch(ref.kind, "shop", resource_version=version, timeout_s=1, fields=field)
        next(iter(watch), None)
    for one in (first.revision, revision):
        slots.scale(one, 3)
        slots.scale(one, 0)
    settle(server, slots.refs[1].name)
    slots.clean_up()
    found = store.read()
    assert found is not None
    store.delete(found)


def settle(server: Server, name: str) -> None:
    body = server.get("Deployment", name, "shop")
    assert body is not None
    server.write_status("Deployment", name, {"observedGeneration": body["metadata"]["generation"]}, "shop")


class TestMinimal:
    @pytest.fixture
    def policy(self, site: Site) -> Policy:
        site.put(deployment("api", {"app": "api"}, "shop/api:1", replicas=1))
        return blue_green_policy(deployments=("api",), revision_label="pod-template-hash")

    def rights(self, policy: Policy, api: Kubernetes) -> tuple[Right, ...]:
        """Without those of the router, which have a test of their own."""
        router = set(merged(router_for(api, policy, "shop").rights))
        return tuple(right for right in rights_of(policy, api) if right not in router)

    def test_it_is_enough(self, server: Server, site: Site, policy: Policy) -> None:
        api = robot(server, "robot", self.rights(policy, site.api))
        journey(api, server, policy)
        assert server.get("Deployment", "api-next", "shop") is None
        assert server.get("ConfigMap", "rolloutsim-api", "shop") is None
        api.close()

    @pytest.mark.slow
    def test_one_verb_less_is_not(self, server: Server, site: Site, policy: Policy) -> None:
        rights = self.rights(policy, site.api)
        lacks = [(right, verb) for right in rights for verb in right.verbs]
        for number, (right, verb) in enumerate(lacks):
            fewer = tuple(
                replace(r, verbs=tuple(v for v in r.verbs if (r, v) != (right, verb))) for r in rights
            )
            api = robot(server, f"robot-{number}", tuple(r for r in fewer if r.verbs))
            try:
                with pytest.raises(Forbidden, match=f"cannot {verb} "):
                    journey(api, server, policy)
            finally:
                api.close()
            for kind, name in (
                (DEPLOYMENT, "api-next"),
                (CONFIG_MAP, "rolloutsim-api"),
                (LEASE, "rolloutsim-api"),
                (EVENT, "e"),
            ):
                if server.get(kind.name, name, "shop") is not None:
                    server.delete(kind.name, name, "shop")
