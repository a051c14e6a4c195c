"""The parts of the verbs that need no cluster."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from rolloutsim.cli.manner import servers
from rolloutsim.cli.screen import _band_text
from rolloutsim.cli.status import ago
from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Measure,
    MeasurementTaken,
    Phase,
    PhaseChanged,
    SetWeight,
    StatusPatched,
    StepCompleted,
    Tick,
)
from rolloutsim.errors import InputError
from rolloutsim.live.decisions import decided, entries_of
from rolloutsim.live.exporter import Exporter
from rolloutsim.live.port import DEPLOYMENT
from rolloutsim.live.prediction import Band, band_at
from rolloutsim.live.preview import differences, fingerprint
from rolloutsim.live.telling import DecisionLog
from rolloutsim.live.template import field_values, template_in, with_images
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import PrometheusProvider
from rolloutsim.session import Entry
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
    exporter = Exporter('a"b\\', "n", "sha256:1", lambda: None)
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
    assert _band_text(bands[1], 30) == "  predicted 5–25, outside"
    assert _band_text(bands[1], 25) == "  predicted 5–25"


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


def test_the_screen_shows_where_a_rollout_stands(tmp_path: Path) -> None:
    from rolloutsim.cli.screen import Screen
    from rolloutsim.engine import start
    from rolloutsim.live.prediction import Expected, Foreseen, GateBand, Prediction
    from rolloutsim.live.routers.router import Routed, Weighed
    from rolloutsim.session import Session
    from rolloutsim.sim.beginning import beginning

    class Executor:
        """As much of one as is looked at."""

        class loop:
            session = Session(POLICY, start(POLICY, beginning(POLICY)), lambda entry: None)

        class observer:
            @staticmethod
            def routed() -> Routed:
                return Routed(Weighed(25))

    some = Expected(0, 0, 0)
    prediction = Prediction(
        "good",
        1,
        1,
        True,
        Foreseen((), some, some),
        (),
        (Band(0, 5, 5),),
        (GateBand("e", (Band(0, 0, 0.1),)),),
    )
    out = StringIO()
    console = Console(file=out, width=100)
    screen = Screen("api", "shop", Executor, prediction, console)  # type: ignore[arg-type]
    told = decided(
        POLICY, Entry(1, Tick(0), (), (MeasurementTaken("r", "e", 2, MeasurementPhase.FAILED, "[0.2]"),))
    )
    assert told is not None
    screen.tell(told)
    screen.note("the cluster cannot be heard")
    console.print(screen.render())
    text = out.getvalue()
    assert "weight 25  predicted 5–5, outside" in text
    assert "predicted 0–0.1, outside" in text
    assert "the cluster cannot be heard" in text
