"""The command line from end to end, with few runs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.outcomes import column_names
from rolloutsim.trace import read_trace

ROOT = Path(__file__).parent.parent.parent
CANARY = str(ROOT / "scenarios/article/canary.yaml")
ROLLING = str(ROOT / "scenarios/article/rolling.yaml")
WORLDS = ROOT / "scenarios/article/worlds"
BAD, GOOD = str(WORLDS / "error-20pp.yaml"), str(WORLDS / "good.yaml")
FEW = ("--runs", "4", "--jobs", "1")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fine(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_simulate_prints_a_table_with_its_assumptions() -> None:
    shown = fine("simulate", CANARY, "-s", BAD, *FEW)
    assert "caught %" in shown
    assert "error-20pp" in shown
    assert "4 runs of each, seed 1" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_compare_names_policies_after_their_files() -> None:
    shown = fine("compare", CANARY, ROLLING, "-s", f"{BAD},{GOOD}", *FEW)
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ") and "(" in line] == [
        "canary",
        "rolling",
    ] * 2


def test_a_query_that_reads_nothing_of_the_service_is_told(tmp_path: Path) -> None:
    policy = tmp_path / "misnamed.yaml"
    policy.write_text(Path(CANARY).read_text().replace("http_requests_total", "orders_total"))
    shown = fine("compare", CANARY, policy, "-s", GOOD, *FEW)
    assert " ".join(shown.split()).count("service api does not have: it sees nothing") == 1
    document = json.loads(fine("simulate", policy, "-s", GOOD, "-o", "json", *FEW))
    (said,) = [note for note in document["notes"] if "sees nothing" in note]
    assert said.startswith("policy api: error-rate reads orders_total{")


def test_json_is_the_summary() -> None:
    document = json.loads(fine("compare", CANARY, ROLLING, "-s", BAD, "-s", GOOD, "-o", "json", *FEW))
    assert (document["apiVersion"], document["kind"]) == ("rolloutsim.dev/v1alpha1", "Comparison")
    assert [(row["policy"], row["scenario"]) for row in document["summary"]] == [
        ("canary", "error-20pp"),
        ("canary", "good"),
        ("rolling", "error-20pp"),
        ("rolling", "good"),
    ]
    assert document["summary"][1]["p_detect"] is None
    assert document["differences"][0]["versus"] == "canary"
    assert document["provenance"]["policies"]["canary"].startswith("sha256:")
    assert json.loads(fine("simulate", CANARY, "-s", BAD, "-o", "json", *FEW))["kind"] == "Simulation"


def test_csv_is_one_row_per_run() -> None:
    rows = list(csv.DictReader(io.StringIO(fine("simulate", CANARY, "-s", BAD, "-o", "csv", *FEW))))
    assert [row["run"] for row in rows] == ["0", "1", "2", "3"]
    assert tuple(rows[0]) == column_names()


def test_parquet_goes_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "runs.parquet"
    assert fine("simulate", CANARY, "-s", BAD, "-o", "parquet", "--out", out, *FEW) == ""
    assert len(pd.read_parquet(out)) == 4
    refused = run("simulate", CANARY, "-s", BAD, "-o", "parquet", *FEW)
    assert refused.exit_code == 2
    assert "--out" in refused.stderr


def test_out_takes_what_standard_output_would(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert fine("simulate", CANARY, "-s", BAD, "-o", "json", "--out", out, *FEW) == ""
    assert out.read_text() == fine("simulate", CANARY, "-s", BAD, "-o", "json", *FEW)


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    texts = []
    for jobs in ("1", "2"):
        out = tmp_path / f"{jobs}.csv"
        common = ("compare", CANARY, ROLLING, "-s", BAD, "--runs", "20", "--jobs", jobs)
        fine(*common, "-o", "csv", "--out", out)
        texts.append((fine(*common, "-o", "json"), out.read_bytes()))
    assert texts[0] == texts[1]


def test_another_seed_is_another_world() -> None:
    first, second = (fine("simulate", CANARY, "-s", BAD, "-o", "csv", "--seed", seed, *FEW) for seed in "12")
    assert first != second


def test_simulate_writes_trace_and_timeline(tmp_path: Path) -> None:
    trace, plot = tmp_path / "run.jsonl", tmp_path / "run.png"
    fine("simulate", CANARY, "-s", BAD, "--trace", trace, "--plot", plot, *FEW)
    assert {record["kind"] for record in read_trace(trace).records} == {
        "seen",
        "did",
        "event",
        "sample",
        "truth",
    }
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_compare_writes_a_trace_per_pair_and_a_figure(tmp_path: Path) -> None:
    traces, plot = tmp_path / "traces", tmp_path / "odds.svg"
    fine("compare", CANARY, ROLLING, "-s", BAD, "-s", GOOD, "--trace", traces, "--plot", plot, *FEW)
    assert sorted(path.name for path in traces.iterdir()) == [
        "canary@error-20pp.jsonl",
        "canary@good.jsonl",
        "rolling@error-20pp.jsonl",
        "rolling@good.jsonl",
    ]
    assert "<svg" in plot.read_text()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_figure_has_the_same_bytes(tmp_path: Path, kind: str) -> None:
    paths = [tmp_path / f"{name}.{kind}" for name in "ab"]
    for path in paths:
        fine("simulate", CANARY, "-s", BAD, "--plot", path, "--runs", "1", "--jobs", "1")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_version_names_what_numbers_depend_on() -> None:
    assert {"rolloutsim", "python", "numpy", "simpy"} == set(json.loads(fine("version", "-o", "json")))
    assert fine("version").startswith("rolloutsim ")


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", "nowhere.yaml", "-s", BAD), "nowhere.yaml"),
        (("simulate", str(WORLDS), "-s", BAD), "a directory stands here"),
        (("simulate", CANARY, "-s", BAD, "--out", str(WORLDS)), "this is a directory"),
        (("simulate", CANARY, "-s", "nowhere.yaml"), "nowhere.yaml"),
        (("simulate", CANARY, "-s", BAD, "--plot", "figure.doc"), "figure.doc"),
        (("simulate", CANARY, "-s", BAD, "--plot", "no/such/directory/figure.png"), "no/such/directory"),
        (("simulate", CANARY, "-s", BAD, "--out", "no/such/directory/out"), "no/such/directory"),
        (("simulate", CANARY, "-s", BAD, "--trace", "no/such/directory/trace"), "no/such/directory"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments, *FEW)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", CANARY),
        ("simulate", "-s", BAD),
        ("simulate", CANARY, "-s", BAD, "--runs", "0"),
        ("simulate", CANARY, "-s", BAD, "--jobs", "0"),
        ("simulate", CANARY, "-s", BAD, "-o", "xml"),
        ("conjure",),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_sweep_of_few_runs_says_what_has_no_interval(tmp_path: Path) -> None:
    axis = "policy:spec.strategy.canary.steps[0].setWeight=5,10"
    shown = fine("sweep", CANARY, "-s", GOOD, "--set", axis, "--out", tmp_path, *FEW)
    head, first, *_ = shown.splitlines()
    assert first.split()[:4] == ["5", "0", "(0–60.24)", "0"]
    assert "bad requests" in head
    assert "A mean of fewer than 59 runs that are all equal has no interval" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("record", "--from", "0", "--to", "60", "--by", "v", "-p", CANARY, "-o"), "the directory does not"),
        (("calibrate", "--service", "api", "-o"), "the directory does not exist"),
        (("replay", "crates-io-2023-07-20", "--out"), "the directory does not exist"),
    ],
)
def test_where_to_write_is_looked_at_before_the_work(arguments: tuple[str, ...], message: str) -> None:
    """Nobody listens at the address: who asks it first says so."""
    server = () if arguments[0] == "replay" else ("--prometheus", "http://127.0.0.1:9")
    result = run(*arguments, "no/such/directory/file.yaml", *server)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no/such/directory/file.yaml: " + message)


def test_a_bundles_options_are_refused_for_a_published_incident() -> None:
    result = run("replay", "crates-io-2023-07-20", "--as-run", "as-run.yaml")
    assert result.exit_code == 2
    assert "--ran and --as-run are for a bundle" in result.stderr


def test_an_interrupt_is_said_in_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rolloutsim.sim.sweep.sweep", interrupted)
    result = run("sweep", CANARY, "-s", GOOD, "--set", "policy:spec.replicas=5", "--out", tmp_path, *FEW)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [
        f"what was played is in {tmp_path / 'chunks'}: the same command goes on from there",
        "interrupted",
    ]


def test_power_writes_no_exponent() -> None:
    """Of a fifth of the requests that fail, more than a thousand fail before anybody stops it."""
    world = str(ROOT / "scenarios/services/api.yaml")
    shown = fine(
        "power", CANARY, "-s", world, "--ratio", "201", "--traffic", "1", "--runs", "8", "--jobs", "1"
    )
    assert "k (" in shown
    assert "e+0" not in shown


def test_exit_codes_of_the_process(tmp_path: Path) -> None:
    def process(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("rolloutsim")), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    wrong = process("simulate", "nowhere.yaml", "-s", BAD)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: nowhere.yaml")
    assert "Traceback" not in wrong.stderr
    assert process("version").returncode == 0
    assert process("simulate").returncode == 2


@pytest.mark.parametrize("verb", ["schema policy", "version"])
def test_output_that_cannot_be_written_is_no_failed_verdict(verb: str) -> None:
    """More than a buffer at once, and less: that is written as the process ends."""
    command = [str(Path(sys.executable).with_name("rolloutsim")), *verb.split()]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: the output cannot be written: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_help_imports_nothing_heavy() -> None:
    check = (
        "import sys; from rolloutsim.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'matplotlib', 'simpy', 'numba', 'ruamel', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "simulate" in done.stdout
    assert done.stderr.strip() == "[]"


def test_a_plan_refuses_what_plain_deployments_cannot_do(tmp_path: Path) -> None:
    """The file is read before anybody looks for a cluster."""
    text = (ROOT / "scenarios/policies/httproute-canary.yaml").read_text(encoding="utf-8")
    steps = "steps:\n"
    assert steps in text
    added = "        - experiment: {templates: [{name: trial, specRef: canary}]}\n"
    file = tmp_path / "policy.yaml"
    file.write_text(text.replace(steps, steps + added, 1), encoding="utf-8")
    refused = run("plan", file)
    assert refused.exit_code == 2
    assert (
        "plain Deployments have no step 'experiment': it needs the Argo Rollouts controller" in refused.stderr
    )
    assert "leave the step out, or use a Rollout" in refused.stderr
