"""``query`` and ``serve``: ask a rollout that is over any question, here or as from its Prometheus."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.output import Output, check_output, save_figure, writing
from rolloutsim.cli.recording import FILES, Recording, read_length, read_moment, read_recording
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from rolloutsim.promql import Query, Result

__all__ = ["Form", "query", "serve"]

_TIME = "RFC 3339, Unix seconds, or since the release: 10m, +10m, -5m."
_POINTS = 250
"""Times of a range query without a step, as in Prometheus' own pages."""


class Form(StrEnum):
    """Forms of an answer; csv and openmetrics hold samples that can be loaded elsewhere."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    OPENMETRICS = "openmetrics"


LeftClosed = Annotated[
    bool, typer.Option("--left-closed", help="Ranges hold samples at their very start, as in Prometheus 2.")
]


def query(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="A PromQL query.")],
    trace: Annotated[Path, typer.Option("--trace", "-t", help=FILES, show_default=False)],
    at: Annotated[
        str | None, typer.Option(help=f"When. {_TIME}", show_default="the last sample's time")
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", help="First time of a range query.", show_default="the first sample's"),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", help="Last time of a range query.", show_default="the last sample's"),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(help="Distance of its times: 15s, 1m.", show_default=f"a {_POINTS}th, in seconds"),
    ] = None,
    output: Annotated[
        Form,
        typer.Option("--output", "-o", help="table, json as Prometheus' API, csv in long form, openmetrics."),
    ] = Form.TABLE,
    out: Annotated[Path | None, typer.Option(help="Write to this file.", show_default=False)] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write a figure of a range query: PNG, SVG or PDF.", show_default=False),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the values, for the figure.", show_default=False)] = "",
    left_closed: LeftClosed = False,
) -> None:
    """Ask a trace or recorded samples a PromQL query, at one time or over time.

    Any of --from, --to, --step and --plot makes it a range query. All samples as they were scraped:
    '{__name__=~".+"}[1y]' -o openmetrics.
    """
    check_output(Output.TABLE, out, plot)
    ranged = any(given is not None for given in (first, last, step, plot))
    if ranged and at is not None:
        raise InputError("--at is one time and --from, --to, --step, --plot are many", fix="choose")
    from rolloutsim.cli.answer import render_answer
    from rolloutsim.promql import Matrix, compile_query

    compiled, recording = compile_query(expression), read_recording(trace)
    when = _times(recording, first, last, step) if ranged else _time(recording, at)
    answer = when.ask(compiled, recording, left_closed)
    if plot is not None and isinstance(answer, Matrix):
        from rolloutsim.plots.answer import plot_answer

        save_figure(plot_answer(answer, query=expression, unit=unit, start_ms=recording.start_ms), plot)
    pieces = render_answer(answer, when.last_ms, recording.start_ms, output)
    if out is None:
        sys.stdout.writelines(pieces)
    else:
        with writing(out), out.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces)


def serve(
    trace: Annotated[Path, typer.Argument(help=FILES)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 9099,
    left_closed: LeftClosed = False,
) -> None:
    """Answer Prometheus' query API over a trace or recorded samples, until Ctrl-C.

    For Grafana, promtool query and scripts on this machine: /api/v1/query, query_range, series, labels.
    A query without a time is asked at the last sample's.
    """
    recording = read_recording(trace)
    from rolloutsim.promql.intake import rfc3339_text
    from rolloutsim.serve import QueryApi, QueryServer

    try:
        server = QueryServer(QueryApi(recording.store, left_closed=left_closed), port)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be taken: {error.strerror}", fix="choose another with --port"
        ) from None
    with server:
        typer.echo(server.url)
        span = f"{rfc3339_text(recording.first_ms)} to {rfc3339_text(recording.last_ms)}"
        typer.echo(f"{len(recording.store)} series from {span}; Ctrl-C ends", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended", err=True)


@dataclass(frozen=True, slots=True)
class _Times:
    """The times (ms) of a query: one, without a step, or many."""

    first_ms: int
    last_ms: int
    step_ms: int | None

    def ask(self, compiled: Query, recording: Recording, left_closed: bool) -> Result:
        if self.step_ms is None:
            compiled.refuse_excess(recording.store)
            return compiled.evaluate(recording.store, self.last_ms, left_closed=left_closed)
        return compiled.evaluate_range(
            recording.store, self.first_ms, self.last_ms, self.step_ms, left_closed=left_closed
        )


def _time(recording: Recording, at: str | None) -> _Times:
    at_ms = recording.last_ms if at is None else read_moment(at, recording, "--at")
    return _Times(at_ms, at_ms, None)


def _times(recording: Recording, first: str | None, last: str | None, step: str | None) -> _Times:
    first_ms = recording.first_ms if first is None else read_moment(first, recording, "--from")
    last_ms = recording.last_ms if last is None else read_moment(last, recording, "--to")
    if last_ms < first_ms:
        raise InputError("--to is before --from", value=last, fix="exchange them")
    if step is None:
        return _Times(first_ms, last_ms, 1000 * max(1, -(-(last_ms - first_ms) // (1000 * _POINTS))))
    length = read_length(step)
    if length is None and step.isascii() and step.isdigit():
        length = 1000 * int(step)
    if not length:
        raise InputError("--step is no time of more than 0", value=step, fix="give seconds, or 15s, 1m")
    return _Times(first_ms, last_ms, length)
