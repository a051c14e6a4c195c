"""From a plan to a promoted release, and everything that keeps a run from beginning."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolloutsim.engine import from_json
from rolloutsim.live.kubeconfig import load_access
from rolloutsim.live.plan import read_plan
from rolloutsim.live.prediction import Prediction
from rolloutsim.permit import ENGINE, Certificate, CertifiedBar, Envelope, pack, signed
from rolloutsim.policy import digest, load_policy
from rolloutsim.trace import read_trace
from tests.live.ground import NEW, NEXT
from tests.live.verbs.stage import BLUE_GREEN, MAIN, NAMESPACE, SECRET, Stage

QUICK = ("setWeight: 20", "pause: {duration: 1s}")


def decisions(journal: Path) -> set[int]:
    """The journal entries that decided something else than to measure."""
    found = set()
    for record in read_trace(journal).records:
        value = record["value"]
        if record["kind"] == "event" or (record["kind"] == "did" and value["kind"] != "Measure"):
            found.add(record["seq"])
        if record["kind"] == "seen" and value["kind"] == "StatusPatched":
            found.add(record["seq"])
    return found


@pytest.mark.cluster
def test_plan_run_promote(shop: Stage) -> None:
    """What a plan says happens, and each decision is told once, everywhere."""
    plan, log = shop.folder / "plan.json", shop.folder / "log.jsonl"
    made = shop.verb("plan", shop.canary(), "--image", NEW, "-o", plan)
    assert made.exit_code == 0, made.output
    assert f"spec.template.spec.containers[api].image: {NEXT} → {NEW}" in made.output
    assert "spec.rules[0].backendRefs[api-canary].weight: 0 → 20" in made.output
    assert "--unvetted" in made.output
    assert shop.untouched()

    process = shop.start("run", plan, "--unvetted", "no suite yet", "--log", log)
    shop.waits_at(20)
    waiting = shop.verb("status", "api")
    assert waiting.exit_code == 6
    assert "waits for a person" in waiting.output
    promoted = shop.verb("promote", "api")
    assert promoted.exit_code == 0, promoted.output
    code, out = shop.finish(process)
    assert (code, out.split(":")[0]) == (0, "promoted"), shop.errors(process)

    assert shop.ground.image("api-b") == NEW
    assert shop.replicas() == {"api-a": 0, "api-b": 2}
    assert shop.weight() == 0
    assert shop.ground.selected() == "b"
    assert shop.verb("status", "api").exit_code == 0

    (journal,) = shop.journal_files()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [line["seq"] for line in lines if "seq" in line]
    assert sorted(told) == sorted(decisions(journal))
    events = [e for e in shop.ground.list("Event") if e.get("source", {}).get("component") == "rolloutsim"]
    assert len([e for e in events if e["reason"] != "Permitted"]) == len(told)
    assert {e["involvedObject"]["name"] for e in events} == {"api-a"}
    measured = next(line for line in lines if line.get("gates"))["gates"][0]
    assert (measured["gate"], measured["n"], measured["verdict"]) == ("error-rate", 1, "Successful")
    assert measured["threshold"] == "result[0] < 0.05"
    assert read_trace(journal).manifest["permit"]["reason"] == "no suite yet"

    explained = shop.verb("explain", journal)
    assert explained.exit_code == 0
    assert "unvetted by" in explained.output
    assert "step 4 of 4 is complete" in explained.output


@pytest.mark.cluster
@pytest.mark.slow
def test_no_secret_is_written_anywhere(shop: Stage) -> None:
    """The value of a Secret reaches the metrics server, and no file, object or line of ours."""
    plan, log = shop.folder / "plan.json", shop.folder / "log.jsonl"
    assert shop.verb("plan", shop.canary(QUICK), "--image", NEW, "-o", plan).exit_code == 0
    process = shop.start("run", plan, "--unvetted", "a test", "--log", log)
    shop.until(lambda: SECRET in shop.metrics.asked, "the metrics server is asked")
    assert shop.finish(process)[0] == 0
    written = [plan.read_text(), log.read_text(), shop.errors(process)]
    written += [path.read_text() for path in shop.journal_files()]
    for kind in ("ConfigMap", "Event", "Deployment", "Lease"):
        written.append(json.dumps(shop.ground.list(kind)))
    written += [shop.verb("status", "api", "-o", "json").output, shop.verb("explain", "api").output]
    access = load_access(kubeconfig=str(shop.kubeconfig))
    hidden = [SECRET, access.credentials.token, access.credentials.key, access.credentials.password]
    for text in written:
        assert not any(secret in text for secret in hidden if secret)


# --- no permit ------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_an_unvetted_policy_is_refused(shop: Stage) -> None:
    refused = shop.verb("run", shop.canary(), "--image", NEW)
    assert refused.exit_code == 5
    assert "--unvetted REASON" in refused.output
    assert shop.untouched()


def certificate(policy: Path, **changes: Any) -> Certificate:
    now = datetime.now(UTC)
    bar = CertifiedBar("p_detect@err", True, 0.95, 0.99, 0.96, 1.0, 400)
    made = Certificate(
        policy="api",
        policy_digest=digest(load_policy(policy)),
        service="api",
        suite="standard",
        suite_digest="sha256:0",
        engine=ENGINE,
        rolloutsim="0.1.0",
        seed=1,
        confidence=0.95,
        runs=400,
        bars=(bar,),
        issued=(now - timedelta(hours=1)).isoformat(timespec="seconds"),
        expires=(now + timedelta(hours=1)).isoformat(timespec="seconds"),
    )
    return replace(made, **changes)


def written(shop: Stage, made: Certificate, key: Ed25519PrivateKey | None = None) -> Path:
    envelope = Envelope(pack(made))
    if key is not None:
        envelope = signed(envelope, key)
    path = shop.folder / "certificate.json"
    path.write_text(json.dumps(envelope.to_json()))
    return path


def public(shop: Stage, key: Ed25519PrivateKey) -> Path:
    path = shop.folder / "key.pub"
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(*form))
    return path


PAST = datetime(2020, 1, 2, tzinfo=UTC)


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"policy_digest": "sha256:1"}, "another policy was vetted"),
        (
            {"issued": PAST.isoformat(), "expires": (PAST + timedelta(days=1)).isoformat()},
            "expired",
        ),
        ({"namespaces": ("bank",)}, "counts in namespace bank"),
        ({"clusters": ("elsewhere",)}, "counts in cluster elsewhere"),
        ({"bars": (CertifiedBar("p_detect@err", True, 0.95, 0.9, 0.8, 0.97, 400),)}, "bars not met"),
    ],
)
def test_a_certificate_that_does_not_count(shop: Stage, changes: dict[str, Any], why: str) -> None:
    policy = shop.canary()
    path = written(shop, certificate(policy, **changes))
    refused = shop.verb("run", policy, "--image", NEW, "--certificate", path)
    assert refused.exit_code == 5, refused.output
    assert why in refused.output
    assert shop.untouched()


@pytest.mark.cluster
@pytest.mark.slow
def test_a_forged_signature_and_a_right_one(shop: Stage) -> None:
    policy = shop.canary()
    mine, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path = written(shop, certificate(policy), other)
    words = ("run", policy, "--image", NEW, "--certificate", path, "--key", public(shop, mine))
    forged = shop.verb(*words)
    assert forged.exit_code == 5
    written(shop, certificate(policy), mine)
    run = shop.verb(*words, "--no-wait")
    assert run.exit_code == 6, run.output
    (journal,) = shop.journal_files()
    permit = read_trace(journal).manifest["permit"]
    assert (permit["how"], permit["signatureChecked"]) == ("certificate", True)


@pytest.mark.cluster
@pytest.mark.slow
def test_breaking_the_glass_is_recorded(shop: Stage) -> None:
    policy = shop.canary()
    path = written(shop, certificate(policy, policy_digest="sha256:1"))
    run = shop.verb(
        "run", policy, "--image", NEW, "--certificate", path, "--break-glass", "shop is down", "--no-wait"
    )
    assert run.exit_code == 6, run.output
    permit = read_trace(shop.journal_files()[0]).manifest["permit"]
    assert (permit["how"], permit["reason"]) == ("break-glass", "shop is down")
    assert "another policy was vetted" in permit["refused"][0]
    (event,) = [e for e in shop.ground.list("Event") if e["reason"] == "Permitted"]
    assert event["type"] == "Warning"
    assert "shop is down" in event["message"]


# --- a plan that does not fit ---------------------------------------------------------------------


@pytest.fixture
def planned(shop: Stage) -> Path:
    plan = shop.folder / "plan.json"
    made = shop.verb("plan", shop.canary(QUICK), "--image", NEW, "-o", plan)
    assert made.exit_code == 0, made.output
    return plan


def refused(shop: Stage, plan: Path, *more: str) -> str:
    answer = shop.verb("run", plan, "--unvetted", "a test", *more)
    assert answer.exit_code == 5, answer.output
    assert shop.untouched()
    return answer.output


@pytest.mark.cluster
def test_a_plan_that_was_edited(shop: Stage, planned: Path) -> None:
    planned.write_text(planned.read_text().replace(NEW, "evil/api:2"))
    assert "changed after it was made" in refused(shop, planned)


@pytest.mark.cluster
def test_objects_that_somebody_changed(shop: Stage, planned: Path) -> None:
    shop.ground.patch("Deployment", "api-a", {"spec": {"replicas": 5}})
    said = refused(shop, planned)
    assert "deployment.apps/api-a changed since the plan was made" in said


def test_another_cluster_and_another_namespace(shop: Stage, planned: Path) -> None:
    assert "not bank" in refused(shop, planned, "-n", "bank")
    shop.server.delete("Namespace", "kube-system")
    shop.server.create("Namespace", {"metadata": {"name": "kube-system"}})
    assert "the plan is for the cluster" in refused(shop, planned)


@pytest.mark.cluster
def test_a_plan_keeps_its_parts(shop: Stage, planned: Path) -> None:
    plan = read_plan(planned.read_text())
    assert plan.rollout == "api"
    assert {found.object for found in plan.found} >= {"deployment.apps/api-a", "service/api-stable"}
    assert plan.release.templates[plan.release.revision]["spec"]["containers"][0]["image"] == NEW
    assert plan.policy_digest == digest(load_policy(shop.folder / "policy.yaml"))


@pytest.mark.cluster
@pytest.mark.slow
def test_a_prediction_goes_into_the_plan(shop: Stage, tmp_path: Path) -> None:
    root = Path(__file__).parents[3] / "scenarios"
    policy = root / "policies/httproute-canary.yaml"
    text = policy.read_text()
    path = shop.folder / "plan.json"
    made = shop.verb(
        "plan",
        shop.policy(text),
        "--image",
        NEW,
        "-o",
        path,
        "-s",
        f"{root}/services/api.yaml+{root}/releases/good.yaml",
        "--runs",
        "5",
    )
    assert made.exit_code == 0, made.output
    prediction = read_plan(path.read_text()).prediction
    assert prediction is not None
    assert prediction.foreseen.outcomes == (("promoted", 1.0),)
    assert [step.step for step in prediction.steps] == [1, 2, 3, 4, 5, 6]
    assert prediction.steps[1].at_s.p05 >= 300
    highest = max(band.high for band in prediction.weight)
    assert highest == 100
    assert "a good release" in made.output
    # whoever executes it, now or later and elsewhere, has it to hold the course against
    for words in (("run", path, "--unvetted", "a test"), ("resume", "api")):
        assert shop.verb(*words, "--timeout", "1s").exit_code == 7
    for journal in shop.journal_files():
        assert from_json(Prediction, read_trace(journal).manifest["prediction"]) == prediction


def test_rights_are_looked_at_first(shop: Stage) -> None:
    few = [{"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["get", "list"]}]
    token = shop.server.account("robot", few, NAMESPACE)
    shop.server.kubeconfig(shop.kubeconfig, token=token, namespace=NAMESPACE)
    plan = shop.verb("plan", shop.policy(BLUE_GREEN), "--image", NEW)
    assert plan.exit_code == 4, plan.output
    assert re.search(r"resources: \[deployments\], resourceNames: \[api-b\], verbs: \[.*patch\]", plan.output)


# --- looking only ---------------------------------------------------------------------------------


def writes(shop: Stage) -> list[str]:
    """What was written so far, as the embedded server tells; questions and tries do not count."""
    if shop.embedded is None:
        return []
    return [
        f"{seen.method} {seen.url}"
        for seen in shop.server.requests
        if seen.method != "GET"
        and "selfsubjectaccessreviews" not in seen.url
        and "dryRun=All" not in seen.url
    ]


@pytest.mark.cluster
def test_dry_run_writes_nothing(shop: Stage, planned: Path) -> None:
    before = shop.ground.versions(), writes(shop)
    tried = shop.verb("run", planned, "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "nothing was written" in tried.output
    assert (shop.ground.versions(), writes(shop)) == before


@pytest.mark.cluster
@pytest.mark.slow
def test_shadow_decides_and_writes_nothing(shop: Stage, planned: Path) -> None:
    before = shop.ground.versions(), writes(shop)
    shadow = shop.verb("run", planned, "--shadow", "--timeout", "1s")
    assert shadow.exit_code == 7, shadow.output
    assert (shop.ground.versions(), writes(shop)) == before
    (journal,) = shop.journal_files()
    trace = read_trace(journal)
    assert trace.manifest["world"] == "shadow"
    assert any(record["value"]["kind"] == "CreateRevision" for record in trace.of("did"))


# --- stopping -------------------------------------------------------------------------------------


@pytest.mark.cluster
@pytest.mark.slow
def test_interrupt_then_resume(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    process.send_signal(signal.SIGINT)
    code, out = shop.finish(process)
    assert code == 130
    assert "rolloutsim resume api" in out
    assert "rolloutsim abort api" in out
    assert shop.weight() == 20
    interrupted = shop.verb("status", "api")
    assert interrupted.exit_code == 6
    assert "nobody executes it" in interrupted.output
    left = shop.verb("promote", "api")
    assert left.exit_code == 6
    assert "rolloutsim resume api" in left.output
    resumed = shop.verb("resume", "api")
    assert resumed.exit_code == 0, resumed.output
    assert shop.replicas() == {"api-a": 0, "api-b": 2}
    assert shop.verb("resume", "api").exit_code == 0
    explained = shop.verb("explain", *shop.journal_files())
    assert explained.output.count("step 2 of 4 is complete") == 1


@pytest.mark.cluster
@pytest.mark.slow
def test_run_again_goes_on(shop: Stage) -> None:
    plan = shop.folder / "plan.json"
    shop.verb("plan", shop.canary(), "--image", NEW, "-o", plan)
    assert shop.verb("run", plan, "--unvetted", "a test", "--no-wait").exit_code == 6
    again = shop.verb("run", plan, "--no-wait")
    assert again.exit_code == 6, again.output
    assert "begun before" in again.output


@pytest.mark.cluster
@pytest.mark.slow
def test_no_time_left(shop: Stage) -> None:
    run = shop.verb("run", shop.canary(), "--image", NEW, "--unvetted", "a test", "--timeout", "1s")
    assert run.exit_code == 7, run.output
    assert shop.weight() == 20


@pytest.mark.cluster
@pytest.mark.slow
def test_drift_is_named_before_going_on(shop: Stage) -> None:
    assert shop.verb("run", shop.canary(), "--image", NEW, "--unvetted", "a test", "--no-wait").exit_code == 6
    shop.ground.patch("Deployment", "api-b", {"spec": {"replicas": 7}})
    shop.ground.patch("Service", "api-stable", {"spec": {"selector": {"slot": "b"}}})
    resumed = shop.verb("resume", "api", "--no-wait")
    assert resumed.exit_code == 5, resumed.output
    assert "deployment.apps/api-b was scaled from 1 to 7" in resumed.output
    assert "the stable Service selected" in resumed.output
    accepted = shop.verb("resume", "api", "--no-wait", "--accept-drift")
    assert accepted.exit_code == 6, accepted.output


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.cluster
@pytest.mark.slow
def test_a_bad_release_is_rolled_back(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    shop.metrics.value = 0.5
    code, out = shop.finish(process)
    assert code == 1
    assert "failed (1) > failureLimit (0)" in out
    assert shop.weight() == 0
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    assert shop.verb("status", "api").exit_code == 1


@pytest.mark.cluster
@pytest.mark.slow
def test_prometheus_down(shop: Stage) -> None:
    """Errors are counted as the policy says, and the sentence says whose fault it is."""
    process = shop.run()
    shop.waits_at(20)
    shop.metrics.close()
    why = shop.verb("explain", "api")
    assert why.exit_code == 0
    shop.until(lambda: "Error" in shop.verb("explain", "api").output, "an error is counted")
    assert shop.metrics.address in shop.verb("explain", "api").output
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    assert shop.finish(process)[0] == 1


@pytest.mark.slow
def test_the_api_server_is_away_for_a_while(shop: Stage) -> None:
    process = shop.run(steps=("setWeight: 20", "pause: {duration: 3s}"))
    shop.until(lambda: shop.weight() == 20, "the weight is set")
    shop.server.stop()
    shop.until(lambda: "cannot" in shop.errors(process) or "ended" in shop.errors(process), "it is noticed")
    shop.server.start()
    code, _ = shop.finish(process)
    assert code == 0, shop.errors(process)
    assert shop.replicas() == {"api-a": 0, "api-b": 2}


@pytest.mark.slow
def test_an_api_server_that_is_not_there(shop: Stage) -> None:
    shop.server.stop()
    answer = shop.verb("status", "api")
    assert answer.exit_code == 4
    assert "see that the cluster is up" in answer.output
    shop.server.start()


@pytest.mark.cluster
@pytest.mark.slow
def test_metrics_of_the_executor(shop: Stage) -> None:
    process = shop.run("--metrics-listen", "127.0.0.1:0")
    shop.waits_at(20)
    shop.until(lambda: shop.metrics.asked, "something is measured")
    port = re.search(r"metrics at port (\d+)", shop.errors(process))
    assert port is not None
    with urlopen(f"http://127.0.0.1:{port[1]}/metrics") as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()  # type: ignore[union-attr]
            assert 'rollout="api"' in labels
            values[name, re.sub(r'(rollout|namespace|policy_hash)="[^"]*",?', "", labels).rstrip(",")] = value
    assert values["rolloutsim_weight", 'kind="observed"'] == "20.0"
    assert values["rolloutsim_weight", 'kind="desired"'] == "20.0"
    assert values["rolloutsim_step_index", ""] == "1.0"
    assert values["rolloutsim_run_info", 'phase="Paused"'] == "1.0"
    assert float(values["rolloutsim_decision_seconds_count", ""]) > 0
    assert 0 < float(values["rolloutsim_decision_seconds_sum", ""]) < 60
    assert float(values["rolloutsim_manual_pause_seconds_total", ""]) >= 0
    waits_s = time.time() - float(values["rolloutsim_manual_pause_start_timestamp_seconds", ""])
    assert 0 <= waits_s < 60


@pytest.mark.cluster
@pytest.mark.slow
def test_on_a_terminal_there_is_a_live_view(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view goes to the terminal, the result to standard output."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, behind = pty.openpty()
    words = ["run", shop.canary(), "--image", NEW, "--unvetted", "a test", "--no-wait"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words), *shop.flags],
        stdout=subprocess.PIPE,
        stderr=behind,
        text=True,
    )
    os.close(behind)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 6
    assert out.startswith("waiting at step 1")
    text = seen.decode()
    assert "step 1/4 (pause)" in text
    assert "the canary gets weight 20" in text
    assert '"seq"' not in text
