"""Vet a policy: play it through a suite until every bar is decided, or the cap on runs is reached.

Runs are added in looks (`rolloutsim.estimates.plan_looks`): after each, the bars that are still open are
judged by intervals that hold at all looks together, and only the scenarios of open bars are played further.
A policy that misses a bar by little is passed by chance in at most 5 of 100 vettings; since all bars have to
be passed, several bars make that rarer. A bar that is met by little can fail by chance as rarely, each.

A scenario whose courses and their chances are known (`rolloutsim.evidence.law`) is not played: its bars are
judged exactly. Where no run killed a good release, the chance that counts alone do is added as a note.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rolloutsim.errors import InputError, Position
from rolloutsim.estimates import Estimate, Looks, mean_interval, plan_looks, rate
from rolloutsim.evidence.bars import Bar
from rolloutsim.evidence.law import Law, by_counts, law
from rolloutsim.evidence.playing import Player, Stretch, players
from rolloutsim.evidence.rare import TooFewEvents
from rolloutsim.evidence.suite import Suite
from rolloutsim.evidence.verdict import BarResult, Verdict, judge, overall
from rolloutsim.evidence.waivers import Waiver, waived
from rolloutsim.evidence.windows import NotExact
from rolloutsim.outcomes import Outcome
from rolloutsim.policy import digest
from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import all_unread
from rolloutsim.sim.needs import check
from rolloutsim.sim.scenario import Basis, Scenario
from rolloutsim.sim.unseen import sees_nothing, unread_in

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIRST_LOOK", "MAX_RUNS", "Seen", "Vetting", "vet", "vet_with"]

FIRST_LOOK = 100
"""Runs after which the bars of a scenario are looked at first."""
UNASKED = 40
"""Runs of a scenario on which no bar stands: what it shows is information, and decides nothing."""
MAX_RUNS = 1600
"""Runs of one scenario at most: a share near a half is known to 2 percentage points then."""
LEAST_CHANCE = 1e-15
"""Smaller chances are of no interest, and rounding."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the first look showed of a scenario, or its law: information, not a verdict.

    ``stopped`` is the share of runs in which the policy stopped it: p_detect, or p_false_abort where the
    release is good.
    """

    scenario: str
    healthy: bool
    stopped: Estimate
    bad_requests: Estimate


@dataclass(frozen=True, slots=True)
class Vetting:
    """What a vetting found, and what it takes to find it again."""

    policy: str
    policy_digest: str
    service: str
    suite: str
    suite_digest: str
    results: tuple[BarResult, ...]
    seen: tuple[Seen, ...]
    looks: Looks
    seed: int
    runs: int
    """Runs in all."""
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the policy."""
        return overall(self.results)

    def to_frame(self) -> pd.DataFrame:
        """One row per bar; ``low`` and ``high`` bound what was judged: for a quantile a share of runs."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "bar": str(result.bar),
                "scenario": result.bar.scenario,
                "value": result.value,
                "low": result.estimate.low,
                "high": result.estimate.high,
                "runs": result.estimate.n,
                "verdict": str(result.verdict),
                "waiver": result.waiver,
            }
            for result in self.results
        )
        frame.attrs["provenance"] = {
            "policy": self.policy_digest,
            "suite": self.suite_digest,
            "seed": self.seed,
        }
        return frame

    def _repr_html_(self) -> str:
        title = html.escape(f"policy {self.policy} {self.verdict}: seed {self.seed}, {self.runs} runs")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p>{title}</p>{self.to_frame().to_html(index=False)}<ul>{notes}</ul>"


def vet(
    policy: Policy,
    suite: Suite,
    bars: Sequence[Bar],
    *,
    waivers: Sequence[Waiver] = (),
    seed: int = 1,
    max_runs: int = MAX_RUNS,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Vetting:
    """Vet a policy against bars.

    Parameters
    ----------
    suite, bars : from `load_suite` and `bars_on`.
    waivers : bars whose verdict does not count, each with its reason.
    seed : root of all randomness: the same seed gives the same vetting, whatever ``jobs`` is.
    max_runs : of one scenario.
    jobs : worker processes; None takes one per core.
    executor : any ``concurrent.futures.Executor`` to use instead.
    progress : called with (runs done, runs that are sure to be wanted).

    Raises
    ------
    InputError : a bar that so many runs can never show to be met; a waiver of no bar; the service has none
        of the series that the policy reads.
    ScenarioError : the simulated world cannot play a metric of the policy.
    """
    with players(jobs, executor) as player:
        return vet_with(
            player, policy, suite, bars, waivers=waivers, seed=seed, max_runs=max_runs, progress=progress
        )


def vet_with(
    player: Player,
    policy: Policy,
    suite: Suite,
    bars: Sequence[Bar],
    *,
    waivers: Sequence[Waiver] = (),
    seed: int = 1,
    max_runs: int = MAX_RUNS,
    to_the_end: bool = True,
    progress: Progress | None = None,
) -> Vetting:
    """As `vet`, with runs from ``player``; unless ``to_the_end``, no run is added once a bar has failed."""
    looks = plan_looks(max_runs, min(FIRST_LOOK, max_runs))
    fitted, notes = suite.fitted(policy)
    for scenario in fitted.scenarios:
        check(policy, scenario)
    unseen = _reads_nothing(policy, fitted.scenarios)
    laws = _laws(policy, fitted)
    _refuse_unreachable([bar for bar in bars if bar.scenario not in laws], looks)
    reasons = waived(bars, waivers)
    results = {bar: _exactly(bar, laws[bar.scenario], reasons) for bar in bars if bar.scenario in laws}
    played = [scenario for scenario in fitted.scenarios if scenario.name not in laws]
    asked = {bar.scenario for bar in bars}
    runs: dict[str, list[Outcome]] = {scenario.name: [] for scenario in played}
    for count, tail in zip(looks.runs, looks.tails, strict=True):
        wanted = [one for one in played if not runs[one.name] or _open(one, results)]
        until = [count if one.name in asked else min(count, UNASKED) for one in wanted]
        _play(player, policy, wanted, until, seed, runs, progress)
        for bar in bars:
            if bar.scenario in {one.name for one in wanted}:
                results[bar] = _settled(results.get(bar), bar, runs[bar.scenario], tail, reasons)
        failed = overall(tuple(results.values())) is Verdict.FAILED
        if (failed and not to_the_end) or not any(_open(one, results) for one in played):
            break
    return Vetting(
        policy=policy.name,
        policy_digest=digest(policy),
        service=suite.service,
        suite=suite.name,
        suite_digest=suite.digest,
        results=tuple(results[bar] for bar in bars),
        seen=tuple(
            _known(one, laws[one.name]) if one.name in laws else _seen(one, runs[one.name][: looks.runs[0]])
            for one in fitted.scenarios
        ),
        looks=looks,
        seed=seed,
        runs=sum(map(len, runs.values())),
        notes=(
            *_basis(fitted.scenarios),
            *_not_modelled(policy),
            *notes,
            *unseen,
            *_about_means(bars, runs),
            *_without_runs(laws),
            *_by_counts(policy, played, results, seed),
        ),
    )


def _laws(policy: Policy, suite: Suite) -> dict[str, Law]:
    """The scenarios that need no runs."""
    found: dict[str, Law] = {}
    for scenario in suite.scenarios:
        with suppress(NotExact):
            found[scenario.name] = law(policy, scenario)
    return found


def _exactly(bar: Bar, known: Law, reasons: dict[Bar, str]) -> BarResult:
    estimate = bar.by_law(known)
    value = bar.value(known.rows, known.chances)
    return BarResult(bar, judge(bar, estimate), value, estimate, reasons.get(bar, ""))


def _settled(
    before: BarResult | None, bar: Bar, runs: Sequence[Outcome], tail: float, reasons: dict[Bar, str]
) -> BarResult:
    """The result at this look; what was decided at an earlier one stays."""
    if before is not None and before.verdict is not Verdict.INCONCLUSIVE:
        return before
    estimate = bar.estimate(runs, tail)
    return BarResult(bar, judge(bar, estimate), bar.value(runs), estimate, reasons.get(bar, ""))


def _open(scenario: Scenario, results: dict[Bar, BarResult]) -> bool:
    """Whether more runs of a scenario could decide something."""
    return any(
        bar.scenario == scenario.name and result.verdict is Verdict.INCONCLUSIVE and not result.waiver
        for bar, result in results.items()
    )


def _play(
    player: Player,
    policy: Policy,
    scenarios: Sequence[Scenario],
    until: Sequence[int],
    seed: int,
    runs: dict[str, list[Outcome]],
    progress: Progress | None,
) -> None:
    """Play each of these scenarios until it has so many runs."""
    stretches = [
        Stretch(policy, one, seed, len(runs[one.name]), count)
        for one, count in zip(scenarios, until, strict=True)
    ]
    done = sum(map(len, runs.values()))
    total = done + sum(one.last - one.first for one in stretches)
    for stretch, rows in zip(stretches, player(stretches), strict=True):
        runs[stretch.scenario.name].extend(rows)
        done += len(rows)
        if progress is not None:
            progress(done, total)


def _refuse_unreachable(bars: Sequence[Bar], looks: Looks) -> None:
    for bar in bars:
        needed = bar.needs(looks.tails[-1])
        if needed > looks.runs[-1]:
            raise InputError(
                f"{looks.runs[-1]} runs can never show that {bar} is met",
                at=Position("--max-runs"),
                fix=f"it takes {needed} if all agree: raise --max-runs, or ask for less",
            )


def _seen(scenario: Scenario, runs: Sequence[Outcome]) -> Seen:
    healthy = scenario.release.healthy
    stopped = sum(run.false_abort if healthy else run.detected for run in runs)
    bad = mean_interval([run.bad_requests for run in runs])
    return Seen(scenario.name, healthy, rate(stopped, len(runs)), bad)


def _known(scenario: Scenario, known: Law) -> Seen:
    healthy, weights = scenario.release.healthy, np.array(known.chances)
    stopped, bad = (
        float(np.array(values, dtype=np.float64) @ weights)
        for values in (
            [row.false_abort if healthy else row.detected for row in known.rows],
            [row.bad_requests for row in known.rows],
        )
    )
    return Seen(
        scenario.name,
        healthy,
        Estimate(stopped, stopped, stopped, 0, "exact"),
        Estimate(bad, bad, bad, 0, "exact"),
    )


def _reads_nothing(policy: Policy, scenarios: Sequence[Scenario]) -> tuple[str, ...]:
    """Metrics whose series the service does not have: they catch nothing, and kill nothing.

    If there are no others the bars would judge names, and it is refused.
    """
    quiet = next((one for one in scenarios if one.release.healthy and not one.release.faults), scenarios[0])
    found, service = unread_in(policy, quiet), quiet.service.name
    if all_unread(policy, found):
        raise InputError(
            f"policy {policy.name}: {found[0]}, which service {service} does not have, and so it is with "
            "all of its queries",
            fix="name the service, its metrics and labels as the policy does: metadata.name, "
            "telemetry.preset, telemetry.labels",
        )
    return sees_nothing(policy, service, found)


def _about_means(bars: Sequence[Bar], runs: dict[str, list[Outcome]]) -> tuple[str, ...]:
    """What an interval of a mean cannot know."""
    return tuple(
        f"{bar}: a mean knows only what its {len(runs[bar.scenario])} runs have shown, and a rarer harm may "
        f"be missing in it; {bar.measure}_p95 has no such gap"
        for bar in bars
        if not bar.is_share and bar.scenario in runs
    )


def _without_runs(laws: dict[str, Law]) -> tuple[str, ...]:
    if not laws:
        return ()
    return (f"exact, by the sum over all courses and without runs: {', '.join(laws)}",)


def _by_counts(
    policy: Policy, scenarios: Sequence[Scenario], results: dict[Bar, BarResult], seed: int
) -> tuple[str, ...]:
    """How seldom counts alone kill the first good release that no run saw killed."""
    unseen = {
        bar.scenario for bar, one in results.items() if bar.measure == "p_false_abort" and one.value == 0.0
    }
    scenario = next((one for one in scenarios if one.name in unseen), None)
    if scenario is None:
        return ()
    about = f"{scenario.name}: no run was aborted; by counts alone"
    try:
        found = by_counts(policy, scenario, seed)
    except NotExact:
        return ()
    except TooFewEvents as error:
        return (f"{about} that is rarer than importance sampling can tell: {error}",)
    chance = found.chance
    assert chance.value is not None
    caution = "(independent requests, no scrapes: a lower bound)"
    if found.effective_events is None:
        tiny = chance.value < LEAST_CHANCE
        said = f"below {LEAST_CHANCE:g}" if tiny else f"of {chance.value:.2g}, exactly,"
        return (f"{about} a good release is killed with a chance {said} {caution}",)
    return (
        f"{about} a good release is killed with a chance of {chance.value:.2g}, {chance.low:.2g} to "
        f"{chance.high:.2g} by importance sampling, {found.effective_events:.0f} effective events {caution}",
    )


def _basis(scenarios: Sequence[Scenario]) -> tuple[str, ...]:
    """How the numbers of the service are known; faults are suppositions and are not counted."""
    first = scenarios[0]
    inputs = [one for one in first.inputs if one.path.startswith("service.")]
    counts = {basis: sum(one.basis is basis for one in inputs) for basis in Basis}
    said = ", ".join(f"{count} {basis}" for basis, count in counts.items() if count)
    return (f"service {first.service.name}: inputs: {said}",) if said else ()


def _not_modelled(policy: Policy) -> tuple[str, ...]:
    return tuple(f"policy {policy.name}: not modelled: {item}" for item in policy.not_modelled)
