"""``calibrate``: a service's description, measured; and how often a policy stops it for nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption, one_policy
from rolloutsim.cli.output import check_files, progress, writing
from rolloutsim.cli.recording import FILES, authorization, read_instant, read_length, read_recording
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from rolloutsim.evidence.calibration import Calibration, FalseAborts, Source
    from rolloutsim.policy.model import Policy

__all__ = ["calibrate"]

_REQUESTS = "The counter of its requests, where it is none of a known exporter: a selector."
_BY = "With --aa: a label that tells versions apart; may be repeated."
_AA = "Also start this policy at many times of the history with nothing new, and count its aborts."


def calibrate(
    service: Annotated[str, typer.Option("--service", help="Its name in the metrics.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="The description to write (.yaml).", show_default=False)
    ],
    prometheus: Annotated[str | None, typer.Option(help="Address of the server.", show_default=False)] = None,
    trace: Annotated[Path | None, typer.Option("--trace", "-t", help=FILES, show_default=False)] = None,
    last: Annotated[str, typer.Option(help="How much of the history: 14d, 36h.")] = "14d",
    end: Annotated[
        str | None,
        typer.Option(
            "--to", help="RFC 3339, or Unix seconds.", show_default="now; of a file, its last sample"
        ),
    ] = None,
    requests: Annotated[str, typer.Option(help=_REQUESTS, show_default=False)] = "",
    errors: Annotated[
        str, typer.Option(help="With --requests: the counter of those that failed.", show_default=False)
    ] = "",
    latency: Annotated[
        str,
        typer.Option(help="With --requests: the histogram, without _bucket, in seconds.", show_default=False),
    ] = "",
    pod_label: Annotated[
        str, typer.Option(help="The label that tells pods apart.", show_default="pod or instance")
    ] = "",
    aa: Annotated[str | None, typer.Option(help=_AA, show_default=False)] = None,
    by: Annotated[
        list[str] | None, typer.Option(help=_BY, show_default="those that its queries fill with a pod hash")
    ] = None,
    starts: Annotated[int, typer.Option(min=2, help="With --aa: from how many times at most.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="With --aa: root of the coins.")] = 1,
    bearer_file: Annotated[
        Path | None, typer.Option(help="A file that holds a bearer token.", show_default=False)
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Authorities to trust, PEM; else the system's.", show_default=False)
    ] = None,
    argo: ArgoOption = Argo.MASTER,
) -> None:
    """Measure a service: its traffic, errors, latency and scrapes, as a file that --service of others takes.

    Each value says from where it is; what could not be measured stays at its default, and is listed.
    """
    from rolloutsim.evidence.calibration import calibrate as measure
    from rolloutsim.evidence.calibration import given_reads, write_service

    if (prometheus is None) == (trace is None):
        raise InputError("the history comes from one place", fix="give --prometheus or --trace")
    if (errors or latency) and not requests:
        raise InputError("--errors and --latency come with --requests", fix="add --requests")
    if out.suffix not in (".yaml", ".yml"):
        raise InputError("a description is a YAML file", value=str(out), fix="let its name end in .yaml")
    check_files(out)
    policy = one_policy(aa, argo) if aa is not None else None
    with _source(prometheus, trace, bearer_file, ca_file) as (source, known):
        first_ms, last_ms = _stretch(last, end, known)
        reads = given_reads(requests, errors, latency) if requests else None
        with progress("measuring") as show:
            found = measure(
                source, service, first_ms, last_ms, reads=reads, pod=pod_label, progress=show or _silent
            )
        with writing(out):
            written = write_service(found, out)
        typer.echo(_told(found, written), err=True)
        if policy is not None:
            answer = _of_nothing(policy, source, first_ms, last_ms, by or (), found.pod_label, starts, seed)
            sys.stdout.write(_verdict(answer))


def _of_nothing(
    policy: Policy,
    source: Source,
    first_ms: int,
    last_ms: int,
    by: Sequence[str],
    pod: str,
    starts: int,
    seed: int,
) -> FalseAborts:
    """What becomes of the policy's releases of nothing."""
    from rolloutsim.evidence.calibration import false_aborts

    with progress("starting a release of nothing") as show:
        return false_aborts(
            policy,
            source,
            first_ms,
            last_ms,
            by=tuple(by),
            pod=pod,
            starts=starts,
            seed=seed,
            progress=show or _silent,
        )


@contextmanager
def _source(
    prometheus: str | None, trace: Path | None, bearer_file: Path | None, ca_file: Path | None
) -> Iterator[tuple[Source, tuple[int, int] | None]]:
    """Where the history is, and the times (ms) of its first and last sample, if they are known."""
    from rolloutsim.evidence.calibration import ServerSource, StoreSource
    from rolloutsim.evidence.recorded import Recorder
    from rolloutsim.prometheus import Server

    if trace is not None:
        recording = read_recording(trace)
        yield StoreSource(recording.store, trace.name), (recording.first_ms, recording.last_ms)
        return
    assert prometheus is not None
    server = Server(prometheus, authorization(bearer_file), ca_file=str(ca_file or ""))
    with closing(Recorder(server)) as client:
        yield ServerSource(client, server.shown), None


def _stretch(last: str, end: str | None, known: tuple[int, int] | None) -> tuple[int, int]:
    """First and last time in ms."""
    length = read_length(last)
    if not length:
        raise InputError("--last is no time of more than 0", value=last, fix="write 14d, 36h")
    if end is not None:
        last_ms = read_instant(end, "--to")
    elif known is not None:
        last_ms = known[1]
    else:
        last_ms = int(datetime.now(UTC).timestamp() * 1000)  # noqa: TID251 - which history is meant
    return max(last_ms - length, known[0] if known is not None else 0), last_ms


def _told(found: Calibration, written: Sequence[Path]) -> str:
    """What was measured and what was not, for the person who asked."""
    from rolloutsim.promql.intake import rfc3339_text

    lines = [f"{found.valid} of {found.cells} counts of a minute or more are whole"]
    for one in found.values:
        if one.path == "traffic.recorded.file":
            lines.append(f"measured: traffic by time of day, mean {one.number:.4g} requests/s")
        else:
            error = f" (standard error {one.error:.2g})" if one.error is not None else ""
            lines.append(f"measured: {one.path} {one.text}{error}")
    if found.gaps:
        shown = ", ".join(f"{rfc3339_text(a)} to {rfc3339_text(b)}" for a, b in found.gaps[:3])
        lines.append(
            f"{len(found.gaps)} gaps without any sample: {shown}" + (", ..." if found.gaps[3:] else "")
        )
    if found.releases.changes:
        lines.append(f"warning: {found.releases}")
    lines += [f"not measured: {sentence}" for sentence in found.absent]
    lines.append(f"wrote {', '.join(str(path) for path in written)}")
    return "\n".join(lines)


def _verdict(found: FalseAborts) -> str:
    """The rate of false aborts, with what it rests on."""
    if found.rate.value is None:
        lines = [
            f"policy {found.policy}: no release of nothing came to its end, so nothing is known",
            *_left_out(found),
        ]
    else:
        lines = [
            f"policy {found.policy}: {found.aborted} of {found.starts} releases of nothing aborted, "
            f"{100 * found.rate.value:.3g} %",
            *_intervals(found),
            *_rests_on(found),
        ]
    return "\n".join(lines) + "\n"


def _intervals(found: FalseAborts) -> Iterator[str]:
    rate, plain = found.rate, found.independent
    if rate.low is not None and rate.high is not None:
        yield (
            f"  95 % interval {100 * rate.low:.2g} % to {100 * rate.high:.2g} %, "
            f"the {found.days} days as clusters"
        )
    else:
        yield f"  {found.days} days are too few for an interval that lets days differ (5)"
    if plain.low is not None and plain.high is not None:
        yield (
            f"  if days did not differ, {100 * plain.low:.2g} % to {100 * plain.high:.2g} %: "
            f"{found.starts} starts of {found.rollout_ms / 60_000:.0f} min, none at the same time as another"
        )


def _rests_on(found: FalseAborts) -> Iterator[str]:
    pods = f"{found.pods} pods" if found.pods > 1 else "one pod, since series do not tell pods apart"
    yield f"  the canary: requests drawn at random, of pods drawn at random from {pods}"
    yield from _left_out(found)
    if not found.by:
        yield "  its queries do not tell versions apart: they read all requests"
    for reason, count in found.reasons:
        yield f"  {count} times: {reason}"
    if found.passing:
        yield f"  no queries, so taken to pass always: {', '.join(found.passing)}"
    yield "  assumed: pods are ready after 10 s, people promote after 10 min, no pod is cold"


def _left_out(found: FalseAborts) -> Iterator[str]:
    if found.released or found.cut:
        yield (
            f"  left out: {found.released} starts in which two versions got requests, {found.cut} with "
            "a hole or the end of the history"
        )


def _silent(done: int, total: int) -> None:
    """Nobody looks."""
