"""The page of a recorded rollout that was decided again (``rolloutsim replay BUNDLE -o json``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolloutsim.report.costs import Cost, cost_picture
from rolloutsim.report.numbers import MISSING, count, duration
from rolloutsim.report.page import Block, Page, Prose, Sheet, Tone

__all__ = ["recorded_page"]

Row = Mapping[str, Any]
COLUMNS = ("policy", "end", "after", "same decisions", "measured", "bad requests", "from", "to")
UNIT = "bad requests"


def recorded_page(document: Mapping[str, Any]) -> Page:
    """The page of a document of kind RecordedReplay: one recording, some policies."""
    spec = document["spec"]
    rows: Sequence[Row] = spec["policies"]
    recording: Row = spec["recording"]
    begun = recording["started_ms"]
    blocks: list[Block] = []
    if rows:
        table = Sheet(
            "What each policy would have made of it",
            COLUMNS,
            tuple(_cells(row, begun) for row in rows),
            frozenset({2, 3, 4, 5, 6, 7}),
            "Bad requests are those of the new version beyond the stable one's share; 'from' and 'to' set "
            "what is modelled to the new version's best and worst five minutes.",
        )
        costs = [Cost(row["policy"], row["bad"], row["low"], row["high"]) for row in rows]
        blocks += [table, cost_picture("Side by side", costs, rows[0]["actual_bad"], UNIT)]
    blocks += [
        Prose("The line between measured and modelled", tuple(_lines(rows, begun)), listed=True),
        Prose(
            "What the numbers rest on",
            tuple(_recording(recording, rows, checked=spec["faithful"] is not None)),
            listed=True,
        ),
    ]
    return Page(
        f"{recording['name']}: replayed",
        _verdict(rows, spec["faithful"]),
        Tone.BAD if spec["faithful"] is False else Tone.PLAIN,
        tuple(blocks),
        (f"recording of {recording['label']} {recording['stable']} → {recording['new']}",),
    )


def _verdict(rows: Sequence[Row], faithful: bool | None) -> str:
    if faithful is False:
        other = rows[0]["difference"]
        return f"The policy that ran was decided otherwise than then: {other}. No other policy was played."
    if not rows:
        return "No policy was asked about."
    best = min(rows, key=lambda row: float(row["bad"]))
    least = f"{count(best['bad'])} ({count(best['low'])} to {count(best['high'])})"
    happened = f"As it ran: {count(best['actual_bad'])} {UNIT}."
    return f"{happened} The least of {len(rows)} policies: {best['policy']}, {least}."


def _cells(row: Row, begun: int) -> tuple[str, ...]:
    return (
        row["policy"],
        row["end"] or "undecided",
        MISSING if row["ended_ms"] is None else _after(row["ended_ms"], begun),
        f"{row['same']} of {row['recorded']}",
        "all" if row["line_ms"] is None else f"until {_after(row['line_ms'], begun)}",
        count(row["bad"]),
        count(row["low"]),
        count(row["high"]),
    )


def _lines(rows: Sequence[Row], begun: int) -> Iterator[str]:
    for row in rows:
        if row["gate"]:
            yield f"{row['policy']}: stopped by {row['gate']} ({row['message']})"
        for metric in row["unread"]:
            yield f"{row['policy']}: {metric}, which the recording does not have: it found nothing."
        if row["line_ms"] is None:
            yield f"{row['policy']}: it did what was done; all of it is measured."
        else:
            line = _after(row["line_ms"], begun)
            yield (
                f"{row['policy']}: measured until {line}; modelled from there on, where it did "
                f"{row['difference']}."
            )
        if row["wider_ms"] is not None:
            wider = _after(row["wider_ms"], begun)
            yield (
                f"{row['policy']}: extrapolation from {wider} on, where the new version gets a larger share "
                "than it ever got."
            )
        if row["held_ms"] is not None:
            held = _after(row["held_ms"], begun)
            yield (
                f"{row['policy']}: extrapolation from {held} on, where a version gets requests that got none "
                "then."
            )
        if row["seldom"]:
            yield (
                f"{row['policy']}: the new version never got 100 requests in five minutes, so 'from' and "
                "'to' are none and all of its modelled requests failed."
            )
    if not rows:
        yield "Nothing was modelled."


def _recording(recording: Row, rows: Sequence[Row], *, checked: bool) -> Iterator[str]:
    if not checked:
        yield "Not checked: whether the recording leads to what was decided then, for nobody gave what ran."
    lost = recording["gaps_s"]
    gaps = f"{recording['gaps']} gaps, {duration(lost)} in all" if recording["gaps"] else "no gaps"
    yield f"Scrapes every {duration(recording['interval_ms'] / 1000)}, {gaps}."
    if any(row["line_ms"] is not None for row in rows):
        yield (
            "Assumed of what is modelled: each version behaves as recorded, request for request, whatever "
            "its share; load, retries and caches do not answer to the other policy."
        )


def _after(at_ms: int, begun: int) -> str:
    return duration((at_ms - begun) / 1000)
