"""Results and figures to standard output and files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rolloutsim.tables import Results

__all__ = ["Output", "check_files", "check_output", "progress", "save_figure", "write_results", "writing"]

_FIGURES = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}
"""Kinds of figures, and the metadata that would make two equal figures differ."""


class Output(StrEnum):
    """Forms of results: the summary as table or JSON, or one row per run as CSV or Parquet."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def check_output(output: Output, out: Path | None, plot: Path | None, trace: Path | None = None) -> None:
    """Refuse what cannot be written, before anything is played."""
    if output is Output.PARQUET and out is None:
        raise InputError("parquet is not text", fix="name a file with --out")
    if plot is not None and plot.suffix not in _FIGURES:
        raise InputError(
            "a figure is PNG, SVG or PDF",
            at=Position(str(plot)),
            fix=f"let its name end in {', '.join(_FIGURES)}",
        )
    check_files(out, plot, trace)


def check_files(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before there is something to write."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise InputError("this is a directory", at=Position(str(path)), fix="name a file in it")
        if not path.parent.is_dir():
            raise InputError(
                "the directory does not exist", at=Position(str(path)), fix=f"make {path.parent}"
            )


def write_results(results: Results, output: Output, out: Path | None) -> None:
    """Write to ``out``, or to standard output."""
    if output is Output.PARQUET:
        assert out is not None
        with writing(out):
            _parquet(results, out)
        return
    text = _text(results, output)
    if out is None:
        sys.stdout.write(text)
    else:
        with writing(out):
            out.write_text(text, encoding="utf-8", newline="\n")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes."""
    from rolloutsim.plots.style import styled

    with writing(path), styled():
        figure.savefig(path, metadata={_FIGURES[path.suffix]: None})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A file that cannot be written is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise InputError(f"the file cannot be written: {error.strerror}", at=Position(str(path))) from error


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, if that is a terminal: a function of (done, in all)."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _text(results: Results, output: Output) -> str:
    if output is Output.JSON:
        return json.dumps(results.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if output is Output.CSV:
        return results.runs.to_csv(index=False, lineterminator="\n")
    from rolloutsim.cli.table import render

    return render(results)


def _parquet(results: Results, path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("writing parquet needs pyarrow", fix="pip install 'rolloutsim[parquet]'") from None
    results.runs.to_parquet(path, index=False)
