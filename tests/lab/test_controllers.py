"""Deployments, their pods and endpoints, against what a real controller manager did."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from rolloutsim.lab.controllers.arithmetic import Limits, Revision, limits_of, new_replicas, old_replicas
from rolloutsim.lab.controllers.deployments import Deployments
from rolloutsim.lab.demo import deployment, service
from rolloutsim.lab.lab import Lab
from rolloutsim.lab.loop import Bucket
from rolloutsim.lab.server import Server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), router=False, metrics=False, tls=False) as running:
        yield running


def until(holds, timeout_s=15.0):
    ends = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("surge", "unavailable", "limits"),
    [
        ("25%", "25%", Limits(3, 2)),
        (1, 0, Limits(1, 0)),
        ("0%", "5%", Limits(0, 1)),  # both would be 0: one pod may be missing
        ("100%", 0, Limits(10, 0)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(surge, unavailable, limits):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    assert limits_of({"replicas": 10, "strategy": {"rollingUpdate": rolling}}) == limits


def test_the_steps_of_a_rolling_update():
    limits = Limits(3, 2)
    old = Revision(10, 10, 10)
    assert new_replicas(10, limits, Revision(0, 0, 0), [old]) == 3
    new = Revision(3, 3, 0)
    assert old_replicas(10, limits, new, [old]) == [8]
    assert new_replicas(10, limits, new, [Revision(8, 8, 8)]) == 5
    # The old pods' number is from before two of them went: nothing more may go until new ones are there.
    assert old_replicas(10, limits, Revision(5, 5, 0), [Revision(8, 10, 10)]) == [8]
    assert old_replicas(10, limits, Revision(5, 5, 5), [Revision(8, 8, 8)]) == [3]


def test_unhealthy_pods_of_old_revisions_go_first():
    broken, good = Revision(5, 5, 0), Revision(8, 8, 8)
    assert old_replicas(10, Limits(3, 2), Revision(0, 0, 0), [broken, good]) == [0, 8]


def _rolled(lab: Lab, surge: int | str, unavailable: int | str) -> tuple[float, int, int]:
    """Seconds, most pods and fewest available pods of one rolling update."""
    server = lab.server
    thing = deployment("web", {"app": "web"}, "web:1", 10)
    thing["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    server.apply(thing)
    lab.wait_available("web")
    thing["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    began = time.monotonic()
    generation = server.apply(thing)["metadata"]["generation"]
    most, fewest, ends = 0, 99, began + 30
    while time.monotonic() < ends:
        pods = [pod for pod in server.list("Pod") if "deletionTimestamp" not in pod["metadata"]]
        status = server.get("Deployment", "web")["status"]
        most, fewest = max(most, len(pods)), min(fewest, status.get("availableReplicas", 0))
        counts = {status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        if status["observedGeneration"] == generation and counts == {10}:
            break
        time.sleep(0.01)
    seconds = time.monotonic() - began
    server.delete("Deployment", "web")
    until(lambda: not server.list("Pod", labels="app=web"))
    return seconds, most, fewest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("surge", "unavailable", "seconds", "most", "fewest"),
    [("25%", "25%", 2.89, 13, 8), (1, 0, 5.39, 11, 10), (0, 1, 5.62, 10, 9), ("100%", 0, 1.61, 20, 10)],
)
def test_a_rolling_update_goes_as_on_a_real_cluster(lab, surge, unavailable, seconds, most, fewest):
    """10 pods, ready after 0.5 s. The pods are exactly as many; the time is that of the waves of pods.

    Where many pods change at once the real one took up to 1.5 s longer: it waited for its own rate limit.
    """
    took, most_seen, fewest_seen = _rolled(lab, surge, unavailable)
    assert (most_seen, fewest_seen) == (most, fewest)
    assert 0.4 * seconds < took < 1.4 * seconds
    if most < 13:
        assert took == pytest.approx(seconds, rel=0.2)


def test_pods_are_ready_selected_and_answer(lab):
    server = lab.server
    lab.apply([deployment("a", {"app": "a"}, "a:1", 2), service("a", {"app": "a"})])
    lab.wait_available("a")
    until(lambda: _ready(server, "a") == 2)
    endpoint = server.get("EndpointSlice", "a")["endpoints"][0]
    pod = server.get("Pod", endpoint["targetRef"]["name"])
    address = f"http://{endpoint['addresses'][0]}:8080"
    assert endpoint["addresses"][0].startswith("127.")
    with httpx.Client(base_url=address, trust_env=False) as client:
        told = client.get("/").json()
        assert (told["version"], told["pod"]) == (
            pod["metadata"]["labels"]["pod-template-hash"],
            pod["metadata"]["name"],
        )
        assert client.get("/ready").status_code == 200
        lab.misbehave("a", error_rate=1)
        until(lambda: client.get("/").status_code == 500)
        lab.misbehave("a", error_rate=0)
        until(lambda: client.get("/").status_code == 200)
        metrics = client.get("/metrics").text
    version = pod["metadata"]["labels"]["pod-template-hash"]
    assert f'http_requests_total{{app_version="{version}"' in metrics
    assert 'status="500"' in metrics
    lab.misbehave("a", never_ready=True)
    until(lambda: _ready(server, "a") == 0)
    lab.misbehave("a", never_ready=False)
    until(lambda: _ready(server, "a") == 2)


def _ready(server, name):
    endpoints = (server.get("EndpointSlice", name) or {}).get("endpoints", ())
    return sum(each["conditions"]["ready"] for each in endpoints)


def test_a_selector_moves_endpoints(lab):
    server = lab.server
    for color in ("blue", "green"):
        lab.apply([deployment(f"b-{color}", {"app": "b", "slot": color}, "b:1", 2)])
    lab.apply([service("b", {"app": "b", "slot": "blue"})])
    lab.wait_available("b-blue", "b-green")

    def slots():
        endpoints = server.get("EndpointSlice", "b")["endpoints"]
        return {each["targetRef"]["name"].split("-")[1] for each in endpoints}

    until(lambda: server.get("EndpointSlice", "b") and slots() == {"blue"})
    server.patch("Service", "b", {"spec": {"selector": {"slot": "green"}}})
    until(lambda: slots() == {"green"})


def test_a_pod_that_ends_is_terminating_before_it_goes(lab):
    server = lab.server
    lab.apply(
        [deployment("c", {"app": "c"}, "c:1", 1, {"LAB_SHUTDOWN_S": "0.5"}), service("c", {"app": "c"})]
    )
    lab.wait_available("c")
    until(lambda: _ready(server, "c") == 1)
    address = server.get("EndpointSlice", "c")["endpoints"][0]["addresses"][0]
    server.patch("Deployment", "c", {"spec": {"replicas": 0}})
    until(lambda: _ready(server, "c") == 0)
    (endpoint,) = server.get("EndpointSlice", "c")["endpoints"]
    assert endpoint["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert httpx.get(f"http://{address}:8080/", trust_env=False).status_code == 200  # it serves on
    until(lambda: not server.list("Pod", labels="app=c"))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{address}:8080/", trust_env=False)


def test_the_progress_deadline_passes_and_nothing_rolls_back(lab):
    server = lab.server
    thing = deployment("d", {"app": "d"}, "d:1", 2)
    thing["spec"]["progressDeadlineSeconds"] = 1
    server.apply(thing)
    lab.wait_available("d")
    first = server.get("Deployment", "d")["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    thing["spec"]["template"]["spec"]["containers"][0] |= {"env": [{"name": "LAB_NEVER_READY", "value": "1"}]}
    server.apply(thing)
    began = time.monotonic()

    def progressing():
        conditions = server.get("Deployment", "d")["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "Progressing")

    until(lambda: progressing()["reason"] == "ProgressDeadlineExceeded")
    assert 0.9 < time.monotonic() - began < 4
    time.sleep(0.3)
    found = server.get("Deployment", "d")
    assert first == "1"
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert found["spec"]["template"]["spec"]["containers"][0]["env"]
    assert found["status"]["availableReplicas"] == 2  # the old pods, of which none may be missing


def test_jobs_end_with_the_code_of_their_annotation(lab):
    server = lab.server
    for name, code in (("good", "0"), ("bad", "3")):
        meta = {"name": name, "annotations": {"lab.rolloutsim.dev/exit-code": code}}
        container = {"name": "c", "image": "x"}
        server.create("Job", {"metadata": meta, "spec": {"template": {"spec": {"containers": [container]}}}})

    def ended(name):
        conditions = (server.get("Job", name).get("status") or {}).get("conditions") or [{}]
        return conditions[0].get("type")

    until(lambda: (ended("good"), ended("bad")) == ("Complete", "Failed"))


def test_the_controller_loses_no_change_that_somebody_makes_while_it_writes(tmp_path):
    class Interfering(Bucket):
        """Somebody scales the Deployment just before the controller's next call."""

        scales = False

        def take(self) -> None:
            if self.scales:
                self.scales = False
                server.patch("Deployment", "web", {"spec": {"replicas": 2}})

    with Server() as server:
        bucket = Interfering(1000.0)
        controller = Deployments(server.cluster, bucket)
        bucket.scales = True
        controller.start()
        try:
            server.apply(deployment("web", {"app": "web"}, "web:1", 0))
            until(lambda: server.get("Deployment", "web").get("status", {}).get("observedGeneration") == 2)
        finally:
            controller.stop()
        assert server.get("Deployment", "web")["spec"]["replicas"] == 2
        (replica_set,) = server.list("ReplicaSet")
        assert replica_set["spec"]["replicas"] == 2
