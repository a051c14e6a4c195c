"""``replay``: what a policy would have made of an incident."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.incidents import API_VERSION, Form, FormOption, rows, wrapped
from rolloutsim.cli.output import check_files, progress, writing
from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from rolloutsim.evidence.incidents import Incident, Replay

__all__ = ["replay"]

FAILED = 1

_POLICY = (
    "A policy file (a.yaml,b.yaml belong together), or the name of one that ships; may be repeated. "
    "Without it the counterfactuals that ship with the incident are played."
)
_WHAT = "An incident (its id, or a file of it), or a bundle that 'rolloutsim record' wrote."
_RAN = "The policy that ran: of a bundle, decided again first; if that differs, nothing else is played."
_AS_RUN = "How a bundle's rollout ran: a file of kind Timeline, or the rollout's own trace."
_COHORTS = (
    "Whom a step's weight reaches: even (the same share of all), random (whole sites, drawn), or cohorts in "
    "their order, with commas."
)


def replay(
    incident: Annotated[str, typer.Argument(help=_WHAT, show_default=False)],
    policy: Annotated[
        list[str] | None, typer.Option("--policy", "-p", help=_POLICY, show_default=False)
    ] = None,
    channel: Annotated[
        str,
        typer.Option(help="What the policy stages, of the incident's channels.", show_default="the first"),
    ] = "",
    cohorts: Annotated[str, typer.Option(help=_COHORTS)] = "even",
    ran: Annotated[str | None, typer.Option(help=_RAN, show_default=False)] = None,
    as_run: Annotated[Path | None, typer.Option(help=_AS_RUN, show_default="the bundle's own events")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs at the stated values.")] = 20,
    seed: Annotated[
        int, typer.Option(min=0, help="Root of all randomness: the same seed, the same bytes.")
    ] = 1,
    output: FormOption = Form.TABLE,
    out: Annotated[
        Path | None, typer.Option(help="Write the output to this file.", show_default=False)
    ] = None,
) -> None:
    """Play policies against an incident: would they have caught it, when, at what cost.

    Of a published incident the range is over the values that are assumed: every combination of their ends is
    played. Of a bundle all is measured up to a policy's first other action, and modelled from there on. Exit
    code 1 if the policy that ran is decided otherwise than it was then.
    """
    check_files(out)
    path = Path(incident)
    if path.suffix not in ("", ".yaml", ".yml") and not path.is_file():
        raise InputError("there is no such file", at=Position(incident), fix="rolloutsim record writes one")
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        from rolloutsim.cli.replay_bundle import replay_bundle

        text, faithful = replay_bundle(path, policy or (), ran, as_run, output)
        _write(text, out)
        if not faithful:
            raise typer.Exit(FAILED)
        return
    if ran is not None or as_run is not None:
        raise InputError("--ran and --as-run are for a bundle that 'rolloutsim record' wrote", value=incident)
    from rolloutsim.cli.inputs import policies
    from rolloutsim.evidence.incidents import choice, load_incident, shipped_policy
    from rolloutsim.evidence.incidents import replay as played

    found = load_incident(incident)
    if policy:
        chosen = policies(choice.policy_files(policy))
        pairs = [(one, choice.play_of(found, one.name, channel, cohorts)) for one in chosen]
    else:
        pairs = [(shipped_policy(play), play) for play in found.plays]
    answers = []
    for one, play in pairs:
        with progress(one.name) as tick:
            answers.append(played(found, one, play, runs=runs, seed=seed, progress=tick))
    names = [play.name for _, play in pairs]
    text = (
        _as_json(found, answers) if output is Form.JSON else "\n".join(_table(found, names, answers)) + "\n"
    )
    _write(text, out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        with writing(out):
            out.write_text(text, encoding="utf-8", newline="\n")


def _as_json(incident: Incident, answers: Sequence[Replay]) -> str:
    from rolloutsim.evidence.incidents.quantity import as_json, quantities

    document = {
        "apiVersion": API_VERSION,
        "kind": "Replay",
        "title": incident.title,
        "model": [{"what": path, **as_json(one)} for path, one in quantities(incident.model)],
        "sources": [as_json(source) for source in incident.sources],
        "spec": [as_json(answer) for answer in answers],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _table(incident: Incident, names: Sequence[str], answers: Sequence[Replay]) -> Iterator[str]:
    first = answers[0]
    yield f"{incident.id}: {incident.title}"
    yield f"As it happened: {_amount(first.actual)} {first.unit}{_between(first.actual_range)}"
    yield ""
    unit = (
        "MACHINES"
        if first.unit == "machines"
        else "BAD REQUESTS"
        if first.unit != "s of all traffic"
        else "COST (s)"
    )
    yield from rows(
        ("PLAY", "VERDICT", "AFTER", "REACHED", unit, "FROM", "TO"),
        [_row(name, answer) for name, answer in zip(names, answers, strict=True)],
    )
    yield ""
    for name, answer in zip(names, answers, strict=True):
        for line in _remarks(answer):
            yield from wrapped(line, "  ", f"{name}: ")
    yield from _notes(incident, first)


def _row(name: str, answer: Replay) -> tuple[str, ...]:
    after = answer.decided_s if answer.noticed_s is None else answer.noticed_s
    return (
        name,
        str(answer.verdict),
        "–" if after is None else _time(after),
        f"{100 * answer.reached:.3g}%",
        _amount(answer.harm),
        _amount(answer.optimistic.harm),
        _amount(answer.pessimistic.harm),
    )


def _remarks(answer: Replay) -> Iterator[str]:
    if answer.gate:
        yield f"stopped by {answer.gate}: {answer.message}"
    if answer.agree < 1.0:
        yield f"{answer.verdict} in {100 * answer.agree:.0f} % of {len(answer.runs)} runs"
    for one in answer.unread:
        yield f"{one}, which the model of this incident does not have: it sees nothing here"
    if answer.no_gate:
        yield f"no gate can see this: {answer.blind}"
    elif answer.blind:
        yield f"not seen: {answer.blind}"
    others = [
        f"{verdict} in {count}" for verdict, count in answer.verdicts_of_corners if verdict != answer.verdict
    ]
    if others:
        corners = sum(count for _, count in answer.verdicts_of_corners)
        yield f"{', '.join(others)} of {corners} combinations of the assumed values"


def _notes(incident: Incident, answer: Replay) -> Iterator[str]:
    from rolloutsim.evidence.incidents.quantity import quantities

    yield from wrapped(
        "Model, with assumptions listed. AFTER runs from the first step that reached anybody whom the "
        "fault can hit. A change that goes through costs what it did on its way, and then what happened. "
        "FROM and TO are the ends over all combinations of:",
        "  ",
        "- ",
    )
    for path, one in quantities(incident.model):
        if one.low is not None:
            yield from wrapped(
                f"{path}: {one.value:g} ({one.low:g} to {one.high:g}), {one.basis}: {one.note}",
                "      ",
                "    ",
            )
    for source in incident.sources:
        yield from wrapped(f"{source.organisation}, {source.date}: {source.address}", "  ", "- ")


def _between(ends: tuple[float, float]) -> str:
    return "" if ends[0] == ends[1] else f" ({_amount(ends[0])} to {_amount(ends[1])})"


def _amount(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _time(seconds: float) -> str:
    if seconds < 600.0:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.3g}m" if seconds < 5400.0 else f"{seconds / 3600:.3g}h"
