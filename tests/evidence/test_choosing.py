"""Choices: how they are read, judged and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rolloutsim.cli import app
from rolloutsim.errors import ScenarioError
from rolloutsim.estimates import Estimate
from rolloutsim.evidence.choosing import Judgement, _compared, judge, load_choices

CHOOSING = Path(__file__).parents[2] / "scenarios" / "choosing"
HEAD = "apiVersion: rolloutsim.dev/v1alpha1\nkind: Choice\nmetadata: {name: c}\nspec:\n"
BODY = f"""\
  situation: somebody has to choose
  advice: canary
  quantity: bad_requests
  service: {CHOOSING}/../services/api.yaml
  release: {CHOOSING}/../releases/error-step-20pp.yaml
  policies:
    canary: {CHOOSING}/policies/canary.yaml
    switch: {CHOOSING}/policies/blue-green.yaml
"""
CASES = "  cases: [{name: as it is}, {name: quiet, change: {service: {traffic: {rate_rps: 10}}}}]\n"


def written(tmp_path, text=HEAD + BODY + CASES):
    file = tmp_path / "choice.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_shipped_choice_loads_in_the_order_of_the_guides_table():
    names = [choice.name for choice in load_choices(CHOOSING)]
    assert names == [
        "instant-rollback",
        "early-signal",
        "schema-change",
        "observability",
        "limited-budget",
        "long-lived-connections",
    ]
    for choice in load_choices(CHOOSING):
        assert len(choice.cases) >= 4
        assert len({case.name for case in choice.cases}) == len(choice.cases)


def test_a_choice_is_judged_case_by_case(tmp_path):
    (choice,) = load_choices(written(tmp_path))
    row = judge(choice, runs=6)
    assert [one.judgement for one in row.findings] == [Judgement.HOLDS, Judgement.HOLDS]
    assert row.verdict == "holds in every case"
    loud, quiet = (dict(one.values)["switch"].value for one in row.findings)
    assert loud == pytest.approx(10 * quiet, rel=0.05)


def test_the_opposite_advice_turns(tmp_path):
    (choice,) = load_choices(
        written(tmp_path, HEAD + BODY.replace("advice: canary", "advice: switch") + CASES)
    )
    assert judge(choice, runs=6).verdict == "holds in no case, turns in 2"


def test_expectations_are_of_some_or_none(tmp_path):
    some = "  cases: [{name: a, expect: {canary: some, switch: some}}, {name: b, expect: {canary: none}}]\n"
    (choice,) = load_choices(
        written(tmp_path, HEAD + BODY.replace("advice: canary", "advice: neither") + some)
    )
    row = judge(choice, runs=4)
    assert [one.judgement for one in row.findings] == [Judgement.HOLDS, Judgement.TURNS]


@pytest.mark.parametrize(
    ("advised", "other", "difference", "expected"),
    [
        ((10, 9, 11), (20, 19, 21), (10, 8, 12), Judgement.HOLDS),
        ((20, 19, 21), (10, 9, 11), (-10, -12, -8), Judgement.TURNS),
        ((10, 9, 11), (11, 9, 13), (1, -2, 4), Judgement.ALIKE),
        ((100, 99, 101), (105, 104, 106), (5, 4, 6), Judgement.ALIKE),
        ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9), (0.8, 0.8, 0.8), Judgement.ALIKE),
        ((None, None, None), (1, 1, 1), (None, None, None), Judgement.UNKNOWN),
    ],
)
def test_a_difference_counts_when_its_interval_and_its_size_do(advised, other, difference, expected):
    made = [Estimate(*numbers, 10, "hall") for numbers in (advised, other, difference)]
    assert _compared(*made, alike=1.0) is expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD.replace("Choice", "Choise") + BODY + CASES, "did you mean 'Choice'"),
        (HEAD + BODY.replace("bad_requests", "bad_request") + CASES, "did you mean 'bad_requests'"),
        (HEAD + BODY, "a choice needs cases"),
        (HEAD + BODY.replace("advice: canary", "advice: rolling") + CASES, "no policy is called 'rolling'"),
        (HEAD + BODY + "  cases: [{name: a, expect: {canary: many}}]\n", "'none' or 'some'"),
        (HEAD + BODY + "  cases: [{name: a, change: {servise: {}}}]\n", "did you mean 'service'"),
        (HEAD + BODY + "  cases: [{name: a, change: {service: {trafic: {}}}}]\n", "did you mean 'traffic'"),
        (HEAD + BODY + "  cases: [{name: a, replicas: 0}]\n", "at least 1"),
        ("- 1\n", "expected a mapping"),
    ],
)
def test_choices_that_are_refused(tmp_path, text, why):
    with pytest.raises(ScenarioError) as refused:
        load_choices(written(tmp_path, text))
    assert why in str(refused.value)


def test_no_choice_anywhere(tmp_path):
    with pytest.raises(ScenarioError, match="no choice is here"):
        load_choices(tmp_path)


# --- on the command line --------------------------------------------------------------------------


def test_compare_takes_choices_in_place_of_policies(tmp_path):
    file = str(written(tmp_path))
    table = CliRunner().invoke(app, ["compare", file, "--runs", "4", "--jobs", "1"])
    assert table.exit_code == 0, table.output
    assert "somebody has to choose: canary" in table.output
    assert "the advice holds in every case" in table.output
    assert max(map(len, table.output.splitlines())) <= 100
    found = CliRunner().invoke(app, ["compare", file, "--runs", "4", "--jobs", "1", "-o", "json"])
    (row,) = json.loads(found.output)["rows"]
    assert row["cases"][0]["judgement"] == "holds"
    assert row["cases"][0]["differences"]["switch"]["low"] > 0
    cards = row["modelCard"]["scenarios"].values()
    counts = {len(card["assumed"]) for card in cards}
    assert counts == {card["inputs"]["assumed"] for card in cards}
    spread = " to ".join(str(count) for count in sorted(counts))
    assert f"rests on {spread} assumed and 0 measured inputs a case; aggregate" in table.output
    assert "not modelled: a change of the database schema" in table.output


@pytest.mark.parametrize(
    "option", [["--keep", "kept"], ["--plot", "x.png"], ["--sensitivity"], ["--argo", "v1.9.1"]]
)
def test_what_choices_do_not_have_is_refused(tmp_path, option):
    result = CliRunner().invoke(app, ["compare", str(written(tmp_path)), *option])
    assert result.exit_code == 2
    assert "choices are judged as they stand" in result.output


def test_policies_still_need_scenarios():
    policy = str(CHOOSING / "policies" / "canary.yaml")
    result = CliRunner().invoke(app, ["compare", policy])
    assert result.exit_code == 2
