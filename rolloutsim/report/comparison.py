"""The page of a simulation or a comparison (``-o json``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rolloutsim.estimates import Estimate
from rolloutsim.report.numbers import count, duration, percent, with_interval
from rolloutsim.report.page import Block, Page, Picture, Prose, Sheet, Tone, picture, sentence
from rolloutsim.tables import Results, Summary

__all__ = ["comparison_page"]

Row = Mapping[str, Any]

SEES, BLIND = 0.95, 0.05
"""A fault is seen if it is surely stopped this often, and not seen if surely more seldom than that."""

BAD_COLUMNS = ("policy, release", "stopped", "after", "bad requests", "exposed", "duration", "pod-hours")
GOOD_COLUMNS = ("policy, release", "stopped for nothing", "exposed", "duration", "pod-hours")


def comparison_page(document: Mapping[str, Any]) -> Page:
    """The page of a document of kind Simulation or Comparison."""
    rows: Sequence[Row] = document["summary"]
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    sentences = [_verdict(name, [row for row in rows if row["policy"] == name]) for name in policies]
    blocks: list[Block] = []
    if len(policies) > 1:
        blocks.append(Prose("Policy by policy", tuple(sentences), listed=True))
    blocks += _tables(rows)
    blocks.append(_figure(document))
    blocks.append(Prose("What the numbers rest on", tuple(document["notes"]), listed=True))
    verdict = sentences[0] if len(policies) == 1 else _ranking(rows, policies)
    title = f"{sentence(policies)}: {'simulated' if len(policies) == 1 else 'compared'}"
    return Page(title, verdict, Tone.PLAIN, tuple(blocks), _colophon(document["provenance"]))


SAID = {
    "stops": "stops {}",
    "at times": "stops {} at times",
    "blind": "does not see {}",
    "open": "was played too seldom to say how often it stops {}",
}


def _kind(caught: Mapping[str, Any]) -> str:
    """Which of `SAID` the whole interval bears out."""
    low, high = caught["low"], caught["high"]
    if low >= SEES:
        return "stops"
    if high < BLIND:
        return "blind"
    return "at times" if low >= BLIND and high < SEES else "open"


def _verdict(policy: str, rows: Sequence[Row]) -> str:
    """What one policy sees, does not see, and stops for nothing."""
    bad = [row for row in rows if not row["healthy"]]
    good = [row for row in rows if row["healthy"]]
    kinds: dict[str, list[str]] = {kind: [] for kind in SAID}
    for row in bad:
        kinds[_kind(row["p_detect"])].append(row["scenario"])
    parts = [SAID[kind].format(sentence(names)) for kind, names in kinds.items() if names]
    parts += [
        f"stops {row['scenario']}, which is good, in {with_interval(row['p_false_abort'], percent)} of runs"
        for row in good
    ]
    return f"{policy} {sentence(parts)}."


def _ranking(rows: Sequence[Row], policies: Sequence[str]) -> str:
    """Which policy surely sees most of the bad releases; no winner if that is a tie."""
    bad_rows = [row for row in rows if not row["healthy"]]
    sure = [row["policy"] for row in bad_rows if _kind(row["p_detect"]) == "stops"]
    sees = {policy: sure.count(policy) for policy in policies}
    bad = len({row["scenario"] for row in bad_rows})
    most = max(sees.values())
    best = [policy for policy in policies if sees[policy] == most]
    if bad == 0 or most == 0:
        return f"No policy is known to stop any of {bad} bad releases reliably (95 of 100 times or more)."
    verb = "stops" if len(best) == 1 else "each stop"
    return f"{sentence(best)} reliably {verb} {most} of {bad} bad releases; the costs differ, see below."


def _tables(rows: Sequence[Row]) -> Iterator[Sheet]:
    bad = tuple(
        (
            f"{row['policy']}, {row['scenario']}",
            with_interval(row["p_detect"], percent),
            with_interval(row["time_to_detect_s"], duration),
            with_interval(row["bad_requests"], count),
            *_costs(row),
        )
        for row in rows
        if not row["healthy"]
    )
    good = tuple(
        (f"{row['policy']}, {row['scenario']}", with_interval(row["p_false_abort"], percent), *_costs(row))
        for row in rows
        if row["healthy"]
    )
    note = (
        "Means and shares over runs with their 95 % intervals. A bad request is one that the stable version "
    )
    note += "would not have had."
    if bad:
        yield Sheet("Bad releases", BAD_COLUMNS, bad, frozenset(range(1, len(BAD_COLUMNS))), note)
    if good:
        yield Sheet("Good releases", GOOD_COLUMNS, good, frozenset(range(1, len(GOOD_COLUMNS))))


def _costs(row: Row) -> tuple[str, str, str]:
    return (
        with_interval(row["requests_exposed"], count),
        with_interval(row["duration_s"], duration),
        with_interval(row["pod_hours"], count),
    )


def _figure(document: Mapping[str, Any]) -> Picture:
    from rolloutsim.plots import plot_comparison

    rows = tuple(_summary(row) for row in document["summary"])
    results = Results(document["kind"], rows, (), (), document["provenance"], {}, {})
    return picture(
        "Side by side",
        plot_comparison(results),
        "Shares of bad and of good releases that were stopped, bad requests and durations, with intervals; "
        "the tables above hold the same numbers.",
    )


def _summary(row: Row) -> Summary:
    return Summary(**{name: _cell(row.get(name)) for name in Summary.__dataclass_fields__})


def _cell(value: Any) -> Any:
    return Estimate(**{"method": "", **value}) if isinstance(value, Mapping) else value


def _colophon(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    versions = ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
    digests = [f"{name} {digest}" for name, digest in provenance["policies"].items()]
    digests += [f"{name} {digest}" for name, digest in provenance["scenarios"].items()]
    return (f"seed {provenance['seed']}, {provenance['runs']} runs of each; {versions}", *digests)
