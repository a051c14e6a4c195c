"""``test``: unit tests of a policy."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolloutsim.cli.output import Output, check_output, writing

if TYPE_CHECKING:
    from rolloutsim.rehearsal import Verdict

__all__ = ["run_tests"]

FAILED = 1


class Form(StrEnum):
    """Forms of the verdicts on standard output."""

    TABLE = "table"
    JSON = "json"


def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Files of tests, as in scenarios/tests.")],
    output: Annotated[Form, typer.Option("--output", "-o", help="table or json.")] = Form.TABLE,
    junit: Annotated[
        Path | None, typer.Option(help="Write the verdicts as JUnit XML.", show_default=False)
    ] = None,
) -> None:
    """Test a policy: given measurements or series and commands, what it has to do and when.

    Exit code 0: all tests hold; 1: some do not; 2: a file is wrong.
    """
    from rolloutsim.rehearsal import junit_xml, load_cases, rehearse

    check_output(Output.TABLE, junit, None)
    verdicts = [rehearse(case) for file in files for case in load_cases(file)]
    if junit is not None:
        with writing(junit):
            junit.write_text(junit_xml(verdicts), encoding="utf-8", newline="\n")
    if output is Form.JSON:
        typer.echo(json.dumps(_document(verdicts), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(verdicts)))
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(FAILED)


def _lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for file, members in groupby(verdicts, key=lambda verdict: verdict.case.where.file):
        yield file
        for verdict in members:
            yield from _wrapped(verdict.case.name, "  ok    " if verdict.passed else "  FAIL  ")
            yield from _failures(verdict)
    failed = sum(not verdict.passed for verdict in verdicts)
    noun = "test" if len(verdicts) == 1 else "tests"
    yield f"{len(verdicts)} {noun}: {len(verdicts) - failed} passed, {failed} failed"


def _failures(verdict: Verdict) -> Iterator[str]:
    from rolloutsim.rehearsal.story import time_text

    for failure in verdict.failures:
        yield from _wrapped(f"expected {failure.expected}", f"        line {failure.where.line}: ")
        yield from _wrapped(failure.got, " " * 12 + "but ")
    if verdict.timeline:
        yield "        what happened:"
    for at_ms, text in verdict.timeline:
        yield from _wrapped(" ".join(text.split()), f"{time_text(at_ms):>16}  ")


def _wrapped(text: str, first: str) -> list[str]:
    """Lines that are no wider than other tables, and go on under their beginning."""
    from rolloutsim.cli.table import WIDTH

    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def _document(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    failed = sum(not verdict.passed for verdict in verdicts)
    return {
        "apiVersion": "rolloutsim.dev/v1alpha1",
        "kind": "PolicyTests",
        "passed": len(verdicts) - failed,
        "failed": failed,
        "tests": [
            {
                "file": verdict.case.where.file,
                "line": verdict.case.where.line,
                "name": verdict.case.name,
                "policy": verdict.case.policy.name,
                "passed": verdict.passed,
                "outcome": str(verdict.end),
                "failures": [
                    {
                        "line": failure.where.line,
                        "expected": failure.expected,
                        "got": failure.got,
                        "at_s": failure.at_ms / 1000,
                    }
                    for failure in verdict.failures
                ],
                "timeline": [{"at_s": at_ms / 1000, "what": text} for at_ms, text in verdict.timeline],
            }
            for verdict in verdicts
        ],
    }
