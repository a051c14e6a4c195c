"""The standard suite, and suites of one's own: what they hold and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.errors import ScenarioError
from rolloutsim.evidence.suite import load_suite, standard_suite
from rolloutsim.policy import load_policy
from rolloutsim.sim.needs import check
from rolloutsim.sim.run import play
from rolloutsim.sim.scenario import ConstantRate, Gap
from rolloutsim.sim.scenario_file import load_scenario
from tests.evidence.made_up import API, SCENARIOS, policy

FAULTS = SCENARIOS / "faults"
SERVICES = sorted((SCENARIOS / "services").glob("*.yaml"))
HEALTHY = {"cold-start", "dependency-blip", "healthy", "metrics-gap", "no-traffic", "noisy-baseline"}
HEAD = "apiVersion: rolloutsim.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
GOOD = HEAD.format(kind="ReleaseModel", name="good") + "  faults: []\n"


def changed(tmp_path: Path, change: str, service: str | None = None) -> Path:
    """A directory of one fault, whose ServiceChange has these fields."""
    directory = tmp_path / "faults"
    directory.mkdir()
    text = GOOD + "---\n" + HEAD.format(kind="ServiceChange", name="good") + change
    (directory / "good.yaml").write_text(text, encoding="utf-8")
    return directory


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.stem)
def test_every_fault_fits_every_service(service: Path) -> None:
    suite = standard_suite(service)
    assert sorted(suite.names) == sorted(path.stem for path in FAULTS.glob("*.yaml"))
    assert {one.name for one in suite.scenarios if one.release.healthy} == HEALTHY & set(suite.names)
    for one in suite.scenarios:
        assert one.release.description
        assert one.service.name == suite.service


def test_the_suite_has_the_customary_names() -> None:
    steps = {f"err-step-{size}pp" for size in ("0.2", "0.5", "1", "2", "5", "20")}
    bad = {
        "err-one-endpoint",
        "err-one-tenant",
        "latency-shift",
        "latency-tail",
        "leak",
        "capacity",
        "retry-storm",
        "crashloop",
    }
    bad |= {"silent-wrong", "schema-break", "new-log-class"}
    assert set(standard_suite(API).names) >= steps | bad | HEALTHY


def test_retries_hide_failures_from_users_and_not_from_the_gate() -> None:
    suite, _ = standard_suite(API).only(["retry-storm"]).fitted(policy())
    (scenario,) = suite.scenarios
    plain = replace(scenario, service=replace(scenario.service, requests=None))
    with_retries, without = (play(policy(), one, seed=1) for one in (scenario, plain))
    assert with_retries.detected
    assert without.detected
    assert with_retries.bad_requests < 0.2 * without.bad_requests


def test_the_suite_has_what_the_default_bars_ask_about() -> None:
    from rolloutsim.evidence.bars import DEFAULT_BARS

    assert {bar.split("@")[1] for bar in DEFAULT_BARS} <= set(standard_suite(API).names)


def test_a_fault_without_a_change_is_an_ordinary_release() -> None:
    plain = load_scenario(f"{API}+{FAULTS / 'err-step-2pp.yaml'}")
    (found,) = standard_suite(API).only(["err-step-2pp"]).scenarios
    assert found == replace(plain, name="err-step-2pp")
    assert found.inputs == plain.inputs


def test_what_a_change_changes() -> None:
    before = {one.name: one.service for one in standard_suite(API).scenarios}["healthy"]
    services = {one.name: one.service for one in standard_suite(API).scenarios}
    quiet, gap, noisy = services["no-traffic"], services["metrics-gap"], services["noisy-baseline"]
    assert quiet == replace(before, traffic=replace(before.traffic, rate=ConstantRate(0.0)))
    gaps = (Gap(180_000, 360_000),)
    assert gap == replace(before, telemetry=replace(before.telemetry, gaps=gaps))
    traffic = replace(before.traffic, dispersion=16.0)
    assert noisy == replace(before, traffic=traffic, error_icc=0.01)


def test_a_recorded_file_is_still_found(tmp_path: Path) -> None:
    recorded = SCENARIOS / "services" / "recorded.yaml"
    suite = load_suite(recorded, changed(tmp_path, "  traffic: {dispersion: 3}\n"))
    (found,) = suite.scenarios
    (plain,) = standard_suite(recorded).only(["healthy"]).scenarios
    assert found.service.traffic == replace(plain.service.traffic, dispersion=3.0)


def test_a_delay_and_an_annotated_number_are_replaced_whole(tmp_path: Path) -> None:
    change = "  operators: {promote: never}\n  error_rate: {value: 1%, basis: measured}\n"
    (found,) = load_suite(API, changed(tmp_path, change)).scenarios
    assert found.service.operators.promote is None
    assert found.service.error_rate == 0.01
    (error,) = [one for one in found.inputs if one.path == "service.error_rate"]
    assert (error.basis, error.source) == ("measured", "")


def test_a_scenario_brings_its_own_service() -> None:
    suite = load_suite(SERVICES[1], SCENARIOS / "article" / "worlds")
    assert {one.service.name for one in suite.scenarios} == {"api"}


def test_the_digest_says_what_is_in_it_and_not_how_it_is_written(tmp_path: Path) -> None:
    suite = standard_suite(API)
    copy = tmp_path / "api.yaml"
    copy.write_text("# a comment\n" + API.read_text(), encoding="utf-8")
    assert standard_suite(copy).digest == suite.digest
    assert suite.only(["healthy"]).digest != suite.digest
    busier = copy.read_text().replace("value: 100,", "value: 101,")
    copy.write_text(busier, encoding="utf-8")
    assert standard_suite(copy).digest != suite.digest


def test_checks_that_are_no_queries_are_taken_to_pass() -> None:
    """And that is said: nothing is caught by them, and nothing killed."""
    policy = load_policy(SCENARIOS / "policies" / "blue-green-checked.yaml")
    suite, notes = standard_suite(API).fitted(policy)
    assert notes == (
        "metric smoke-test is no query and no release of the suite says what it finds: taken to pass always",
    )
    for scenario in suite.scenarios:
        check(policy, scenario)
    stated = load_suite(API, SCENARIOS / "releases").only(["good"])
    assert stated.fitted(policy) == (stated, ())


def refused(service: Path, directory: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_suite(service, directory)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_change_of_something_else_is_refused_where_it_stands(tmp_path: Path) -> None:
    message = refused(API, changed(tmp_path, "  trafic: {dispersion: 3}\n"))
    assert "good.yaml:11" in message
    assert "did you mean 'traffic'?" in message


def test_a_change_that_makes_no_sense_is_refused_where_it_stands(tmp_path: Path) -> None:
    message = refused(API, changed(tmp_path, "  traffic: {dispersion: 0.5}\n"))
    assert "good.yaml:11" in message
    assert "spec.traffic.dispersion" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEAD.format(kind="ServiceModel", name="x") + "  traffic: {rate_rps: 1}\n", "holds a ReleaseModel"),
        (GOOD.replace("rolloutsim.dev/v1alpha1", "apps/v1"), "expected one of"),
        ("- a\n- b\n", "expected a mapping"),
        ("a: [", "YAML"),
    ],
)
def test_files_that_are_no_faults_are_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.yaml").write_text(content, encoding="utf-8")
    message = refused(API, tmp_path)
    assert says in message
    assert "x.yaml" in message


def test_two_faults_of_one_name_are_refused(tmp_path: Path) -> None:
    for file in ("a.yaml", "b.yaml"):
        (tmp_path / file).write_text(GOOD, encoding="utf-8")
    assert "two scenarios 'good'" in refused(API, tmp_path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert "no YAML file is here" in refused(API, tmp_path)
    assert "the suite is no directory" in refused(API, tmp_path / "none")
    assert "did you mean 'api.yaml'?" in refused(API.with_name("apy.yaml"), FAULTS)
    assert "0 documents of kind ServiceModel" in refused(FAULTS / "leak.yaml", FAULTS)
