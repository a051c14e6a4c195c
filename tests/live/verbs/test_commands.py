"""What people type while a rollout goes on, and what they type when everything else is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.live.ground import NEW, NEXT
from tests.live.verbs.stage import BLUE_GREEN, Stage, stage

pytestmark = pytest.mark.cluster


def begun(shop: Stage) -> None:
    """A rollout that waits at its first pause, and that nobody executes."""
    run = shop.verb("run", shop.canary(), "--image", NEW, "--unvetted", "a test", "--no-wait")
    assert run.exit_code == 6, run.output
    assert shop.weight() == 20


def back(shop: Stage) -> None:
    """Everybody is on the old version, and the new one has no pods."""
    assert shop.weight() == 0
    assert shop.status()["abort"] is True
    assert shop.ground.selected() == "a"
    assert shop.replicas()["api-a"] == 2


# --- abort ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_live_executor_obeys_an_abort(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    began = time.monotonic()
    aborted = shop.verb("abort", "api", "--reason", "complaints")
    assert aborted.exit_code == 0, aborted.output
    assert time.monotonic() - began < 5
    assert shop.weight() == 0
    assert "asked " in aborted.output
    assert "taking over" not in aborted.output
    assert shop.finish(process)[0] == 1
    back(shop)
    assert "complaints" in shop.verb("explain", *shop.journal_files()).output


def test_abort_again_does_no_harm(shop: Stage) -> None:
    begun(shop)
    assert shop.verb("abort", "api").exit_code == 0
    before = shop.ground.versions()
    again = shop.verb("abort", "api")
    assert again.exit_code == 0
    assert "aborted already" in again.output
    assert shop.ground.versions() == before


def test_abort_acts_where_nobody_executes(shop: Stage) -> None:
    """No executor, no journal, no metrics server: it takes the Lease and does it."""
    begun(shop)
    shop.metrics.close()
    for journal in shop.journal_files():
        journal.unlink()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    back(shop)
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    # heard once, and nothing of it is left for whoever executes the next release
    assert aborted.output.count("abort asked by") == 1
    assert "abort" not in shop.ground.get("ConfigMap", "rolloutsim-api")["data"]


def test_abort_prints_what_to_type_by_hand(shop: Stage) -> None:
    """The lines alone bring everybody back."""
    begun(shop)
    aborted = shop.verb("abort", "api")
    lines = [line.strip() for line in aborted.output.splitlines() if line.startswith("  kubectl ")]
    assert any("patch httproute api" in line and '"value":100' in line for line in lines)
    assert any("scale deployment api-b --replicas=0" in line for line in lines)
    assert all(f"--kubeconfig {shop.kubeconfig}" in line for line in lines)


@pytest.fixture
def typed(shop: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A cluster that kubectl may send a token to, which it does over TLS only."""
    if shop.embedded is None:
        yield shop
        return
    folder = tmp_path / "over-tls"
    folder.mkdir()
    with stage(folder, tls=True) as made:
        yield made


@pytest.mark.slow
def test_the_lines_by_hand_work(typed: Stage) -> None:
    """Typed into a shell, with kubectl."""
    begun(typed)
    aborted = typed.verb("abort", "api")
    lines = [line.strip() for line in aborted.output.splitlines() if line.startswith("  kubectl ")]
    typed.ground.patch("Deployment", "api-b", {"spec": {"replicas": 1}})
    typed.ground.patch("Service", "api-stable", {"spec": {"selector": {"slot": "b"}}})
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in lines:
        subprocess.run(line, shell=True, check=True, env={**os.environ, "PATH": path}, capture_output=True)
    assert typed.replicas() == {"api-a": 2, "api-b": 0}
    assert (typed.weight(), typed.ground.selected()) == (0, "a")


@pytest.mark.slow
def test_an_executor_that_died_long_ago_is_not_waited_for(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    process.kill()
    process.wait()
    old = (datetime.now(UTC) - timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    shop.ground.patch("Lease", "rolloutsim-api", {"spec": {"renewTime": old}})
    status = shop.verb("status", "api")
    assert status.exit_code == 6
    assert "was executed by" in status.output
    assert "heard of 4m" in status.output
    began = time.monotonic()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    assert time.monotonic() - began < 10
    back(shop)


@pytest.mark.slow
def test_an_executor_that_just_died_is_waited_for(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    process.kill()
    process.wait()
    began = time.monotonic()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    assert 5 < time.monotonic() - began < 40
    back(shop)


@pytest.mark.slow
def test_an_executor_that_renews_and_does_not_listen_is_put_out(shop: Stage) -> None:
    """Somebody holds the Lease for ever and obeys nobody: an abort takes it away."""
    begun(shop)
    import threading

    stop = threading.Event()

    def renew() -> None:
        held = True
        while held and not stop.wait(1.0):
            held = shop.ground.get("Lease", "rolloutsim-api")["spec"].get("holderIdentity") == "deaf"
            if held:
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                shop.ground.patch("Lease", "rolloutsim-api", {"spec": {"renewTime": stamp}})

    number = shop.ground.get("Lease", "rolloutsim-api")["spec"]["leaseTransitions"] + 1
    taken = {"holderIdentity": "deaf", "leaseTransitions": number}
    shop.ground.patch("Lease", "rolloutsim-api", {"spec": taken})
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    aborted = shop.verb("abort", "api")
    stop.set()
    thread.join()
    assert aborted.exit_code == 0, aborted.output
    assert "put out" in aborted.output
    back(shop)


@pytest.mark.slow
def test_abort_from_an_empty_environment_elsewhere(shop: Stage, tmp_path: Path) -> None:
    """A virtual environment with what the image has, in another directory, and a kubeconfig: nothing else."""
    begun(shop)
    elsewhere = tmp_path / "elsewhere"
    venv.create(elsewhere / "venv", with_pip=True)
    python = elsewhere / "venv" / "bin" / "python"
    root = Path(__file__).parents[3]
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, "-r", root / "deploy" / "requirements.txt"], check=True, cwd=elsewhere)
    subprocess.run([*install, "--no-deps", root], check=True, cwd=elsewhere)
    aborted = subprocess.run(
        [elsewhere / "venv" / "bin" / "rolloutsim", "abort", "api", *shop.flags],
        cwd=elsewhere,
        env={"PATH": os.environ["PATH"], "HOME": str(elsewhere)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert aborted.returncode == 0, aborted.stderr
    back(shop)


def test_an_executor_that_died_before_it_began(shop: Stage) -> None:
    """It took the Lease and saved nothing, so there is nothing to resume; the same run begins anew."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "rolloutsim-api"},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 2,
            "leaseTransitions": 1,
            "renewTime": "2026-01-05T00:00:00.000000Z",
        },
    }
    shop.ground.put(lease)
    assert shop.verb("resume", "api").exit_code == 4
    begun(shop)


@pytest.mark.slow
def test_there_is_nothing_to_abort(shop: Stage) -> None:
    missing = shop.verb("abort", "api")
    assert missing.exit_code == 4
    assert f"was ever executed in the namespace {shop.ground.namespace}" in missing.output
    steps = ("setWeight: 20",)
    assert shop.verb("run", shop.canary(steps), "--image", NEW, "--unvetted", "a test").exit_code == 0
    done = shop.verb("abort", "api")
    assert done.exit_code == 1
    assert "rolloutsim undo api" in done.output
    assert shop.status()["abort"] is False


# --- the others -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_pause_and_unpause(shop: Stage) -> None:
    process = shop.run(steps=("setWeight: 20", "pause: {duration: 2s}", "setWeight: 50"))
    shop.until(lambda: shop.weight() == 20, "the weight is set")
    paused = shop.verb("pause", "api")
    assert paused.exit_code == 0, paused.output
    time.sleep(2.5)
    assert shop.weight() == 20
    assert "paused by a person" in shop.verb("status", "api").output
    assert shop.verb("pause", "api").exit_code == 1
    assert shop.verb("unpause", "api").exit_code == 0
    assert shop.finish(process)[0] == 0
    assert shop.verb("unpause", "api").exit_code == 1


@pytest.mark.slow
def test_what_is_typed_depends_on_who_paused(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    policy_paused = shop.verb("status", "api").output
    assert "waits for a person: rolloutsim promote api, or rolloutsim abort api" in policy_paused
    assert "unpause" not in policy_paused
    assert shop.verb("pause", "api").exit_code == 0
    person_paused = shop.verb("status", "api").output
    assert "paused by a person: rolloutsim unpause api, or rolloutsim abort api" in person_paused
    assert "promote" not in person_paused
    process.terminate()
    assert shop.finish(process)[0] == 130
    nobody = shop.verb("status", "api").output
    assert "paused by a person, and nobody executes it" in nobody
    assert "rolloutsim unpause api, then rolloutsim resume api; or rolloutsim abort api" in nobody
    assert shop.verb("resume", "api", "--no-wait").output.count("rolloutsim unpause api, then resume") == 1
    assert shop.verb("unpause", "api").exit_code == 6
    resumed = shop.verb("resume", "api", "--no-wait")
    assert resumed.exit_code == 6
    assert "rolloutsim promote api, then resume" in resumed.output


@pytest.mark.slow
def test_full_promotion_skips_the_rest(shop: Stage) -> None:
    process = shop.run()
    shop.waits_at(20)
    full = shop.verb("promote", "api", "--full")
    assert full.exit_code == 0, full.output
    assert shop.finish(process)[0] == 0
    assert shop.replicas() == {"api-a": 0, "api-b": 2}


@pytest.mark.slow
def test_retry_after_an_abort(shop: Stage) -> None:
    begun(shop)
    assert shop.verb("retry", "api").exit_code == 1
    assert shop.verb("abort", "api").exit_code == 0
    assert shop.verb("promote", "api").exit_code == 1
    retried = shop.verb("retry", "api")
    assert retried.exit_code == 6, retried.output
    assert "resume api" in retried.output
    resumed = shop.verb("resume", "api", "--no-wait")
    assert resumed.exit_code == 6, resumed.output
    assert shop.weight() == 20
    assert shop.status()["abort"] is False


@pytest.mark.slow
def test_undo_goes_back_to_the_revision_before(shop: Stage) -> None:
    run = shop.verb("run", shop.canary(("setWeight: 50",)), "--image", NEW, "--unvetted", "a test")
    assert run.exit_code == 0, run.output
    undone = shop.verb("undo", "api")
    assert undone.exit_code == 0, undone.output
    assert shop.replicas() == {"api-a": 2, "api-b": 0}
    assert shop.ground.selected() == "a"
    assert shop.verb("undo", "api", "--to-revision", "77").exit_code == 1


@pytest.mark.slow
def test_nothing_brings_an_aborted_revision_back_by_itself(shop: Stage) -> None:
    """Not an undo, and not a command that was left for it and comes to the next release."""
    begun(shop)
    assert shop.verb("abort", "api").exit_code == 0
    undone = shop.verb("undo", "api")
    assert undone.exit_code == 1
    assert "nothing to undo; rolloutsim retry api" in undone.output
    assert shop.verb("promote", "api", "--full").exit_code == 6
    run = shop.verb("run", shop.canary(), "--image", NEXT, "--unvetted", "a test", "--no-wait")
    assert run.exit_code == 6, run.output
    assert "and is not obeyed" in run.output
    assert shop.weight() == 20
    assert shop.verb("status", "api", "-o", "json").output.count('"asked": ""') == 1


@pytest.mark.slow
def test_blue_green_waits_and_is_promoted(shop: Stage) -> None:
    process = shop.start("run", shop.policy(BLUE_GREEN), "--image", NEW, "--unvetted", "a test")
    shop.until(lambda: shop.status().get("phase") == "Paused", "it waits")
    assert shop.ground.selected() == "a"
    assert shop.verb("promote", "api").exit_code == 0
    assert shop.finish(process)[0] == 0
    assert shop.replicas() == {"api-a": 0, "api-b": 2}


def test_status_as_json(shop: Stage) -> None:
    begun(shop)
    answer = shop.verb("status", "api", "-o", "json")
    document = json.loads(answer.output)
    assert (document["kind"], document["stands"]) == ("RolloutStatus", "interrupted")
    assert (document["step_index"], document["weight"], document["observed_weight"]) == (1, 20, 20)
    assert {pods["role"]: pods["desired"] for pods in document["pods"]} == {"stable": 2, "canary": 1}


@pytest.mark.slow
def test_two_executors_at_once(shop: Stage) -> None:
    """Exactly one acts; the other says who does."""
    plan = shop.folder / "plan.json"
    shop.verb("plan", shop.canary(), "--image", NEW, "-o", plan)
    two = [shop.start("run", plan, "--unvetted", "a test") for _ in range(2)]
    shop.until(lambda: any(process.poll() is not None for process in two), "one gives up")
    loser = next(process for process in two if process.poll() is not None)
    winner = next(process for process in two if process is not loser)
    code, _ = shop.finish(loser)
    assert code in (4, 5), shop.errors(loser)
    shop.waits_at(20)
    assert winner.poll() is None
    assert shop.verb("promote", "api").exit_code == 0
    assert shop.finish(winner)[0] == 0
    creations = [
        json.loads(line)
        for journal in shop.journal_files()
        for line in journal.read_text().splitlines()
        if '"CreateRevision"' in line and '"did"' in line
    ]
    assert len(creations) == 1


def written(shop: Stage) -> dict[str, str]:
    """The versions of all objects but the Lease, which whoever stops may have looked after."""
    return {name: one for name, one in shop.ground.versions().items() if not name.startswith("Lease")}


@pytest.mark.slow
def test_an_executor_that_slept_while_another_took_over_does_nothing(shop: Stage) -> None:
    """A laptop that was closed: its process wakes up in the middle of what it was doing, and stops."""
    asleep = shop.run()
    shop.waits_at(20)
    asleep.send_signal(signal.SIGSTOP)
    awake = shop.start("resume", "api", "--timeout", "30s")
    shop.until(lambda: "has its Lease, renewed" in shop.errors(awake), "it is said who is waited for")
    shop.until(lambda: len(shop.journal_files()) == 2, "another one has taken over")
    assert shop.verb("promote", "api").exit_code == 0
    code, _ = shop.finish(awake)
    assert code == 0, shop.errors(awake)
    done = written(shop)
    asleep.send_signal(signal.SIGCONT)
    code, _ = shop.finish(asleep)
    assert code == 4, shop.errors(asleep)
    assert "another executor had api in between; this one stops: resume it" in shop.errors(asleep)
    assert written(shop) == done
