"""Who plays is not to be seen in what comes out, and nobody plays on for somebody who is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from rolloutsim.errors import ExecutorError, InputError
from rolloutsim.policy import load_policy
from rolloutsim.sim import executors, identity, run
from rolloutsim.sim.kept import keeping
from rolloutsim.sim.scenario_file import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
RUNS = 20


@pytest.fixture(scope="module")
def cell():
    policy = load_policy(SCENARIOS / "policies" / "canary-guarded.yaml")
    return policy, load_scenario(SCENARIOS / "article" / "worlds" / "error-20pp.yaml")


def digest(results):
    text = json.dumps([results.to_json(), results.labels])
    columns = b"".join(column.tobytes() for column in results.columns.values())
    return sha256(text.encode() + columns).hexdigest()


def played(cell, **options):
    return digest(run.simulate(*cell, runs=RUNS, seed=5, **options))


@pytest.fixture(scope="module")
def alone(cell):
    return played(cell)


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_give_the_bytes_of_one(cell, alone, jobs):
    assert played(cell, jobs=jobs) == alone


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_any_chunking_gives_the_same_bytes(cell, alone, chunk, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "CHUNK", chunk)
    with ThreadPoolExecutor(3) as threads:
        assert played(cell, executor=threads) == alone
    with keeping(tmp_path) as kept:
        assert played(cell, keep=kept) == alone


def test_finished_gives_every_task_once_the_quick_ones_first():
    def late(number):
        time.sleep(0.2 if number == 0 else 0.0)
        return -number

    with ThreadPoolExecutor(2) as threads:
        found = list(executors.finished(late, range(5), threads))
    assert sorted(found) == [(number, -number) for number in range(5)]
    assert found[-1] == (0, 0)


def test_few_tasks_are_on_the_way():
    taken = []
    with ThreadPoolExecutor(1) as threads:
        tasks = (taken.append(number) or number for number in range(500))
        next(executors.in_order(str, tasks, threads))
        assert len(taken) == executors.AHEAD


# --- processes ------------------------------------------------------------------------------------


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def end_of(pid, within_s=10.0):
    limit = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < limit:
        time.sleep(0.02)
    return not is_alive(pid)


def test_whoever_is_interrupted_waits_for_no_worker():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), executors.processes(1) as pool:
        interrupted(pool, sleeping_s=60)
    assert time.monotonic() - start < 30


def interrupted(pool, sleeping_s):
    for _ in range(8):
        pool.submit(time.sleep, sleeping_s)
    raise KeyboardInterrupt


def test_a_worker_that_dies_is_one_sentence():
    with pytest.raises(ExecutorError, match="a worker process ended"), executors.processes(1) as pool:
        pool.submit(os._exit, 3).result()


def running(text, tmp_path):
    """A script as a terminal would start it, in a process group of its own."""
    script = tmp_path / "script.py"
    script.write_text(text)
    command = [sys.executable, str(script)]
    piped = subprocess.PIPE
    return subprocess.Popen(command, stdout=piped, stderr=piped, text=True, start_new_session=True)


ORPHANS = """
import os, time
from rolloutsim.sim import executors
if __name__ == "__main__":
    with executors.processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60).result()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_whom_it_works_for(how, tmp_path):
    with running(ORPHANS, tmp_path) as parent:
        worker = int(parent.stdout.readline())
        if how is signal.SIGINT:
            os.killpg(parent.pid, how)  # as a terminal does: to the workers as well
        else:
            parent.send_signal(how)
        _, said = parent.communicate(timeout=30)
    assert end_of(worker)
    assert said.count("Traceback") == (how is signal.SIGINT)  # of the script, which does not catch it


GIVEN_UP = """
from rolloutsim.sim import executors
if __name__ == "__main__":
    print("starting", flush=True)
    with executors.processes(1) as pool:
        pool.submit(abs, 1)
        print("started", flush=True)
        pool.submit(abs, 1).result()
"""


@pytest.mark.slow
def test_an_interrupt_while_workers_start_makes_none_complain(tmp_path):
    with running(GIVEN_UP, tmp_path) as parent:
        parent.stdout.readline()
        time.sleep(0.2)  # the modules that workers need take longer
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=30)
    assert said.count("Traceback") == 1  # of the script, which does not catch it
    assert "KeyboardInterrupt" in said


# --- identity -------------------------------------------------------------------------------------


def test_names_are_no_part_of_what_is_played(cell):
    policy, scenario = cell
    renamed = replace(policy, name="other"), replace(scenario, name="other")
    assert identity.pair_digest(*renamed) == identity.pair_digest(*cell)
    changed = replace(scenario, service=replace(scenario.service, error_icc=0.25))
    assert identity.pair_digest(policy, changed) != identity.pair_digest(*cell)
    assert identity.pair_digest(replace(policy, replicas=3), scenario) != identity.pair_digest(*cell)


def test_names_change_no_row(cell):
    policy, scenario = cell
    renamed = run.play(replace(policy, name="other"), replace(scenario, name="s"), run=3)
    assert repr(replace(renamed, policy=policy.name, scenario=scenario.name)) == repr(run.play(*cell, run=3))


# --- Dask -----------------------------------------------------------------------------------------


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_S", 0.2)
    with pytest.raises(ExecutorError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        executors.dask("tcp://127.0.0.1:1").__enter__()
    with pytest.raises(ExecutorError, match="no Dask scheduler answers at nonsense"):
        executors.dask("nonsense://x").__enter__()


def test_no_distributed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'rolloutsim\[dask\]'"):
        executors.dask("tcp://127.0.0.1:1").__enter__()


@contextmanager
def cluster(workers):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True
    ) as local:
        yield local


@pytest.mark.slow
def test_a_dask_cluster_of_two_gives_the_bytes_of_one(cell, alone, tmp_path, monkeypatch):
    with cluster(2) as local:
        with executors.dask(local.scheduler_address) as pool:
            assert len({future.result() for future in _spread(pool, 8)}) == 2
            monkeypatch.setattr(run, "CHUNK", 3)
            assert played(cell, executor=pool) == alone
            with keeping(tmp_path) as kept:
                assert played(cell, executor=pool, keep=kept) == alone
                assert played(cell, executor=pool, keep=kept) == alone
        _refused(local, monkeypatch)
        _left_at_once(local)


def _spread(pool, count):
    return wait([pool.submit(_somewhere, number) for number in range(count)]).done


def _somewhere(_):
    time.sleep(0.1)
    return os.getpid()


def _refused(local, monkeypatch):
    monkeypatch.setattr(identity, "_NO_PART", frozenset())
    identity.build.cache_clear()
    with pytest.raises(ExecutorError, match="has another rolloutsim"):
        executors.dask(local.scheduler_address).__enter__()
    monkeypatch.undo()
    identity.build.cache_clear()


def _left_at_once(local):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), executors.dask(local.scheduler_address) as pool:
        interrupted(pool, sleeping_s=10)
    assert time.monotonic() - start < 9
