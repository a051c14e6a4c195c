"""``simulate`` and ``compare``: play policies in scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption
from rolloutsim.cli.output import Output, check_output, progress, save_figure, write_results, writing
from rolloutsim.cli.workers import Dask, Keep, executor, start, workers
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from rolloutsim.policy.model import Policy
    from rolloutsim.tables import Results

__all__ = ["compare", "simulate"]

_POLICY = (
    "A manifest of a rollout (Argo Rollouts, RolloutPolicy, Deployments); a.yaml,b.yaml belong together."
)
_SCENARIO = (
    "A scenario file, SERVICE.yaml+RELEASE.yaml, directories or patterns of them, or several with commas; "
    "may be repeated."
)

Scenarios = Annotated[list[str], typer.Option("--scenario", "-s", help=_SCENARIO, show_default=False)]
ManyScenarios = Annotated[
    list[str] | None, typer.Option("--scenario", "-s", help=_SCENARIO, show_default=False)
]
Sensitivity = Annotated[
    bool | None,
    typer.Option(
        help="Say which three assumed inputs move the verdict most.",
        show_default="where it takes at most half as many runs again",
    ),
]
Runs = Annotated[int, typer.Option(min=1, help="Runs of each policy in each scenario.")]
Seed = Annotated[int, typer.Option(min=0, help="Root of all randomness: the same seed, the same bytes.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes; no influence on results.", show_default="all cores"),
]
Form = Annotated[
    Output,
    typer.Option("--output", "-o", help="Summary as table or json; one row per run as csv or parquet."),
]
Out = Annotated[Path | None, typer.Option(help="Write the output to this file.", show_default=False)]
Plot = Annotated[Path | None, typer.Option(help="Write a figure: PNG, SVG or PDF.", show_default=False)]
TraceFile = Annotated[
    Path | None, typer.Option(help="Write all that happened in run 0 (JSON Lines).", show_default=False)
]
TraceDirectory = Annotated[
    Path | None,
    typer.Option(help="Write run 0 of each policy and scenario into this directory.", show_default=False),
]


def simulate(
    policy: Annotated[str, typer.Argument(help=_POLICY)],
    scenario: Scenarios,
    runs: Runs = 400,
    seed: Seed = 1,
    jobs: Jobs = None,
    dask: Dask = None,
    keep: Keep = None,
    argo: ArgoOption = Argo.MASTER,
    output: Form = Output.TABLE,
    out: Out = None,
    trace: TraceFile = None,
    plot: Plot = None,
) -> None:
    """Play one policy: how often it stops a release, how soon, and what that costs.

    --plot draws run 0 of the first scenario over time; compare draws rates and costs.
    """
    check_output(output, out, plot, trace)
    start(jobs, dask, runs)
    from rolloutsim.cli import inputs
    from rolloutsim.sim import run
    from rolloutsim.trace import write_trace

    chosen, worlds = inputs.one_policy(policy, argo), inputs.scenarios(scenario)
    with workers(dask, keep) as using, progress(chosen.name) as tick:
        if len(worlds) == 1:
            results = run.simulate(
                chosen,
                worlds[0],
                runs=runs,
                seed=seed,
                jobs=jobs,
                executor=using.executor,
                progress=tick,
                keep=using.keep,
            )
        else:
            results = run.compare(
                [chosen],
                worlds,
                runs=runs,
                seed=seed,
                jobs=jobs,
                executor=using.executor,
                progress=tick,
                keep=using.keep,
            )
    if trace is not None or plot is not None:
        with progress("run 0") as tick:
            manifest, records = run.trace_run(chosen, worlds[0], seed=seed, progress=tick)
        if trace is not None:
            with writing(trace):
                write_trace(trace, manifest, records)
        if plot is not None:
            from rolloutsim.plots import plot_timeline

            save_figure(plot_timeline((manifest, records)), plot)
    write_results(results, output, out)


def compare(
    policy: Annotated[list[str], typer.Argument(help=_POLICY)],
    scenario: ManyScenarios = None,
    runs: Runs = 400,
    seed: Seed = 1,
    jobs: Jobs = None,
    dask: Dask = None,
    keep: Keep = None,
    argo: ArgoOption = Argo.MASTER,
    output: Form = Output.TABLE,
    out: Out = None,
    trace: TraceDirectory = None,
    plot: Plot = None,
    sensitivity: Sensitivity = None,
) -> None:
    """Play several policies in the same worlds: what each stops, lets through and costs.

    In place of policies and scenarios, a file or directory of choices (scenarios/choosing): advice, judged.
    """
    from rolloutsim.cli.choosing import are_choices, compare_choices

    check_output(output, out, plot)
    if not scenario and are_choices(policy):
        if keep or trace or plot or sensitivity or argo is not Argo.MASTER:
            raise InputError(
                "choices are judged as they stand: no --keep, --trace, --plot, --sensitivity or --argo",
                fix="leave these out",
            )
        start(jobs, dask, runs)
        with executor(jobs, dask) as players:
            compare_choices(policy, runs=runs, seed=seed, executor=players, output=output, out=out)
        return
    if not scenario:
        raise typer.BadParameter("Missing option '--scenario' / '-s'.")
    start(jobs, dask, runs)
    from rolloutsim.cli import inputs
    from rolloutsim.sim import run
    from rolloutsim.trace import write_trace

    chosen, worlds = inputs.policies(policy, argo), inputs.scenarios(scenario)
    with workers(dask, keep) as using, progress("playing") as tick:
        results = run.compare(
            chosen,
            worlds,
            runs=runs,
            seed=seed,
            jobs=jobs,
            executor=using.executor,
            progress=tick,
            keep=using.keep,
        )
    if trace is not None:
        for one in chosen:
            for world in worlds:
                path = trace / f"{_file_name(one.name)}@{_file_name(world.name)}.jsonl"
                with writing(path):
                    trace.mkdir(parents=True, exist_ok=True)
                    write_trace(path, *run.trace_run(one, world, seed=seed))
    if plot is not None:
        from rolloutsim.plots import plot_comparison

        save_figure(plot_comparison(results), plot)
    if output in (Output.TABLE, Output.JSON):
        files = inputs.scenario_files(scenario)
        results = _varied(results, chosen, files, sensitivity, runs, seed, jobs, dask)
    write_results(results, output, out)


def _varied(
    results: Results,
    policies: Sequence[Policy],
    files: Sequence[str],
    wanted: bool | None,
    runs: int,
    seed: int,
    jobs: int | None,
    dask: str | None,
) -> Results:
    """The results with what moves them most, if that is wanted, or takes half as many runs again."""
    from rolloutsim.evidence.sensitivity import RUNS, runs_within, with_sensitivity

    each = RUNS if wanted else runs_within(runs * len(policies) * len(files) // 2, policies, files)
    if wanted is False or each == 0:
        return results
    with executor(jobs, dask) as players, progress("varying what is assumed") as tick:
        return with_sensitivity(
            results, policies, files, runs=each, seed=seed, executor=players, progress=tick
        )


def _file_name(name: str) -> str:
    return name.replace("/", "_")
