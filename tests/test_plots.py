"""Figures: what they show, that they leave no trace in matplotlib's settings, that they are repeatable."""

from __future__ import annotations

import io
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rolloutsim.errors import InputError
from rolloutsim.plots import plot_comparison, plot_timeline
from rolloutsim.plots.reading import read_timeline
from rolloutsim.tables import Results, build_results
from rolloutsim.trace import Trace, write_trace
from tests.synthetic import outcome, outcomes, trace

SCENARIOS = {"healthy": 0.02, "err-step": 0.6, "silent-wrong": 0.02}


def results(policies: int = 2) -> Results:
    chances = {f"policy-{number}": SCENARIOS for number in range(policies)}
    return build_results(outcomes(chances), kind="Comparison", notes=(), provenance={})


def panels(figure: Figure) -> list[Axes]:
    (place,) = figure.axes
    return [child for child in place.get_children() if isinstance(child, Axes)]


def points(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, metadata={"Software": None})
    return out.getvalue()


# --- reading a trace ------------------------------------------------------------------------------


def test_weights_wanted_follow_the_steps() -> None:
    line = read_timeline(trace()).wanted
    assert line.values == (0.0, 5.0, 25.0, 0.0)
    assert line.minutes == pytest.approx((0.0, 0.0, 320 / 60, 9.0))


def test_weights_wanted_go_back_with_the_old_version() -> None:
    made = trace()
    at = made.records[-1]["at"] + 60_000
    back = [
        {"kind": "event", "seq": 90, "at": at, "value": {"kind": "Promoted", "revision": "v2", "reason": ""}},
        {"kind": "seen", "seq": 91, "at": at + 1, "value": {"kind": "ReleaseAsked", "revision": "v1"}},
        {
            "kind": "event",
            "seq": 92,
            "at": at + 2,
            "value": {"kind": "Promoted", "revision": "v1", "reason": ""},
        },
    ]
    read = read_timeline(Trace(made.manifest, (*made.records, *back)))
    assert read.wanted.values == (0.0, 5.0, 25.0, 0.0, 100.0, 95.0, 0.0)
    assert [end.what for end in read.ends] == ["aborted", "promoted", "back to v1"]


def test_a_router_with_another_full_weight_is_shown_in_percent() -> None:
    made = trace(with_truth=False)
    strategy = {**made.manifest["policy"]["strategy"], "routing": {"max_weight": 1000}}
    manifest = {**made.manifest, "policy": {"name": "api", "strategy": strategy}}
    read = read_timeline(Trace(manifest, made.records))
    assert read.wanted.values[1] == 0.5
    assert read.observed.values == (0.5, 2.5, 0.0)


def test_blue_green_wants_all_or_nothing() -> None:
    start = 1_000_000
    records = (
        {"kind": "seen", "seq": 0, "at": start, "value": {"kind": "ReleaseAsked", "revision": "v2"}},
        {
            "kind": "did",
            "seq": 1,
            "at": start + 60_000,
            "value": {"kind": "SetService", "role": "preview", "revision": "v2"},
        },
        {
            "kind": "did",
            "seq": 2,
            "at": start + 120_000,
            "value": {"kind": "SetService", "role": "active", "revision": "v2"},
        },
        {
            "kind": "did",
            "seq": 3,
            "at": start + 180_000,
            "value": {"kind": "SetService", "role": "active", "revision": "v1"},
        },
    )
    assert read_timeline(Trace({"kind": "manifest"}, records)).wanted.values == (0.0, 100.0, 0.0)


def test_errors_and_latency_come_from_the_counters() -> None:
    read = read_timeline(trace())
    assert read.versions == ("v1", "v2")
    assert read.scraped_errors["v2"].values == pytest.approx([0.1] * len(read.scraped_errors["v2"].values))
    assert read.scraped_errors["v1"].values == pytest.approx([0.002] * len(read.scraped_errors["v1"].values))
    assert read.scraped_p95["v2"].values[3] == pytest.approx(0.05 + 0.5 * 0.20)
    assert read.scraped_p95["v1"].values[3] == pytest.approx(0.05 + 0.5 * 0.05)
    assert read.scraped_errors["v2"].minutes[0] == 0.5


def test_truth_is_broken_where_no_traffic_is() -> None:
    line = read_timeline(trace()).true_errors["v2"]
    assert [math.isnan(value) for value in line.values] == [True, False, False, True]


def test_without_truth_the_router_tells_the_weight() -> None:
    read = read_timeline(trace(with_truth=False))
    assert read.versions == ("v1", "v2")
    assert read.observed.values == (5.0, 25.0, 0.0)
    assert read.true_errors == {}


def test_without_samples_there_is_only_truth() -> None:
    read = read_timeline(trace(with_samples=False))
    assert read.scraped_errors == {}
    assert set(read.true_latency) == {"v1", "v2"}


def test_pauses_end_with_their_step_or_with_the_rollout() -> None:
    first, second = read_timeline(trace()).pauses
    assert (first.first_minute, first.last_minute) == pytest.approx((20 / 60, 320 / 60))
    assert (second.first_minute, second.last_minute) == pytest.approx((335 / 60, 9.0))


def test_a_counter_reset_does_not_go_below_zero() -> None:
    made = trace()
    restarted = [
        {**record, "value": record["value"] * 0.01}
        if record["kind"] == "sample" and record["at"] > made.manifest["start"] + 240_000
        else record
        for record in made.records
    ]
    read = read_timeline(Trace(made.manifest, tuple(restarted)))
    assert min(read.scraped_errors["v1"].values) >= 0.0


def test_the_picture_ends_soon_after_the_decision() -> None:
    assert read_timeline(trace(aborted_at_s=540)).last_minute == 11.0


# --- drawing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"with_truth": False}, {"with_samples": False}])
def test_timeline_has_four_panels_and_says_why_it_ended(options: dict[str, bool]) -> None:
    figure = plot_timeline(trace(**options))
    weight, errors, latency, verdicts = panels(figure)
    (note,) = weight.texts
    assert "aborted after 9.0 min" in note.get_text()
    assert "failed (4) > failureLimit (3)" in note.get_text().replace("\n", " ")
    assert "(%)" in errors.get_ylabel()
    assert "(ms)" in latency.get_ylabel()
    assert [label.get_text() for label in verdicts.get_yticklabels()] == ["error-rate"]
    legend = verdicts.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"Successful", "Failed", "Error"}
    assert png(figure)


def test_verdicts_differ_in_shape() -> None:
    verdicts = panels(plot_timeline(trace()))[3]
    drawn = [line for line in verdicts.lines if points(line) and line.get_linestyle() == "None"]
    assert len({str(line.get_marker()) for line in drawn}) == len(drawn) == 3


def test_timeline_reads_a_file(tmp_path: Path) -> None:
    made = trace()
    path = tmp_path / "run.jsonl"
    write_trace(path, {k: v for k, v in made.manifest.items() if k != "kind"}, made.records)
    assert png(plot_timeline(path)) == png(plot_timeline(made))
    assert png(plot_timeline((made.manifest, made.records))) == png(plot_timeline(made))


def test_timeline_of_a_file_that_is_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"kind": "sample"}\n')
    with pytest.raises(InputError, match="begins with a manifest"):
        plot_timeline(path)


def test_an_empty_trace_can_be_drawn() -> None:
    figure = plot_timeline(Trace({"kind": "manifest"}, ()))
    assert png(figure)
    assert [text.get_text() for text in panels(figure)[3].texts] == ["nothing was measured"]


def test_comparison_has_two_panels_for_bad_and_two_for_good_releases() -> None:
    titles = [axes.get_title(loc="left") for axes in panels(plot_comparison(results()))]
    assert titles == [
        "Bad releases stopped",
        "Bad requests per release",
        "Good releases stopped",
        "Time of a good release",
    ]


def test_comparison_leaves_out_what_it_has_no_runs_of() -> None:
    only_bad = build_results(
        [outcome(run=run) for run in range(3)], kind="Simulation", notes=(), provenance={}
    )
    assert len(panels(plot_comparison(only_bad))) == 2


def test_comparison_draws_each_interval_and_tells_policies_apart_without_colour() -> None:
    found = results(3)
    caught = panels(plot_comparison(found))[0]
    intervals = [line for line in caught.lines if len(points(line)) == 2 and line.get_linewidth() > 1]
    expected = [
        (100 * row.p_detect.low, 100 * row.p_detect.high)
        for row in found.rows
        if row.p_detect and row.p_detect.low is not None and row.p_detect.high is not None
    ]
    assert [tuple(points(line)) for line in intervals] == [pytest.approx(pair) for pair in expected]
    markers = {str(line.get_marker()) for line in caught.lines} - {"None"}
    assert len(markers) == 3


@pytest.mark.parametrize(("least", "scale", "left"), [(0.0, "symlog", -10.0), (5000.0, "log", 1000.0)])
def test_bad_requests_use_the_decades_they_need(least: float, scale: str, left: float) -> None:
    rows = [
        outcome(scenario=s, run=r, bad_requests=b) for r in range(3) for s, b in (("a", least), ("b", 5e3))
    ]
    axes = panels(plot_comparison(build_results(rows, kind="Comparison", notes=(), provenance={})))[1]
    assert axes.get_xscale() == scale
    assert axes.get_xlim()[0] == pytest.approx(left)


def test_axes_of_the_caller_are_used() -> None:
    figure = Figure(figsize=(8, 8))
    below, above = figure.subplots(2)
    assert plot_comparison(results(), ax=below) is figure
    assert plot_timeline(trace(), ax=above) is figure
    assert figure.axes == [below, above]
    assert png(figure)


def test_figures_are_repeatable_and_leave_settings_alone() -> None:
    before = dict(mpl.rcParams)
    assert png(plot_timeline(trace())) == png(plot_timeline(trace()))
    assert png(plot_comparison(results())) == png(plot_comparison(results()))
    assert dict(mpl.rcParams) == before


def test_callers_settings_have_no_say_in_the_size_of_text() -> None:
    with mpl.rc_context({"font.size": 30}):
        figure = plot_comparison(results())
    assert panels(figure)[0].xaxis.label.get_fontsize() == 8


@pytest.mark.parametrize("figure", [plot_comparison(results()), plot_timeline(trace())])
def test_labels_stay_inside_the_figure(figure: Figure) -> None:
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for axes in panels(figure):
        box = axes.get_tightbbox()
        assert box is not None
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
