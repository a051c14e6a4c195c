"""A run that was written down answers as the run itself does."""

from __future__ import annotations

import math
from pathlib import Path

from rolloutsim.conditions import Result, VectorResult
from rolloutsim.engine import from_json
from rolloutsim.policy import load_policy
from rolloutsim.promql import evaluate
from rolloutsim.promql.intake import sample_records
from rolloutsim.sim.run import trace_run
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.trace import read_trace, write_trace

ARTICLE = Path(__file__).parents[2] / "scenarios" / "article"


def written(tmp_path, policy="canary.yaml"):
    """A run that is aborted, so that the new version's series end, as read from its file."""
    world = load_scenario(ARTICLE / "worlds" / "error-20pp.yaml")
    manifest, records = trace_run(load_policy(ARTICLE / policy), world)
    path = tmp_path / "run.jsonl"
    write_trace(path, manifest, records)
    trace = read_trace(path)
    assert trace.manifest == {"kind": "manifest", **manifest}
    assert list(trace.records) == records
    return trace


def test_the_policys_own_query_gives_the_answers_that_were_judged(tmp_path):
    trace = written(tmp_path)
    store = sample_records(trace.of("sample"))
    asked = {record["value"]["id"]: record for record in trace.of("did") if "provider" in record["value"]}
    judged = [r for r in trace.of("seen") if r["value"]["kind"] == "Measured"]
    assert len(judged) == len(asked) > 5
    for request, seen in zip(asked.values(), judged, strict=True):
        answer = evaluate(request["value"]["provider"]["query"], store, seen["at"])
        found = VectorResult(tuple(value for _, value in answer.elements))
        assert from_json(Result, seen["value"]["outcome"]) == found


def test_series_end_with_their_pods(tmp_path):
    trace = written(tmp_path)
    store = sample_records(trace.of("sample"))
    aborted = next(r["at"] for r in trace.of("event") if r["value"]["kind"] == "Aborted")
    both = 'sum by (app_version) (http_requests_total{service="api"})'
    assert len(evaluate(both, store, aborted - 1).elements) == 2
    (only,) = evaluate(both, store, aborted + 60_000).elements
    assert not math.isnan(only[1])
    assert any(record["value"] == "StaleNaN" for record in trace.of("sample"))
