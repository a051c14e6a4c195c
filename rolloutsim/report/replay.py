"""The page of a replayed incident (``rolloutsim replay INCIDENT -o json``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolloutsim.report.costs import Cost, cost_picture
from rolloutsim.report.numbers import MISSING, count, duration, percent
from rolloutsim.report.page import Block, Page, Prose, Sheet, Tone, sentence

__all__ = ["replay_page"]

Row = Mapping[str, Any]

MISSED = "missed"
BASES = ("source", "derived", "recalled", "assumed")
COLUMNS = ("policy", "verdict", "after", "reached", "cost", "from", "to")
MODEL_COLUMNS = ("number", "value", "range", "basis", "why")


def replay_page(document: Mapping[str, Any]) -> Page:
    """The page of a document of kind Replay: one incident, some policies."""
    rows: Sequence[Row] = document["spec"]
    first = rows[0]
    blocks: list[Block] = [
        Sheet(
            "What each policy would have made of it",
            COLUMNS,
            tuple(_cells(row) for row in rows),
            frozenset({2, 3, 4, 5, 6}),
            f"Cost in {first['unit']}; 'from' and 'to' are its ends over all combinations of the assumed "
            "values. 'after' runs from the first step that reached anybody whom the fault can hit.",
        ),
        cost_picture(
            "Side by side",
            [
                Cost(row["policy"], row["harm"], row["optimistic"]["harm"], row["pessimistic"]["harm"])
                for row in rows
            ],
            first["actual"],
            first["unit"],
        ),
        Prose("Why", tuple(f"{row['policy']}: {why}" for row in rows for why in _why(row)), listed=True),
        Prose(
            "Measured and modelled",
            (
                f"As it happened, the incident cost {count(first['actual'])} {first['unit']}, by the sources "
                "named in its record.",
                "Every verdict is played by the same engine and the same queries as a real rollout; the "
                "world around it is a model of the published facts, and what they leave open is assumed.",
            ),
        ),
        Prose(
            "What would change the verdict",
            tuple(_turning(rows)) or ("No combination of the assumed values gives another verdict.",),
            listed=True,
        ),
        _model_card(document["model"]),
    ]
    caught = [row["policy"] for row in rows if row["verdict"] != MISSED]
    return Page(
        f"{first['incident']}: {document['title']}",
        _verdict(rows, caught),
        Tone.GOOD if len(caught) == len(rows) else Tone.BAD if not caught else Tone.OPEN,
        tuple(blocks),
        (
            f"{len(first['runs'])} runs of each at the stated values",
            *(
                f"{source['organisation']}, {source['date']}: {source['title']}, {source['address']}"
                for source in document["sources"]
            ),
        ),
    )


def _model_card(model: Sequence[Row]) -> Sheet:
    """Every number of the model and how it is known; those that are not from a source first."""
    doubtful = [one for one in model if one["low"] is not None]
    others = [one for one in model if one["low"] is None]
    counts = {basis: sum(one["basis"] == basis for one in model) for basis in BASES}
    known = ", ".join(f"{number} {basis}" for basis, number in counts.items() if number)
    return Sheet(
        "Model card",
        MODEL_COLUMNS,
        tuple(
            (
                one["what"],
                f"{one['value']:g}",
                MISSING if one["low"] is None else f"{one['low']:g} to {one['high']:g}",
                one["basis"],
                one["note"] or MISSING,
            )
            for one in (*doubtful, *others)
        ),
        frozenset({1, 2}),
        f"Model, with assumptions listed: {known}. What has a range was played at both its ends.",
    )


def _verdict(rows: Sequence[Row], caught: Sequence[str]) -> str:
    if all(row["no_gate"] for row in rows):
        return "No gate can see this fault before it strikes."
    if not caught:
        return f"None of {len(rows)} policies would have caught it."
    least = min((row for row in rows if row["verdict"] != MISSED), key=lambda row: float(row["harm"]))
    cost = f"{count(least['harm'])} {least['unit']} instead of {count(least['actual'])}"
    if len(caught) == len(rows):
        return f"Each of {len(rows)} policies would have caught it; the best, {least['policy']}, at {cost}."
    names = sentence(list(dict.fromkeys(caught)))
    return f"{len(caught)} of {len(rows)} policies would have caught it: {names}; the best at {cost}."


def _cells(row: Row) -> tuple[str, ...]:
    after = row["decided_s"] if row["noticed_s"] is None else row["noticed_s"]
    return (
        row["policy"],
        row["verdict"],
        MISSING if after is None else duration(after),
        percent(row["reached"]),
        count(row["harm"]),
        count(row["optimistic"]["harm"]),
        count(row["pessimistic"]["harm"]),
    )


def _why(row: Row) -> Iterator[str]:
    if row["gate"]:
        yield f"stopped by {row['gate']} ({row['message']})"
    for one in row["unread"]:
        yield f"{one}, which the model of this incident does not have: it sees nothing here"
    if row["no_gate"]:
        yield f"no gate can see this: {row['blind']}"
    elif row["blind"]:
        yield f"not seen: {row['blind']}"
    if row["agree"] < 1.0:
        yield f"{row['verdict']} in {percent(row['agree'])} of {len(row['runs'])} runs"


def _turning(rows: Sequence[Row]) -> Iterator[str]:
    """What would change the verdict: combinations of the assumed values under which it is another one."""
    for row in rows:
        corners = sum(number for _, number in row["verdicts_of_corners"])
        others = [f"{v} in {n}" for v, n in row["verdicts_of_corners"] if v != row["verdict"]]
        if others:
            yield f"{row['policy']}: {sentence(others)} of {corners} combinations of the assumed values."
