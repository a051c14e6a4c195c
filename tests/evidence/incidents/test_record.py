"""Incident files: what ships is whole and sourced, and a file that is not is refused with its line."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from rolloutsim.evidence.incidents import (
    Basis,
    IncidentError,
    incident_ids,
    load_incident,
    read_incident,
    shipped_policy,
)
from rolloutsim.evidence.incidents.file import policy_names
from rolloutsim.evidence.incidents.quantity import as_json, quantities, with_values

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))

WHOLE = """\
id: example
title: An example
organisation: Example
date: 2026-01-01
quality: A
changed: something
rolled_out: at once
sources:
  - {title: A report, organisation: Example, date: 2026-01-02, address: https://example.com/report}
timeline:
  - {at: 2026-01-01T10:00:00Z, event: it breaks, basis: source}
facts:
  - {what: duration, value: 60, unit: s, basis: source}
lesson: look
model:
  counts: requests
  requests_per_s: {value: 100, basis: source}
  cohorts:
    - {name: all, share: {value: 1, basis: source}, hit: {value: 1, basis: source}}
  channels:
    - {name: code, what: the deployment}
  fault:
    clock: age
    course:
      - {at: 0, failing: {value: 1, basis: source}}
    shows:
      status_5xx: {value: 1, basis: source}
  metric_lag_s: {value: 30, basis: source}
  way_back_s: {value: 60, basis: source}
as_happened:
  course:
    - {at: 0, failing: {value: 1, basis: source}}
  until_s: {value: 60, basis: source}
plays:
  - {name: staged, policy: staged-5xx.yaml, channel: code}
"""


def test_at_least_fourteen_ship_with_the_teaching_ones() -> None:
    assert len(incident_ids()) >= 14
    assert set(REFERENCE) <= set(incident_ids())


@pytest.mark.parametrize("name", incident_ids())
def test_a_shipped_incident_is_sourced_and_its_policies_load(name: str) -> None:
    incident = load_incident(name)
    assert incident.id == name
    assert incident.sources
    assert incident.timeline
    assert [moment.at for moment in incident.timeline] == sorted(moment.at for moment in incident.timeline)
    for play in incident.plays:
        assert shipped_policy(play).name == Path(play.policy).stem
        assert play.expected is not None


@pytest.mark.parametrize("name", REFERENCE)
def test_times_and_addresses_are_those_of_the_collected_facts(name: str) -> None:
    incident, known = load_incident(name), REFERENCE[name]
    times = {datetime.fromisoformat(utc) for utc in known["timeline"]}
    assert {moment.at for moment in incident.timeline} <= times
    assert {source.address for source in incident.sources} == set(known["addresses"])


def test_every_shipped_policy_is_of_use() -> None:
    used = {Path(play.policy).stem for name in incident_ids() for play in load_incident(name).plays}
    assert set(policy_names()) == used


def test_a_whole_record_reads_and_goes_to_json() -> None:
    incident = read_incident(WHOLE)
    assert incident.model.fault.course[0].failing.basis is Basis.SOURCE
    assert json.loads(json.dumps(as_json(incident)))["sources"][0]["title"] == "A report"


def test_values_are_changed_by_their_paths_and_nothing_else_is() -> None:
    incident = load_incident("pagerduty-2022-10-31")
    known = dict(quantities(incident.model))
    path = next(path for path, one in known.items() if one.low is not None)
    changed = dict(quantities(with_values(incident.model, {path: known[path].low or 0.0})))
    assert changed[path].value == known[path].low
    assert {p for p in known if known[p] != changed[p]} == {path}


SOURCES = WHOLE[WHOLE.index("sources:") : WHOLE.index("timeline:")]
WRONG = {
    "no sources": (SOURCES, "", 1, "incident without sources", "title, organisation, date and address"),
    "empty sources": (SOURCES, "sources: []\n", 8, "incident without sources", "name title"),
    "source without address": (
        ", address: https://example.com/report",
        "",
        9,
        "sources[0].address: the field 'address' is missing",
        "add it",
    ),
    "address of nothing": ("https://example.com/report", "a book", 9, "not the address", "https://"),
    "source without title": ("title: A report", 'title: ""', 9, "the field is empty", "a title"),
    "value without basis": (
        "requests_per_s: {value: 100, basis: source}",
        "requests_per_s: {value: 100}",
        17,
        "model.requests_per_s.basis: the field 'basis' is missing",
        "add it",
    ),
    "unknown basis": ("value: 60, unit: s, basis: source", "value: 60, basis: hearsay", 13, "basis", "words"),
    "assumed without range": (
        "metric_lag_s: {value: 30, basis: source}",
        "metric_lag_s: {value: 30, basis: assumed, note: usual}",
        28,
        "needs a range",
        "low and high",
    ),
    "assumed without reason": (
        "metric_lag_s: {value: 30, basis: source}",
        "metric_lag_s: {value: 30, basis: assumed, low: 1, high: 60}",
        28,
        "needs a note",
        "why so",
    ),
    "value out of its range": (
        "metric_lag_s: {value: 30, basis: source}",
        "metric_lag_s: {value: 30, basis: assumed, low: 40, high: 60, note: usual}",
        28,
        "outside its own range",
        "low <= value <= high",
    ),
    "rounds that are shorter than the course": (
        "    clock: age\n",
        "    clock: age\n    repeats_s: {value: 0.5, basis: source}\n",
        23,
        "shorter than the course",
        "lengthen it",
    ),
    "unknown field": ("lesson: look", "leson: look", 1, "missing", "add it"),
    "NaN": ("requests_per_s: {value: 100", "requests_per_s: {value: .nan", 17, "finite number", ""),
    "shares beyond one": ("share: {value: 1,", "share: {value: 0.5,", 15, "add up to 0.5", "add up to 1"),
    "no channel of a play": ("channel: code}", "channel: data}", 1, "no channel data", "name one of"),
    "course out of order": ("{at: 0, failing", "{at: 5, failing", 24, "point at 0", "in order"),
    "yaml": ("lesson: look", "lesson: [look", 14, "does not parse", ""),
    "two documents": ("lesson: look", "lesson: look\n---\nid: other", 1, "one document is wanted", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_line_reason_and_remedy(case: str) -> None:
    old, new, line, why, fix = WRONG[case]
    assert old in WHOLE
    with pytest.raises(IncidentError) as caught:
        read_incident(WHOLE.replace(old, new, 1), "incident.yaml")
    message = str(caught.value)
    assert caught.value.at.file == "incident.yaml"
    assert abs(caught.value.at.line - line) <= 2, message
    assert why in message
    assert fix in message


def test_an_unknown_incident_names_the_nearest() -> None:
    with pytest.raises(IncidentError, match="did you mean crates-io-2023-07-20"):
        load_incident("crates-io")
    with pytest.raises(IncidentError, match=r"nowhere\.yaml: the file cannot be read"):
        load_incident("nowhere.yaml")
