"""``incidents`` and ``replay`` on the command line: what they print, how wide, and what they refuse."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from rolloutsim.cli.incidents import incidents
from rolloutsim.cli.replay import replay
from rolloutsim.evidence.incidents import IncidentError, incident_ids

app = typer.Typer()
app.add_typer(incidents)
app.command()(replay)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    found = result.output.splitlines()
    assert max(len(line) for line in found if not line.lstrip().startswith(("http", "- "))) <= 100
    return found


def test_list_names_them_all() -> None:
    found = lines(run("incidents", "list"))
    assert [line.split()[0] for line in found[1:]] == list(incident_ids())
    listed = json.loads(run("incidents", "list", "-o", "json").output)
    assert listed["kind"] == "IncidentList"
    assert [one["id"] for one in listed["spec"]] == list(incident_ids())


@pytest.mark.parametrize("name", incident_ids())
def test_show_gives_each_value_its_basis_and_the_sources(name: str) -> None:
    text = "\n".join(lines(run("incidents", "show", name)))
    for heading in ("Timeline (UTC)", "Facts", "Numbers of the model", "What a gate can see", "Sources"):
        assert heading in text
    assert "model, with assumptions listed" in text
    assert "https://" in text


def test_show_says_what_no_gate_can_see() -> None:
    assert "no gate on code (the software) sees it" in run("incidents", "show", "fastly-2021-06-08").output
    assert "until about 74 % of the population" in run("incidents", "show", "pagerduty-2022-10-31").output
    shown = json.loads(run("incidents", "show", "fastly-2021-06-08", "-o", "json").output)
    assert shown["spec"]["model"]["channels"][1]["dormant_s"]["basis"] == "derived"


def test_replay_prints_the_counterfactuals_with_their_range() -> None:
    text = "\n".join(lines(run("replay", "crates-io-2023-07-20", "--runs", "2")))
    assert "As it happened: 3.67M failed requests" in text
    assert "policy_with_rps_or_synthetic  caught-at-first-step  120s" in text
    assert "not seen: errors-5xx read the same as for a good release" in text
    assert "model, with assumptions listed" in text.lower()


def test_replay_of_a_policy_on_a_channel_and_cohorts() -> None:
    words = ("replay", "fastly-2021-06-08", "-p", "staged-5xx", "--channel", "code", "--runs", "1")
    assert "no gate can see this: nothing fails while the change rolls out" in " ".join(lines(run(*words)))
    words = ("replay", "cloudflare-2022-06-21", "-p", "one-unit-first-5xx", "--runs", "1", "-o", "json")
    (answer,) = json.loads(run(*words, "--cohorts", "new architecture,older architecture").output)["spec"]
    assert answer["verdict"] == "caught-at-first-step"
    assert answer["reached"] == 0.002
    assert answer["runs"][0]["decided_s"] == answer["decided_s"]


def test_replay_refuses_what_the_incident_has_not() -> None:
    for words, why in (
        (("replay", "fastly-2021-06-08", "-p", "staged-5xx", "--channel", "mail"), "configuration, code"),
        (("replay", "fastly-2021-06-08", "-p", "staged-5xx", "--cohorts", "moon"), "even, random"),
        (("replay", "no-such-incident",), "incidents list"),
    ):  # fmt: skip
        result = run(*words)
        assert isinstance(result.exception, IncidentError)
        assert why in str(result.exception)
