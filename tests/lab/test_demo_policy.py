"""The demo's policy is the guide's, with what it does to a release that fails nothing, and says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rolloutsim.lint import lint
from rolloutsim.outcomes import CaughtBy, End
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.sim.run import play
from rolloutsim.sim.scenario_file import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CANARY = SCENARIOS / "lab" / "canary.yaml"
SERVICE = SCENARIOS / "lab" / "service.yaml"
GOOD = load_scenario(f"{SERVICE}+{SCENARIOS / 'releases' / 'good.yaml'}")
BROKEN = load_scenario(f"{SERVICE}+{SCENARIOS / 'lab' / 'half-fails.yaml'}")


def mended() -> str:
    """The policy with the line that its comment offers in the place of the next."""
    text, count = re.subn(
        r"^( *)# (successCondition: .*\n)\1successCondition: .*\n",
        r"\1\2",
        CANARY.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert count == 1, "the comment offers a line"
    return text


def test_the_guides_query_aborts_what_fails_nothing_and_the_file_says_which_line_mends_it() -> None:
    row = play(load_policy(CANARY), GOOD)
    assert (row.end, row.caught_by) == (End.ABORTED, CaughtBy.ANALYSIS)
    assert "assessed Error" in row.message
    assert row.duration_s == pytest.approx(40.0, abs=5.0)
    assert "after 40 seconds" in CANARY.read_text(encoding="utf-8")
    assert play(load_policy_text(mended()), GOOD).end is End.PROMOTED


@pytest.mark.parametrize("of", [lambda: load_policy(CANARY), lambda: load_policy_text(mended())])
def test_the_broken_release_of_the_demo_is_aborted_for_its_failures(of: Callable[[], Policy]) -> None:
    row = play(of(), BROKEN)
    assert (row.end, row.caught_by) == (End.ABORTED, CaughtBy.ANALYSIS)
    assert "assessed Failed due to failed (4) > failureLimit (3)" in row.message


def test_lint_says_that_no_error_yet_is_an_error(tmp_path: Path) -> None:
    (said,) = [one for one in lint([[str(CANARY)]]).findings if one.rule.id == "RS060"]
    assert "no error series yet" in said.reason
    file = tmp_path / "canary.yaml"
    file.write_text(mended(), encoding="utf-8")
    assert not [one for one in lint([[str(file)]]).findings if one.rule.id == "RS060"]
