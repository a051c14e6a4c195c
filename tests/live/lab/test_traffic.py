"""An executor moves real requests through a real Traefik: as many as the policy says, and none is lost."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from rolloutsim.engine import State
from rolloutsim.lab.children import find_program
from rolloutsim.lab.demo import deployment, ingress, route, service
from rolloutsim.lab.load import Load
from rolloutsim.live.executor import Ending, ending
from rolloutsim.live.inbox import Command, Verb
from rolloutsim.live.port import INGRESS, Object, Ref
from rolloutsim.live.release import Release
from rolloutsim.live.traffic_probe import TrafficProbe
from rolloutsim.policy.load import load_policy_text
from rolloutsim.policy.model import Policy
from tests.live.lab.fleet import NAMESPACE, Site, create, executor, lab, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_program("traefik") is None, reason="traefik is not installed"),
]

BLUE_GREEN = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: shop}
spec:
  replicas: 3
  target: {deployments: [shop-blue, shop-green], service: shop, revisionLabel: slot}
  strategy:
    blueGreen: {scaleDownDelaySeconds: 2}
"""
WEIGHTS = (5, 25, 50)
CANARY = """
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: %(name)s}
spec:
  replicas: 3
  target:
    deployments: [%(name)s, %(name)s-new]
    service: %(name)s-stable
    route: {kind: %(kind)s, name: %(name)s}
    revisionLabel: slot
  strategy:
    canary:
      stableService: %(name)s-stable
      canaryService: %(name)s-canary
      scaleDownDelaySeconds: 1
      steps: [%(steps)s]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with lab(tmp_path_factory.mktemp("lab")) as standing:
        yield standing


def release(policy: Policy, version: str) -> Release:
    body = deployment(policy.name, {"app": policy.name}, f"{policy.name}:{version}", 0)
    return Release(policy, version, {version: body["spec"]["template"]})


def stand(site: Site, name: str, objects: list[Object]) -> str:
    """Create what is there before; the version that answers."""
    api = site.connect()
    create(api, objects)
    api.close()
    # Until its pods are there, a route answers 404, 503, and for a moment 500.
    until(lambda: not any(one.isdecimal() for one in ask(site, name, 20)))
    (version,) = ask(site, name, 20)
    return version


def ask(site: Site, name: str, count: int) -> Counter[str]:
    """Versions that answered, one request after the other; whatever is no 200 counts under its status."""
    seen: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", site.web_port, timeout=10)
    for _ in range(count):
        connection.request("GET", "/", headers={"Host": f"{name}.localhost"})
        answer = connection.getresponse()
        body = answer.read()
        seen[json.loads(body)["version"] if answer.status == 200 else str(answer.status)] += 1
    connection.close()
    return seen


# --- weights --------------------------------------------------------------------------------------


def settled(policy: Policy, state: State, due: int | None) -> bool:
    return ending(policy, state, due) is not Ending.GOING_ON


def weighted(name: str, kind: str) -> list[Object]:
    """A service on two slots, with weights by this kind of route."""
    old, new = ({"app": name, "slot": slot} for slot in "ab")
    host = f"{name}.localhost"
    stable, canary = f"{name}-stable", f"{name}-canary"
    way = route(name, host, {stable: 100, canary: 0}) if kind == "HTTPRoute" else ingress(name, host, stable)
    return [
        deployment(name, old, f"{name}:1", 3),
        deployment(f"{name}-new", new, f"{name}:1", 0),
        service(stable, old),
        service(canary, new),
        way,
    ]


def probe(site: Site, name: str, version: str) -> TrafficProbe:
    """Requests through the router; the emulated application names its image in each answer."""
    return TrafficProbe(
        f"http://127.0.0.1:{site.web_port}/", "X-Image", f"{name}:{version}", f"{name}.localhost"
    )


@pytest.mark.parametrize("kind", ["HTTPRoute", "Ingress"])
def test_requests_are_divided_exactly_as_each_step_says(site: Site, kind: str) -> None:
    name = kind.lower()
    before = stand(site, name, weighted(name, kind))
    steps = ", ".join(f"{{setWeight: {weight}}}, {{pause: {{}}}}" for weight in WEIGHTS)
    policy = load_policy_text(CANARY % {"name": name, "kind": kind, "steps": steps})
    with executor(site, release(policy, "v2")) as running:
        for weight in WEIGHTS:
            assert running.run(settled) is Ending.WAITING
            until(lambda: ask(site, name, 100)[before] == 100 - weight)  # noqa: B023
            counts = ask(site, name, 1000)
            # Traefik deals in turn; a thousand that begins in the middle of a hundred may be one off
            assert abs(counts[before] - 10 * (100 - weight)) <= 1, counts
            assert len(counts) == 2, counts
            running.inbox.put(Command(Verb.PROMOTE))
        assert running.run() is Ending.PROMOTED
    assert before not in ask(site, name, 100)


@pytest.mark.parametrize("kind", ["HTTPRoute", "Ingress"])
def test_a_step_is_over_only_when_requests_have_moved(site: Site, kind: str) -> None:
    """With a probe nobody has to wait after a step: its weight holds to the request, while users ask too."""
    name = f"{kind.lower()}-probed"
    objects = weighted(name, kind)
    before = stand(site, name, objects)
    steps = ", ".join(f"{{setWeight: {weight}}}, {{pause: {{}}}}" for weight in WEIGHTS)
    policy = load_policy_text(CANARY % {"name": name, "kind": kind, "steps": steps})
    load = Load(site.web_port, f"{name}.localhost", rate=50).start()
    with executor(site, replace(release(policy, "v2"), probe=probe(site, name, "v2"))) as running:
        for weight in WEIGHTS:
            assert running.run(settled) is Ending.WAITING
            assert running.loop.session.state.facts.verified is True
            counts = ask(site, name, 400)
            # users take turns in between, so a count of ours is no longer exact
            assert abs(counts[before] - 4 * (100 - weight)) <= 40, counts
            running.inbox.put(Command(Verb.PROMOTE))
        assert running.run() is Ending.PROMOTED
    assert load.stop().failed == 0
    assert before not in ask(site, name, 100)


def test_an_ingress_that_takes_all_requests_of_the_route_is_found_out(site: Site) -> None:
    """Traefik accepts the route, and lets an Ingress of the same host win without a word."""
    name = "shadowed"
    objects = weighted(name, "HTTPRoute")
    stand(site, name, [*objects, ingress(name, f"{name}.localhost", f"{name}-stable")])
    policy = load_policy_text(
        CANARY % {"name": name, "kind": "HTTPRoute", "steps": "{setWeight: 25}, {pause: {}}"}
    )
    told: list[str] = []
    probed = replace(release(policy, "v2"), probe=probe(site, name, "v2"))
    with executor(site, probed, note=told.append) as running:
        assert running.run(lambda policy, state, due: bool(told)) is Ending.GOING_ON
        (sentence,) = told
        assert "is accepted, yet 0 of 100 requests" in sentence
        state = running.loop.session.state
        assert (state.facts.weight, state.facts.verified, state.status.step_index) == (25, False, 0)
        with closing(site.connect()) as api:
            api.delete(Ref(INGRESS, NAMESPACE, name))
        assert running.run(settled) is Ending.WAITING
        assert running.loop.session.state.facts.verified is True


# --- switching ------------------------------------------------------------------------------------


def test_cut_over_and_rollback_lose_no_request_with_the_scale_down_delay(site: Site) -> None:
    """That some are lost without it, `tests/lab/test_traffic.py` shows: to a policy, 0 s is for ever."""
    blue, green = ({"app": "shop", "slot": slot} for slot in ("blue", "green"))
    objects = [
        deployment("shop-blue", blue, "shop:1", 3),
        deployment("shop-green", green, "shop:1", 0),
        service("shop", blue),
        route("shop", "shop.localhost", {"shop": 100}),
    ]
    stand(site, "shop", objects)
    policy = load_policy_text(BLUE_GREEN)
    load = Load(site.web_port, "shop.localhost", connections=16).start()
    rollouts = 0
    while rollouts < 2 or load.totals.sent < 50_000:
        with executor(site, release(policy, "v3" if rollouts % 2 else "v2")) as running:
            assert running.run() is Ending.PROMOTED
        rollouts += 1
        assert rollouts < 60
    totals = load.stop()
    assert totals.sent >= 50_000
    assert totals.failed == 0, totals
    assert len(totals.versions) == 3, totals
