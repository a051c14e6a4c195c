"""Real requests through a real Traefik that believes in the emulated API."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rolloutsim.lab.children import find_program
from rolloutsim.lab.demo import demo_objects, deployment, route, service
from rolloutsim.lab.lab import Lab
from rolloutsim.lab.load import Load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_program("traefik") is None, reason="traefik is not installed"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), interval_s=0.5) as running:
        running.apply(demo_objects())
        running.wait_available("api", "shop-blue", "store-stable", "store-new")
        yield running


def ask(lab: Lab, host: str, count: int) -> Counter[str]:
    """Versions that answered, one request after the other; whatever is no 200 counts under its status."""
    seen: Counter[str] = Counter()
    assert lab.router is not None
    connection = http.client.HTTPConnection("127.0.0.1", lab.router.port, timeout=10)
    for _ in range(count):
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read()
        seen[json.loads(body)["version"] if answer.status == 200 else str(answer.status)] += 1
    connection.close()
    return seen


def until(holds, timeout_s=20.0):
    ends = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def version(lab: Lab, **labels: str) -> str:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found = {
        pod["metadata"]["labels"]["pod-template-hash"] for pod in lab.server.list("Pod", labels=selector)
    }
    (only,) = found
    return only


def exactly(lab: Lab, host: str, wanted: str, weight: int) -> None:
    """Traefik deals requests out in turn, the earliest deadline first: no draw, no spread.

    From its start each hundred is exact. A thousand that begins in the middle may be one off, since equal
    deadlines are told apart by their rounding; binomial noise would be one off or less in one case of ten.
    """
    until(lambda: ask(lab, host, 100)[wanted] == weight)
    for _ in range(3):
        counts = ask(lab, host, 1000)
        assert abs(counts[wanted] - 10 * weight) <= 1
        assert sum(counts.values()) == 1000


@pytest.mark.parametrize("weight", [5, 25, 50, 1])
def test_weights_of_a_route_are_exact(lab, weight):
    host = f"w{weight}.localhost"
    for name in ("old", "new"):
        labels = {"app": f"w{weight}", "track": name}
        lab.apply([deployment(f"w{weight}-{name}", labels, f"w:{name}", 1)])
        lab.apply([service(f"w{weight}-{name}", labels)])
    lab.wait_available(f"w{weight}-old", f"w{weight}-new")
    lab.apply([route(f"w{weight}", host, {f"w{weight}-old": 100 - weight, f"w{weight}-new": weight})])
    new = version(lab, app=f"w{weight}", track="new")
    exactly(lab, host, new, weight)
    for name in ("old", "new"):
        lab.server.delete("Deployment", f"w{weight}-{name}")


def test_weights_of_an_ingress_pair_are_exact(lab):
    new = version(lab, app="store", track="new")
    for weight in (25, 5):
        annotations = {"nginx.ingress.kubernetes.io/canary-weight": str(weight)}
        lab.server.patch("Ingress", "store-canary", {"metadata": {"annotations": annotations}})
        exactly(lab, "store.localhost", new, weight)


def test_a_changed_weight_loses_nothing(lab):
    assert lab.router is not None
    until(lambda: set(ask(lab, "api.localhost", 5)) == {version(lab, app="api")})
    load = Load(lab.router.port, "api.localhost", connections=4).start()
    for weight in (5, 25, 50, 0):
        backends = [
            {"name": "api-stable", "port": 80, "weight": 100 - weight},
            {"name": "api-canary", "port": 80, "weight": weight},
        ]
        lab.server.patch("HTTPRoute", "api", {"spec": {"rules": [{"backendRefs": backends}]}})
        time.sleep(0.5)
    totals = load.stop()
    assert totals.sent > 1000
    assert totals.failed == 0


def test_the_route_says_what_generation_is_in_force(lab):
    def conditions():
        found = lab.server.get("HTTPRoute", "shop")
        parents = (found.get("status") or {}).get("parents") or [{"conditions": []}]
        now = found["metadata"]["generation"]
        return {each["type"]: each["observedGeneration"] == now for each in parents[0]["conditions"]}

    until(lambda: conditions() == {"Accepted": True, "ResolvedRefs": True})


def _swap(lab: Lab, name: str, turns: int, drain_s: float | None, sent: int) -> tuple[int, int]:
    """Cut over and back under load, scaling the old colour down after ``drain_s``: requests sent and lost."""
    server = lab.server
    assert lab.router is not None
    for color in ("blue", "green"):
        labels = {"app": name, "slot": color}
        lab.apply([deployment(f"{name}-{color}", labels, f"{name}:{color}", 3 if color == "blue" else 0)])
    lab.apply([service(name, {"app": name, "slot": "blue"}), route(name, f"{name}.localhost", {name: 1})])
    lab.wait_available(f"{name}-blue")
    until(lambda: set(ask(lab, f"{name}.localhost", 20)) == {version(lab, app=name, slot="blue")})
    load = Load(lab.router.port, f"{name}.localhost", connections=16).start()
    old, new, turn = "blue", "green", 0
    while turn < turns or load.totals.sent < sent:
        server.patch("Deployment", f"{name}-{new}", {"spec": {"replicas": 3}})
        lab.wait_available(f"{name}-{new}")
        server.patch("Service", name, {"spec": {"selector": {"slot": new}}})
        if drain_s is not None:
            time.sleep(drain_s)
        server.patch("Deployment", f"{name}-{old}", {"spec": {"replicas": 0}})
        lab.wait_available(f"{name}-{old}")
        until(lambda: not server.list("Pod", labels=f"app={name},slot={old}"))  # noqa: B023
        old, new, turn = new, old, turn + 1
        assert turn < 60
    totals = load.stop()
    for color in ("blue", "green"):
        server.delete("Deployment", f"{name}-{color}")
    return totals.sent, totals.failed


def test_cut_over_and_rollback_lose_nothing_with_the_delay(lab):
    sent, lost = _swap(lab, "calm", turns=4, drain_s=2.0, sent=50_000)
    assert sent >= 50_000
    assert lost == 0


def test_without_the_delay_requests_are_lost(lab):
    sent, lost = _swap(lab, "hasty", turns=6, drain_s=None, sent=5_000)
    assert sent >= 5_000
    assert 0 < lost < sent  # how many depends on how fast a client asks again that was refused


def test_pods_that_serve_on_need_no_delay(lab):
    for color in ("blue", "green"):
        lab.apply([deployment(f"kind-{color}", {"app": "kind", "slot": color}, "kind:1", 0)])
        annotation = {"metadata": {"annotations": {"lab.rolloutsim.dev/shutdown-s": "1"}}}
        lab.server.patch("Deployment", f"kind-{color}", annotation)
    sent, lost = _swap_keeping(lab)
    assert sent > 1_000
    assert lost == 0


def _swap_keeping(lab: Lab) -> tuple[int, int]:
    server = lab.server
    assert lab.router is not None
    lab.apply(
        [service("kind", {"app": "kind", "slot": "blue"}), route("kind", "kind.localhost", {"kind": 1})]
    )
    server.patch("Deployment", "kind-blue", {"spec": {"replicas": 3}})
    lab.wait_available("kind-blue")
    until(lambda: set(ask(lab, "kind.localhost", 20)) == {version(lab, app="kind", slot="blue")})
    load = Load(lab.router.port, "kind.localhost", connections=8).start()
    server.patch("Deployment", "kind-green", {"spec": {"replicas": 3}})
    lab.wait_available("kind-green")
    server.patch("Service", "kind", {"spec": {"selector": {"slot": "green"}}})
    server.patch("Deployment", "kind-blue", {"spec": {"replicas": 0}})
    until(lambda: not server.list("Pod", labels="app=kind,slot=blue"))
    time.sleep(0.5)
    totals = load.stop()
    return totals.sent, totals.failed


def test_prometheus_sees_what_the_clients_see(lab):
    assert lab.router is not None
    assert lab.metrics is not None
    lab.misbehave("api", error_rate=0.2)
    load = Load(lab.router.port, "api.localhost", rate=200).start()
    query = (
        'sum(rate(http_requests_total{service="api",status="500"}[4s]))'
        ' / sum(rate(http_requests_total{service="api"}[4s]))'
    )

    def share() -> float:
        answer = httpx.get(f"{lab.metrics.url}/api/v1/query", params={"query": query}, trust_env=False)
        result = answer.json()["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    time.sleep(6)
    measured = share()
    totals = load.stop()
    lab.misbehave("api", error_rate=0)
    counted = totals.statuses[500] / totals.sent
    assert counted == pytest.approx(0.2, abs=0.05)
    assert measured == pytest.approx(counted, abs=0.05)


def test_without_prometheus_the_scraper_answers_the_same_api(tmp_path, monkeypatch):
    monkeypatch.setattr("rolloutsim.lab.monitoring.find_program", lambda name: None)
    with Lab(tmp_path, router=False, interval_s=0.2) as lab:
        assert lab.metrics is not None
        lab.apply([deployment("a", {"app": "a"}, "a:1", 2)])
        lab.wait_available("a")
        address = lab.server.list("Pod")[0]["status"]["podIP"]

        def query(text: str) -> list[dict]:
            answer = httpx.get(f"{lab.metrics.url}/api/v1/query", params={"query": text}, trust_env=False)
            return answer.json()["data"]["result"]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: httpx.get(f"http://{address}:8080/", trust_env=False), range(40)))
        until(lambda: query('sum(http_requests_total{service="a"}) >= 40'))
        assert len(query("up == 1")) == 2
        lab.server.patch("Deployment", "a", {"spec": {"replicas": 0}})
        until(lambda: not query("http_requests_total"))  # stale at once, not after five minutes
