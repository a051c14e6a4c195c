"""What the table for authors promises: each kind of fault can be written down and is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolloutsim.evidence.incidents import Expectation, read_incident, replay, scenario_of, shipped_policy
from rolloutsim.evidence.incidents import record as records
from tests.evidence.incidents.test_record import WHOLE

GUIDE = Path(__file__).parents[3] / "data" / "incidents" / "README.md"
AT_ONCE, MISSED = Expectation.CAUGHT_AT_ONCE, Expectation.MISSED
FAILING = "{at: 0, failing: {value: 1, basis: source}}"


def verdict(*changes: tuple[str, str]) -> Expectation:
    text = WHOLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    incident = read_incident(text)
    (play,) = incident.plays
    return replay(incident, shipped_policy(play), play, runs=2, bounds=False).verdict


def course(*points: str) -> tuple[str, str]:
    return f"      - {FAILING}\n    shows", "".join(
        f"      - {{{point}}}\n" for point in points
    ) + "    shows"


CALM, LATER = "at: 0, failing: {value: 0, basis: source}", "at: 7200, failing: {value: 1, basis: source}"
CLIFF = "at: 0.6, failing: {value: 0.5, basis: source}"
KINDS = {
    "a fault that shows": ([], AT_ONCE),
    "one that does not": ([("status_5xx: {value: 1", "status_5xx: {value: 0")], MISSED),
    "one that lies dormant": (
        [("deployment}", "deployment, dormant_s: {value: 864000, basis: source}}")],
        MISSED,
    ),
    "nobody whom it can hit": ([("hit: {value: 1", "hit: {value: 0")], MISSED),
    "one that begins after the rollout": ([course(CALM, LATER)], MISSED),
    "everybody hit behind a cliff": ([("clock: age", "clock: reach"), course(CALM, CLIFF)], MISSED),
    "one that comes and goes": (
        [("clock: age", "clock: age\n    repeats_s: {value: 300, basis: source}")],
        AT_ONCE,
    ),
    "a limit below the usual errors kills what is good": (
        [
            (FAILING, f"{{{CALM}}}"),
            ("  metric_lag_s", "  usual_errors: {value: 0.03, basis: source}\n  metric_lag_s"),
        ],
        AT_ONCE,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_played(kind: str) -> None:
    changes, expected = KINDS[kind]
    assert verdict(*changes) is expected


def test_the_usual_errors_are_those_of_both_versions() -> None:
    stated = WHOLE.replace("  metric_lag_s", "  usual_errors: {value: 0.03, basis: source}\n  metric_lag_s")
    for text, share in ((stated, 0.03), (WHOLE, 0.001)):
        incident = read_incident(text)
        scenario = scenario_of(incident, shipped_policy(incident.plays[0]))
        assert scenario.service.error_rate == share


def test_the_guide_names_every_part_and_every_verdict() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    parts = [*records.Model.__dataclass_fields__, *records.Fault.__dataclass_fields__]
    left_out = {"requests_per_s", "published_rate", "machines", "fault", "counts"}
    assert not [part for part in parts if part not in left_out and f"{part}" not in text]
    for word in (*records.Expectation, *records.Clock, *records.Reach):
        assert str(word) in text
