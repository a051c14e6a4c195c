"""Vetting: what is played, when it stops, and how seldom its verdict is luck."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rolloutsim.cli.vet_table import change_text, table
from rolloutsim.errors import InputError, ScenarioError
from rolloutsim.evidence.bars import bars_on
from rolloutsim.evidence.certify import certify
from rolloutsim.evidence.document import vetting_json
from rolloutsim.evidence.law import law
from rolloutsim.evidence.nearest import CONFIRMED, GLANCED, MOST_RUNS, SCREENED, nearest_passing
from rolloutsim.evidence.playing import Stretch, players
from rolloutsim.evidence.suite import Suite, standard_suite
from rolloutsim.evidence.verdict import Verdict
from rolloutsim.evidence.vet import FIRST_LOOK, MAX_RUNS, UNASKED, Vetting, vet, vet_with
from rolloutsim.evidence.waivers import Waiver
from rolloutsim.outcomes import Outcome
from rolloutsim.permit import Running, pack, refusals
from rolloutsim.policy import digest
from rolloutsim.policy.model import Canary, Policy, PrometheusProvider
from rolloutsim.sim.run import play
from rolloutsim.sim.scenario import Release
from tests.evidence.made_up import SCENARIOS, bernoulli, policy, suite
from tests.evidence.test_law import case

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CLEAR = {"err-step-2pp": 1.0, "err-step-5pp": 1.0, "err-step-20pp": 1.0, "crashloop": 1.0}
"""Chances to be stopped of a policy that meets the default bars."""


def made_up(chances: dict[str, float], *bars: str, seed: int = 1, names: Sequence[str] = ()) -> Vetting:
    faults = suite(*names)
    chosen = bars_on(faults, bars) if bars else bars_on(faults)
    return vet_with(bernoulli(chances), policy(), faults, chosen, seed=seed)


def runs_of(vetting: Vetting) -> dict[str, int]:
    return {result.bar.scenario: result.estimate.n for result in vetting.results}


# --- when it stops --------------------------------------------------------------------------------


def test_a_clear_case_takes_few_runs() -> None:
    vetting = made_up(CLEAR)
    assert vetting.verdict is Verdict.PASSED
    assert runs_of(vetting) == {
        "err-step-2pp": 200,
        "err-step-5pp": 200,
        "err-step-20pp": 635,
        "crashloop": 635,
        "healthy": 400,
        "metrics-gap": 400,
        "no-traffic": 400,
        "noisy-baseline": 200,
    }
    assert vetting.runs == sum(runs_of(vetting).values()) + UNASKED * (len(suite().names) - 8)


def test_a_hopeless_case_takes_fewer() -> None:
    vetting = made_up({}, "p_detect>=0.95@leak", names=["leak"])
    assert vetting.verdict is Verdict.FAILED
    assert vetting.runs == FIRST_LOOK


def test_at_the_bar_it_plays_to_the_cap_and_says_that_it_does_not_know() -> None:
    vetting = made_up({"leak": 0.95}, "p_detect>=0.95@leak", names=["leak"], seed=3)
    assert vetting.verdict is Verdict.INCONCLUSIVE
    assert vetting.runs == MAX_RUNS


def test_what_is_decided_stays_decided_while_others_are_open() -> None:
    """Two bars on one scenario: the first is judged by the runs that there were, not by later ones."""
    vetting = made_up({"leak": 0.95}, "p_detect>=0.5@leak", "p_abort>=0.95@leak", names=["leak"], seed=3)
    first, second = vetting.results
    assert (first.verdict, first.estimate.n) == (Verdict.PASSED, FIRST_LOOK)
    assert second.estimate.n == MAX_RUNS


def test_every_scenario_is_seen_once() -> None:
    vetting = made_up({**CLEAR, "leak": 0.5})
    assert [seen.scenario for seen in vetting.seen] == list(suite().names)
    asked = {result.bar.scenario for result in vetting.results}
    assert {seen.stopped.n for seen in vetting.seen if seen.scenario in asked} == {FIRST_LOOK}
    assert {seen.stopped.n for seen in vetting.seen if seen.scenario not in asked} == {UNASKED}
    (leak,) = [seen for seen in vetting.seen if seen.scenario == "leak"]
    assert leak.stopped.value == pytest.approx(0.5, abs=0.2)


def test_a_waived_bar_is_judged_once_and_does_not_count() -> None:
    faults = suite("leak", "healthy")
    bars = bars_on(faults, ("p_detect>=0.95@leak", "p_false_abort<=0.02@healthy"))
    waiver = Waiver("p_detect", "leak", "no gate sees it")
    vetting = vet_with(bernoulli({"leak": 0.94}), policy(), faults, bars, waivers=[waiver])
    leak, healthy = vetting.results
    assert (leak.waiver, leak.estimate.n, healthy.estimate.n) == ("no gate sees it", FIRST_LOOK, 400)
    assert vetting.verdict is Verdict.PASSED


def test_what_so_few_runs_can_never_show_is_refused_before_anything_is_played() -> None:
    faults = suite("leak")
    bars = bars_on(faults, ("p_detect>=0.9999@leak",))
    with pytest.raises(
        InputError, match=r"^--max-runs: 1600 runs can never show .*; it takes \d+ if all agree"
    ):
        vet_with(bernoulli({}), policy(), faults, bars)
    mean = bars_on(faults, ("bad_requests<=10@leak",))
    with pytest.raises(InputError, match="it takes 800"):
        vet_with(bernoulli({}), policy(), faults, mean, max_runs=400)


def test_a_policy_that_cannot_be_played_is_refused_before_anything_is_played() -> None:
    from rolloutsim.policy import load_policy_text
    from tests.evidence.made_up import GUARDED

    text = GUARDED.read_text().replace(
        "          address:",
        "          rangeQuery: {start: 'now() - duration(\"5m\")', end: now(), step: 1m}\n          address:",
    )
    ranged = load_policy_text(text)
    with pytest.raises(ScenarioError, match="rangeQuery"):
        vet_with(bernoulli({}), ranged, suite("leak"), bars_on(suite("leak"), ("p_detect>=0.9@leak",)))


def test_what_is_known_exactly_is_not_played() -> None:
    """A world in which what the gate reads is what happened, beside one in which it is not."""
    policy, scenario = case(0)
    telemetry = replace(scenario.service.telemetry, scrape_phase_ms=None)
    played = replace(scenario, name="played", service=replace(scenario.service, telemetry=telemetry))
    known = replace(scenario, name="known")
    faults = Suite("two", "api", (known, played))
    bars = ("p_detect>=0.9", "p_detect<=0.93@known", "bad_requests_p90<=100000@known")
    vetting = vet(policy, faults, bars_on(faults, bars[:1]), max_runs=400)
    exact, run = vetting.results
    assert (exact.estimate.method, exact.estimate.n, exact.verdict) == ("exact", 0, Verdict.PASSED)
    assert exact.value == pytest.approx(1.0 - law(policy, known).chances[0], abs=1e-9)
    assert run.estimate.n > 0
    assert abs(run.value - exact.value) < 0.1
    assert vetting.runs == run.estimate.n
    assert "exact, by the sum over all courses and without runs: known" in vetting.notes
    judged = [one.verdict for one in vet(policy, faults.only(["known"]), bars_on(faults, bars[1:])).results]
    assert judged == [Verdict.FAILED, Verdict.PASSED]
    assert "exact" in table(vetting, None)


def test_a_bar_that_no_number_of_runs_decides_is_decided_exactly() -> None:
    policy, scenario = case(0)
    service = replace(scenario.service, error_rate=0.0005)
    good = replace(scenario, name="good", service=service, release=Release("good"))
    faults = Suite("one", "api", (good,))
    (result,) = vet(policy, faults, bars_on(faults, ("p_false_abort<=0.000001",))).results
    assert result.verdict is Verdict.PASSED
    assert 0.0 < result.value < 1e-6


def test_where_no_run_killed_a_good_release_the_chance_by_counts_is_told() -> None:
    (note,) = [note for note in made_up(CLEAR).notes if "by counts alone" in note]
    assert note.startswith(
        "healthy: no run was aborted; by counts alone a good release is killed with a chance"
    )


def measuring(*counters: str) -> Policy:
    """The guarded canary with its metric on each of these counters of requests."""
    guarded = policy()
    assert isinstance(guarded.strategy, Canary)
    background = guarded.strategy.background
    assert background is not None
    (metric,) = background.metrics
    assert isinstance(metric.provider, PrometheusProvider)
    query = metric.provider.query
    metrics = tuple(
        replace(
            metric,
            name=f"of-{counter}",
            provider=replace(metric.provider, query=query.replace("http_requests_total", counter)),
        )
        for counter in counters
    )
    strategy = replace(guarded.strategy, background=replace(background, metrics=metrics))
    return replace(guarded, strategy=strategy)


def test_a_metric_that_reads_what_the_service_does_not_have_is_named() -> None:
    faults = suite("crashloop", "healthy")
    both = measuring("http_requests_total", "orders_total")
    told = [vet_with(bernoulli({}), one, faults, bars_on(faults)).notes for one in (policy(), both)]
    said = [[note for note in notes if "sees nothing" in note] for notes in told]
    assert said == [
        [],
        [
            'policy api: of-orders_total reads orders_total{service="api"}, which service api does not have: '
            "it sees nothing"
        ],
    ]


def test_a_policy_that_reads_nothing_of_the_service_is_refused_before_anything_is_played() -> None:
    """Every good release would pass it."""
    faults = suite("healthy")
    bars = bars_on(faults)
    with pytest.raises(InputError, match="and so it is with all of its queries; name the service"):
        vet_with(bernoulli({}), measuring("orders_total"), faults, bars)
    elsewhere = standard_suite(SCENARIOS / "services" / "bursty.yaml").only(["healthy"])
    with pytest.raises(InputError, match=r'service="api".*, which service assistant does not have'):
        vet_with(bernoulli({}), policy(), elsewhere, bars)


def test_what_an_interval_of_a_mean_cannot_know_is_told() -> None:
    faults = suite("err-step-2pp", "healthy")
    by_mean, by_quantile = (
        vet_with(bernoulli({}), policy(), faults, bars_on(faults, (f"{bar}<=3000@err-step-2pp",)))
        for bar in ("bad_requests", "bad_requests_p95")
    )
    assert [note for note in by_mean.notes if "a mean knows" in note] == [
        "bad_requests<=3000@err-step-2pp: a mean knows only what its 800 runs have shown, and a rarer harm "
        "may be missing in it; bad_requests_p95 has no such gap"
    ]
    assert not [note for note in by_quantile.notes if "a mean knows" in note]


def test_a_vetting_as_a_frame() -> None:
    vetting = made_up(CLEAR)
    frame = vetting.to_frame()
    assert list(frame["bar"]) == [str(result.bar) for result in vetting.results]
    assert frame.attrs["provenance"]["seed"] == 1
    assert "policy api passed: seed 1" in vetting._repr_html_()


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    faults = suite("healthy")
    vetting = vet_with(
        bernoulli({}),
        policy(),
        faults,
        bars_on(faults),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(n, n) for n in (100, 126, 159, 200, 252, 317, 400)]
    assert vetting.runs == 400


# --- how seldom it is luck ------------------------------------------------------------------------


def four_errors_from(bar: float, side: float) -> float:
    truth = bar
    for _ in range(100):
        variance = max(truth * (1.0 - truth), bar * (1.0 - bar))
        truth = bar + side * 4.0 * math.sqrt(variance / MAX_RUNS)
    return truth


LUCK = {
    "err-step-2pp": ("p_detect>=0.9", four_errors_from(0.9, 1.0), Verdict.PASSED),
    "err-step-5pp": ("p_detect>=0.9", four_errors_from(0.9, -1.0), Verdict.FAILED),
    "healthy": ("p_false_abort<=0.05", four_errors_from(0.05, -1.0), Verdict.PASSED),
    "metrics-gap": ("p_false_abort<=0.05", four_errors_from(0.05, 1.0), Verdict.FAILED),
}


def test_with_200_seeds_the_verdict_never_flips() -> None:
    """Truths four standard errors from the bar: right, or in at most 2 % inconclusive, and never wrong."""
    faults = suite(*LUCK)
    bars = bars_on(faults, [f"{bar}@{name}" for name, (bar, _, _) in LUCK.items()])
    player = bernoulli({name: truth for name, (_, truth, _) in LUCK.items()})
    found: dict[str, Counter[Verdict]] = {name: Counter() for name in LUCK}
    for seed in range(200):
        for result in vet_with(player, policy(), faults, bars, seed=seed).results:
            found[result.bar.scenario][result.verdict] += 1
    for name, (_, _, right) in LUCK.items():
        assert set(found[name]) <= {right, Verdict.INCONCLUSIVE}
        assert found[name][Verdict.INCONCLUSIVE] <= 4


def test_at_the_bar_it_seldom_decides() -> None:
    faults = suite("healthy")
    bars = bars_on(faults, ("p_false_abort<=0.05",))
    player = bernoulli({"healthy": 0.05})
    found = Counter(vet_with(player, policy(), faults, bars, seed=seed).verdict for seed in range(300))
    for wrong in (Verdict.PASSED, Verdict.FAILED):
        assert found[wrong] / 300 <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 300)


# --- the same again -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_certificate_but_for_its_times() -> None:
    first, second, other = (made_up({**CLEAR, "healthy": 0.005}, seed=seed) for seed in (1, 1, 2))
    assert vetting_json(first) == vetting_json(second)
    a, b = certify(first, NOW), certify(second, NOW + timedelta(days=1))
    assert pack(a) != pack(b)
    assert pack(certify(second, NOW)) == pack(a)
    assert pack(certify(other, NOW)) != pack(a)


def test_a_certificate_of_a_vetting_counts_if_and_only_if_it_passed() -> None:
    running = Running(1, "0.1.0")
    for chances, counts in (
        (CLEAR, True),
        ({**CLEAR, "crashloop": 0.9}, False),
        ({**CLEAR, "err-step-2pp": 0.95}, False),
    ):
        vetting = made_up(chances, seed=4)
        against = refusals(
            certify(vetting, NOW), policy_digest=digest(policy()), now=NOW, running=running, place=None
        )
        assert (vetting.verdict is Verdict.PASSED) is counts is (not against)


def test_runs_come_in_the_order_in_which_they_were_asked_for() -> None:
    """From any executor the same as one after the other."""
    chosen, faults = policy(), suite("crashloop", "err-step-20pp").scenarios
    stretches = [Stretch(chosen, one, 5, first, last) for one in faults for first, last in ((0, 3), (3, 25))]
    expected = [
        [play(chosen, one.scenario, seed=5, run=run) for run in range(one.first, one.last)]
        for one in stretches
    ]

    def same(found: list[Sequence[Outcome]]) -> bool:
        return list(map(repr, found)) == list(map(repr, expected))

    with players(1) as player:
        assert same([list(rows) for rows in player(stretches)])
    with ThreadPoolExecutor(2) as pool, players(executor=pool) as player:
        assert same([list(rows) for rows in player(stretches)])
        assert list(player([])) == []


def test_the_simulator_is_asked() -> None:
    faults = suite("crashloop", "err-step-20pp")
    bars = bars_on(faults, ("p_detect>=0.9", "time_to_detect_s_p90<=11m@err-step-20pp"))
    vetting = vet(policy(), faults, bars, max_runs=100)
    assert vetting.verdict is Verdict.PASSED
    assert [result.value for result in vetting.results[:2]] == [1.0, 1.0]
    assert 250.0 < vetting.results[2].value < 660.0
    assert vetting.notes[0].startswith("service api: inputs: ")


@pytest.mark.slow
def test_worker_processes_change_nothing() -> None:
    faults = suite("crashloop", "err-step-20pp")
    bars = bars_on(faults, ("p_detect>=0.9",))
    one, two = (vet(policy(), faults, bars, max_runs=200, jobs=jobs) for jobs in (1, 2))
    assert pack(certify(one, NOW)) == pack(certify(two, NOW))


# --- the nearest passing change -------------------------------------------------------------------


def threshold(policy: Policy) -> float:
    from rolloutsim.policy.analyses import analyses_of

    (analysis,) = analyses_of(policy)
    return float(analysis.metrics[0].success_condition.rsplit("<", 1)[1])


def limit(policy: Policy) -> int:
    from rolloutsim.policy.analyses import analyses_of

    (analysis,) = analyses_of(policy)
    return analysis.metrics[0].failure_limit


def searched(chance: object, *names: str) -> Iterator[object]:
    player = bernoulli(chance)  # type: ignore[arg-type]
    faults = suite(*names)
    bars = bars_on(faults)
    vetting = vet_with(player, policy(), faults, bars)
    assert vetting.verdict is Verdict.FAILED
    search = nearest_passing(player, policy(), faults, vetting, max_runs=MAX_RUNS)
    yield from ([str(change) for change in search.changes], search.vetting, search.tried)


def test_the_nearest_change_that_passes_is_found() -> None:
    """A world that is known: 2 % is seen from thresholds up to 0.03 on, a good one killed below 0.02."""

    def chance(policy: Policy, name: str) -> float:
        if name == "healthy":
            return 0.5 if threshold(policy) < 0.02 else 0.0
        return 1.0 if threshold(policy) <= 0.03 else 0.1

    changes, vetting, _ = searched(chance, "err-step-2pp", "healthy")
    assert changes == ["threshold of error-rate 0.05 -> 0.03"]
    assert isinstance(vetting, Vetting)
    assert vetting.verdict is Verdict.PASSED
    assert vetting.seed == 1


def test_two_changes_where_one_is_not_enough() -> None:
    def chance(policy: Policy, name: str) -> float:
        if name == "healthy":
            return 0.3 if threshold(policy) < 0.02 and limit(policy) < 5 else 0.0
        return 1.0 if threshold(policy) <= 0.01 else 0.0

    changes, _, tried = searched(chance, "err-step-2pp", "healthy")
    assert changes == [
        "failureLimit of error-rate 3 -> 5",
        "threshold of error-rate 0.05 -> 0.01",
    ]
    assert isinstance(tried, int)
    assert tried > 21


def test_where_nothing_helps_nothing_is_suggested() -> None:
    assert list(searched({}, "err-step-2pp", "healthy")) == [[], None, 21]


def test_a_search_ends_after_so_many_runs_and_says_so() -> None:
    """Many bars are missed: the grid takes more runs than there are. A glance shows that nothing helps."""
    faults = suite(*[name for name in suite().names if name.startswith(("err-", "crash", "leak", "schema"))])
    bars = bars_on(faults, ("p_detect>=0.95",))
    assert len(bars) * 21 * SCREENED > MOST_RUNS
    asked: list[int] = []

    def counting(stretches: Sequence[Stretch]) -> Iterable[Sequence[Outcome]]:
        asked.extend(one.last - one.first for one in stretches)
        return bernoulli({})(stretches)

    vetting = vet_with(bernoulli({}), policy(), faults, bars)
    search = nearest_passing(counting, policy(), faults, vetting, max_runs=MAX_RUNS)
    assert (search.complete, search.vetting) == (False, None)
    assert sum(asked) == search.tried * len(bars) * GLANCED
    assert sum(asked) <= MOST_RUNS
    assert search == nearest_passing(bernoulli({}), policy(), faults, vetting, max_runs=MAX_RUNS)
    told = change_text(vetting, search)
    assert told.startswith(f"no nearest passing change found: {search.tried} small changes were tried")
    assert told.endswith("the search ended at its bound, and there are more")


def test_a_candidate_that_fails_costs_no_more_runs_than_that_takes() -> None:
    """The screening shows 100 %, what it is vetted with (another seed) 90 %: it fails at the first look."""
    faults = suite("err-step-2pp", "healthy")
    bars = bars_on(faults)
    full: list[int] = []

    def play(stretches: Sequence[Stretch]) -> Iterable[Sequence[Outcome]]:
        for stretch in stretches:
            changed, screened = stretch.policy != policy(), stretch.seed != 1
            caught = 0.5 if changed and not screened else 1.0 if changed else 0.0
            full.append(stretch.last if changed and not screened else 0)
            yield from bernoulli({"err-step-2pp": caught})([stretch])

    vetting = vet_with(play, policy(), faults, bars)
    search = nearest_passing(play, policy(), faults, vetting, max_runs=MAX_RUNS)
    assert (search.vetting, search.vetted, search.complete) == (None, CONFIRMED, False)
    assert max(full) == FIRST_LOOK


def test_a_waived_bar_need_not_be_met_by_the_suggestion() -> None:
    faults = suite("err-step-2pp", "err-step-5pp", "healthy")

    def chance(policy: Policy, name: str) -> float:
        return 1.0 if name == "err-step-5pp" and threshold(policy) < 0.05 else 0.0

    player = bernoulli(chance)
    waiver = Waiver("p_detect", "err-step-2pp", "later")
    vetting = vet_with(player, policy(), faults, bars_on(faults), waivers=[waiver])
    search = nearest_passing(player, policy(), faults, vetting, max_runs=MAX_RUNS)
    assert [str(change) for change in search.changes] == ["threshold of error-rate 0.05 -> 0.04"]
