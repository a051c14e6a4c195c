"""``report``: one file for people who were not there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rolloutsim.cli.output import Output, check_output, writing

__all__ = ["report"]


def report(
    file: Annotated[Path, typer.Argument(help="A trace, or results written with -o json.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file.")] = Path("report.html"),
) -> None:
    """Write a self-contained HTML page: verdict, numbers, figures, and what they rest on."""
    from rolloutsim.report import report as html

    check_output(Output.TABLE, out, None)
    text = html(file)
    with writing(out):
        out.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"wrote {out}", err=True)
