"""A grid is what its files say with other values; what was played is not played again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rolloutsim.errors import InputError, PolicyError, ScenarioError
from rolloutsim.policy import load_policy_text
from rolloutsim.sim import kept as kept_module
from rolloutsim.sim import run
from rolloutsim.sim.kept import Was, keeping
from rolloutsim.sim.scenario_file import load_scenario_text
from rolloutsim.sim.sweep import grid, read_axis, sweep

SCENARIOS = Path(__file__).parents[2] / "scenarios"
POLICY = str(SCENARIOS / "policies" / "canary-guarded.yaml")
WORLD = str(SCENARIOS / "article" / "worlds" / "error-20pp.yaml")
WEIGHT = "policy:spec.strategy.canary.steps[0].setWeight"
SIZE = "scenario:release.faults[0].size"


def small(*axes):
    return grid([POLICY], [WORLD], [read_axis(axis) for axis in axes])


@pytest.fixture(scope="module")
def four():
    return small(f"{WEIGHT}=5,10", f"{SIZE}=20%,6%")


# --- values ---------------------------------------------------------------------------------------


def test_values_are_those_of_a_yaml_list():
    axis = read_axis("""policy:spec.metrics[0].successCondition='result[0] < 0.01, true',len(result) == 0""")
    assert [value.value for value in axis.values] == ["result[0] < 0.01, true", "len(result) == 0"]
    assert [value.value for value in read_axis("policy:a=1, 2.5, true, 5m").values] == [1, 2.5, True, "5m"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spec.replicas=1", "names no value"),
        ("policy:spec.replicas", "names no value"),
        ("policy:spec.replicas=", "no value"),
        ("policy:spec.replicas=1,1", "2 times"),
        ("policy:spec.replicas=[1,2]", "a number or a text"),
        ('policy:spec.replicas="1', "no list"),
        ("policy:spec.replicas=1], [2", "no list"),
    ],
)
def test_what_is_no_axis_is_refused(text, why):
    with pytest.raises(InputError, match=why):
        read_axis(text)


def test_a_cell_is_its_file_with_other_values(four):
    text = Path(POLICY).read_text()
    assert text.count("setWeight: 5\n") == 1
    by_hand = load_policy_text(text.replace("setWeight: 5\n", "setWeight: 10\n"))
    variant, settings = four.policy_variants[1]
    assert variant.strategy == by_hand.strategy
    assert settings == {WEIGHT: "10"}
    world, origin, settings = four.scenario_variants[1]
    assert (world.release.faults[0].size, origin, settings) == (0.06, "error-20pp", {SIZE: "6%"})
    assert len(four.cells) == 4


def test_a_field_that_a_file_leaves_out_may_be_set():
    made = small("policy:spec.strategy.canary.maxSurge=1,2", "scenario:service.telemetry.lag=0s,15s")
    assert {policy.strategy.max_surge.value for policy, _ in made.policy_variants} == {1, 2}
    assert {world.service.telemetry.lag_ms for world, _, _ in made.scenario_variants} == {0, 15_000}


def test_a_template_is_found_by_its_fields_or_by_its_name():
    by_name = "policy:AnalysisTemplate/error-rate-check:spec.metrics[0].failureLimit=1,2"
    for axis in ("policy:spec.metrics[0].failureLimit=1,2", by_name):
        limits = [one.strategy.background.metrics[0].failure_limit for one, _ in small(axis).policy_variants]
        assert limits == [1, 2]


@pytest.mark.parametrize(
    ("axis", "error", "why"),
    [
        ("policy:spec.strategy.cannary.steps[0].setWeight=1", PolicyError, r"no spec\.strategy\.cannary$"),
        ("policy:spec.strategy.canary.steps[9].setWeight=1", PolicyError, r"no spec.*steps\[9\]$"),
        ("policy:spec.strategy.canary.stepz=1", PolicyError, "did you mean 'steps'"),
        ("policy:Rollot/api:spec.replicas=1", PolicyError, "did you mean 'Rollout/api'"),
        ("policy:spec.replicas=1,x", PolicyError, r"policy:spec\.replicas=x: .*whole number"),
        ("policy:metadata.name=a,b", InputError, "2 values make 1 different policy"),
        ("scenario:release.faults[7].size=1%", ScenarioError, "1 items"),
        ("scenario:service.traffic[0]=1", ScenarioError, "no list"),
        ("scenario:world.x=1", ScenarioError, "a service and a release"),
        (f"{SIZE}=1%,0.01", InputError, "2 values make 1 different scenario"),
        (f"{SIZE}={','.join(f'{n / 200:.3f}%' for n in range(1, 10_002))}", InputError, "10001 cells"),
    ],
)
def test_what_fits_nothing_or_changes_nothing_is_refused(axis, error, why):
    with pytest.raises(error, match=why):
        small(axis)


def test_a_field_that_several_documents_have_needs_a_name(tmp_path):
    text = Path(POLICY).read_text()
    twice = tmp_path / "twice.yaml"
    template = text[text.index("---") :]
    twice.write_text(text + template.replace("name: error-rate-check", "name: unused"))
    with pytest.raises(
        PolicyError, match=r"name one: policy:AnalysisTemplate/error-rate-check:spec\.m.*unused"
    ):
        grid([str(twice)], [WORLD], [read_axis("policy:spec.metrics[0].failureLimit=1,2")])


def test_a_value_is_set_once():
    with pytest.raises(InputError, match="set twice"):
        small("policy:spec.replicas=1,2", "policy:spec.replicas=3")


# --- playing --------------------------------------------------------------------------------------


def test_a_sweep_says_what_single_simulations_say(four):
    found = sweep(four, runs=6, seed=3)
    frame = found.to_frame()
    assert frame[[WEIGHT, SIZE]].to_numpy().tolist() == [
        ["5", "20%"],
        ["5", "6%"],
        ["10", "20%"],
        ["10", "6%"],
    ]
    assert set(frame["policy"]) == {"api"}
    assert set(frame["scenario"]) == {"error-20pp"}
    rows = found.to_json()["summary"]
    for (policy, world), row in zip(sorted_cells(four), rows, strict=True):
        alone = run.simulate(policy, world, runs=6, seed=3).to_json()["summary"][0]
        assert {name: row[name] for name in alone} == alone
    assert rows[1]["set"] == {WEIGHT: "5", SIZE: "6%"}
    assert found.to_json()["modelCard"]["scenarios"]["error-20pp"]["inputs"]["assumed"] > 0


def sorted_cells(on):
    return [(policy, world) for policy, _ in on.policy_variants for world, _, _ in on.scenario_variants]


def content(found):
    return json.dumps(found.to_json()) + found.results.runs.to_csv()


def test_more_runs_and_values_play_only_what_is_new(four, tmp_path):
    with keeping(tmp_path) as kept:
        first = content(sweep(four, runs=16, keep=kept))
        assert kept.found == {Was.ABSENT: 4}
    assert first == content(sweep(four, runs=16))
    with keeping(tmp_path) as kept:
        more = content(sweep(small(f"{WEIGHT}=5,10,20", f"{SIZE}=20%,6%"), runs=20, keep=kept))
        assert kept.found == {Was.WHOLE: 4, Was.ABSENT: 8}
    assert more == content(sweep(small(f"{WEIGHT}=5,10,20", f"{SIZE}=20%,6%"), runs=20))


def spoiled(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[:-40])
    elif how == "flipped":
        path.write_bytes(content.replace(b"promoted", b"aborted ").replace(b"aborted", b"stopped", 1))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "line lost":
        path.write_bytes(b"".join(content.splitlines(keepends=True)[:-2]))
    elif how == "another's":
        other = next(one for one in path.parent.glob("*.jsonl") if one != path)
        path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "line lost", "another's"])
def test_a_chunk_that_is_not_whole_is_played_again(four, tmp_path, how):
    with keeping(tmp_path) as kept:
        first = content(sweep(four, runs=2, keep=kept))
    spoiled(sorted(tmp_path.glob("*.jsonl"))[1], how)
    for found in ({Was.WHOLE: 3, Was.DAMAGED: 1}, {Was.WHOLE: 4}):
        with keeping(tmp_path) as kept:
            assert content(sweep(four, runs=2, keep=kept)) == first
            assert kept.found == found


def test_a_chunk_of_other_code_is_played_again(four, tmp_path, monkeypatch):
    with monkeypatch.context() as patched, keeping(tmp_path) as kept:
        patched.setattr(kept_module, "build", lambda: "sha256:other")
        sweep(four, runs=2, keep=kept)
    with keeping(tmp_path) as kept:
        sweep(four, runs=2, keep=kept)
        assert kept.found == {Was.OTHER: 4}


def test_one_directory_has_one_writer(tmp_path):
    with keeping(tmp_path), pytest.raises(InputError, match="another process writes here"):
        keeping(tmp_path).__enter__()


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        keeping(tmp_path / "file" / "below").__enter__()


def test_rows_come_back_as_they_were(tmp_path):
    text = """
apiVersion: rolloutsim.dev/v1alpha1
kind: Scenario
metadata: {name: quiet}
spec:
  service: {name: api, traffic: {rate_rps: 0}}
  release: {name: good, faults: []}
"""
    policy = load_policy_text(Path(POLICY).read_text())
    task = (policy, load_scenario_text(text), 1, 0, 2)
    played = [run.play(task[0], task[1], run=number) for number in range(2)]
    with keeping(tmp_path) as kept:
        kept.write(task, played)
        assert repr(kept.read(task)) == repr(played)


KILLED = f"""
import sys
from rolloutsim.sim.kept import keeping
from rolloutsim.sim.sweep import grid, read_axis, sweep
if __name__ == "__main__":
    on = grid([{POLICY!r}], [{WORLD!r}], [read_axis("{WEIGHT}=5,10"), read_axis("{SIZE}=20%,6%")])
    with keeping(sys.argv[1]) as kept:
        sweep(on, runs=96, jobs=2, keep=kept)
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on(four, tmp_path):
    script, chunks = tmp_path / "script.py", tmp_path / "chunks"
    script.write_text(KILLED)
    with subprocess.Popen([sys.executable, str(script), str(chunks)], stdout=subprocess.PIPE) as killed:
        limit = time.monotonic() + 60
        while not list(chunks.glob("*.jsonl")) and time.monotonic() < limit:
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
    there = len(list(chunks.glob("*.jsonl")))
    assert 1 <= there < 24
    with keeping(chunks) as kept:
        resumed = sweep(four, runs=96, keep=kept)
        assert kept.found == {Was.WHOLE: there, Was.ABSENT: 24 - there}
    assert content(resumed) == content(sweep(four, runs=96))
