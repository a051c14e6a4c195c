"""``incidents``: what is known about published incidents."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rolloutsim.evidence.incidents import Incident
    from rolloutsim.evidence.incidents.quantity import Quantity

__all__ = ["Form", "incidents", "rows", "wrapped"]

WIDTH = 100
API_VERSION = "rolloutsim.dev/v1alpha1"

incidents = typer.Typer(
    name="incidents",
    help="Published incidents: facts with their sources, and a model of each that can be replayed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Form(StrEnum):
    """Forms of the output."""

    TABLE = "table"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="table or json.")]


@incidents.command(name="list")
def list_incidents(output: FormOption = Form.TABLE) -> None:
    """List the incidents that ship."""
    from rolloutsim.evidence.incidents import incident_ids, load_incident

    found = [load_incident(name) for name in incident_ids()]
    if output is Form.JSON:
        _write_json("IncidentList", [_summary(one) for one in found])
        return
    lines = rows(
        ("INCIDENT", "Q", "PLAYS", "WHAT"),
        [(one.id, one.quality, str(len(one.plays)), one.title) for one in found],
    )
    sys.stdout.write("\n".join(lines) + "\n")


@incidents.command()
def show(
    incident: Annotated[str, typer.Argument(help="Its id, or an incident file.", show_default=False)],
    output: FormOption = Form.TABLE,
) -> None:
    """Show the facts of an incident, each with its basis; its sources; what a gate can see of it."""
    from rolloutsim.evidence.incidents import load_incident

    found = load_incident(incident)
    if output is Form.JSON:
        from rolloutsim.evidence.incidents.quantity import as_json

        _write_json("Incident", as_json(found))
        return
    sys.stdout.write("\n".join(_shown(found)) + "\n")


def rows(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A table; its last column is cut where the line would be too long."""
    widths = [max(len(row[column]) for row in (titles, *cells)) for column in range(len(titles))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (titles, *cells)
    ]
    return [line.rstrip() if len(line.rstrip()) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines]


def wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """A paragraph of at most a line's width."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _summary(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "title": incident.title,
        "organisation": incident.organisation,
        "date": incident.date,
        "quality": incident.quality,
        "plays": [play.name for play in incident.plays],
    }


def _write_json(kind: str, content: object) -> None:
    document = {"apiVersion": API_VERSION, "kind": kind, "spec": content}
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


# --- one incident ---------------------------------------------------------------------------------


def _shown(incident: Incident) -> Iterator[str]:
    yield f"{incident.id}: {incident.title}"
    quality = f"quality {incident.quality}; model, with assumptions listed"
    yield f"{incident.organisation}, {incident.date}; {quality}"
    yield ""
    yield from wrapped(incident.changed, "  ", "What changed: ")
    yield from wrapped(incident.rolled_out, "  ", "Rolled out: ")
    yield from wrapped(incident.lesson, "  ", "Lesson: ")
    yield ""
    yield "Timeline (UTC)"
    for moment in incident.timeline:
        note = f"; {moment.note}" if moment.note else ""
        yield from wrapped(
            f"{moment.event} [{moment.basis}{note}]", " " * 20, f"  {moment.at:%Y-%m-%d %H:%M}  "
        )
    yield ""
    yield "Facts"
    for fact in incident.facts:
        value = fact.value if isinstance(fact.value, str) else f"{fact.value:,.10g}"
        note = f"; {fact.note}" if fact.note else ""
        yield from wrapped(
            f"{fact.what}: {value} {fact.unit}".rstrip() + f" [{fact.basis}{note}]", "    ", "  "
        )
    yield ""
    yield from _model(incident)
    yield ""
    yield "What a gate can see"
    yield from _sight(incident)
    yield ""
    yield "Counterfactuals that ship (rolloutsim replay " + incident.id + ")"
    for play in incident.plays:
        whom = (
            f", {play.reach} over {', '.join(play.cohorts) or 'all cohorts'}" if play.reach != "even" else ""
        )
        yield from wrapped(f"{play.name}: {play.policy} on {play.channel}{whom}", "    ", "  ")
    yield ""
    yield "Sources"
    for source in incident.sources:
        note = f"; {source.note}" if source.note else ""
        yield from wrapped(
            f"{source.title}. {source.organisation}, {source.date} [{source.directness}{note}]", "    ", "  "
        )
        yield f"    {source.address}"


def _model(incident: Incident) -> Iterator[str]:
    from rolloutsim.evidence.incidents.quantity import quantities

    yield "Numbers of the model"
    for path, one in quantities(incident.model):
        yield from wrapped(f"{path}: {_number(one)}", "    ", "  ")
    for path, one in quantities(incident.as_happened, "as_happened"):
        yield from wrapped(f"{path}: {_number(one)}", "    ", "  ")


def _number(one: Quantity) -> str:
    between = f", {one.low:,.10g} to {one.high:,.10g}" if one.low is not None else ""
    note = f"; {one.note}" if one.note else ""
    return f"{one.value:,.10g} [{one.basis}{between}{note}]"


def _sight(incident: Incident) -> Iterator[str]:
    from rolloutsim.evidence.incidents.sight import in_words

    shows = incident.model.fault.shows
    for title, chosen in (
        ("shows all of it", [name for name, share in shows.items() if share.value >= 1.0]),
        ("shows some of it", [f"{name} ({s.value:.0%})" for name, s in shows.items() if 0.0 < s.value < 1.0]),
        ("shows nothing", [name for name, share in shows.items() if share.value == 0.0]),
    ):
        if chosen:
            yield from wrapped(f"{title}: {in_words(chosen)}", "    ", "  ")
    yield from _hidden(incident)


def _hidden(incident: Incident) -> Iterable[str]:
    for channel in incident.model.channels:
        if channel.dormant_s is not None:
            days = channel.dormant_s.value / 86_400
            yield from wrapped(
                f"no gate on {channel.name} ({channel.what}) sees it: what spreads there lies dormant for "
                f"about {days:.0f} days",
                "    ",
                "  ",
            )
    spared = [cohort.name for cohort in incident.model.cohorts if cohort.hit.value == 0.0]
    if spared:
        yield from wrapped(f"no gate sees it among: {', '.join(spared)}", "    ", "  ")
    wait = next((p.at for p in incident.model.fault.course if p.failing.value > 0.0), 0.0)
    if wait and incident.model.fault.clock != "reach":
        yield f"  nothing fails in the first {wait:g} s after an instance took the change"
    if incident.model.fault.clock == "reach":
        share = f"{100 * _threshold(incident):.0f} %"
        yield f"  nothing fails until about {share} of the population has the change"


def _threshold(incident: Incident) -> float:
    course = incident.model.fault.course
    quiet = [point.at for point in course if point.failing.value == 0.0]
    return max(quiet, default=0.0)
