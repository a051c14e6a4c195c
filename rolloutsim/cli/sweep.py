"""``sweep``: play a policy on a grid of values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption, dialect
from rolloutsim.cli.output import progress, writing
from rolloutsim.cli.play import Jobs, Runs, Scenarios, Seed
from rolloutsim.cli.workers import Dask, start, workers

if TYPE_CHECKING:
    from rolloutsim.estimates import Estimate
    from rolloutsim.sim.sweep import Sweep
    from rolloutsim.tables import Summary

__all__ = ["sweep"]

_SET = (
    "policy:PATH=VALUE,VALUE or scenario:PATH=VALUE,VALUE, with paths as messages print them; may be "
    "repeated. policy:KIND/NAME:PATH names one document of several."
)


def sweep(
    policy: Annotated[
        str,
        typer.Argument(help="A manifest of a rollout; a.yaml,b.yaml belong together.", show_default=False),
    ],
    scenario: Scenarios,
    set_: Annotated[list[str], typer.Option("--set", metavar="AXIS", help=_SET, show_default=False)],
    out: Annotated[Path, typer.Option(help="Directory for runs and cells.", show_default=False)],
    runs: Runs = 400,
    seed: Seed = 1,
    jobs: Jobs = None,
    dask: Dask = None,
    argo: ArgoOption = Argo.MASTER,
) -> None:
    """Play one policy on a grid: what changes when values of its file, or of a scenario's, do.

    Writes DIRECTORY/cells.csv and cells.json, one row per cell, and prints the table. Runs are kept in
    DIRECTORY/chunks as they are played: when it is stopped, the same command goes on where it was, and a
    command with more values or more runs plays only what is new.
    """
    start(jobs, dask, runs)
    from rolloutsim.cli import inputs
    from rolloutsim.cli.table import without_interval
    from rolloutsim.sim import sweep as sweeps

    axes = [sweeps.read_axis(one) for one in set_]
    files = inputs.scenario_files(scenario)
    grid = sweeps.grid(policy.split(","), files, axes, dialect=dialect(argo))
    with workers(dask, out / "chunks") as using, progress(f"{len(grid.cells)} cells") as tick:
        found = sweeps.sweep(
            grid, runs=runs, seed=seed, jobs=jobs, executor=using.executor, progress=tick, keep=using.keep
        )
    _write(found, out)
    typer.echo("\n".join(_table(found)))
    rows = found.results.rows
    typer.echo("".join(f"{one}\n" for one in without_interval(_estimates(rows))), nl=False)
    typer.echo(f"{found.results.notes[0]};\nwhat it rests on stands in {out / 'cells.json'}")


def _table(found: Sweep) -> Iterator[str]:
    """A line per cell: the value of each axis, how often the release was stopped, and what that cost."""
    content = found.to_json()
    axes = list(content["axes"])
    head = [*map(_short, axes), "stopped %", "bad requests", "duration s"]
    origins = {world.name: name for world, name, _ in found.grid.scenario_variants}
    if len(found.grid.scenarios) > 1:
        head.insert(0, "scenario")
    lines = [head]
    for row in content["summary"]:
        measured = [(row["p_abort"], 100.0), (row["bad_requests"], 1.0), (row["duration_s"], 1.0)]
        line = [*row["set"].values(), *(_shown(estimate, scale) for estimate, scale in measured)]
        lines.append([origins[row["scenario"]], *line] if head[0] == "scenario" else line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _estimates(rows: Iterable[Summary]) -> Iterator[Estimate | None]:
    for row in rows:
        yield from (row.p_abort, row.bad_requests, row.duration_s)


def _short(axis: str) -> str:
    """The end of a path, with the place in a list that it may stand in: ``steps[0].setWeight``."""
    *above, last = axis.rpartition(":")[2].split(".")
    return f"{above[-1]}.{last}" if above and above[-1].endswith("]") else last


def _shown(estimate: Mapping[str, float | None] | None, scale: float) -> str:
    """A value and its interval, as far as the runs say them."""
    given = [None if estimate is None else estimate[part] for part in ("value", "low", "high")]
    value, *bounds = ("–" if one is None else f"{scale * one:.4g}" for one in given)
    low, high = bounds
    return value if "–" in (low, high) or value == low == high else f"{value} ({low}–{high})"


def _write(found: Sweep, directory: Path) -> None:
    text = json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (
        ("cells.json", text),
        ("cells.csv", found.to_frame().to_csv(index=False, lineterminator="\n")),
    ):
        path = directory / name
        with writing(path):
            path.write_text(content, encoding="utf-8", newline="\n")
