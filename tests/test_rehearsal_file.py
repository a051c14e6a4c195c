"""Test files of policies: how series are written, and what is refused and how."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rolloutsim.errors import InputError, PolicyError, ScenarioError
from rolloutsim.promql import is_stale
from rolloutsim.rehearsal import load_cases
from rolloutsim.rehearsal.case import Case
from rolloutsim.rehearsal.series import MAX_SAMPLES, expand, series_labels
from rolloutsim.sim.quantities import UnfitValue

SCENARIOS = Path(__file__).parent.parent / "scenarios"
CANARY = SCENARIOS / "article" / "canary.yaml"
FIELDS_POLICY = SCENARIOS / "policies" / "native-blue-green.yaml"


def cases(text: str, tmp_path: Path) -> tuple[Case, ...]:
    file = tmp_path / "test.yaml"
    file.write_text(text, encoding="utf-8")
    return load_cases(file)


# --- series ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        # Prometheus, "Unit testing for rules"
        ("-2+4x3", (-2, 2, 6, 10)),
        ("1-2x4", (1, -1, -3, -5, -7)),
        ("1x4", (1, 1, 1, 1, 1)),
        ("1 _x3", (1, None, None, None)),
        ("_ 5", (None, 5)),
        ("0+100x2 7", (0, 100, 200, 7)),
        ("1e3+1e2x1 .5 -Inf", (1000, 1100, 0.5, -math.inf)),
        ("3x0", (3,)),
        ("10--1x2", None),
        ("", None),
        ("1+2", None),
        ("x3", None),
        ("stalex3", None),
        ("{{schema:1}}", None),
        (f"0x{MAX_SAMPLES}", None),
        ("_x999999999", None),
    ],
)
def test_expanding_notation(text: str, values: tuple[float | None, ...] | None) -> None:
    if values is None:
        with pytest.raises(UnfitValue):
            expand(text)
    else:
        assert expand(text) == values


def test_not_a_number_and_stale() -> None:
    nan, stale = expand("NaN stale")
    assert nan is not None
    assert stale is not None
    assert math.isnan(nan)
    assert not is_stale(nan)
    assert is_stale(stale)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("up", {"__name__": "up"}),
        ('up{job="a", x=""}', {"__name__": "up", "job": "a"}),
        ('{__name__="up",le="+Inf"}', {"__name__": "up", "le": "+Inf"}),
        ('up{job=~"a"}', None),
        ("rate(up[5m])", None),
        ("up[5m]", None),
        ("up offset 5m", None),
        ("up + 1", None),
        ('{job="a"}', None),
        ("up{", None),
    ],
)
def test_series_names(text: str, labels: dict[str, str] | None) -> None:
    if labels is None:
        with pytest.raises(UnfitValue):
            series_labels(text)
    else:
        assert dict(series_labels(text)) == labels


# --- files ----------------------------------------------------------------------------------------

HEAD = f"policy: {CANARY}\ntests:\n  - name: it\n"
GOOD = "    measurements: {error-rate: [0.01]}\n    outcome: paused\n"


def test_defaults(tmp_path: Path) -> None:
    (case,) = cases(HEAD + GOOD, tmp_path)
    assert (case.name, case.where.line, case.until_ms, case.ready_after_ms) == ("it", 3, 86_400_000, 0)
    assert case.policy.replicas == 10


def test_a_test_ends_with_the_last_time_in_it(tmp_path: Path) -> None:
    series = "    series: [{series: up, values: 0x10, from: -5m, interval: 1m}]\n"
    (case,) = cases(f"{HEAD}{series}    expect: [{{by: 3m, weight: 9}}]\n", tmp_path)
    assert case.until_ms == 300_000
    (case,) = cases(f"{HEAD}{series}    expect: [{{by: 9m, weight: 9}}]\n", tmp_path)
    assert case.until_ms == 540_000
    assert case.series[0].end_ms == 300_000


def test_several_policy_files_and_one_rollout_of_several(tmp_path: Path) -> None:
    rollout, template = CANARY.read_text(encoding="utf-8").split("---\n")
    (tmp_path / "rollouts.yaml").write_text(
        rollout + "---\n" + rollout.replace("name: api\nspec", "name: other\nspec"), encoding="utf-8"
    )
    (tmp_path / "templates.yaml").write_text(template, encoding="utf-8")
    head = "policy: [rollouts.yaml, templates.yaml]\nrollout: other\ntests:\n  - name: it\n"
    (case,) = cases(head + GOOD, tmp_path)
    assert case.policy.name == "other"
    with pytest.raises(PolicyError, match="choose one"):
        cases(head.replace("rollout: other\n", "") + GOOD, tmp_path)


@pytest.mark.parametrize(
    ("body", "line", "path", "why"),
    [
        ("    measurments: {}\n", 4, "tests[0].measurments", "did you mean 'measurements'?"),
        (f"{GOOD}    comands: []\n", 6, "tests[0].comands", "did you mean 'commands'?"),
        (f"{GOOD}    expect: [{{at: 1m, wait: 5}}]\n", 6, "tests[0].expect[0].wait", "unknown field 'wait'"),
        (
            f"{GOOD}    expect: [{{at: 1m}}]\n",
            6,
            "tests[0].expect[0]",
            "nothing is expected; add one of event",
        ),
        (
            f"{GOOD}    expect: [{{at: 1m, by: 2m, weight: 5}}]\n",
            6,
            "tests[0].expect[0].by",
            "either 'at' or 'by'",
        ),
        (f"{GOOD}    expect: [{{at: 1m, event: abort}}]\n", 6, "expect[0].event", "did you mean 'aborted'?"),
        (f"{GOOD}    expect: [{{at: -1m, weight: 5}}]\n", 6, "expect[0].at", "cannot be negative"),
        (f"{GOOD}    expect: [{{at: soon, weight: 5}}]\n", 6, "expect[0].at", "expected a duration"),
        (f"{GOOD}    expect: [{{at: 1m, step: 1.5}}]\n", 6, "expect[0].step", "expected a whole number"),
        (f"{GOOD}    expect: [{{at: 1m, verdict: Failed}}]\n", 6, "expect[0].verdict", "add metric"),
        (
            f"{GOOD}    expect: [{{at: 1m, message: x}}]\n",
            6,
            "expect[0].message",
            "add event, metric or analysis",
        ),
        (
            f"{GOOD}    expect: [{{at: 1m, event: aborted, metric: error-rate}}]\n",
            6,
            "expect[0].event",
            "expect each by itself",
        ),
        (
            f"{GOOD}    expect: [{{at: 1m, metric: errors}}]\n",
            6,
            "expect[0].metric",
            "did you mean 'error-rate'?",
        ),
        (f"{GOOD}    never: [abort]\n", 6, "never[0].event", "did you mean 'aborted'?"),
        (f"{GOOD}    never: [{{at: 5m, event: aborted}}]\n", 6, "never[0].at", "unknown field 'at'"),
        (f"{GOOD}    never: aborted\n", 6, "never", "expected a list; for example [aborted]"),
        (f"{GOOD}    outcom: paused\n", 6, "outcom", "did you mean 'outcome'?"),
        (f"{GOOD}    commands: [{{at: 1m, do: promot}}]\n", 6, "commands[0].do", "did you mean 'promote'?"),
        (f"{GOOD}    commands: [{{do: promote}}]\n", 6, "commands[0].at", "the field 'at' is missing"),
        (f"{GOOD}    commands: [{{at: 1m, do: abort, revision: v1}}]\n", 6, "revision", "only a release"),
        (
            f"{GOOD}    until: 5m\n    expect: [{{at: 6m, weight: 5}}]\n",
            6,
            "until",
            "the test ends before 360 s",
        ),
        (f"{GOOD}    pods: {{ready_after: sometimes}}\n", 6, "pods.ready_after", "expected a duration"),
        (
            f"{GOOD}    fields: {{metadata.name: a}}\n",
            6,
            "fields",
            "no argument of the policy reads this field",
        ),
        (
            "    outcome: paused\n",
            3,
            "measurements",
            "nothing says what the metric 'error-rate' finds; add it to",
        ),
        (
            "    measurements: {error-rat: [1]}\n    outcome: paused\n",
            4,
            "error-rat",
            "did you mean 'error-rate'?",
        ),
        ("    measurements: {error-rate: 1}\n    outcome: paused\n", 4, "error-rate", "expected a list"),
        ("    measurements: {error-rate: []}\n    outcome: paused\n", 4, "error-rate", "expected a list"),
        (
            "    measurements: {error-rate: [1, good]}\n    outcome: paused\n",
            4,
            "[1]",
            "write a number, a list, or",
        ),
        ("    measurements: {error-rate: [1]}\n", 3, "expect", "the test expects nothing"),
        ("    series: [{series: up, values: 5 x3}]\n    outcome: paused\n", 4, "values", "'x3' is no value"),
        (
            "    series: [{series: 'up{', values: 5}]\n    outcome: paused\n",
            4,
            "series[0].series",
            "this is no series",
        ),
        (
            "    series: [{series: up}]\n    outcome: paused\n",
            4,
            "series[0].values",
            "the field 'values' is missing",
        ),
        (
            "    series: [{series: up, values: 5}, {series: 'up{}', values: 5}]\n    outcome: paused\n",
            4,
            "series[1].series",
            "the series is given twice",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, body: str, line: int, path: str, why: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        cases(HEAD + body, tmp_path)
    assert refused.value.at.line == line
    assert path in refused.value.path
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "one mapping with 'policy' and 'tests'"),
        ("- a\n", "one mapping"),
        ("policy: [\n", "the YAML does not parse"),
        ("tests: []\n", "the field 'policy' is missing"),
        (f"policy: {CANARY}\n", "the field 'tests' is missing"),
        (f"policy: {CANARY}\ntests: []\n", "the file has no tests"),
        ("policy: canari.yaml\ntests: []\n", "there is no such file"),
        ("policy: 5\ntests: []\n", "expected the name of a file"),
        (f"{HEAD}{GOOD}  - name: it\n{GOOD}", "two tests have one name, the first in line 3"),
        (f"policy: {CANARY}\nreplicas: 5\ntests: []\n", "unknown field 'replicas'"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        cases(text, tmp_path)
    assert why in str(refused.value)


def test_a_policy_of_a_similar_name_is_proposed(tmp_path: Path) -> None:
    (tmp_path / "canary.yaml").write_text(CANARY.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"canari\.yaml.*did you mean 'canary\.yaml'"):
        cases("policy: canari.yaml\ntests: []\n", tmp_path)


def test_a_job_finds_no_number(tmp_path: Path) -> None:
    policy = SCENARIOS / "policies" / "blue-green-checked.yaml"
    head = f"policy: {policy}\ntests:\n  - name: it\n    outcome: promoted\n"
    with pytest.raises(ScenarioError, match="a job finds no value"):
        cases(f"{head}    measurements: {{smoke-test: [1], error-rate: [0]}}\n", tmp_path)
    with pytest.raises(ScenarioError, match=r"'smoke-test' finds; add it to measurements$"):
        cases(f"{head}    series: [{{series: up, values: 1}}]\n", tmp_path)


def test_fields_of_late_arguments_have_to_be_given(tmp_path: Path) -> None:
    text = CANARY.read_text(encoding="utf-8").replace(
        "            value: api\n",
        "            valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}\n",
    )
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    head = "policy: policy.yaml\ntests:\n  - name: it\n"
    with pytest.raises(
        ScenarioError, match=r"reads the field metadata\.labels\['app'\]; give its value in fields"
    ):
        cases(head + GOOD, tmp_path)
    (case,) = cases(f"{head}{GOOD}    fields: {{\"metadata.labels['app']\": api}}\n", tmp_path)
    assert case.fields == (("metadata.labels['app']", "api"),)


def test_steps_cannot_be_skipped_where_there_are_none(tmp_path: Path) -> None:
    head = f"policy: {SCENARIOS / 'article' / 'rolling.yaml'}\ntests:\n  - name: it\n    outcome: promoted\n"
    with pytest.raises(ScenarioError, match="the policy has no steps"):
        cases(f"{head}    commands: [{{at: 1m, do: skip-step}}]\n", tmp_path)
    assert len(cases(head, tmp_path)) == 1
