"""A recorded rollout decided again, and other policies on it, against worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.evidence.recorded import Bundle, Did, Move, Retold, Timeline, read_bundle, retell, timeline_of
from rolloutsim.evidence.recorded.bundle import BundleError
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.policy.model import Canary, ExperimentStep, ExperimentTemplate, Policy
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.run import play, trace_run
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.trace import write_trace

ROOT = Path(__file__).parents[3]
RAN = ROOT / "scenarios/policies/httproute-canary.yaml"
SHIPPED = ROOT / "data/incidents/policies"
HOUR_MS = 3_600_000


def world(release: str) -> Scenario:
    found = load_scenario(f"{ROOT}/scenarios/services/api.yaml+{ROOT}/scenarios/releases/{release}.yaml")
    operators = replace(found.service.operators, notice_excess=None)
    return replace(found, service=replace(found.service, operators=operators, horizon_ms=HOUR_MS))


def recording(folder: Path, release: str, seed: int = 1, *, scale: float = 1.0) -> tuple[Bundle, Timeline]:
    """A simulated rollout, of which only what a server and a controller would keep is kept.

    ``scale`` : counters by as much, as of a service with less traffic.
    """
    manifest, records = trace_run(load_policy(RAN), world(release), seed=seed)
    start = manifest["start"]
    about = {"world": "recorded", "from": start - 60_000, "to": start + HOUR_MS}
    path = folder / f"{release}.bundle"
    write_trace(
        path,
        {**manifest, **about, "by": "app_version", "requests": "http_requests_total"},
        [
            {**record, "value": scale * record["value"]} if _counts(record) else record
            for record in records
            if record["kind"] != "truth"
        ],
    )
    bundle = read_bundle(path)
    return bundle, timeline_of(bundle.trace)


def _counts(record: Mapping[str, Any]) -> bool:
    return record["kind"] == "sample" and isinstance(record["value"], float)


@pytest.mark.parametrize("release", ["good", "error-step-20pp", "error-step-2pp", "slow-leak"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_policy_that_ran_is_decided_as_it_was(tmp_path: Path, release: str, seed: int) -> None:
    bundle, timeline = recording(tmp_path, release, seed)
    told = retell(load_policy(RAN), bundle, timeline)
    assert told.as_it_ran
    assert told.same == told.recorded == len(timeline.decisions()) >= 2
    assert told.bad == told.low == told.high == told.actual_bad
    end = timeline.end()
    assert end is not None
    assert told.end is end.did


@pytest.mark.parametrize(
    ("release", "seed"), [("error-step-20pp", 1), ("error-step-20pp", 2), ("error-step-2pp", 1)]
)
def test_what_is_measured_is_what_was(tmp_path: Path, release: str, seed: int) -> None:
    bundle, timeline = recording(tmp_path, release, seed)
    truth = play(load_policy(RAN), world(release), seed=seed)
    assert retell(load_policy(RAN), bundle, timeline).actual_bad == pytest.approx(
        truth.bad_requests, rel=0.15
    )


@pytest.mark.parametrize(
    ("release", "name", "within"),
    [
        ("error-step-20pp", "staged-5xx", 0.15),
        ("error-step-20pp", "warn-only-5xx", 0.15),
        ("error-step-20pp", "all-at-once", 0.15),
        ("error-step-2pp", "warn-only-5xx", 0.15),
        ("error-step-2pp", "all-at-once", 0.15),
    ],
)
def test_what_is_modelled_is_near_what_would_have_been(
    tmp_path: Path, release: str, name: str, within: float
) -> None:
    bundle, timeline = recording(tmp_path, release)
    policy = load_policy(SHIPPED / f"{name}.yaml")
    truth = play(policy, world(release))
    told = retell(policy, bundle, timeline)
    assert str(told.end) == str(truth.end)
    assert told.bad == pytest.approx(truth.bad_requests, rel=within)
    assert told.low <= told.bad <= told.high
    assert told.line_ms is not None


def tighter(limit: int) -> Policy:
    text = RAN.read_text(encoding="utf-8")
    return load_policy_text(text.replace("failureLimit: 2", f"failureLimit: {limit}"))


def test_a_tighter_gate_is_measured_up_to_its_stop(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "error-step-20pp")
    told = retell(tighter(0), bundle, timeline)
    assert told.end is Did.ABORTED
    assert told.line_ms == told.ended_ms == timeline.started_ms + 120_000
    assert told.same == 1
    assert told.difference.startswith("aborted at +2m00s; recorded: aborted at +4m")
    assert 0.3 < told.bad / told.actual_bad < 0.6
    assert (told.wider_ms, told.held_ms) == (None, None)


def test_a_looser_gate_goes_wider_than_was_ever_seen_and_says_so(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "error-step-20pp")
    told = retell(tighter(50), bundle, timeline)
    assert told.end is Did.PROMOTED
    assert told.difference == "weight 25 % at +5m00s; recorded: aborted at +4m09s"
    assert told.wider_ms is not None
    assert told.held_ms is not None
    assert told.line_ms is not None
    assert told.line_ms < told.held_ms <= told.wider_ms
    assert told.bad > 10 * told.actual_bad


def test_a_policy_that_does_the_same_a_little_later_does_the_same(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "good")
    late = load_policy_text(RAN.read_text(encoding="utf-8").replace("duration: 5m", "duration: 5m20s"))
    assert retell(late, bundle, timeline).as_it_ran
    later = load_policy_text(RAN.read_text(encoding="utf-8").replace("duration: 5m", "duration: 9m"))
    told = retell(later, bundle, timeline)
    assert not told.as_it_ran
    assert told.same == 1


def test_a_question_that_the_recording_cannot_answer_is_refused(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "good")
    text = RAN.read_text(encoding="utf-8")
    late = (*timeline.moves[:2], Move(bundle.end_ms + 1, Did.PROMOTED))
    cases = (
        (text.replace("http_requests_total", "grpc_calls_total"), timeline, "--match 'grpc_calls_total'"),
        (text, replace(timeline, new="v9"), "its app_version are: v1, v2"),
        (text, replace(timeline, started_ms=0), "record from before it began"),
        (text, replace(timeline, moves=late), "until after it ended, with --to"),
    )
    for policy, run, remedy in cases:
        with pytest.raises(BundleError) as caught:
            retell(load_policy_text(policy), bundle, run)
        assert remedy in str(caught.value)
    policy = load_policy_text(text)
    assert isinstance(policy.strategy, Canary)
    by_pods = replace(policy, strategy=replace(policy.strategy, routing=None))
    with pytest.raises(
        BundleError, match="has no traffic router: its share of the requests follows its pods"
    ):
        retell(by_pods, bundle, timeline)
    trial = ExperimentStep((ExperimentTemplate("trial", canary=True),), duration_ms=60_000)
    tried = replace(policy, strategy=replace(policy.strategy, steps=(trial, *policy.strategy.steps)))
    with pytest.raises(BundleError, match="has a step experiment, and nobody recorded"):
        retell(tried, bundle, timeline)


def test_a_recording_that_does_not_tell_which_requests_failed_is_refused(tmp_path: Path) -> None:
    """Without a status no request seems to have failed, and 0 would be no answer."""
    bundle, timeline = recording(tmp_path, "good")
    every = [(dict(bundle.store.labels(i)), *bundle.store.samples(i)) for i in range(len(bundle.store))]
    silent = [
        ({k: v for k, v in labels.items() if k != "status"}, times, values)
        for labels, times, values in every
        if labels["__name__"] != "http_requests_total" or labels["status"] == "200"
    ]
    policy = load_policy(SHIPPED / "all-at-once.yaml")
    assert retell(policy, bundle, timeline).policy == policy.name
    with pytest.raises(BundleError, match=r"tells which requests failed.*--requests COUNTER"):
        retell(policy, replace(bundle, store=SeriesStore.from_series(silent)), timeline)


def test_where_the_new_version_got_few_requests_its_best_and_worst_are_none_and_all(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "error-step-20pp", scale=0.001)
    told = retell(load_policy(SHIPPED / "all-at-once.yaml"), bundle, timeline)
    assert told.seldom
    assert told.line_ms is not None
    assert told.low <= 0.1 * told.bad
    assert told.high >= 4.0 * told.bad
    assert not retell(load_policy(RAN), bundle, timeline).seldom, "nothing of it is modelled"
    usual = retell(load_policy(SHIPPED / "all-at-once.yaml"), *recording(tmp_path, "error-step-20pp"))
    assert not usual.seldom


def test_the_same_recording_gives_the_same_answer(tmp_path: Path) -> None:
    bundle, timeline = recording(tmp_path, "error-step-2pp")
    policy = load_policy(SHIPPED / "staged-5xx.yaml")
    one: Retold = retell(policy, bundle, timeline)
    assert one == retell(policy, bundle, timeline)


def test_moves_are_told_in_words() -> None:
    assert Move(0, Did.WEIGHT, 0.05).words() == "weight 5 %"
    assert Move(0, Did.PROMOTED).words() == "promoted"
