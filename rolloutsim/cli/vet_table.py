"""A vetting for people: a table at most 100 columns wide, and Markdown for the summary of a CI job."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from rolloutsim.cli.table import WIDTH
from rolloutsim.estimates import Estimate
from rolloutsim.evidence.bars import Bar
from rolloutsim.evidence.nearest import Search
from rolloutsim.evidence.verdict import BarResult, Verdict
from rolloutsim.evidence.vet import Seen, Vetting

__all__ = ["bounds_text", "change_text", "markdown", "table", "value_text"]

_GAP = "  "
_HEAD = ("bar", "found", "95 % bounds", "runs", "verdict")


def table(vetting: Vetting, search: Search | None) -> str:
    """Bars, the nearest passing change, scenarios without a bar, and what the numbers rest on."""
    lines = [
        f"policy {vetting.policy} ({_short(vetting.policy_digest)}) on service {vetting.service}, "
        f"suite {vetting.suite} ({_short(vetting.suite_digest)}), seed {vetting.seed}",
        "",
        *_columns(_HEAD, [_row(result) for result in vetting.results]),
        "",
    ]
    for result in vetting.results:
        if result.waiver:
            lines += _wrapped(f"waived: {result.bar}: {result.waiver}")
    lines += [_conclusion(vetting), *(line for text in _told(vetting, search) for line in _wrapped(text)), ""]
    asked = {result.bar.scenario for result in vetting.results}
    others = [_seen_row(seen) for seen in vetting.seen if seen.scenario not in asked]
    if others:
        head = ("also played, without a bar", "stopped", "bad requests", "runs", "")
        lines += [*_columns(head, others), ""]
    lines += [line for note in _notes(vetting) for line in _wrapped(f"- {note}")]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(vetting: Vetting, search: Search | None) -> str:
    """The same for a job summary or a comment: the verdict first, then the policy beside the suggestion."""
    suggested = {result.bar: result for result in search.vetting.results} if search and search.vetting else {}
    head = ["bar", "found", "95 % bounds", "runs", "verdict", *(["with the change"] if suggested else [])]
    lines = [
        f"### vet: policy `{vetting.policy}` {vetting.verdict}",
        "",
        _conclusion(vetting),
        "",
        _cells(head),
        _cells(["---"] * len(head)),
    ]
    for result in vetting.results:
        cells = [f"`{result.bar}`", *_row(result)[1:]]
        if suggested:
            changed = suggested.get(result.bar)
            cells.append(
                "" if changed is None else f"{value_text(result.bar, changed.value)} {changed.verdict}"
            )
        lines.append(_cells(cells))
    lines += ["", *_told(vetting, search), ""]
    lines += [f"- waived `{result.bar}`: {result.waiver}" for result in vetting.results if result.waiver]
    lines += [f"- {note}" for note in _notes(vetting)]
    return "\n".join(lines) + "\n"


def change_text(vetting: Vetting, search: Search) -> str:
    """The nearest passing change in one sentence, with what it was measured to do."""
    if search.vetting is None:
        return _nothing_found(search)
    moved = " and ".join(map(str, search.changes))
    after = {result.bar: result.value for result in search.vetting.results}
    missed = [
        f"{result.bar.name}@{result.bar.scenario} {value_text(result.bar, result.value)} -> "
        f"{value_text(result.bar, after[result.bar])}"
        for result in vetting.results
        if result.bar in after and result.verdict is not Verdict.PASSED
    ]
    others = len(after) - len(missed)
    rest = f"; the other {others} still pass" if others else ""
    return f"nearest passing change: {moved} ({', '.join(missed)}{rest}; {search.tried} tried)"


def _nothing_found(search: Search) -> str:
    """What a search that ended without a suggestion did, and what it did not do."""
    done = f"no nearest passing change found: {search.tried} small changes were tried in few runs"
    if search.vetted:
        done += f", {search.vetted} of them vetted in full"
    return done + ("" if search.complete else "; the search ended at its bound, and there are more")


def value_text(bar: Bar, value: float) -> str:
    """A quantity as people read it."""
    if not math.isfinite(value):
        return "never"
    return _percent(value) if bar.measure.startswith("p_") else _number(value)


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:,.0f}"


def bounds_text(bar: Bar, estimate: Estimate) -> str:
    """The interval that was judged; for a quantile that of the share of runs within the bound."""
    if estimate.low is None or estimate.high is None:
        return "too few runs"
    if estimate.low == estimate.high and not estimate.n:
        return "exact"
    if not bar.is_share:
        return f"{_number(estimate.low)}–{_number(estimate.high)}"
    text = f"{_percent(estimate.low)}–{_percent(estimate.high)}"
    return text if bar.quantile is None else f"{text} of runs within"


def _row(result: BarResult) -> tuple[str, ...]:
    verdict = f"{result.verdict} (waived)" if result.waiver else str(result.verdict)
    return (
        str(result.bar),
        value_text(result.bar, result.value),
        bounds_text(result.bar, result.estimate),
        str(result.estimate.n) if result.estimate.n else "none",
        verdict,
    )


def _seen_row(seen: Seen) -> tuple[str, ...]:
    stopped, bad = seen.stopped, seen.bad_requests
    name = f"{seen.scenario} (healthy)" if seen.healthy else seen.scenario
    share = "–" if stopped.value is None else _percent(stopped.value)
    return (
        name,
        share,
        "–" if bad.value is None else f"{round(bad.value) + 0:,}",
        str(bad.n) if bad.n else "exact",
        "",
    )


def _conclusion(vetting: Vetting) -> str:
    counted = [result.verdict for result in vetting.results if not result.waiver]
    parts = [f"{counted.count(verdict)} {verdict}" for verdict in Verdict if verdict in counted]
    waived = len(vetting.results) - len(counted)
    if waived:
        parts.append(f"{waived} waived")
    return f"{vetting.verdict}: of {len(vetting.results)} bars {', '.join(parts)}; {vetting.runs} runs"


def _told(vetting: Vetting, search: Search | None) -> list[str]:
    return [] if search is None else [change_text(vetting, search)]


def _notes(vetting: Vetting) -> Iterator[str]:
    yield (
        "a bar is judged by the worse end of its interval; each end holds with 95 % confidence at all looks "
        f"(after {', '.join(map(str, vetting.looks.runs))} runs)"
    )
    yield from vetting.notes


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        _GAP.join(
            cell.ljust(width) if index in (0, len(head) - 1) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _short(digest: str) -> str:
    return digest[:19]


def _percent(share: float) -> str:
    percent = 100.0 * share
    if percent in (0.0, 100.0) or 10.0 <= percent < 99.0:
        return f"{percent:.3g} %"
    return f"{percent:.2f} %" if percent < 10.0 else f"{percent:.1f} %"
