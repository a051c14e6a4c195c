"""Filling, scaling and emptying slots; and what is never touched."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.errors import ExecutorError
from rolloutsim.lab import Server
from rolloutsim.live.port import AUTOSCALER, DEPLOYMENT, Invalid, Object, Refused, Unknown
from rolloutsim.live.slots import REVISION_ANNOTATION, REVISION_POD_LABEL
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy.model import Policy, RollingUpdate, Target
from tests.live.kube.standing import Site, blue_green_policy, deployment, template


def pair(site: Site, **target: Any) -> SlotPair:
    return SlotPair(site.api, blue_green_policy(**target), site.namespace)


def read(site: Site, name: str) -> Object:
    return site.api.get(site.ref(DEPLOYMENT, name))


def filled(site: Site, slots: SlotPair, image: str = "shop/api:2") -> tuple[str, str]:
    """Put a new release into the idle slot; its id, and that of the stable one."""
    stable = site.held("api-a")
    wanted = template(image)
    revision = slots.identify(wanted, stable)
    slots.fill(revision, wanted, stable)
    site.caught_up(site.ref(DEPLOYMENT, "api-b"))
    return revision, stable


@pytest.mark.cluster
class TestTwoDeployments:
    @pytest.fixture(autouse=True)
    def _standing(self, cluster: Site) -> None:
        cluster.put_slots()

    def test_the_idle_slot_is_filled_and_nothing_else_moves(self, cluster: Site) -> None:
        before = read(cluster, "api-a")
        revision, stable = filled(cluster, pair(cluster))
        body = read(cluster, "api-b")
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "shop/api:2"
        assert body["spec"]["replicas"] == 0
        assert body["metadata"]["labels"][OWNER_LABEL] == "api"
        assert body["metadata"]["annotations"][REVISION_ANNOTATION] == revision
        assert body["metadata"]["annotations"]["team"] == "checkout"
        labels = body["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app": "api", "slot": "b", REVISION_POD_LABEL: revision}
        assert cluster.held("api-b") == revision != stable
        assert read(cluster, "api-a")["spec"] == before["spec"]

    def test_what_another_manager_once_set_does_not_stay(self, cluster: Site) -> None:
        """The new template has no sidecar and no probe: nor has the slot."""
        ref = cluster.ref(DEPLOYMENT, "api-b")
        old = read(cluster, "api-b")["spec"]["template"]
        old["spec"]["containers"].append({"name": "sidecar", "image": "proxy:1"})
        old["spec"]["containers"][0]["env"] = [{"name": "MODE", "value": "old"}]
        cluster.api.merge_patch(ref, {"spec": {"template": old}})
        cluster.caught_up(ref)
        filled(cluster, pair(cluster))
        (container,) = read(cluster, "api-b")["spec"]["template"]["spec"]["containers"]
        assert "env" not in container

    def test_filling_again_changes_nothing(self, cluster: Site) -> None:
        slots = pair(cluster)
        revision, stable = filled(cluster, slots)
        before = read(cluster, "api-b")
        slots.fill(revision, template("shop/api:2"), stable)
        slots.fill(revision, None, stable)
        assert read(cluster, "api-b")["metadata"]["generation"] == before["metadata"]["generation"]

    def test_identify_keeps_nothing_and_finds_what_is_there(self, cluster: Site) -> None:
        slots = pair(cluster)
        before = [read(cluster, name)["metadata"]["resourceVersion"] for name in ("api-a", "api-b")]
        stable = cluster.held("api-a")
        assert slots.identify(template("shop/api:1"), stable) == stable
        assert slots.identify(template("shop/api:0"), stable) == cluster.held("api-b")
        assert slots.identify(template("shop/api:2"), stable) not in (stable, cluster.held("api-b"))
        after = [read(cluster, name)["metadata"]["resourceVersion"] for name in ("api-a", "api-b")]
        if not cluster.controllers:
            assert after == before

    def test_a_template_that_the_server_refuses(self, cluster: Site) -> None:
        wrong = template("shop/api:2")
        wrong["spec"]["containers"] = []
        with pytest.raises(Invalid):
            pair(cluster).identify(wrong, cluster.held("api-a"))

    def test_scale_up_and_down(self, cluster: Site) -> None:
        slots = pair(cluster)
        revision, _ = filled(cluster, slots)
        assert slots.scale(revision, 3).desired == 3
        assert read(cluster, "api-b")["spec"]["replicas"] == 3
        version = read(cluster, "api-b")["metadata"]["generation"]
        slots.scale(revision, 3)
        assert read(cluster, "api-b")["metadata"]["generation"] == version
        assert slots.remove(revision).desired == 0
        assert read(cluster, "api-b")["spec"]["replicas"] == 0
        assert read(cluster, "api-a")["spec"]["replicas"] == 2

    def test_a_revision_that_no_slot_holds(self, cluster: Site) -> None:
        slots = pair(cluster)
        with pytest.raises(Refused, match="no slot of api holds the revision nope"):
            slots.scale("nope", 1)
        slots.remove("nope")
        with pytest.raises(Refused, match=r"neither .*api-a nor .*api-b holds the stable revision nope"):
            slots.fill("new", template("shop/api:2"), "nope")

    def test_a_third_revision_is_refused_while_the_second_has_pods(self, cluster: Site) -> None:
        slots = pair(cluster)
        revision, stable = filled(cluster, slots)
        slots.scale(revision, 1)
        cluster.caught_up(cluster.ref(DEPLOYMENT, "api-b"))
        third = slots.identify(template("shop/api:3"), stable)
        with pytest.raises(Refused, match=f"still has pods of the revision {revision} and has to be empty"):
            slots.fill(third, template("shop/api:3"), stable)
        slots.scale(revision, 0)
        if not cluster.controllers:
            # its status is still that of the spec before: it may have pods
            with pytest.raises(Refused, match="still has pods"):
                slots.fill(third, template("shop/api:3"), stable)

    def test_back_to_the_old_revision_without_its_template(self, cluster: Site) -> None:
        """The stable slot is the second one now; the first still holds what ran before."""
        slots = pair(cluster)
        revision, old = filled(cluster, slots)
        slots.adopt()
        slots.fill(old, None, revision)
        assert slots.scale(old, 1).ref.name == "api-a"

    def test_adoption_writes_on_the_deployment_only(self, cluster: Site) -> None:
        slots = pair(cluster)
        before = read(cluster, "api-a")
        slots.adopt()
        after = read(cluster, "api-a")
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert after["metadata"]["annotations"][REVISION_ANNOTATION] == cluster.held("api-a")
        assert after["metadata"]["labels"][OWNER_LABEL] == "api"

    def test_two_running_slots_with_one_template_are_refused(self, cluster: Site) -> None:
        ref = cluster.ref(DEPLOYMENT, "api-b")
        change = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/api:1"}
        cluster.api.json_patch(ref, [change, {"op": "replace", "path": "/spec/replicas", "value": 1}])
        with pytest.raises(Refused, match="both run the same template"):
            pair(cluster).adopt()

    def test_another_rollouts_slot_is_left_alone(self, cluster: Site) -> None:
        slots = pair(cluster)
        revision, stable = filled(cluster, slots)
        ref = cluster.ref(DEPLOYMENT, "api-b")
        cluster.api.merge_patch(ref, {"metadata": {"labels": {OWNER_LABEL: "other"}}})
        for write in (
            slots.adopt,
            lambda: slots.scale(revision, 1),
            lambda: slots.fill("new", template("shop/api:3"), stable),
        ):
            with pytest.raises(Refused, match="belongs to the rollout other"):
                write()

    def test_a_paused_deployment_is_refused(self, cluster: Site) -> None:
        ref = cluster.ref(DEPLOYMENT, "api-b")
        cluster.api.merge_patch(ref, {"spec": {"paused": True}})
        cluster.caught_up(ref)
        with pytest.raises(Refused, match=r"is paused.*rollout resume"):
            filled(cluster, pair(cluster))

    def test_an_autoscaler_is_refused(self, cluster: Site) -> None:
        scaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "api"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api-a"},
                "maxReplicas": 5,
            },
        }
        cluster.api.create(cluster.ref(AUTOSCALER, "api"), scaler)
        with pytest.raises(Refused, match="autoscaler api scales a slot"):
            filled(cluster, pair(cluster))

    def test_a_slot_that_somebody_else_filled_is_taken_as_it_is(self, cluster: Site) -> None:
        """Its pods run already: no label is added, since that would start them anew."""
        cluster.api.merge_patch(cluster.ref(DEPLOYMENT, "api-b"), {"spec": {"replicas": 2}})
        cluster.caught_up(cluster.ref(DEPLOYMENT, "api-b"))
        slots, stable = pair(cluster), cluster.held("api-a")
        revision = slots.identify(template("shop/api:0"), stable)
        generation = read(cluster, "api-b")["metadata"]["generation"]
        slots.fill(revision, template("shop/api:0"), stable)
        body = read(cluster, "api-b")
        assert body["metadata"]["generation"] == generation
        assert body["metadata"]["annotations"][REVISION_ANNOTATION] == revision

    def test_a_template_that_somebody_changed_under_us(self, cluster: Site) -> None:
        slots = pair(cluster)
        revision, stable = filled(cluster, slots)
        ref = cluster.ref(DEPLOYMENT, "api-b")
        edit = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "hot-fix"}
        cluster.api.json_patch(ref, [edit])
        cluster.caught_up(ref)
        with pytest.raises(Refused, match=r"template of the revision .* is not known"):
            slots.fill(revision, None, stable)
        slots.fill(revision, template("shop/api:2"), stable)
        cluster.caught_up(ref)
        assert cluster.held("api-b") == revision
        slots.scale(revision, 1)
        cluster.api.json_patch(ref, [edit])
        cluster.caught_up(ref)
        with pytest.raises(Refused, match="somebody changed the template"):
            slots.fill(revision, template("shop/api:2"), stable)

    def test_what_a_person_would_type(self, cluster: Site) -> None:
        slots = pair(cluster)
        (line,) = slots.kubectl(cluster.held("api-a"), 5)
        assert line == f"kubectl -n {cluster.namespace} scale deployment api-a --replicas=5"


@pytest.mark.cluster
class TestOneDeployment:
    @pytest.fixture(autouse=True)
    def _standing(self, cluster: Site) -> None:
        one = deployment("api", {"app": "api"}, "shop/api:1", replicas=2)
        one["metadata"]["labels"] = {"app.kubernetes.io/instance": "argo-tracks-this"}
        one["spec"]["progressDeadlineSeconds"] = 77
        cluster.put(one)

    def slots(self, cluster: Site, **target: Any) -> SlotPair:
        return pair(cluster, deployments=("api",), **{"revision_label": "pod-template-hash", **target})

    def test_the_second_slot_is_a_copy_with_a_label_of_its_own(self, cluster: Site) -> None:
        slots, stable = self.slots(cluster), cluster.held("api")
        revision = slots.identify(template("shop/api:2"), stable)
        slots.fill(revision, template("shop/api:2"), stable)
        slots.fill(revision, template("shop/api:2"), stable)
        body = read(cluster, "api-next")
        assert body["spec"]["selector"] == {"matchLabels": {"app": "api", "rolloutsim.dev/slot": "api-next"}}
        assert body["spec"]["replicas"] == 0
        assert body["spec"]["progressDeadlineSeconds"] == 77
        assert "app.kubernetes.io/instance" not in body["metadata"]["labels"]
        assert read(cluster, "api")["spec"]["replicas"] == 2
        cluster.caught_up(cluster.ref(DEPLOYMENT, "api-next"))
        first, second = slots.now()
        assert (first.revision, second.revision) == (stable, revision)
        assert not second.edited

    def test_clean_up_deletes_the_copy_when_it_is_empty(self, cluster: Site) -> None:
        slots, stable = self.slots(cluster), cluster.held("api")
        assert slots.clean_up()
        revision = slots.identify(template("shop/api:2"), stable)
        slots.fill(revision, template("shop/api:2"), stable)
        ref = cluster.ref(DEPLOYMENT, "api-next")
        cluster.caught_up(ref)
        slots.scale(revision, 1)
        cluster.caught_up(ref, ready=1)
        assert not slots.clean_up()
        slots.scale(revision, 0)
        cluster.caught_up(ref)
        if not cluster.controllers:
            assert slots.clean_up()
            assert not slots.now()[1].exists

    def test_a_foreign_next_is_left_alone(self, cluster: Site) -> None:
        cluster.put(deployment("api-next", {"app": "other"}, "other:1"))
        slots, stable = self.slots(cluster), cluster.held("api")
        with pytest.raises(Refused, match="was not created by this rollout"):
            slots.fill("new", template("shop/api:2"), stable)
        with pytest.raises(Refused, match="was not created by this rollout"):
            slots.clean_up()

    def test_a_label_of_ones_own_has_to_be_on_the_pods(self, cluster: Site) -> None:
        slots, stable = self.slots(cluster, revision_label="track"), cluster.held("api")
        with pytest.raises(Refused, match="have no label track"):
            slots.fill("new", template("shop/api:2"), stable)


def test_nothing_to_copy_from(site: Site) -> None:
    with pytest.raises(Refused, match=r"deployment\.apps/api-a does not exist; create it"):
        pair(site).fill("new", template("shop/api:2"), "")


def test_strategies_that_are_not_ours(site: Site) -> None:
    rolling = Policy("api", RollingUpdate(), target=Target(("api",)))
    with pytest.raises(ExecutorError, match="kubectl apply"):
        SlotPair(site.api, rolling, "shop")
    with pytest.raises(ExecutorError, match=r"spec\.target\.deployments"):
        pair(site, deployments=())


class TestFaults:
    @pytest.fixture(autouse=True)
    def _standing(self, site: Site) -> None:
        site.put_slots()

    def test_a_busy_status_does_not_get_in_the_way(self, server: Server, site: Site) -> None:
        """The controller writes the status between our reading and our writing, three times in a row."""
        slots = pair(site)
        revision, _ = filled(site, slots)
        api, left = site.api, [3]

        class Busy:
            def __getattr__(self, name: str) -> Any:
                return getattr(api, name)

            def json_patch(self, *args: Any, **options: Any) -> Object:
                if left[0]:
                    left[0] -= 1
                    server.write_status(
                        "Deployment", "api-b", {"conditions": [], "replicas": left[0]}, "shop"
                    )
                return api.json_patch(*args, **options)

        assert SlotPair(Busy(), blue_green_policy(), "shop").scale(revision, 4).desired == 4
        assert left == [0]

    def test_a_lost_answer_is_unknown_and_doing_it_again_does_no_harm(
        self, server: Server, site: Site
    ) -> None:
        slots, stable = pair(site), site.held("api-a")
        revision = slots.identify(template("shop/api:2"), stable)
        server.faults.lose(1, method="PATCH")
        with pytest.raises(Unknown):
            slots.fill(revision, template("shop/api:2"), stable)
        assert site.held("api-b") == revision
        slots.fill(revision, template("shop/api:2"), stable)
        site.caught_up(site.ref(DEPLOYMENT, "api-b"))
        server.faults.lose(1, method="PATCH")
        with pytest.raises(Unknown):
            slots.scale(revision, 2)
        generation = read(site, "api-b")["metadata"]["generation"]
        assert slots.scale(revision, 2).desired == 2
        assert read(site, "api-b")["metadata"]["generation"] == generation
