"""What every router keeps: one suite over Service selectors, route weights and canary annotations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rolloutsim.engine import Role
from rolloutsim.lab import Server
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.permissions import Right, merged, missing_rights, role
from rolloutsim.live.port import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INGRESS,
    SERVICE,
    Forbidden,
    NotFound,
    Object,
    Ref,
    Refused,
    Unknown,
)
from rolloutsim.live.routers import Router, router_for
from rolloutsim.live.slots import slot_refs
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.policy.model import Policy
from tests.live.kube.standing import (
    Site,
    blue_green_policy,
    canary_policy,
    http_route,
    ingress,
    roles,
    template,
)


@dataclass(frozen=True)
class Case:
    """One kind of router: its policy, what stands before it, and the weight as its objects say it."""

    name: str
    policy: Policy
    stand: Callable[[Site], None]
    weight: Callable[[Site], int] | None = None
    tamper: Callable[[Site], None] | None = None
    """Somebody else sets another weight."""


def route_weight(site: Site) -> int:
    backends = site.api.get(site.ref(HTTP_ROUTE, "api"))["spec"]["rules"][0]["backendRefs"]
    stable, canary = (backend["weight"] for backend in backends)
    assert stable + canary == 100
    return int(canary)


def route_tampered(site: Site) -> None:
    path = "/spec/rules/0/backendRefs/1/weight"
    site.api.json_patch(site.ref(HTTP_ROUTE, "api"), [{"op": "add", "path": path, "value": 33}])


def ingress_weight(site: Site) -> int:
    try:
        canary = site.api.get(site.ref(INGRESS, "api-canary"))
    except NotFound:
        return 0
    annotations = canary["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/canary"] == "true"
    return int(annotations["nginx.ingress.kubernetes.io/canary-weight"])


def ingress_tampered(site: Site) -> None:
    annotations = {"nginx.ingress.kubernetes.io/canary-weight": "77"}
    site.api.merge_patch(site.ref(INGRESS, "api-canary"), {"metadata": {"annotations": annotations}})


CASES = (
    Case("service", blue_green_policy(), lambda site: None),
    Case(
        "httproute",
        canary_policy("httproute/api"),
        lambda site: site.put(http_route()),
        route_weight,
        route_tampered,
    ),
    Case(
        "ingress",
        canary_policy("ingress/api"),
        lambda site: site.put(ingress("api", "api-stable")),
        ingress_weight,
        ingress_tampered,
    ),
)
WEIGHTED = [case for case in CASES if case.weight]


@dataclass
class Stage:
    """A router with what stands around it; both slots have a known revision."""

    case: Case
    site: Site
    router: Router
    slots: SlotPair
    stable: str
    new: str

    def seen(self) -> Any:
        refs = (*slot_refs(self.case.policy, self.site.namespace), *self.router.watches)
        return self.router.read(look(self.site.api, refs))

    def selector(self, name: str) -> dict[str, str]:
        return dict(self.site.api.get(self.site.ref(SERVICE, name))["spec"]["selector"])

    def versions(self) -> dict[Ref, str]:
        found = look(self.site.api, self.router.watches)
        return {ref: body["metadata"]["resourceVersion"] for ref, body in found.items()}


def staged(case: Case, site: Site) -> Stage:
    site.put_slots()
    case.stand(site)
    slots = SlotPair(site.api, case.policy, site.namespace)
    stable = site.held("api-a")
    new = slots.identify(template("shop/api:2"), stable)
    slots.fill(new, template("shop/api:2"), stable)
    return Stage(case, site, router_for(site.api, case.policy, site.namespace), slots, stable, new)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def stage(request: pytest.FixtureRequest, cluster: Site) -> Stage:
    return staged(request.param, cluster)


@pytest.fixture(params=WEIGHTED, ids=lambda case: case.name)
def weighted(request: pytest.FixtureRequest, cluster: Site) -> Stage:
    return staged(request.param, cluster)


@pytest.mark.cluster
class TestServices:
    def test_what_is_selected_at_first(self, stage: Stage) -> None:
        users, other = roles(stage.case.policy)
        assert dict(stage.seen().services) == {users: stage.stable, other: stage.new}

    def test_there_and_back(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        stage.router.set_service(users, stage.new)
        assert stage.selector("api-stable") == {"app": "api", "slot": "b"}
        assert dict(stage.seen().services)[users] == stage.new
        stage.router.set_service(users, stage.stable)
        assert stage.selector("api-stable") == {"app": "api", "slot": "a"}
        assert dict(stage.seen().services)[users] == stage.stable

    def test_only_the_own_key_is_written(self, stage: Stage) -> None:
        ref = stage.site.ref(SERVICE, "api-stable")
        before = stage.site.api.get(ref)
        stage.router.set_service(roles(stage.case.policy)[0], stage.new)
        after = stage.site.api.get(ref)
        after["spec"]["selector"]["slot"] = "a"
        assert after["spec"] == before["spec"]
        assert after["metadata"].get("labels") == before["metadata"].get("labels")

    def test_nothing_to_change_writes_nothing(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        stage.router.set_service(users, stage.new)
        before = stage.versions()
        stage.router.set_service(users, stage.new)
        stage.router.pin()
        assert stage.versions() == before

    def test_a_foreign_switch_shows_and_is_undone(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        stage.router.set_service(users, stage.stable)
        ref = stage.site.ref(SERVICE, "api-stable")
        stage.site.api.merge_patch(ref, {"spec": {"selector": {"slot": "b"}}})
        assert dict(stage.seen().services)[users] == stage.new
        stage.site.api.merge_patch(ref, {"spec": {"selector": {"slot": "nowhere"}}})
        assert dict(stage.seen().services)[users] == ""
        stage.router.set_service(users, stage.stable)
        assert stage.selector("api-stable")["slot"] == "a"

    def test_a_selector_that_reaches_both_is_bound_to_the_one_with_pods(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        ref = stage.site.ref(SERVICE, "api-stable")
        stage.site.api.merge_patch(ref, {"spec": {"selector": {"slot": None}}})
        assert dict(stage.seen().services)[users] == ""
        stage.site.caught_up(stage.site.ref(DEPLOYMENT, "api-b"))
        stage.router.pin()
        assert stage.selector("api-stable") == {"app": "api", "slot": "a"}

    def test_a_selector_that_cannot_be_bound_is_refused(self, stage: Stage) -> None:
        ref = stage.site.ref(SERVICE, "api-stable")
        stage.site.api.merge_patch(ref, {"spec": {"selector": {"slot": None, "app": "elsewhere"}}})
        with pytest.raises(Refused, match="reaches no slot"):
            stage.router.pin()

    def test_pods_that_the_selector_would_not_reach(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        ref = stage.site.ref(SERVICE, "api-stable")
        stage.site.api.merge_patch(ref, {"spec": {"selector": {"tier": "web"}}})
        with pytest.raises(Refused, match="selects tier=web, which the pods"):
            stage.router.set_service(users, stage.new)

    def test_what_is_missing_is_named(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        with pytest.raises(Refused, match="no slot of api holds the revision nope"):
            stage.router.set_service(users, "nope")
        absent = Role.PREVIEW if users is Role.STABLE else Role.STABLE
        with pytest.raises(Refused, match="names no Service for the role"):
            stage.router.set_service(absent, stage.new)
        stage.site.api.delete(stage.site.ref(SERVICE, "api-stable"))
        assert "service/api-stable does not exist" in stage.seen().problem
        with pytest.raises(Refused, match="service/api-stable does not exist"):
            stage.router.set_service(users, stage.new)

    def test_another_rollouts_service_is_left_alone(self, stage: Stage) -> None:
        ref = stage.site.ref(SERVICE, "api-stable")
        stage.site.api.merge_patch(ref, {"metadata": {"labels": {OWNER_LABEL: "other"}}})
        with pytest.raises(Refused, match="belongs to the rollout other"):
            stage.router.set_service(roles(stage.case.policy)[0], stage.new)

    def test_what_a_person_would_type_does_the_same(self, stage: Stage) -> None:
        users, _ = roles(stage.case.policy)
        (line,) = stage.router.kubectl_service(users, stage.new)
        typed(stage.site, line)
        assert stage.selector("api-stable") == {"app": "api", "slot": "b"}
        assert dict(stage.seen().services)[users] == stage.new


@pytest.mark.cluster
class TestWeights:
    @pytest.mark.parametrize("weights", [(5, 25, 50, 100, 0), (100, 0), (0,), (1, 99)])
    def test_weights_are_written_and_read(self, weighted: Stage, weights: tuple[int, ...]) -> None:
        assert weighted.case.weight
        assert weighted.seen().weighed.weight == 0
        for weight in weights:
            weighted.router.set_weight(weight)
            assert weighted.case.weight(weighted.site) == weight
            assert weighted.seen().weighed.weight == weight

    def test_nothing_to_change_writes_nothing(self, weighted: Stage) -> None:
        weighted.router.set_weight(25)
        before = weighted.versions()
        weighted.router.set_weight(25)
        assert weighted.versions() == before

    def test_a_foreign_edit_shows_and_is_put_back(self, weighted: Stage) -> None:
        assert weighted.case.weight
        assert weighted.case.tamper
        weighted.router.set_weight(25)
        weighted.case.tamper(weighted.site)
        assert weighted.seen().weighed.weight != 25
        weighted.router.set_weight(25)
        assert weighted.case.weight(weighted.site) == 25

    @pytest.mark.parametrize("weight", [-1, 101])
    def test_weights_that_are_none(self, weighted: Stage, weight: int) -> None:
        with pytest.raises(Refused, match="not between 0 and 100"):
            weighted.router.set_weight(weight)

    def test_without_its_route(self, weighted: Stage) -> None:
        for ref in weighted.router.watches:
            if ref.kind in (HTTP_ROUTE, INGRESS) and ref.name == "api":
                weighted.site.api.delete(ref)
        assert weighted.seen().weighed.weight is None
        assert "does not exist; create it" in weighted.seen().problem
        with pytest.raises(NotFound):
            weighted.router.set_weight(5)

    def test_what_a_person_would_type_does_the_same(self, weighted: Stage) -> None:
        assert weighted.case.weight
        weighted.router.set_weight(5)
        (line,) = weighted.router.kubectl_weight(40)
        typed(weighted.site, line)
        assert weighted.case.weight(weighted.site) == 40

    def test_cleaning_up_leaves_the_users_objects(self, weighted: Stage) -> None:
        assert weighted.case.weight
        weighted.router.set_weight(5)
        weighted.router.clean_up()
        assert weighted.case.weight(weighted.site) == 5
        weighted.router.set_weight(0)
        weighted.router.clean_up()
        weighted.router.clean_up()
        assert weighted.seen().weighed.weight == 0


def typed(site: Site, line: str) -> None:
    """What kubectl would send."""
    words = shlex.split(line)
    assert words[:4] == ["kubectl", "-n", site.namespace, "patch"]
    kind = {"service": SERVICE, "httproute": HTTP_ROUTE, "ingress": INGRESS}[words[4]]
    patch = json.loads(words[words.index("-p") + 1])
    ref = site.ref(kind, words[5])
    if "--type=json" in words:
        site.api.json_patch(ref, patch)
    else:
        site.api.merge_patch(ref, patch)


def test_a_plain_service_has_no_weights(site: Site) -> None:
    stage = staged(CASES[0], site)
    assert stage.seen().weighed.weight is None
    assert stage.router.kubectl_weight(5) == ()
    stage.router.clean_up()
    with pytest.raises(Refused, match=r"add spec\.target\.route"):
        stage.router.set_weight(5)


# --- the least rights, and faults: on the embedded server ------------------------------------------


def journey(stage: Stage, admin: Site) -> None:
    """Everything that a router does in a rollout, cleaning up included, and one watch of each object."""
    users, other = roles(stage.case.policy)
    stage.seen()
    stage.router.pin()
    stage.router.set_service(users, stage.new)
    stage.router.set_service(other, stage.stable)
    if stage.case.weight:
        stage.router.set_weight(25)
    for ref in stage.router.watches:
        field = f"metadata.name={ref.name}"
        version = stage.site.api.list(ref.kind, ref.namespace, fields=field).resource_version
        admin.api.merge_patch(ref, {"metadata": {"annotations": {"touched": version}}})
        watch = stage.site.api.watch(
            ref.kind, ref.namespace, resource_version=version, timeout_s=1, fields=field
        )
        next(iter(watch), None)
    if stage.case.weight:
        stage.router.set_weight(0)
    stage.router.clean_up()


def begun_anew(stage: Stage) -> None:
    """Undo a journey that stopped somewhere."""
    users, other = roles(stage.case.policy)
    stage.router.set_service(users, stage.stable)
    stage.router.set_service(other, stage.new)
    if stage.case.weight:
        stage.router.set_weight(0)
    stage.router.clean_up()


@contextmanager
def robot(server: Server, rules: list[Object]) -> Iterator[Site]:
    """An account with these rights on a router's objects, and reading the slots."""
    name = f"robot-{len(server.list('RoleBinding'))}"
    reading = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    token = server.account(name, [reading, *rules], "shop")
    api = HttpKubernetes(Access("lab", server.url, credentials=Credentials(token=token)))
    try:
        yield Site(api, "shop", controllers=False)
    finally:
        api.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestRights:
    def test_the_least_rights_are_enough(self, server: Server, site: Site, case: Case) -> None:
        stage = staged(case, site)
        rights = stage.router.rights
        with robot(server, role("r", "shop", rights)["rules"]) as limited:
            assert missing_rights(limited.api, "shop", rights) == ()
            journey(on(stage, limited), site)

    @pytest.mark.slow
    def test_one_verb_less_is_not(self, server: Server, site: Site, case: Case) -> None:
        stage = staged(case, site)
        rights = merged(stage.router.rights)
        for right, verb in ((r, v) for r in rights for v in r.verbs):
            fewer = [replace(r, verbs=tuple(v for v in r.verbs if r != right or v != verb)) for r in rights]
            begun_anew(stage)
            with robot(server, role("r", "shop", [r for r in fewer if r.verbs])["rules"]) as limited:
                (lack,) = missing_rights(limited.api, "shop", rights)
                assert lack.right == Right(right.kind, (verb,), right.name)
                assert verb in lack.rule
                with pytest.raises(Forbidden):
                    journey(on(stage, limited), site)


def on(stage: Stage, site: Site) -> Stage:
    """The same stage, seen through another account."""
    return replace(stage, site=site, router=router_for(site.api, stage.case.policy, site.namespace))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestFaults:
    def write(self, stage: Stage) -> None:
        if stage.case.weight:
            stage.router.set_weight(25)
        else:
            stage.router.set_service(roles(stage.case.policy)[0], stage.new)

    def written(self, stage: Stage) -> bool:
        if stage.case.weight:
            return bool(stage.seen().weighed.weight == 25)
        return stage.selector("api-stable")["slot"] == "b"

    @pytest.mark.parametrize("acted", [True, False])
    def test_unknown_and_again(self, server: Server, site: Site, case: Case, acted: bool) -> None:
        stage = staged(case, site)
        server.faults.answer(500, 1, method="PATCH|POST", acted=acted)
        with pytest.raises(Unknown):
            self.write(stage)
        assert self.written(stage) == acted
        self.write(stage)
        assert self.written(stage)

    def test_conflicts_are_read_again(self, server: Server, site: Site, case: Case) -> None:
        stage = staged(case, site)
        if case.name == "ingress":
            stage.router.set_weight(1)
        server.faults.answer(409, 3, method="PATCH")
        self.write(stage)
        assert self.written(stage)
        server.faults.answer(409, 99, method="PATCH")
        with pytest.raises(Refused):
            stage.router.set_service(roles(case.policy)[0], stage.stable)

    def test_a_change_between_reading_and_writing(self, server: Server, site: Site, case: Case) -> None:
        """Somebody writes another field at the worst moment: theirs stays, and ours comes on top."""
        stage = staged(case, site)
        if case.name == "ingress":
            stage.router.set_weight(1)
        api, left = site.api, [2]

        class Racing:
            def __getattr__(self, name: str) -> Any:
                return getattr(api, name)

            def json_patch(self, ref: Ref, *args: Any, **options: Any) -> Object:
                if left[0]:
                    left[0] -= 1
                    mark = {"metadata": {"annotations": {"theirs": str(left[0])}}}
                    server.patch(ref.kind.name, ref.name, mark, "shop")
                    self.touched = ref
                return api.json_patch(ref, *args, **options)

        racing = Racing()
        stage.router = router_for(racing, case.policy, "shop")
        self.write(stage)
        assert self.written(stage)
        assert api.get(racing.touched)["metadata"]["annotations"]["theirs"] == "0"
