"""Whose hand wrote what: each write of ours names ``rolloutsim``, and what we leave alone stays theirs."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.engine import Role
from rolloutsim.lab import Server
from rolloutsim.live.lease import Lease
from rolloutsim.live.port import DEPLOYMENT, FIELD_MANAGER, HTTP_ROUTE, INGRESS, LEASE, SERVICE, Object
from rolloutsim.live.routers import router_for
from rolloutsim.live.slots import REVISION_ANNOTATION
from rolloutsim.live.state import OWNER_LABEL, Saved, StateStore
from rolloutsim.live.workload import SlotPair
from tests.live.kube.standing import Site, canary_policy, deployment, http_route, ingress, template

THEIRS = "kubectl"
MARKS = {f"metadata/annotations/{REVISION_ANNOTATION}", f"metadata/labels/{OWNER_LABEL}"}


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A shop that somebody else put there."""
    with monkeypatch.context() as typed:
        typed.setattr("rolloutsim.live.kubernetes.FIELD_MANAGER", THEIRS)
        site.put_slots()
        site.put(http_route(), ingress("api", "api-stable"))
    return site


def owned(body: Object, manager: str) -> set[str]:
    """The fields that a manager owns, as paths; of an item of a list its key is left out."""
    entries = [one for one in body["metadata"]["managedFields"] if one["manager"] == manager]
    return {path for one in entries for path in _paths((), one["fieldsV1"])}


def _paths(path: tuple[str, ...], fields: dict[str, Any]) -> set[str]:
    found = set() if fields and "." not in fields else {"/".join(path)}
    for key, value in fields.items():
        if key != ".":
            found |= _paths((*path, key.removeprefix("f:")) if key.startswith("f:") else path, value)
    return found


def test_the_first_writer_is_the_one_that_is_named(shop: Site) -> None:
    for kind, name in ((DEPLOYMENT, "api-a"), (SERVICE, "api-stable"), (HTTP_ROUTE, "api"), (INGRESS, "api")):
        body = shop.api.get(shop.ref(kind, name))
        assert "spec" in {path.split("/")[0] for path in owned(body, THEIRS)}
        assert not owned(body, FIELD_MANAGER)


def test_a_slot_that_is_filled_and_scaled(shop: Site) -> None:
    slots = SlotPair(shop.api, canary_policy("httproute/api"), shop.namespace)
    stable, wanted = shop.held("api-a"), template("shop/api:2")
    slots.adopt()
    revision = slots.identify(wanted, stable)
    slots.fill(revision, wanted, stable)
    body = shop.api.get(shop.ref(DEPLOYMENT, "api-b"))
    ours = owned(body, FIELD_MANAGER)
    assert ours >= MARKS
    assert any(path.endswith("containers/image") for path in ours)
    assert "spec/replicas" in owned(body, THEIRS)
    slots.scale(revision, 3)
    body = shop.api.get(shop.ref(DEPLOYMENT, "api-b"))
    assert "spec/replicas" in owned(body, FIELD_MANAGER)
    assert "spec/replicas" not in owned(body, THEIRS)
    stays = owned(body, THEIRS)
    assert any(path.startswith("spec/selector") for path in stays)
    assert any(path.startswith("metadata/annotations/team") for path in stays)
    # the slot that serves is marked, and nothing else of it is ours
    assert owned(shop.api.get(shop.ref(DEPLOYMENT, "api-a")), FIELD_MANAGER) - MARKS <= {"metadata/labels"}


def test_the_copy_of_a_single_deployment_is_ours(shop: Site) -> None:
    policy = canary_policy("httproute/api", deployments=("one",), revision_label="pod-template-hash")
    shop.put(deployment("one", {"app": "one"}, "shop/one:1", 2))
    slots = SlotPair(shop.api, policy, shop.namespace)
    stable, wanted = slots.now()[0].revision, template("shop/one:2", {"app": "one"})
    slots.fill(slots.identify(wanted, stable), wanted, stable)
    body = shop.api.get(shop.ref(DEPLOYMENT, "one-next"))
    assert {one["manager"] for one in body["metadata"]["managedFields"]} == {FIELD_MANAGER}


@pytest.mark.parametrize("kind", ["httproute", "ingress"])
def test_requests_that_are_moved(shop: Site, kind: str) -> None:
    policy = canary_policy(f"{kind}/api")
    router = router_for(shop.api, policy, shop.namespace)
    slots = SlotPair(shop.api, policy, shop.namespace)
    stable, wanted = shop.held("api-a"), template("shop/api:2")
    revision = slots.identify(wanted, stable)
    slots.fill(revision, wanted, stable)
    router.set_weight(20)
    router.set_service(Role.STABLE, revision)
    body = shop.api.get(shop.ref(SERVICE, "api-stable"))
    assert any(path.startswith("spec/selector") for path in owned(body, FIELD_MANAGER))
    assert any(path.startswith("spec/ports") for path in owned(body, THEIRS))
    if kind == "httproute":
        body = shop.api.get(shop.ref(HTTP_ROUTE, "api"))
        assert any(path.startswith("spec/rules") for path in owned(body, FIELD_MANAGER))
        assert "spec/hostnames" in owned(body, THEIRS)
    else:
        body = shop.api.get(shop.ref(INGRESS, "api-canary"))
        assert {one["manager"] for one in body["metadata"]["managedFields"]} == {FIELD_MANAGER}
        assert not owned(shop.api.get(shop.ref(INGRESS, "api")), FIELD_MANAGER)


def test_what_the_executor_keeps_for_itself(shop: Site) -> None:
    store = StateStore(shop.api, shop.namespace, "api")
    store.write(Saved(None, "sha256:1"), None)
    assert store.ask_abort("a person")
    ref = shop.ref(LEASE, "rolloutsim-api")
    lease = Lease(shop.api, ref, "me", now_ms=lambda: 0)
    assert not lease.acquire()
    lease.renew()
    for kept in (store.ref, ref):
        body = shop.api.get(kept)
        assert {one["manager"] for one in body["metadata"]["managedFields"]} == {FIELD_MANAGER}


def test_each_request_that_writes_says_who_asks(server: Server, shop: Site) -> None:
    """Also where the server keeps no managedFields; a delete has no manager."""
    seen = len(server.requests)
    policy = canary_policy("ingress/api")
    slots, router = (
        SlotPair(shop.api, policy, shop.namespace),
        router_for(shop.api, policy, shop.namespace),
    )
    stable, wanted = shop.held("api-a"), template("shop/api:2")
    slots.adopt()
    router.pin()
    revision = slots.identify(wanted, stable)
    slots.fill(revision, wanted, stable)
    slots.scale(revision, 1)
    router.set_weight(5)
    router.set_weight(0)
    slots.remove(revision)
    writes = [one for one in list(server.requests)[seen:] if one.method in ("POST", "PUT", "PATCH")]
    assert len(writes) >= 6
    assert all(f"fieldManager={FIELD_MANAGER}" in one.url for one in writes)
