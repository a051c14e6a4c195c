"""``power``: what the gates of a policy can see, by effect and traffic."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption
from rolloutsim.cli.output import Output, check_output, progress, save_figure, writing
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from rolloutsim.estimates import Estimate
    from rolloutsim.evidence.power import Curve, Power

__all__ = ["power"]

WIDTH = 100


def power(
    policy: Annotated[
        str,
        typer.Argument(help="A manifest of a rollout; a.yaml,b.yaml belong together.", show_default=False),
    ],
    service: Annotated[
        str, typer.Option("--service", "-s", help="A service file (ServiceModel).", show_default=False)
    ],
    ratio: Annotated[
        str,
        typer.Option(help="Rates of bad requests to try, times the stable version's; 1 is a good release."),
    ] = "1,1.5,2,3,5",
    traffic: Annotated[str, typer.Option(help="Traffic levels to try, times the service's.")] = "0.25,1,4",
    runs: Annotated[
        int, typer.Option(min=0, help="Runs of the whole policy for each pair; 0 leaves it out.")
    ] = 100,
    streams: Annotated[int, typer.Option(min=10, help="Streams that each gate is fed for each pair.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Root of all randomness.")] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes.", show_default="all cores")
    ] = None,
    argo: ArgoOption = Argo.MASTER,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    out: Annotated[
        Path | None, typer.Option(help="Write the output to this file.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a figure: PNG, SVG or PDF.", show_default=False)
    ] = None,
) -> None:
    """How small an effect the gates of a policy see at this traffic, how soon, and at what cost.

    Each gate by itself, and the whole policy played. Caught at a ratio of 1 is a false abort.
    """
    if output not in (Output.TABLE, Output.JSON):
        raise InputError("power writes a table or json", value=output.value)
    check_output(output, out, plot)
    ratios, levels = _numbers("--ratio", ratio), _numbers("--traffic", traffic)
    from rolloutsim.cli import inputs
    from rolloutsim.evidence import power as evidence
    from rolloutsim.sim.scenario_file import load_service

    chosen = inputs.one_policy(policy, argo)
    world = load_service(service)
    with progress(chosen.name) as tick:
        found = evidence.power(
            chosen,
            world,
            ratios=ratios,
            traffic=levels,
            runs=runs,
            streams=streams,
            seed=seed,
            jobs=jobs,
            progress=tick,
        )
    if plot is not None:
        _draw(found, plot)
    text = json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n"
    if output is Output.TABLE:
        text = _table(found)
    if out is None:
        sys.stdout.write(text)
    else:
        with writing(out):
            out.write_text(text, encoding="utf-8", newline="\n")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} is a list of numbers", value=text, fix="for example 1,2,5") from None
    return tuple(sorted(dict.fromkeys(numbers)))


def _draw(found: Power, path: Path) -> None:
    from rolloutsim.plots.detection import Detection, plot_detection

    points = [
        Detection(_title(curve), cell.traffic_rps, cell.ratio, cell.caught, cell.minutes, cell.bad_requests)
        for curve in found.curves
        for cell in curve.cells
    ]
    if not points:
        raise InputError("there is no curve to draw", fix="play the whole policy: --runs 100")
    save_figure(plot_detection(points), path)


def _title(curve: Curve) -> str:
    return f"gate {curve.name} ({curve.test})" if curve.test else curve.name


# --- text -------------------------------------------------------------------------------------------


def _table(found: Power) -> str:
    lines: list[str] = []
    for curve in found.curves:
        lines += [*_head(curve), *_rows(curve), ""]
    lines.append("Rates and means with 95 % intervals; caught at 1x is a false abort.")
    lines.append("")
    for note in found.notes:
        lines += textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines) + "\n"


def _head(curve: Curve) -> list[str]:
    if not curve.test:
        return [f"{curve.name}, played"]
    head = f"{_title(curve)}: looks {curve.looks} for up to {curve.minutes_planned:g} min"
    if curve.one_look_requests is None:
        return [head]
    return [
        head,
        f"  (a test with one look needs {curve.one_look_requests:,} canary requests for its smallest effect)",
    ]


def _rows(curve: Curve) -> list[str]:
    titles = ["requests/s", "bad rate", "caught %", "after min", "bad requests"]
    gate = bool(curve.test)
    if gate:
        titles.append("undecided %")
    rows = [titles]
    last = None
    for cell in curve.cells:
        level = _number(cell.traffic_rps) if cell.traffic_rps != last else ""
        last = cell.traffic_rps
        row = [
            level,
            f"{cell.rate:.3g} ({cell.ratio:g}x)"
            if cell.rate < 1e-3
            else f"{cell.rate:.2%} ({cell.ratio:g}x)",
            _estimate(cell.caught, 100.0),
            _estimate(cell.minutes),
            _estimate(cell.bad_requests),
        ]
        if cell.undecided is not None:
            row.append(_estimate(cell.undecided, 100.0))
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    return ["  " + "  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True)) for row in rows]


def _estimate(estimate: Estimate, unit: float = 1.0) -> str:
    if estimate.value is None:
        return "–"
    value = _number(estimate.value * unit)
    if estimate.low is None or estimate.high is None:
        return value
    low, high = _number(estimate.low * unit), _number(estimate.high * unit)
    return value if low == high == value else f"{value} ({low}–{high})"


def _number(value: float) -> str:
    if abs(value) >= 999.5:  # else three digits have an exponent
        return f"{value / 1000:.3g}k"
    return f"{value:.3g}" if abs(value) >= 0.05 or value == 0 else f"{value:.1g}"
