"""The parts of the verbs that need no cluster."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from rolloutsim.cli.manner import servers
from rolloutsim.cli.status import ago
from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Measure,
    MeasurementTaken,
    Phase,
    PhaseChanged,
    ReleaseAsked,
    SetWeight,
    StatusPatched,
    StepCompleted,
    Tick,
    start,
    to_json,
)
from rolloutsim.errors import InputError
from rolloutsim.live.decisions import Decided, decided, entries_of
from rolloutsim.live.exporter import Exporter
from rolloutsim.live.port import DEPLOYMENT
from rolloutsim.live.prediction import Band, Expected, Foreseen, GateBand, Prediction, band_at, band_text
from rolloutsim.live.preview import differences, fingerprint
from rolloutsim.live.surroundings import Turn
from rolloutsim.live.telling import DecisionLog, Teller
from rolloutsim.live.template import field_values, template_in, with_images
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import PrometheusProvider
from rolloutsim.session import Entry
from rolloutsim.sim.beginning import beginning
from rolloutsim.trace import entry_records

ROOT = Path(__file__).parents[3]
POLICY = load_policy(ROOT / "scenarios/policies/httproute-canary.yaml")
PROVIDER = PrometheusProvider("up")


def test_what_is_a_decision() -> None:
    tick = Tick(7)
    assert decided(POLICY, Entry(1, tick)) is None
    assert decided(POLICY, Entry(1, tick, (Measure("1", "run", "m", 1, PROVIDER),))) is None
    weight = decided(POLICY, Entry(2, tick, (SetWeight("2", 25),), (StepCompleted(2, 6, "pause: 300s"),)))
    assert weight is not None
    assert (weight.at, weight.seq, weight.reason, weight.weight) == (7, 2, "StepCompleted", 25)
    assert weight.sentence == "step 2 of 6 is complete (pause: 300s); the canary gets weight 25"
    asked = decided(POLICY, Entry(3, StatusPatched(9, abort=True, actor="mara")))
    assert asked is not None
    assert (asked.reason, asked.sentence) == ("AbortAsked", "abort asked by mara")


def test_bad_news_are_warnings_with_their_numbers() -> None:
    taken = MeasurementTaken("run", "error-rate", 3, MeasurementPhase.FAILED, "[0.07]")
    events = (taken, Aborted("v2", 2, "error-rate"), PhaseChanged(Phase.DEGRADED, "x", 0))
    told = decided(POLICY, Entry(1, Tick(0), (), events))
    assert told is not None
    assert (told.reason, told.warning, told.phase, told.step) == ("Aborted", True, Phase.DEGRADED, 0)
    (judged,) = told.judged
    assert judged.threshold == "len(result) == 0 || isNaN(result[0]) || result[0] < 0.05"
    assert str(judged).startswith("error-rate #3: [0.07] Failed, wanted len(result)")


def test_entries_survive_a_trace() -> None:
    entries = [
        Entry(0, Tick(1), (SetWeight("1", 5),), (StepCompleted(1, 6, "setWeight: 5"),)),
        Entry(1, StatusPatched(2, clear_pauses=True)),
    ]
    records = [record for entry in entries for record in entry_records(entry)]
    assert list(entries_of(records)) == entries


def test_metrics_are_escaped_and_never_half() -> None:
    exporter = Exporter('a"b\\', "n", "sha256:1", lambda: None, lambda: 0)
    text = exporter.text()
    assert 'rollout="a\\"b\\\\"' in text
    assert "weight" not in text
    told = decided(
        POLICY,
        Entry(1, Tick(1000), (), (MeasurementTaken("r", "e", 1, MeasurementPhase.ERROR, "", "down"),)),
    )
    assert told is not None
    exporter.tell(told)
    assert 'gate_value{rollout="a\\"b\\\\",namespace="n",gate="e"} NaN' in exporter.text()


def value_of(exporter: Exporter, name: str, labels: str = "") -> float | None:
    """The value of one sample; None if it is not there."""
    for line in exporter.text().splitlines():
        sample, _, value = line.rpartition(" ")
        if sample.startswith(f"rolloutsim_{name}{{") and labels in sample:
            return float(value)
    return None


def test_what_a_decision_takes_is_a_histogram() -> None:
    exporter = Exporter("api", "shop", "sha256:1", lambda: None, lambda: 0)
    assert value_of(exporter, "decision_seconds_count") == 0
    for took_s, decided_then in ((0.001, True), (0.3, True), (99.0, True), (0.002, False)):
        exporter.turned(Turn(took_s, decided_then, None))
    assert value_of(exporter, "decision_seconds_count") == 3
    assert value_of(exporter, "decision_seconds_sum") == pytest.approx(99.301)
    counts = {le: value_of(exporter, "decision_seconds_bucket", f'le="{le}"') for le in (0.001, 0.25, 0.5)}
    assert counts == {0.001: 1, 0.25: 1, 0.5: 2}
    assert value_of(exporter, "decision_seconds_bucket", 'le="30.0"') == 2
    assert value_of(exporter, "decision_seconds_bucket", 'le="+Inf"') == 3


def test_waiting_for_a_person_is_counted_while_it_lasts() -> None:
    now = [50_000]
    exporter = Exporter("api", "shop", "sha256:1", lambda: None, lambda: now[0])
    start = "manual_pause_start_timestamp_seconds"
    assert value_of(exporter, "manual_pause_seconds_total") == 0
    assert value_of(exporter, start) is None
    # the pause is older than this process, which counts its own time only
    exporter.turned(Turn(0.0, True, 20_000))
    now[0] = 57_000
    assert value_of(exporter, "manual_pause_seconds_total") == 7
    assert value_of(exporter, start) == 20
    exporter.turned(Turn(0.0, False, 20_000))
    now[0] = 60_000
    exporter.turned(Turn(0.0, True, None))
    now[0] = 90_000
    assert value_of(exporter, "manual_pause_seconds_total") == 10
    assert value_of(exporter, start) is None


def test_a_pause_is_counted_while_it_lasts() -> None:
    now = [0]
    exporter = Exporter("api", "shop", "sha256:1", lambda: None, lambda: now[0])
    told = decided(POLICY, Entry(1, Tick(1000), (), (PhaseChanged(Phase.PAUSED, "x", 0),)))
    assert told is not None
    exporter.tell(told)
    now[0] = 4_000
    assert value_of(exporter, "paused_seconds_total") == 3


def test_the_log_keeps_the_last_step_and_weight() -> None:
    out = StringIO()
    log = DecisionLog(out, "api", "shop")
    for entry in (
        Entry(1, Tick(1), (SetWeight("1", 5),)),
        Entry(2, Tick(2), (), (StepCompleted(1, 6, "setWeight: 5"),)),
    ):
        told = decided(POLICY, entry)
        assert told is not None
        log.tell(told)
    assert out.getvalue().count('"weight":5') == 2


def test_differences_name_paths() -> None:
    before = {"metadata": {"resourceVersion": "1"}, "spec": {"a": [{"name": "x", "v": 1}], "gone": True}}
    after = {"metadata": {"resourceVersion": "2"}, "spec": {"a": [{"name": "x", "v": 2}], "new.key": "n"}}
    assert dict(differences(before, after)) == {
        "spec.a[x].v": "1 → 2",
        "spec.gone": "true → removed",
        "spec[new.key]": "n",
    }
    assert dict(differences({}, {"metadata": {"name": "x"}})) == {"metadata.name": "x"}
    body = {"metadata": {"uid": "u"}, "spec": {"replicas": 1}, "status": {"replicas": 0}}
    same = {**body, "status": {"replicas": 1}}
    assert fingerprint(DEPLOYMENT, body) == fingerprint(DEPLOYMENT, same)
    assert fingerprint(DEPLOYMENT, body) != fingerprint(DEPLOYMENT, {**body, "spec": {"replicas": 2}})


def test_images() -> None:
    one = {"spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    assert (
        with_images(one, ["reg:5000/x@sha256:0"])["spec"]["containers"][0]["image"] == "reg:5000/x@sha256:0"
    )
    two = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    assert with_images(two, ["b=z"])["spec"]["containers"][1]["image"] == "z"
    assert two["spec"]["containers"][1]["image"] == "y"
    for wrong in ("z", "c=z", "b="):
        with pytest.raises(InputError):
            with_images(two, [wrong])


def test_templates_and_fields() -> None:
    text = "kind: Deployment\nspec: {template: {spec: {containers: [{name: a}]}}}\n"
    assert template_in(text, "f") == {"spec": {"containers": [{"name": "a"}]}}
    for wrong in ("kind: Service\n", f"{text}---\n{text}", "a: [", ""):
        with pytest.raises(InputError):
            template_in(wrong, "f")
    document = {"metadata": {"labels": {"a.b/c": "x"}}, "spec": {"replicas": 3}}
    paths = ("metadata.labels['a.b/c']", "spec.replicas", "spec.none")
    assert field_values(paths, document) == (("metadata.labels['a.b/c']", "x"), ("spec.replicas", "3"))


def test_bands() -> None:
    bands = (Band(0, 0, 0), Band(10, 5, 25))
    assert band_at(bands, -1) is None
    assert band_at(bands, 9.9) == bands[0]
    assert band_at(bands, 10) == bands[1]
    assert band_text(bands[1], 30) == "predicted 5–25, outside"
    assert band_text(bands[1], 25) == "predicted 5–25"


def test_addresses_of_metrics_servers(tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer abc\n")
    found = servers(["http://a:9090=http://127.0.0.1:1", "http://b?x=1"], headers)
    assert {name: server.address for name, server in found.items()} == {
        "http://a:9090": "http://127.0.0.1:1",
        "": "http://b?x=1",
    }
    assert "abc" not in repr(found)


def test_ages() -> None:
    assert [ago(ms) for ms in (-5, 999, 61_000, 3_660_000)] == ["0s", "1s", "1m01s", "1h01m"]


SOME = Expected(0, 0, 0)
PREDICTION = Prediction(
    "good",
    1,
    1,
    True,
    Foreseen((), SOME, SOME),
    (),
    (Band(0, 5, 5),),
    (GateBand("e", (Band(0, 0, 0.1), Band(60, 0, 0.5))),),
)


@pytest.mark.parametrize(
    ("value", "at_s", "words", "residual"),
    [
        ("[0.05]", 10, "predicted 0–0.1", 0.0),
        ("[0.25]", 10, "predicted 0–0.1, outside", 0.15),
        ("[0.25]", 90, "predicted 0–0.5", 0.0),
        ("[-1]", 10, "predicted 0–0.1, outside", -1.0),
        ("[]", 10, "predicted 0–0.1", None),
    ],
)
def test_a_measurement_beside_what_was_predicted(
    value: str, at_s: int, words: str, residual: float | None
) -> None:
    """Everybody who hears of it sees both: people, the log, the metrics."""
    began_ms = 1_000_000
    taken = MeasurementTaken("r", "e", 1, MeasurementPhase.SUCCESSFUL, value)
    told = decided(POLICY, Entry(1, Tick(began_ms + at_s * 1000), (), (taken,)), PREDICTION, began_ms)
    assert told is not None
    assert told.sentence.endswith(words)
    out, exporter = StringIO(), Exporter("api", "shop", "sha256:1", lambda: None, lambda: 0)
    DecisionLog(out, "api", "shop").tell(told)
    assert json.loads(out.getvalue())["gates"][0]["predicted"] == [0, 0.5 if at_s >= 60 else 0.1]
    exporter.tell(told)
    lines = [line for line in exporter.text().splitlines() if line.startswith("rolloutsim_prediction_res")]
    shown = [float(line.split()[-1]) for line in lines]
    assert shown == pytest.approx([] if residual is None else [residual])


def test_bands_count_from_the_release() -> None:
    """A teller takes the time of the release from the state, or from the release when it comes."""
    told: list[Decided] = []
    teller = Teller([told.append])
    state = start(POLICY, beginning(POLICY))
    teller.begin({"policy": to_json(POLICY), "state": to_json(state), "prediction": to_json(PREDICTION)})
    taken = MeasurementTaken("r", "e", 1, MeasurementPhase.SUCCESSFUL, "[0.2]")
    teller.hear(Entry(1, ReleaseAsked(500_000, "v2")))
    teller.hear(Entry(2, Tick(510_000), (), (taken,)))
    teller.hear(Entry(3, Tick(570_000), (), (taken,)))
    assert [one.judged[0].predicted for one in told] == ["predicted 0–0.1, outside", "predicted 0–0.5"]


def test_the_screen_shows_where_a_rollout_stands(tmp_path: Path) -> None:
    from rolloutsim.cli.screen import Screen
    from rolloutsim.live.routers.router import Routed, Weighed
    from rolloutsim.session import Session

    class Executor:
        """As much of one as is looked at."""

        class loop:
            session = Session(POLICY, start(POLICY, beginning(POLICY)), lambda entry: None)

        class observer:
            @staticmethod
            def routed() -> Routed:
                return Routed(Weighed(25))

    out = StringIO()
    console = Console(file=out, width=100)
    screen = Screen("api", "shop", Executor, PREDICTION, console)  # type: ignore[arg-type]
    taken = MeasurementTaken("r", "e", 2, MeasurementPhase.FAILED, "[0.2]")
    told = decided(POLICY, Entry(1, Tick(0), (), (taken,)), PREDICTION)
    assert told is not None
    screen.tell(told)
    screen.note("the cluster cannot be heard")
    console.print(screen.render())
    text = out.getvalue()
    assert "weight 25  predicted 5–5, outside" in text
    assert "predicted 0–0.1, outside" in text
    assert "the cluster cannot be heard" in text
