"""What a slot holds, read from a Deployment."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rolloutsim.live.port import DEPLOYMENT, Object, Ref
from rolloutsim.live.slots import Slot, holding, read_slot, slot_names, template_id
from rolloutsim.policy.model import Target
from tests.live.kube.standing import deployment, template

REF = Ref(DEPLOYMENT, "shop", "api-a")


def body(**status: Any) -> Object:
    made = deployment("api-a", {"app": "api", "slot": "a"}, "shop/api:1", 3)
    made["metadata"].update(generation=2, namespace="shop")
    made["status"] = status
    return made


def slot(thing: Object) -> Slot:
    return read_slot(REF, {REF: thing}, "slot")


def test_counts_are_those_of_the_present_spec() -> None:
    counted = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1}
    now = slot(body(observedGeneration=2, **counted))
    assert (now.desired, now.created, now.ready, now.available) == (3, 3, 2, 1)
    assert now.settled
    assert not slot(body(observedGeneration=1, **counted)).settled
    assert not slot(body()).settled


def test_empty_means_known_to_have_no_pods() -> None:
    without = body(observedGeneration=2)
    without["spec"]["replicas"] = 0
    assert slot(without).empty
    without["status"]["observedGeneration"] = 1
    assert not slot(without).empty
    assert not slot(body(observedGeneration=2)).empty
    assert Slot(REF).empty


def test_replicas_that_are_not_written_are_one() -> None:
    thing = body(observedGeneration=2)
    del thing["spec"]["replicas"]
    assert slot(thing).desired == 1


def test_pods_of_an_older_template() -> None:
    assert slot(body(observedGeneration=2, replicas=4, updatedReplicas=1)).rolling


def test_ids_tell_templates_apart_and_nothing_else() -> None:
    one = template("shop/api:1", {"app": "api", "slot": "a"})
    same = template("shop/api:1", {"app": "api", "slot": "b", "rollouts-pod-template-hash": "x"})
    same["metadata"]["creationTimestamp"] = None
    same["spec"]["securityContext"] = {}
    assert template_id(one, {"slot"}) == template_id(same, {"slot"})
    assert len(template_id(one, {"slot"})) == 10
    for change in (
        lambda t: t["spec"]["containers"][0].update(image="shop/api:2"),
        lambda t: t["spec"]["containers"][0].update(command=[]),
        lambda t: t["metadata"]["labels"].update(extra="1"),
        lambda t: t["metadata"].update(annotations={"restarted": "now"}),
    ):
        other = copy.deepcopy(one)
        change(other)
        assert template_id(other, {"slot"}) != template_id(one, {"slot"})


def test_the_annotation_counts_and_edits_show() -> None:
    thing = body()
    thing["metadata"]["annotations"]["rolloutsim.dev/revision"] = slot(body()).revision
    assert not slot(thing).edited
    thing["spec"]["template"]["spec"]["containers"][0]["image"] = "shop/api:hot-fix"
    assert slot(thing).edited
    assert slot(thing).revision == slot(body()).revision


def test_a_single_deployment_has_a_second_slot() -> None:
    assert slot_names(Target(("api",))) == ("api", "api-next")
    assert slot_names(Target(("a", "b"))) == ("a", "b")
    with pytest.raises(ValueError, match="no Deployment"):
        slot_names(Target())


def test_of_two_slots_with_one_revision_the_one_with_pods_holds_it() -> None:
    idle, running = Slot(REF, exists=True, revision="r"), Slot(REF, exists=True, revision="r", created=2)
    assert holding([idle, running], "r") is running
    assert holding([idle], "s") is None
