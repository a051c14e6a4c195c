"""``rolloutsim lab up`` and ``down``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rolloutsim.cli.lab import lab
from rolloutsim.errors import InputError
from rolloutsim.lab.children import find_program

VERB = [sys.executable, "-c", "from rolloutsim.cli.lab import lab; lab(prog_name='rolloutsim lab')"]


def test_down_without_a_lab(tmp_path):
    result = CliRunner().invoke(lab, ["down", "--dir", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "no lab runs here" in str(result.exception)


def test_help_says_that_it_is_an_emulator():
    result = CliRunner().invoke(lab, ["up", "--help"])
    assert result.exit_code == 0
    assert "emulat" in result.output


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--", "no-such-program"], "no program 'no-such-program'"), (["-b", "true"], "runs no command")],
)
def test_a_command_that_cannot_run_starts_no_lab(tmp_path, words, why):
    result = CliRunner().invoke(lab, ["up", "--dir", str(tmp_path / "lab"), *words])
    assert isinstance(result.exception, InputError)
    assert why in str(result.exception)
    assert not (tmp_path / "lab").exists()


def _children_of(directory) -> list[str]:
    """Command lines of processes that mention a directory, besides this one."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode().replace("\0", " ")
            except OSError:
                continue
            if str(directory) in words:
                found.append(words)
    return found


def _until_gone(directory):
    ends = time.monotonic() + 15
    while left := _children_of(directory):
        assert time.monotonic() < ends, left
        time.sleep(0.1)


needs_traefik = pytest.mark.skipif(find_program("traefik") is None, reason="traefik is not installed")


@pytest.mark.slow
@needs_traefik
def test_up_in_the_background_and_down(tmp_path):
    directory = tmp_path / "lab"
    up = subprocess.run(
        [*VERB, "up", "--background", "--dir", directory], capture_output=True, text=True, timeout=90
    )
    assert up.returncode == 0, up.stderr
    assert "emulator" in up.stdout
    assert str(directory / "kubeconfig") in up.stdout
    assert (directory / ".gitignore").read_text() == "*\n"
    again = subprocess.run([*VERB, "up", "--dir", directory], capture_output=True, text=True, timeout=60)
    assert again.returncode != 0
    program = find_program("kubectl")
    if program is not None:
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(directory / "kubeconfig")}
        environment["HOME"] = str(tmp_path)
        got = subprocess.run(
            [program, "get", "deploy", "api"], env=environment, capture_output=True, text=True
        )
        assert "4/4" in got.stdout
    down = subprocess.run([*VERB, "down", "--dir", directory], capture_output=True, text=True, timeout=60)
    assert down.returncode == 0, down.stderr
    _until_gone(directory)


@pytest.mark.slow
@needs_traefik
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, number):
    directory = tmp_path / "lab"
    with subprocess.Popen(
        [*VERB, "up", "--dir", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert "emulated cluster" in running.stdout.readline()
        ends = time.monotonic() + 10
        while not (directory / "lab.json").exists():
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert json.loads((directory / "lab.json").read_text())["pid"] == running.pid
        assert len(_children_of(directory)) >= 2
        running.send_signal(number)
        assert running.wait(20) == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    _until_gone(directory)


@pytest.mark.slow
@needs_traefik
def test_a_command_finds_the_lab_and_both_end(tmp_path):
    directory = tmp_path / "lab"
    asks = "import os, sys; print(*(os.environ[name] for name in sys.argv[1:])); sys.exit(7)"
    names = ["KUBECONFIG", "ROLLOUTSIM_PROMETHEUS", "ROLLOUTSIM_JOURNAL"]
    words = ["up", "--no-demo", "--dir", str(directory), "--", "python", "-c", asks, *names]
    ran = subprocess.run([*VERB, *words], capture_output=True, text=True, timeout=90)
    kubeconfig, prometheus, journals = ran.stdout.split()
    assert kubeconfig == str(directory / "kubeconfig")
    assert journals == str(directory / "journals")
    assert prometheus.startswith("http://127.0.0.1:")
    assert "emulator" in ran.stderr
    assert ran.returncode == 7
    _until_gone(directory)


@pytest.mark.slow
@needs_traefik
def test_the_end_of_the_lab_ends_its_command(tmp_path):
    directory = tmp_path / "lab"
    waits = "import time; print('waits', flush=True); time.sleep(60)"
    words = ["up", "--no-demo", "--dir", str(directory), "--", "python", "-c", waits, str(directory)]
    with subprocess.Popen([*VERB, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout.readline() == b"waits\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 128 + signal.SIGTERM
    _until_gone(directory)


@pytest.mark.slow
@needs_traefik
def test_the_guides_canary_catches_the_broken_release_and_rolls_back(tmp_path):
    directory, scenarios = tmp_path / ".rolloutsim-lab", Path(__file__).parents[2] / "scenarios" / "lab"
    words = ["lab", "up", "--", "rolloutsim", "run", str(scenarios / "canary.yaml")]
    words += ["--template", str(scenarios / "broken-release.yaml"), "--unvetted", "trying it"]
    program = [sys.executable, "-c", "from rolloutsim.__main__ import main; main()"]
    ran = subprocess.run([*program, *words], capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.startswith("aborted: ")
    assert "failed (4) > failureLimit (3)" in ran.stdout
    (journal,) = (directory / "journals").rglob("*.jsonl")
    seen = [json.loads(line)["value"] for line in journal.read_text().splitlines() if '"seen"' in line]
    weights = [one["weight"] for one in seen if one["kind"] == "WeightSeen" and one["verified"]]
    assert weights[-1] == 0
    assert set(weights) == {0, 5, 25}
    _until_gone(directory)
