"""``lint``: what the controller would accept and regret."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption, dialect
from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from rolloutsim.lint import Scrapes

__all__ = ["lint"]

FAILED = 1
_YAML = (".yaml", ".yml")


class LintOutput(StrEnum):
    """Forms of a report."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


def lint(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Manifests, or directories of them; a.yaml,b.yaml belong together.", show_default=False
        ),
    ] = None,
    output: Annotated[
        LintOutput, typer.Option("--output", "-o", help="table, json, or sarif for code hosts.")
    ] = LintOutput.TABLE,
    scrape_interval: Annotated[
        str | None,
        typer.Option(help="How often your Prometheus scrapes, for example 15s.", show_default="assume 30s"),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="A service file: its traffic tells what gates can see.", show_default=False),
    ] = None,
    disable: Annotated[
        list[str] | None,
        typer.Option(help="Leave out a rule (RS020), or several with commas.", show_default=False),
    ] = None,
    argo: ArgoOption = Argo.MASTER,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules and do nothing else.")] = False,
) -> None:
    """Find what the controller would accept and regret. Offline: reads the files and nothing else.

    A comment '# rolloutsim: ignore RS020 reason' on a line, or above it, silences a finding there.
    Exit code 1 if there are errors, with --strict also if there are warnings.
    """
    from rolloutsim import lint as linting

    if rules:
        sys.stdout.write(linting.rules_table())
        return
    report = linting.lint(
        _groups(files or []),
        scrapes=_scrapes(scrape_interval, service),
        disabled=_rules(disable or [], {rule.id for rule in linting.RULES}),
        dialect=dialect(argo),
    )
    if output is LintOutput.TABLE:
        sys.stdout.write(linting.to_text(report))
    else:
        document = linting.to_json(report) if output is LintOutput.JSON else linting.to_sarif(report)
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    severities = linting.Severity
    if report.count(severities.ERROR) or (strict and report.count(severities.WARNING)):
        raise typer.Exit(FAILED)


def _groups(given: Sequence[str]) -> list[list[str]]:
    """The files of each argument; each file of a directory is an argument of its own."""
    if not given:
        raise InputError("lint needs files", fix="name manifests, or a directory of them; or use --rules")
    groups: list[list[str]] = []
    for argument in given:
        if Path(argument).is_dir():
            groups += [[file] for file in _manifests(Path(argument))]
        else:
            groups.append(argument.split(","))
    for file in (file for group in groups for file in group):
        if not Path(file).is_file():
            raise InputError("no such file", at=Position(file), fix="name a manifest, or a directory of them")
    return groups


def _manifests(directory: Path) -> Iterator[str]:
    """The YAML files below a directory, sorted; hidden folders are left out."""
    found = [path.relative_to(directory) for path in directory.rglob("*") if path.suffix in _YAML]
    visible = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    if not visible:
        raise InputError("no YAML file is here", at=Position(str(directory)), fix="name manifests")
    yield from (str(directory / path) for path in sorted(visible))


def _scrapes(text: str | None, service: str | None) -> Scrapes:
    from rolloutsim.lint import Scrapes, Traffic
    from rolloutsim.policy.durations import go_duration_ns

    traffic = None
    if service is not None:
        from rolloutsim.sim.scenario_file import load_service
        from rolloutsim.sim.traffic import mean_rps

        known = load_service(service)
        latency = known.latency
        traffic = Traffic(mean_rps(known.traffic), known.error_rate, latency.median_s, latency.sigma)
        if text is None:
            return Scrapes(known.telemetry.scrape_interval_ms, assumed=False, traffic=traffic)
    if text is None:
        return Scrapes()
    try:
        interval_ms = go_duration_ns(text) // 1_000_000
    except ValueError:
        interval_ms = 0
    if interval_ms <= 0:
        raise InputError("--scrape-interval is a duration above 0", value=text, fix="for example 15s or 1m")
    return Scrapes(interval_ms, assumed=False, traffic=traffic)


def _rules(given: Sequence[str], known: set[str]) -> set[str]:
    named = {rule.strip() for part in given for rule in part.split(",")}
    if unknown := sorted(named - known):
        raise InputError(f"there is no rule {', '.join(unknown)}", fix="lint --rules lists them")
    return named
