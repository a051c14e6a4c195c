"""``record``: the series of a past rollout, from a Prometheus server into a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rolloutsim.cli.output import check_files, writing
from rolloutsim.cli.recording import authorization, read_instant
from rolloutsim.errors import InputError

__all__ = ["record"]

_BY = "The label that tells versions apart: the one by which the policies' queries do."
_MATCH = 'A selector of what to take, such as http_requests_total{service="api"}; may be repeated.'
_POLICY = "Also take what these policies read, of all versions; may be repeated."


def record(
    prometheus: Annotated[str, typer.Option(help="Address of the server.", show_default=False)],
    start: Annotated[str, typer.Option("--from", help="RFC 3339, or Unix seconds.", show_default=False)],
    end: Annotated[str, typer.Option("--to", help="RFC 3339, or Unix seconds.", show_default=False)],
    by: Annotated[str, typer.Option(help=_BY, show_default=False)],
    out: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write.", show_default=False)],
    match: Annotated[list[str] | None, typer.Option(help=_MATCH, show_default=False)] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help=_POLICY, show_default=False)
    ] = None,
    requests: Annotated[str, typer.Option(help="The counter of requests.")] = "http_requests_total",
    bearer_file: Annotated[
        Path | None, typer.Option(help="A file that holds a bearer token.", show_default=False)
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Authorities to trust, PEM; else the system's.", show_default=False)
    ] = None,
) -> None:
    """Record the series of a past rollout, for 'rolloutsim replay'.

    Samples are taken as they were scraped, from 15 minutes before. What looks like a secret or a person in a
    label is replaced by a number. Nothing on the server is changed.
    """
    check_files(out)
    from rolloutsim.cli.inputs import policies
    from rolloutsim.evidence.recorded import Recorder, record_bundle, selectors_of
    from rolloutsim.prometheus import Server
    from rolloutsim.trace import write_trace

    wanted = [*(match or ()), *selectors_of(policies(policy), by)] if policy else list(match or ())
    if not wanted:
        raise InputError(
            "nothing says what to take", fix="name series with --match, or policies with --policy"
        )
    server = Server(prometheus, authorization(bearer_file), ca_file=str(ca_file or ""))
    client = Recorder(server)
    try:
        manifest, samples = record_bundle(
            client,
            server.shown,
            wanted,
            read_instant(start, "--from"),
            read_instant(end, "--to"),
            by,
            requests,
        )
    finally:
        client.close()
    with writing(out):
        write_trace(out, manifest, samples)
    told = (
        f"{len(samples)} samples",
        f"{by} {', '.join(manifest['values'])}",
        f"every {manifest['interval_ms'] / 1000:g} s with {len(manifest['gaps'])} gaps",
        f"{sum(manifest['redacted'].values())} values of labels redacted",
        f"{out.stat().st_size / 1e6:.1f} MB",
    )
    sys.stderr.write("; ".join(told) + "\n")
