"""Metrics that are Kubernetes Jobs."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import Measure, MeasureError, Outcome
from rolloutsim.lab import Server
from rolloutsim.live import jobs
from rolloutsim.live.jobs import JobRunner, job_name
from rolloutsim.live.measure import Question
from rolloutsim.live.port import JOB, Ref
from rolloutsim.policy.model import JobProvider
from tests.live.kube.standing import Site, eventually

SPEC = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "smoke", "image": "smoke:1", "args": ["http://api"]}],
            }
        },
    },
}
REQUEST = Measure("1", "v2-2-1", "smoke test", 1, JobProvider(json.dumps(SPEC)))
NAME = job_name(REQUEST)
BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.29-4"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(jobs, "LAST_LOOK_S", 0.02)


def started(site: Site, question: Question) -> tuple[threading.Thread, list[Outcome]]:
    found: list[Outcome] = []
    runner = JobRunner(site.api, site.namespace, {"rolloutsim.dev/rollout": "api"})
    thread = threading.Thread(target=lambda: found.append(runner(question)), daemon=True)
    thread.start()
    return thread, found


def awaited(server: Server, namespace: str) -> dict[str, Any]:
    for _ in range(500):
        job = server.get("Job", NAME, namespace)
        if job is not None:
            return job
        threading.Event().wait(0.01)
    raise AssertionError("no Job was created")


@pytest.mark.parametrize(
    ("condition", "phase"),
    [("Complete", MeasurementPhase.SUCCESSFUL), ("Failed", MeasurementPhase.FAILED)],
)
def test_a_job_is_followed_to_its_end(
    server: Server, site: Site, condition: str, phase: MeasurementPhase
) -> None:
    thread, found = started(site, Question(REQUEST, 0))
    job = awaited(server, site.namespace)
    assert job["metadata"]["labels"]["rolloutsim.dev/rollout"] == "api"
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["http://api"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 86_400
    status = {"conditions": [{"type": condition, "status": "True"}]}
    server.write_status("Job", NAME, status, site.namespace)
    thread.join(5.0)
    assert found == [phase]


@pytest.mark.cluster
def test_a_job_of_any_cluster(cluster: Site) -> None:
    """Its own controllers run it, where there are any."""
    container = {"name": "smoke", "image": BUSYBOX, "command": ["true"]}
    spec = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
    request = Measure("1", "v2-2-1", "smoke test", 1, JobProvider(json.dumps(spec)))
    thread, found = started(cluster, Question(request, 0))
    if not cluster.controllers:
        ref = Ref(JOB, cluster.namespace, job_name(request))
        eventually(lambda: bool(cluster.api.list(JOB, cluster.namespace).items))
        done = {"conditions": [{"type": "Complete", "status": "True"}]}
        cluster.api.merge_patch(ref, {"status": done}, subresource="status")
    thread.join(90.0)
    assert found == [MeasurementPhase.SUCCESSFUL]


def test_a_second_request_follows_the_job_that_is_there(server: Server, site: Site) -> None:
    first, found_first = started(site, Question(REQUEST, 0))
    awaited(server, site.namespace)
    second, found_second = started(site, Question(REQUEST, 0))
    server.write_status("Job", NAME, {"conditions": [{"type": "Complete", "status": "True"}]}, site.namespace)
    first.join(5.0)
    second.join(5.0)
    assert found_first == found_second == [MeasurementPhase.SUCCESSFUL]
    assert len(server.list("Job", site.namespace)) == 1


def test_a_creation_without_an_answer_is_looked_at(server: Server, site: Site) -> None:
    server.faults.lose(1, method="POST", path="/jobs")
    thread, found = started(site, Question(REQUEST, 0))
    awaited(server, site.namespace)
    server.write_status("Job", NAME, {"conditions": [{"type": "Complete", "status": "True"}]}, site.namespace)
    thread.join(5.0)
    assert found == [MeasurementPhase.SUCCESSFUL]


def test_a_job_of_somebody_else_is_left_alone(server: Server, site: Site) -> None:
    body = {"metadata": {"name": NAME}, "spec": SPEC["spec"]}
    server.create("Job", body, site.namespace)
    thread, found = started(site, Question(REQUEST, 0))
    thread.join(5.0)
    (outcome,) = found
    assert isinstance(outcome, MeasureError)
    assert "is not ours" in outcome.message


def test_a_job_that_is_removed_is_a_lost_measurement(server: Server, site: Site) -> None:
    thread, found = started(site, Question(REQUEST, 0))
    awaited(server, site.namespace)
    server.delete("Job", NAME, site.namespace)
    thread.join(5.0)
    (outcome,) = found
    assert isinstance(outcome, MeasureError)
    assert "was removed" in outcome.message


def test_a_job_that_nobody_waits_for_is_suspended(server: Server, site: Site) -> None:
    question = Question(REQUEST, 0)
    thread, found = started(site, question)
    awaited(server, site.namespace)
    question.stopped.set()
    thread.join(5.0)
    assert found == [MeasurementPhase.INCONCLUSIVE]
    job = server.get("Job", NAME, site.namespace)
    assert job is not None
    assert job["spec"]["suspend"] is True


@pytest.mark.parametrize(
    "wanted", [("v2-2", "smoke", 1), ("v2-2", "Smoke_Test.x", 12), ("r" * 80, "m" * 80, 1), ("--", "..", 1)]
)
def test_names_of_jobs_are_valid_and_differ(wanted: tuple[str, str, int]) -> None:
    run, metric, attempt = wanted
    name = job_name(Measure("", run, metric, attempt, JobProvider()))
    assert len(name) <= 63
    assert name.strip("-") == name
    assert name.replace("-", "a").isalnum()
    assert name == name.lower()
    assert name != job_name(Measure("", run, metric, attempt + 1, JobProvider()))
