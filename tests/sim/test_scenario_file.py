"""Scenario files: what they mean, and what is refused and how."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import ScenarioError
from rolloutsim.sim.defaults import DEFAULTS, OPTIONAL_PARTS
from rolloutsim.sim.scenario import (
    Basis,
    ConstantRate,
    Delay,
    DiurnalRate,
    Fault,
    FaultKind,
    Gap,
    Input,
    Measurements,
    RecordedRate,
    Scenario,
    Service,
    Split,
    Traffic,
)
from rolloutsim.sim.scenario_file import load_scenario, load_scenario_text

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SERVICES = sorted((SCENARIOS / "services").glob("*.yaml"))
RELEASES = sorted((SCENARIOS / "releases").glob("*.yaml"))
WORLDS = sorted((SCENARIOS / "article" / "worlds").glob("*.yaml"))

HEADER = "apiVersion: rolloutsim.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
RELEASE = HEADER.format(kind="ReleaseModel", name="good") + "  faults: []\n"
SERVICE = HEADER.format(kind="ServiceModel", name="api") + "  traffic: {rate_rps: 100}\n"


def service(body: str) -> Service:
    """The service of a spec; its first line is line 5 of the file."""
    head = HEADER.format(kind="ServiceModel", name="api")
    return load_scenario_text(f"{head}{body}\n---\n{RELEASE}", "api.yaml").service


def outcome(body: str) -> Service | ScenarioError:
    """The service, or why it is refused."""
    try:
        return service(body)
    except ScenarioError as error:
        return error


def release(body: str) -> Scenario:
    """The scenario of a release's spec; its first line is line 5 of the file."""
    head = HEADER.format(kind="ReleaseModel", name="bad")
    return load_scenario_text(f"{head}{body}\n---\n{SERVICE}", "bad.yaml")


def inputs(scenario: Scenario) -> dict[str, Input]:
    return {entry.path: entry for entry in scenario.inputs}


# --- the files of the project ---------------------------------------------------------------------


def test_there_are_files() -> None:
    assert len(SERVICES) == 5
    assert len(RELEASES) == 11
    assert len(WORLDS) == 5


@pytest.mark.parametrize("service_file", SERVICES, ids=lambda path: path.stem)
@pytest.mark.parametrize("release_file", RELEASES, ids=lambda path: path.stem)
def test_every_release_meets_every_service(service_file: Path, release_file: Path) -> None:
    scenario = load_scenario(f"{service_file}+{release_file}")
    assert scenario.release.name == release_file.stem
    assert scenario.name == f"{scenario.service.name}+{scenario.release.name}"
    assert scenario.release.description


@pytest.mark.parametrize("world", WORLDS, ids=lambda path: path.stem)
def test_the_worlds_of_the_guide(world: Path) -> None:
    scenario = load_scenario(world)
    assert scenario.name == world.stem
    assert scenario.service.name == "api"
    assert scenario.release.healthy == (world.stem == "good")


def test_which_releases_are_healthy() -> None:
    healthy = {path.stem for path in RELEASES if load_scenario(f"{SERVICES[0]}+{path}").release.healthy}
    assert healthy == {"good", "dependency-blip"}


def test_the_guides_service_equals_the_defaults_at_100_rps() -> None:
    scenario = load_scenario(SCENARIOS / "article" / "worlds" / "good.yaml")
    assert scenario.service == Service("api", Traffic(ConstantRate(100.0)))
    assert inputs(scenario)["service.traffic.rate_rps"].basis is Basis.ASSUMED


def test_the_recorded_day() -> None:
    rate = load_scenario(f"{SCENARIOS}/services/recorded.yaml+{RELEASES[0]}").service.traffic.rate
    assert isinstance(rate, RecordedRate)
    assert len(rate.times_ms) == 24
    assert rate.period_ms == 86_400_000
    # NASA-HTTP 1995: ten in the morning on a weekday, 4596.1 requests per hour.
    assert rate.rates_rps[0] == pytest.approx(4596.1 / 3600, abs=1e-4)
    assert max(rate.rates_rps) / min(rate.rates_rps) == pytest.approx(4.35, abs=0.01)


# --- meaning --------------------------------------------------------------------------------------


def test_a_service_with_nothing_but_traffic_is_all_defaults() -> None:
    scenario = release("  faults: []")
    assert scenario.service == Service("api", Traffic(ConstantRate(100.0)))
    found = inputs(scenario)
    assert found.pop("service.traffic.rate_rps") == Input("service.traffic.rate_rps", "100", Basis.STATED)
    unused = {path for path in DEFAULTS if re.search(r"\.(diurnal|recorded|faults)\.", path)}
    optional = {path for path in DEFAULTS if path.startswith(tuple(OPTIONAL_PARTS))}
    assert set(found) == set(DEFAULTS) - unused - optional
    for path, entry in found.items():
        assert (entry.basis, entry.source) == (DEFAULTS[path].basis, DEFAULTS[path].source)
        assert entry.basis in (Basis.ASSUMED, Basis.SOURCE)
        assert entry.basis is not Basis.SOURCE or entry.source


EVERY_FIELD = """\
  traffic:
    diurnal: {mean_rps: 40, amplitude: 0.5, period: 12h, phase: -30m}
    dispersion: 3
  error_rate: 0.25%
  error_icc: 0.02
  latency: {median: 80ms, sigma: 0.9}
  telemetry:
    preset: istio
    labels: {namespace: shop, app_version: "", track: "{revision}"}
    scrape_interval: 30
    scrape_phase: 7s
    lag: 1500ms
    missed: 2%
    gaps: [{start: -5m, end: -3m}, {start: 10m, end: 13m}]
    query_time: 250ms
    counters_from_zero: true
    left_closed: true
    history: 1h
  operators:
    promote: never
    notice_excess: never
    notice_after: 2m
    respond: {median: 10m}
    slow: 750ms
  cluster:
    pod_ready: 20s
    readiness: deep
    router_delay: {median: 1s, sigma: 0.2}
    weight_granularity: 5
    split: exact
  slo: 99.95%
  slo_period: 168h
  horizon: 90m"""


def test_every_field_of_a_service() -> None:
    found = service(EVERY_FIELD)
    assert found.traffic == Traffic(DiurnalRate(40.0, 0.5, 43_200_000, -1_800_000), 3.0)
    assert (found.error_rate, found.error_icc) == (0.0025, 0.02)
    assert (found.latency.median_s, found.latency.sigma) == (0.08, 0.9)
    telemetry = found.telemetry
    assert telemetry.preset == "istio"
    assert telemetry.labels == (("app_version", ""), ("namespace", "shop"), ("track", "{revision}"))
    assert (telemetry.scrape_interval_ms, telemetry.scrape_phase_ms) == (30_000, 7_000)
    assert (telemetry.lag_ms, telemetry.missed, telemetry.query_ms) == (1_500, 0.02, 250)
    assert telemetry.gaps == (Gap(-300_000, -180_000), Gap(600_000, 780_000))
    assert (telemetry.counters_from_zero, telemetry.left_closed) == (True, True)
    assert telemetry.history_ms == 3_600_000
    operators = found.operators
    assert (operators.promote, operators.notice_excess) == (None, None)
    assert (operators.notice_after_ms, operators.respond) == (120_000, Delay(600_000))
    assert operators.slow_s == 0.75
    cluster = found.cluster
    assert (cluster.pod_ready, cluster.router_delay) == (Delay(20_000), Delay(1_000, 0.2))
    assert (cluster.readiness, cluster.split) == ("deep", Split.EXACT)
    assert cluster.weight_granularity == 5.0
    assert (found.slo, found.slo_period_ms, found.horizon_ms) == (0.9995, 604_800_000, 5_400_000)


def test_every_kind_of_fault() -> None:
    found = release(
        """\
  description: all at once
  faults:
    - {kind: error-step, size: 2%, onset: 1m, ramp: 30s, end: 10m, above_weight: 7%, above_rps: 150}
    - {kind: latency-shift, size: 4, above_weight: 25}
    - {kind: crash-at-start, size: 50%}
    - {kind: broken-at-start, size: 100%}
    - {kind: leak, size: 0.3, onset: 20m, ramp: 40m}
    - {kind: dependency-blip, size: 30%, onset: 10m, end: 13m}
    - {kind: silent-wrong, size: 5%}
    - {kind: latency-tail, size: 20, share: 0.5%, ramp: 1m, above_weight: 5}
  measurements:
    - {metric: smoke, pass_probability: 1, duration: 2m}
    - {metric: load, pass_probability: 90%}"""
    ).release
    assert found.faults == (
        Fault(FaultKind.ERROR_STEP, 0.02, 60_000, 30_000, 600_000, 0.07, 150.0),
        Fault(FaultKind.LATENCY_SHIFT, 4.0, above_weight=0.25),
        Fault(FaultKind.CRASH_AT_START, 0.5),
        Fault(FaultKind.BROKEN_AT_START, 1.0),
        Fault(FaultKind.LEAK, 0.3, 1_200_000, 2_400_000),
        Fault(FaultKind.DEPENDENCY_BLIP, 0.3, 600_000, 0, 780_000),
        Fault(FaultKind.SILENT_WRONG, 0.05),
        Fault(FaultKind.LATENCY_TAIL, 20.0, 0, 60_000, above_weight=0.05, share=0.005),
    )
    assert found.measurements == (Measurements("smoke", 1.0, 120_000), Measurements("load", 0.9))
    assert found.description == "all at once"


def test_how_many_requests_a_tail_hits_is_assumed_unless_it_says_so() -> None:
    scenario = release("  faults: [{kind: error-step, size: 1%}, {kind: latency-tail, size: 20}]")
    assert scenario.release.faults[1] == Fault(FaultKind.LATENCY_TAIL, 20.0)
    found, default = inputs(scenario), DEFAULTS["release.faults.share"]
    assert "release.faults[0].share" not in found
    place = "release.faults[1].share"
    assert found[place] == Input(place, "0.2%", Basis.ASSUMED, default.source)


def test_no_traffic_is_legal() -> None:
    assert service("  traffic: {rate_rps: 0}").traffic.rate == ConstantRate(0.0)


def test_any_number_may_carry_its_basis() -> None:
    scenario = release(
        """\
  faults:
    - kind: error-step
      size: {value: 12.5%, basis: source, source: GitHub status 2023 to 2026}
      onset: {value: 5m, basis: measured}"""
    )
    found = inputs(scenario)
    assert scenario.release.faults[0].size == 0.125
    assert found["release.faults[0].size"] == Input(
        "release.faults[0].size", "12.5%", Basis.SOURCE, "GitHub status 2023 to 2026"
    )
    assert found["release.faults[0].onset"].basis is Basis.MEASURED
    assert not any("kind" in path for path in found)


def test_a_scenario_may_hold_its_service_and_release() -> None:
    scenario = load_scenario_text(
        HEADER.format(kind="Scenario", name="both")
        + "  service: {name: api, traffic: {rate_rps: 5}}\n"
        + "  release: {name: bad, faults: [{kind: error-step, size: 2%}]}\n"
    )
    assert (scenario.name, scenario.service.name, scenario.release.name) == ("both", "api", "bad")
    assert not scenario.release.healthy


def test_the_order_of_service_and_release_does_not_matter() -> None:
    one, other = SERVICES[0], RELEASES[0]
    assert load_scenario(f"{one}+{other}") == load_scenario(f"{other}+{one}")


def test_a_file_name_may_have_a_plus(tmp_path: Path) -> None:
    file = tmp_path / "a+b.yaml"
    file.write_text(f"{SERVICE}---\n{RELEASE}")
    assert load_scenario(file).name == "api+good"


@given(st.integers(1, 3 * 10**11))
def test_a_duration_reads_the_same_in_every_form(ms: int) -> None:
    whole, rest = divmod(ms, 1000)
    for text in (
        f"{whole}.{rest:03}",
        f"{whole}s{rest}ms",
        f"{ms}ms",
        f"{whole // 60}m{whole % 60}.{rest:03}s",
    ):
        assert service(f"  traffic: {{rate_rps: 1}}\n  horizon: {text}").horizon_ms == ms


# --- recorded traffic -----------------------------------------------------------------------------


def recorded(tmp_path: Path, content: str | bytes, more: str = "") -> RecordedRate:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "day.csv").write_bytes(data)
    body = f"  traffic: {{recorded: {{file: day.csv{more}}}}}\n"
    file = tmp_path / "service.yaml"
    file.write_text(HEADER.format(kind="ServiceModel", name="api") + body + f"---\n{RELEASE}")
    rate = load_scenario(file).service.traffic.rate
    assert isinstance(rate, RecordedRate)
    return rate


def test_a_record(tmp_path: Path) -> None:
    rate = recorded(tmp_path, "t_s,rate_rps\n0,1\n60,0\n120,2.5\n", ", scale: 2")
    assert rate == RecordedRate((0, 60_000, 120_000), (2.0, 0.0, 5.0), 180_000, "day.csv")


def test_columns_in_any_order_with_a_byte_order_mark_and_dos_lines(tmp_path: Path) -> None:
    rate = recorded(tmp_path, "\ufeffrate_rps,t_s\r\n4,0\r\n5,0.5\r\n\r\n")
    assert rate == RecordedRate((0, 500), (4.0, 5.0), 1_000, "day.csv")


@pytest.mark.parametrize(
    ("release_at", "times", "rates"),
    [
        ("0s", (0, 60_000, 120_000), (1.0, 2.0, 3.0)),
        ("60s", (0, 60_000, 120_000), (2.0, 3.0, 1.0)),
        ("90s", (0, 30_000, 90_000, 150_000), (2.0, 3.0, 1.0, 2.0)),
        ("270s", (0, 30_000, 90_000, 150_000), (2.0, 3.0, 1.0, 2.0)),
        ("170s", (0, 10_000, 70_000, 130_000), (3.0, 1.0, 2.0, 3.0)),
    ],
)
def test_the_release_falls_on_a_time_of_the_record(
    tmp_path: Path, release_at: str, times: tuple[int, ...], rates: tuple[float, ...]
) -> None:
    rate = recorded(tmp_path, "t_s,rate_rps\n0,1\n60,2\n120,3\n", f", release_at: {release_at}")
    assert (rate.times_ms, rate.rates_rps, rate.period_ms) == (times, rates, 180_000)


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", 0, "the file is empty"),
        ("t_s,rate_rps\n", 0, "at least two rows"),
        ("t_s,rate_rps\n0,1\n", 0, "at least two rows"),
        ("t_s,rps\n0,1\n60,1\n", 1, "the column 'rate_rps' is missing"),
        ("0,1\n60,1\n120,1\n", 1, "the column 't_s' is missing"),
        ("t_s,rate_rps,errors\n0,1,0\n60,1,0\n", 1, "a column that nothing reads"),
        ("t_s,rate_rps,t_s\n0,1,0\n60,1,0\n", 1, "a column that nothing reads"),
        ("t_s,rate_rps\n0,1\n60\n", 3, "the row has 1 values"),
        ("t_s,rate_rps\n0,1\n60,NaN\n120,1\n", 3, "rate_rps: expected a number"),
        ("t_s,rate_rps\n0,1\n60,\n120,1\n", 3, "rate_rps: expected a number"),
        ("t_s,rate_rps\n0,1\n60,inf\n", 3, "rate_rps: expected a number"),
        ("t_s,rate_rps\n0,1\nsoon,1\n", 3, "t_s: expected a number"),
        ("t_s,rate_rps\n0,1\n60,-1\n", 3, "a rate cannot be negative"),
        ("t_s,rate_rps\n0,1\n60,1e12\n", 3, "a rate is at most"),
        ("t_s,rate_rps\n0,1\n0.0005,1\n", 3, "whole milliseconds"),
        ("t_s,rate_rps\n60,1\n120,1\n", 2, "begins at time 0"),
        ("t_s,rate_rps\n0,1\n60,1\n60,1\n", 4, "the time stands twice"),
        ("t_s,rate_rps\n0,1\n0,1\n60,1\n", 3, "the time stands twice"),
        ("t_s,rate_rps\n0,1\n120,1\n60,1\n", 4, "not in order"),
        ("t_s,rate_rps\n0,1\n60,1\n180,1\n", 4, "steps of 60 s, and this row comes 120 s after"),
        ("t_s,rate_rps\n0,1\n60,1\n90,1\n", 4, "steps of 60 s, and this row comes 30 s after"),
        (b"t_s,rate_rps\n0,1\n60,\xff\n", 0, "the file cannot be read"),
    ],
)
def test_records_that_are_refused(tmp_path: Path, content: str | bytes, line: int, why: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        recorded(tmp_path, content)
    message = str(caught.value)
    assert why in message
    assert message.startswith(f"{tmp_path}/day.csv" + (f":{line}: " if line else ": "))
    assert caught.value.fix or line == 0 or "whole" in why or "at most" in why


def test_a_record_that_is_too_long_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{second},1\n" for second in range(100_001))
    with pytest.raises(ScenarioError, match=r"100001 rows and at most 100000 are read; average it"):
        recorded(tmp_path, f"t_s,rate_rps\n{rows}")


# --- what is refused ------------------------------------------------------------------------------

BAD_SERVICES = [
    (
        "  traffic: {rate_rsp: 100}",
        5,
        "spec.traffic.rate_rsp: unknown field 'rate_rsp'; did you mean 'rate_rps'?",
    ),
    ("  trafic: {rate_rps: 100}", 5, "spec.trafic: unknown field 'trafic'; did you mean 'traffic'?"),
    ("  slo: 99%", 5, "spec.traffic: the service has no traffic"),
    ("  traffic: {rate_rps: 1, diurnal: {mean_rps: 1, amplitude: 0}}", 5, "traffic is given 2 times"),
    ("  traffic: {rate_rps: -1}", 5, "a rate cannot be negative (got -1)"),
    ("  traffic: {rate_rps: .nan}", 5, "expected a finite number (got nan)"),
    ("  traffic: {rate_rps: .inf}", 5, "expected a finite number (got inf)"),
    ("  traffic: {rate_rps: 1e12}", 5, "a rate is at most 1e+09"),
    ("  traffic: {rate_rps: '100'}", 5, "expected a number (got '100'); remove the quotes"),
    ("  traffic: {rate_rps: many}", 5, "expected a number (got 'many')"),
    ("  traffic: {rate_rps: true}", 5, "expected a number (got True)"),
    ("  traffic: {rate_rps: [1]}", 5, "expected a single value (got 'a list')"),
    ("  traffic: {rate_rps: }", 5, "the field 'rate_rps' has no value"),
    ("  traffic: 100", 5, "spec.traffic: expected a mapping (got 100)"),
    ("  traffic: {rate_rps: 1, dispersion: 0.5}", 5, "at least 1 (got 0.5)"),
    (
        "  traffic: {diurnal: {mean_rps: 1}}",
        5,
        "spec.traffic.diurnal.amplitude: the field 'amplitude' is missing",
    ),
    ("  traffic: {diurnal: {mean_rps: 1, amplitude: 2}}", 5, "the amplitude lies between 0 and 1"),
    ("  traffic: {diurnal: {mean_rps: 1, amplitude: 0, period: 0s}}", 5, "a duration above 0"),
    ("  traffic: {recorded: {file: none.csv}}", 5, "there is no such file (got 'none.csv')"),
    ("  traffic: {recorded: {file: /etc/hosts}}", 5, "give its path relative to this file"),
    ("  traffic: {recorded: {file: x.csv, scale: 0}}", 5, "there is no such file"),
    (
        "  traffic: {rate_rps: {value: 1, basis: guessed}}",
        5,
        "expected one of measured, source, stated, assumed",
    ),
    ("  traffic: {rate_rps: {value: 1, basis: source}}", 5, "the basis is 'source' and none is named"),
    ("  traffic: {rate_rps: {value: 1, unit: rps}}", 5, "unknown field 'unit'"),
    ("  traffic: {rate_rps: {value: -1}}", 5, "spec.traffic.rate_rps.value: a rate cannot be negative"),
    (
        "  traffic: {rate_rps: 1}\n  error_rate: 2",
        6,
        "a share of 1 or more is ambiguous (got 2); write 2% if",
    ),
    ("  traffic: {rate_rps: 1}\n  error_rate: -1%", 6, "a share lies between 0% and 100% (got '-1%')"),
    ("  traffic: {rate_rps: 1}\n  error_rate: -0.1", 6, "a share lies between"),
    ("  traffic: {rate_rps: 1}\n  error_rate: 101%", 6, "a share lies between"),
    ("  traffic: {rate_rps: 1}\n  error_rate: few", 6, "expected a percentage such as 2%, or a number"),
    ("  traffic: {rate_rps: 1}\n  error_icc: 1", 6, "at least 0 and below 1"),
    ("  traffic: {rate_rps: 1}\n  latency: {sigma: 0}", 6, "expected a number above 0"),
    ("  traffic: {rate_rps: 1}\n  latency: {median: 0s}", 6, "expected a duration above 0"),
    ("  traffic: {rate_rps: 1}\n  slo: 100%", 6, "no error budget to count"),
    (
        "  traffic: {rate_rps: 1}\n  horizon: 2 hours",
        6,
        "expected a duration (got '2 hours'); write it as 15s",
    ),
    ("  traffic: {rate_rps: 1}\n  horizon: -2h", 6, "a duration cannot be negative"),
    ("  traffic: {rate_rps: 1}\n  horizon: 1.0005", 6, "times are whole milliseconds"),
    ("  traffic: {rate_rps: 1}\n  horizon: 100000000000", 6, "longer than ten years"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {preset: istoi}", 6, "did you mean 'istio'?"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {scrape_interval: 0s}", 6, "a duration above 0"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {scrape_phase: 15s}", 6, "shorter than the scrape interval"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {counters_from_zero: 1}", 6, "expected true or false"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {gaps: {start: 1m}}", 6, "expected a list (got 'a mapping')"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {gaps: [3m]}", 6, "spec.telemetry.gaps[0]: expected a mapping"),
    (
        "  traffic: {rate_rps: 1}\n  telemetry: {gaps: [{start: 1m}]}",
        6,
        "gaps[0].end: the field 'end' is missing",
    ),
    (
        "  traffic: {rate_rps: 1}\n  telemetry: {gaps: [{start: 2m, end: 1m}]}",
        6,
        "the gap ends before it starts",
    ),
    ("  traffic: {rate_rps: 1}\n  telemetry: {labels: {env: 1}}", 6, "put the value in quotes"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {labels: {a-b: x}}", 6, "cannot be the name of a label"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {labels: {le: x}}", 6, "cannot be the name of a label"),
    ("  traffic: {rate_rps: 1}\n  telemetry: {labels: {__name__: x}}", 6, "cannot be the name of a label"),
    (
        "  traffic: {rate_rps: 1}\n  telemetry: {labels: {pod: '{pod}'}}",
        6,
        "a placeholder that nothing fills in",
    ),
    ("  traffic: {rate_rps: 1}\n  operators: {promote: later}", 6, "expected a duration (got 'later')"),
    ("  traffic: {rate_rps: 1}\n  operators: {promote: {median: 1m, mean: 1m}}", 6, "unknown field 'mean'"),
    ("  traffic: {rate_rps: 1}\n  operators: {respond: {sigma: -1}}", 6, "sigma, the standard deviation"),
    ("  traffic: {rate_rps: 1}\n  operators: {respond: never}", 6, "expected a duration (got 'never')"),
    ("  traffic: {rate_rps: 1}\n  cluster: {readiness: deap}", 6, "did you mean 'deep'?"),
    ("  traffic: {rate_rps: 1}\n  cluster: {weight_granularity: 0}", 6, "expected a weight above 0"),
    ("  traffic: {rate_rps: 1}\n  cluster: {weight_granularity: 0.1}", 6, "write 0.1% or 10%"),
    ("  traffic: {rate_rps: 1}\n  cluster: {split: even}", 6, "expected one of random, exact"),
]

BAD_RELEASES = [
    ("  fault: []", 5, "unknown field 'fault'; did you mean 'faults'?"),
    ("  faults: error-step", 5, "expected a list (got 'error-step')"),
    ("  faults: [{size: 2%}]", 5, "spec.faults[0].kind: the field 'kind' is missing"),
    ("  faults: [{knd: leak}]", 5, "did you mean 'kind'?"),
    ("  faults: [{kind: error-stop, size: 2%}]", 5, "did you mean 'error-step'?"),
    ("  faults: [{kind: error-step}]", 5, "spec.faults[0].size: the field 'size' is missing"),
    ("  faults: [{kind: error-step, size: 120%}]", 5, "a share lies between 0% and 100%"),
    ("  faults: [{kind: error-step, size: 1}]", 5, "write 1% if percent is meant"),
    ("  faults: [{kind: error-step, size: 2%, onset: -1m}]", 5, "a duration cannot be negative"),
    ("  faults: [{kind: error-step, size: 2%, onset: 3m, end: 2m}]", 5, "the fault ends before it begins"),
    ("  faults: [{kind: error-step, size: 2%, above_weight: 0.2}]", 5, "write 0.2% or 20%"),
    ("  faults: [{kind: error-step, size: 2%, above_weight: 120}]", 5, "between 0 and 100 percent"),
    ("  faults: [{kind: error-step, size: 2%, above_rps: -1}]", 5, "a rate cannot be negative"),
    ("  faults: [{kind: latency-shift, size: 20%}]", 5, "the size of this kind of fault is a factor"),
    ("  faults: [{kind: latency-shift, size: 0}]", 5, "a factor above 0"),
    ("  faults: [{kind: latency-tail, size: 2%}]", 5, "the size of this kind of fault is a factor"),
    ("  faults: [{kind: latency-tail, size: 2, share: 2}]", 5, "write 2% if percent is meant"),
    ("  faults: [{kind: latency-shift, size: 2, share: 2%}]", 5, "of kind latency-shift has no 'share'"),
    ("  faults: [{kind: leak, size: 2%}]", 5, "spec.faults[0].ramp: the field 'ramp' is missing"),
    ("  faults: [{kind: leak, size: 2%, ramp: 0s}]", 5, "a duration above 0"),
    ("  faults: [{kind: crash-at-start, size: 50%, onset: 1m}]", 5, "of kind crash-at-start has no 'onset'"),
    ("  faults: [{kind: broken-at-start, size: 50%, end: 1m}]", 5, "of kind broken-at-start has no 'end'"),
    ("  faults: [{kind: dependency-blip, size: 5%, above_weight: 5}]", 5, "has no 'above_weight'; remove it"),
    ("  measurements: [{metric: smoke}]", 5, "pass_probability: the field 'pass_probability' is missing"),
    ("  measurements: [{metric: smoke, pass_probability: 2}]", 5, "a probability lies between 0 and 1"),
    ("  measurements: [{metric: 5, pass_probability: 1}]", 5, 'expected text (got 5); put it in quotes: "5"'),
    (
        "  measurements: [{metric: a, pass_probability: 1}, {metric: a, pass_probability: 0}]",
        5,
        "spec.measurements[1].metric: the metric is given twice (got 'a'); keep one of them",
    ),
    ("  description: ''", 5, "expected text that is not empty"),
]


@pytest.mark.parametrize(("body", "line", "message"), BAD_SERVICES)
def test_services_that_are_refused(body: str, line: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        service(body)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"api.yaml:{line}:")


@pytest.mark.parametrize(("body", "line", "message"), BAD_RELEASES)
def test_releases_that_are_refused(body: str, line: int, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        release(body)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"bad.yaml:{line}:")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "",
            "one document of kind Scenario, or a ServiceModel and a ReleaseModel (got 'nothing')",
        ),
        (SERVICE, "(got 'ServiceModel'); name a service and a release as SERVICE.yaml+RELEASE.yaml"),
        (f"{SERVICE}---\n{SERVICE}---\n{RELEASE}", "(got 'ServiceModel, ServiceModel, ReleaseModel')"),
        ("- a\n- b\n", "x.yaml:1:1: expected a mapping with apiVersion"),
        ("a: [1\n", "the YAML does not parse"),
        ("a: !!python/object:os.system x\n", "YAML tags are not accepted"),
        ("a: 1\na: 2\n", "x.yaml:2:1: the key 'a' stands twice"),
        (
            RELEASE.replace("ReleaseModel", "Rollout"),
            "kind: expected one of ServiceModel, ReleaseModel, Scenario",
        ),
        (RELEASE.replace("v1alpha1", "v2"), "apiVersion: expected one of rolloutsim.dev/v1alpha1"),
        (RELEASE.replace("kind", "knd"), "kind: the field 'kind' is missing"),
        (RELEASE.replace("{name: good}", "{}"), "metadata.name: the field 'name' is missing"),
        (RELEASE.replace("good", "a/b"), "metadata.name: a name has only letters"),
        (RELEASE.replace("good}", "good, labels: {}}"), "unknown field 'labels'"),
        (f"{RELEASE}status: {{}}\n", "x.yaml:6:1: status: unknown field 'status'"),
        (HEADER.format(kind="ReleaseModel", name="x"), "the field 'spec' has no value"),
        (RELEASE.split("spec")[0], "the field 'spec' is missing"),
        (
            HEADER.format(kind="Scenario", name="x") + "  service: a.yaml\n",
            "spec.service: there is no such file",
        ),
        (
            HEADER.format(kind="Scenario", name="x") + "  release: good.yaml\n",
            "spec.service: the field 'service' is missing; name the file of the ServiceModel",
        ),
        (HEADER.format(kind="Scenario", name="x") + "  service: /a.yaml\n", "the path is absolute"),
        (
            HEADER.format(kind="Scenario", name="x") + "  service: {traffic: {}}\n",
            "the field 'name' is missing",
        ),
        (
            HEADER.format(kind="Scenario", name="x")
            + "  service: {name: a, traffic: {rate_rps: 1}}\n  release: {name: b, fault: []}\n",
            "x.yaml:6:22: spec.release.fault: unknown field 'fault'; did you mean 'faults'?",
        ),
    ],
)
def test_documents_that_are_refused(content: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario_text(content, "x.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.yaml")


VALUES = [
    *("", "~", "[]", "{}", "[1]", "{value: 1}", "{value: {}}", "{median: x}", "''", "x", "-1", "0", "1e400"),
    *("-0.0", ".nan", "-.inf", "1%", "-1%", "%", "1s", "-1s", "1e3s", "9" * 30, "0x10", "true", "2026-01-01"),
]


@given(st.integers(0, 200), st.one_of(st.sampled_from(VALUES), st.text(max_size=8)))
def test_whatever_stands_in_a_field_is_read_or_refused(which: int, value: str) -> None:
    places = list(re.finditer(r": ([^\s{},\[\]]+)", EVERY_FIELD))
    place = places[which % len(places)]
    body = EVERY_FIELD[: place.start(1)] + value + EVERY_FIELD[place.end(1) :]
    match outcome(body):
        case ScenarioError() as error:
            assert str(error).startswith("api.yaml")
            assert "\n" not in str(error)
        case Service() as found:
            assert found.traffic.dispersion >= 1.0
            assert found.telemetry.scrape_interval_ms > 0


def test_a_file_that_is_not_there_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "checkout.yaml").write_text(SERVICE)
    with pytest.raises(ScenarioError, match=r"no such file; did you mean 'checkout\.yaml'\?"):
        load_scenario(tmp_path / "chekout.yaml")


def test_a_reference_to_the_wrong_kind(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(RELEASE)
    file = tmp_path / "world.yaml"
    file.write_text(HEADER.format(kind="Scenario", name="x") + "  service: good.yaml\n  release: good.yaml\n")
    with pytest.raises(ScenarioError, match="the file holds ReleaseModel, not one ServiceModel") as caught:
        load_scenario(file)
    assert str(caught.value).startswith(f"{file}:5:")


def test_a_directory_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="a directory stands here for a file"):
        load_scenario(tmp_path)
