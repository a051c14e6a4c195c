"""``vet``: may this policy run? Bars judged by confidence bounds, and a certificate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.output import Output, check_output, progress, writing
from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolloutsim.evidence.nearest import Search
    from rolloutsim.evidence.vet import Vetting
    from rolloutsim.permit import Envelope

__all__ = ["vet"]

EXIT_CODES = {"passed": 0, "failed": 1, "inconclusive": 3}


class Form(StrEnum):
    """Forms of a vetting on standard output."""

    TABLE = "table"
    JSON = "json"


def vet(
    policy: Annotated[
        str,
        typer.Argument(help="A manifest of a rollout; a.yaml,b.yaml belong together.", show_default=False),
    ],
    service: Annotated[
        Path, typer.Option("--service", "-s", help="The service: a ServiceModel.", show_default=False)
    ],
    suite: Annotated[
        Path | None, typer.Option(help="A directory of fault files.", show_default="the standard suite")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help="A bar: p_detect>=0.95@err-step-2pp; may be repeated.", show_default="the default bars"
        ),
    ] = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            help="Accept a bar's verdict: p_detect@err-step-2pp=REASON; may be repeated.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Root of all randomness: the same seed, the same verdict.")
    ] = 1,
    max_runs: Annotated[int, typer.Option(min=1, help="Runs of one scenario at most.")] = 1600,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes; no influence on results.", show_default="all cores"),
    ] = None,
    suggest: Annotated[bool, typer.Option(help="Look for the nearest passing change if it fails.")] = True,
    output: Annotated[Form, typer.Option("--output", "-o", help="table or json.")] = Form.TABLE,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.", show_default=False)] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF.", show_default=False)] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Append Markdown, as for a job summary.", show_default=False)
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Write a certificate of what was found.", show_default=False)
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="Sign it with this Ed25519 key (PEM).", show_default=False)
    ] = None,
    valid: Annotated[str, typer.Option(help="How long the certificate counts.")] = "720h",
    cluster: Annotated[
        list[str] | None,
        typer.Option(help="A cluster in which it counts; may be repeated.", show_default="any"),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="A namespace in which it counts.", show_default="any"),
    ] = None,
) -> None:
    """Vet a policy: bars on a suite of faults, judged by confidence bounds; may it run?

    Exit code 0: passed; 1: failed; 2: wrong input; 3: inconclusive, more runs (--max-runs) may tell.
    """
    for path in (junit, sarif, summary, certificate):
        check_output(Output.TABLE, path, None)
    valid_for, key = _valid(valid), _key(sign, certificate)

    vetting, search = _vetted(policy, service, suite, require, waive, seed, max_runs, jobs, suggest)
    _write_reports(vetting, search, policy.split(","), junit, sarif, summary)
    if certificate is not None:
        _certify(vetting, certificate, key, valid_for, cluster or (), namespace or ())
    _print(vetting, search, output)
    raise typer.Exit(EXIT_CODES[vetting.verdict])


def _vetted(
    policy: str,
    service: Path,
    suite: Path | None,
    require: Sequence[str] | None,
    waive: Sequence[str] | None,
    seed: int,
    max_runs: int,
    jobs: int | None,
    suggest: bool,
) -> tuple[Vetting, Search | None]:
    from rolloutsim.cli.inputs import one_policy
    from rolloutsim.evidence.bars import DEFAULT_BARS, bars_on, default_left_out
    from rolloutsim.evidence.nearest import nearest_passing
    from rolloutsim.evidence.playing import players
    from rolloutsim.evidence.suite import chosen_suite
    from rolloutsim.evidence.verdict import Verdict
    from rolloutsim.evidence.vet import vet_with
    from rolloutsim.evidence.waivers import read_waiver

    chosen = one_policy(policy)
    faults = chosen_suite(service, suite)
    bars = bars_on(faults, tuple(require) if require else DEFAULT_BARS)
    waivers = [read_waiver(text) for text in waive or ()]
    search = None
    with players(jobs) as player:
        with progress(f"vetting {chosen.name}") as tick:
            vetting = vet_with(
                player,
                chosen,
                faults,
                bars,
                waivers=waivers,
                seed=seed,
                max_runs=max_runs,
                progress=tick or _line,
            )
        if suggest and vetting.verdict is Verdict.FAILED:
            typer.echo("failed: looking for the nearest passing change", err=True)
            search = nearest_passing(player, chosen, faults, vetting, max_runs=max_runs)
    unasked = () if require else default_left_out(faults)
    if unasked:
        note = (
            f"default bars not asked, since suite {faults.name} lacks their scenarios: {', '.join(unasked)}"
        )
        vetting = replace(vetting, notes=(*vetting.notes, note))
    return vetting, search


def _line(done: int, total: int) -> None:
    """A line for each look, where there is no terminal to draw a bar on."""
    if done == total:
        typer.echo(f"{done} runs", err=True)


def _write_reports(
    vetting: Vetting,
    search: Search | None,
    files: Sequence[str],
    junit: Path | None,
    sarif: Path | None,
    summary: Path | None,
) -> None:
    from rolloutsim.cli import vet_reports
    from rolloutsim.cli.vet_table import markdown

    if junit is not None:
        with writing(junit):
            junit.write_text(vet_reports.junit(vetting), encoding="utf-8", newline="\n")
    if sarif is not None:
        log = vet_reports.sarif(vetting, search, files)
        with writing(sarif):
            text = json.dumps(log, indent=2, ensure_ascii=False) + "\n"
            sarif.write_text(text, encoding="utf-8", newline="\n")
    if summary is not None:
        # appended, as other steps of a job write to the same file
        with writing(summary), summary.open("a", encoding="utf-8", newline="\n") as file:
            file.write(markdown(vetting, search))


def _certify(
    vetting: Vetting,
    path: Path,
    key: Callable[[Envelope], Envelope],
    valid: timedelta,
    clusters: Sequence[str],
    namespaces: Sequence[str],
) -> None:
    """Write the certificate of a vetting, signed if there is a key."""
    from rolloutsim.evidence.certify import certify
    from rolloutsim.permit import pack
    from rolloutsim.permit.envelope import Envelope

    issued = certify(vetting, _now(), valid=valid, clusters=clusters, namespaces=namespaces)
    text = json.dumps(key(Envelope(pack(issued))).to_json(), indent=2) + "\n"
    with writing(path):
        path.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"certificate until {issued.expires}: {path}", err=True)


def _print(vetting: Vetting, search: Search | None, output: Form) -> None:
    if output is Form.JSON:
        from rolloutsim.evidence.document import vetting_json

        document = vetting_json(vetting, search)
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    from rolloutsim.cli.vet_table import table

    typer.echo(table(vetting, search), nl=False)


def _key(sign: Path | None, certificate: Path | None) -> Callable[[Envelope], Envelope]:
    """What signs an envelope, read before anything is played."""
    if sign is None:
        return lambda envelope: envelope
    if certificate is None:
        raise InputError("--sign signs a certificate", fix="name its file with --certificate")
    from rolloutsim.permit import signed, signing_key

    try:
        pem = sign.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", at=Position(str(sign))) from None
    key = signing_key(pem, str(sign))
    return lambda envelope: signed(envelope, key)


def _valid(text: str) -> timedelta:
    from rolloutsim.policy.durations import go_duration_ns

    try:
        length = timedelta(seconds=go_duration_ns(text) // 1_000_000_000)
    except ValueError:
        length = timedelta()
    if length <= timedelta():
        raise InputError("--valid is a duration above 0", value=text, fix="for example 720h for 30 days")
    return length


def _now() -> datetime:
    # the one place in which vetting meets the clock: a certificate says when it was issued
    return datetime.now(UTC)  # noqa: TID251
