"""``replay`` of a recorded bundle: how it ran, decided again, and what other policies had made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rolloutsim.cli.incidents import API_VERSION, Form, rows, wrapped

if TYPE_CHECKING:
    from rolloutsim.evidence.recorded import Bundle, Retold, Timeline

__all__ = ["replay_bundle"]

_GAPS = 5
"""Gaps that are named."""


def replay_bundle(
    path: Path, proposals: Sequence[str], ran: str | None, as_run: Path | None, output: Form
) -> tuple[str, bool]:
    """The text to print, and whether nothing shows that the policy that ran was decided otherwise then."""
    from rolloutsim.cli.inputs import one_policy, policies
    from rolloutsim.evidence.incidents.choice import policy_files
    from rolloutsim.evidence.recorded import load_timeline, read_bundle, retell, timeline_of

    bundle = read_bundle(path)
    timeline = load_timeline(as_run) if as_run is not None else timeline_of(bundle.trace, str(path))
    told: list[Retold] = []
    faithful: bool | None = None
    given = policy_files(proposals)
    if ran is not None:
        one_policy(ran)
        given.insert(0, ran)
    asked = policies(given)
    if ran is not None:
        told.append(retell(asked.pop(0), bundle, timeline))
        faithful = told[0].as_it_ran
    if faithful is not False:
        told += [retell(policy, bundle, timeline) for policy in asked]
    if output is Form.JSON:
        return _as_json(bundle, timeline, told, faithful), faithful is not False
    return "\n".join(_table(bundle, timeline, told, faithful)) + "\n", faithful is not False


def _as_json(bundle: Bundle, timeline: Timeline, told: Sequence[Retold], faithful: bool | None) -> str:
    from rolloutsim.evidence.incidents.quantity import as_json

    recording = {
        "name": bundle.name,
        "label": bundle.label,
        "stable": timeline.stable,
        "new": timeline.new,
        "started_ms": timeline.started_ms,
        "interval_ms": bundle.interval_ms,
        "gaps": len(bundle.gaps),
        "gaps_s": sum(gap.end_ms - gap.start_ms for gap in bundle.gaps) / 1000,
    }
    spec = {"faithful": faithful, "recording": recording, "policies": [as_json(one) for one in told]}
    document = {"apiVersion": API_VERSION, "kind": "RecordedReplay", "spec": spec}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _table(
    bundle: Bundle, timeline: Timeline, told: Sequence[Retold], faithful: bool | None
) -> Iterator[str]:
    from rolloutsim.promql.intake import rfc3339_text

    yield f"{bundle.name}: {bundle.label} {timeline.stable} -> {timeline.new}"
    begun = rfc3339_text(timeline.started_ms)
    done = ", ".join(f"{move.words()} {timeline.offset(move.at_ms)}" for move in timeline.decisions())
    yield from wrapped(f"{begun}: {done or 'nothing was decided'}", "  ", "As it ran, from ")
    yield ""
    yield from rows(
        ("POLICY", "END", "AT", "SAME", "MEASURED", "BAD REQUESTS", "FROM", "TO"),
        [_row(one, timeline) for one in told],
    )
    yield ""
    if faithful is None:
        yield from wrapped(
            "Not checked: whether the recording leads to what was decided then; give the policy that ran "
            "with --ran.",
            "  ",
            "",
        )
    elif not faithful:
        yield from wrapped(
            f"The policy that ran was decided otherwise than then: {told[0].difference}. Either it is not "
            "the policy that ran, or the recording lacks what it saw; no other policy was played.",
            "  ",
            "",
        )
    for one in told:
        for line in _remarks(one, timeline):
            yield from wrapped(line, "  ", f"{one.policy}: ")
    yield from _notes(bundle, timeline, told)


def _row(one: Retold, timeline: Timeline) -> tuple[str, ...]:
    return (
        one.policy,
        str(one.end or "undecided"),
        timeline.offset(one.ended_ms) if one.ended_ms is not None else "–",
        f"{one.same}/{one.recorded}",
        "all" if one.line_ms is None else f"until {timeline.offset(one.line_ms)}",
        f"{one.bad:,.0f}",
        f"{one.low:,.0f}",
        f"{one.high:,.0f}",
    )


def _remarks(one: Retold, timeline: Timeline) -> Iterator[str]:
    if one.gate:
        yield f"stopped by {one.gate}: {one.message}"
    for metric in one.unread:
        yield f"{metric}, which the recording does not have: it found nothing"
    if one.line_ms is not None:
        line = timeline.offset(one.line_ms)
        yield f"measured until {line}, modelled from there on, where it did {one.difference}"
    if one.wider_ms is not None:
        wider = timeline.offset(one.wider_ms)
        yield f"extrapolation: from {wider} on the new version gets a larger share than it ever got"
    if one.held_ms is not None:
        held = timeline.offset(one.held_ms)
        yield f"extrapolation: from {held} on a version gets requests that got none, and behaves as before"
    if one.seldom:
        yield (
            "the new version never got 100 requests in five minutes, so FROM and TO are none and all of its "
            "modelled requests failed"
        )


def _notes(bundle: Bundle, timeline: Timeline, told: Sequence[Retold]) -> Iterator[str]:
    if told:
        yield from wrapped(
            f"bad requests as it ran: {told[0].actual_bad:,.0f}; those of the new version beyond the stable "
            "one's share, until the recording ends. Modelled: each version behaves as recorded, request for "
            "request, and gets another share, with less noise than there would be; FROM and TO are its best "
            "and worst five minutes.",
            "  ",
            "- ",
        )
    yield from wrapped(
        f"scrapes every {bundle.interval_ms / 1000:g} s, {_gaps(bundle, timeline)}", "  ", "- "
    )


def _gaps(bundle: Bundle, timeline: Timeline) -> str:
    """Where scrapes are missing: what a policy would have read then, nobody knows."""
    if not bundle.gaps:
        return "no gaps"
    shown = [
        f"{timeline.offset(gap.start_ms)} to {timeline.offset(gap.end_ms)}" for gap in bundle.gaps[:_GAPS]
    ]
    more = f" and {len(bundle.gaps) - _GAPS} more" if bundle.gaps[_GAPS:] else ""
    return f"with gaps from {', '.join(shown)}{more}"
