"""The page of a vetting (``rolloutsim vet -o json``): may this policy run?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rolloutsim.report.numbers import MISSING, count, duration, percent, with_interval
from rolloutsim.report.page import Block, Page, Picture, Prose, Sheet, Tone, picture, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["vetting_page"]

Row = Mapping[str, Any]

TONES = {"passed": Tone.GOOD, "failed": Tone.BAD, "inconclusive": Tone.OPEN}
BARS = ("bar", "asked", "found", "judged by", "runs", "verdict")
OTHERS = ("scenario", "release", "stopped", "bad requests", "runs")
MARKS = {"passed": ("o", "black"), "failed": ("X", "black"), "inconclusive": ("o", "white")}
ROW_INCHES = 0.28


def vetting_page(document: Mapping[str, Any]) -> Page:
    """The page of a document of kind Vetting."""
    bars: Sequence[Row] = document["bars"]
    policy = document["policy"]["name"]
    blocks: list[Block] = [_table(bars)]
    if any(_drawable(bar) for bar in bars):
        blocks.append(_figure(bars))
    waived = tuple(f"{bar['bar']}: {bar['waiver']}" for bar in bars if bar["waiver"])
    if waived:
        blocks.append(Prose("Waived, with the reason that was given", waived, listed=True))
    blocks.append(Prose("What would change the verdict", tuple(_turning(document)), listed=True))
    others = _others(document)
    if others.rows:
        blocks.append(others)
    if document["notes"]:
        blocks.append(Prose("What the numbers rest on", tuple(document["notes"]), listed=True))
    return Page(
        f"{policy}: vetted on service {document['service']}",
        _verdict(policy, document["verdict"], bars),
        TONES[document["verdict"]],
        tuple(blocks),
        tuple(_colophon(document)),
    )


def _verdict(policy: str, verdict: str, bars: Sequence[Row]) -> str:
    counted = [bar for bar in bars if not bar["waiver"]]
    of = {name: [bar["bar"] for bar in counted if bar["verdict"] == name] for name in TONES}
    waived = len(bars) - len(counted)
    more = f" ({waived} waived)" if waived else ""
    if not counted:
        return f"Inconclusive: all bars of {policy} are waived, and that shows nothing."
    if verdict == "passed":
        return f"Passed: {policy} meets all {len(counted)} bars{more}."
    if verdict == "failed":
        missed = of["failed"]
        return f"Failed: {policy} misses {len(missed)} of {len(counted)} bars{more}: {sentence(missed)}."
    open_bars = sentence(of["inconclusive"])
    return f"Inconclusive: the runs do not tell whether {policy} meets {open_bars}{more}."


def _table(bars: Sequence[Row]) -> Sheet:
    rows = tuple(
        (
            f"{bar['quantity']} in {bar['scenario']}",
            f"{'≥' if _at_least(bar) else '≤'} {_unit(bar)(bar['bound'])}",
            MISSING if bar["value"] is None else _unit(bar)(bar["value"]),
            _judged(bar),
            _runs(bar["judged"]),
            f"{bar['verdict']}, waived" if bar["waiver"] else bar["verdict"],
        )
        for bar in bars
    )
    note = "A bar is met where the worse end of its interval meets it, not where the number found does. The "
    note += "intervals hold at all looks together. "
    if any(_quantile(bar) is not None for bar in bars):
        note += "A quantile is judged by the share of runs on the right side of the bound. "
    note += f"{MISSING} stands for what never happened, or what too few runs say."
    return Sheet("Bars", BARS, rows, frozenset({1, 2, 3, 4}), note)


def _runs(interval: Row) -> str:
    """How many runs a number rests on; it needs none where the chances of all courses are known."""
    return "none: exact" if interval.get("method") == "exact" else str(interval["runs"])


def _judged(bar: Row) -> str:
    unit = percent if _share(bar) else _unit(bar)
    interval = bar["judged"]
    if interval.get("method") == "exact":
        return unit(interval["value"])
    if interval["low"] is None or interval["high"] is None:
        return MISSING
    return f"{unit(interval['low'])}\u2060–\u2060{unit(interval['high'])}".replace(" ", "\u00a0")


def _turning(document: Mapping[str, Any]) -> Iterator[str]:
    """The nearest change of the policy, or of the bars, with which the verdict would be another one."""
    search = document["nearestPassingChange"]
    if search is not None and search["changes"]:
        moved = sentence([f"{one['what']}: {one['before']} → {one['after']}" for one in search["changes"]])
        yield f"The nearest change of the policy that passes, of {search['tried']} tried: {moved}."
        before = {bar["bar"]: bar for bar in document["bars"]}
        for bar in search["bars"]:
            old = before.get(bar["bar"])
            if old is not None and old["verdict"] != bar["verdict"]:
                unit = _unit(bar)
                values = [MISSING if one["value"] is None else unit(one["value"]) for one in (old, bar)]
                yield f"With it {bar['bar']}: {values[0]} → {values[1]}, {bar['verdict']}."
    elif document["verdict"] == "failed" and search is None:
        yield "No change of the policy was looked for; vet does so unless it is told --no-suggest."
    elif search is not None:
        yield f"No small change of the policy that was tried passes ({search['tried']} tried)."
    counted = [bar for bar in document["bars"] if not bar["waiver"]]
    for bar in counted:
        if bar["verdict"] == "inconclusive":
            yield f"More runs (--max-runs) may decide {bar['bar']}."
    if document["verdict"] == "passed" and counted:
        nearest = min(counted, key=_room)
        yield f"The bar with the least room is {nearest['bar']}: its interval is {_judged(nearest)}."


def _room(bar: Row) -> float:
    """How far the worse end of the interval is from what was asked, as a share of the scale."""
    at_least, level = _asked(bar)
    low, high = bar["judged"]["low"], bar["judged"]["high"]
    if low is None or high is None:
        return 0.0
    scale = 1.0 if _share(bar) else max(abs(level), 1e-12)
    return float((low - level if at_least else level - high) / scale)


def _others(document: Mapping[str, Any]) -> Sheet:
    asked = {bar["scenario"] for bar in document["bars"]}
    rows = tuple(
        (
            seen["scenario"],
            "good" if seen["healthy"] else "bad",
            with_interval(_stopped(seen), percent),
            with_interval(seen["bad_requests"], count),
            _runs(seen["bad_requests"]),
        )
        for seen in document["scenarios"]
        if seen["scenario"] not in asked
    )
    note = "Played as well, without a bar: no part of the verdict. Intervals of 95 %."
    return Sheet("Also played", OTHERS, rows, frozenset({2, 3, 4}), note)


def _stopped(seen: Row) -> Mapping[str, Any]:
    found: Mapping[str, Any] = seen["p_false_abort" if seen["healthy"] else "p_detect"]
    return found


def _colophon(document: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    looks = ", ".join(map(str, document["looks"]))
    yield f"seed {document['seed']}, {document['runs']} runs in all, looks after {looks} runs; {versions}"
    yield f"policy {document['policy']['name']} {document['policy']['digest']}"
    yield f"suite {document['suite']['name']} {document['suite']['digest']}"
    yield f"error of each end of an interval, all looks together: {percent(1.0 - document['confidence'])}"


# --- what a bar is about --------------------------------------------------------------------------


def _at_least(bar: Row) -> bool:
    return ">=" in bar["bar"]


def _quantile(bar: Row) -> float | None:
    found = re.fullmatch(r"(?!p_).+_p(\d+)", bar["quantity"])
    return None if found is None else int(found.group(1)) / 100.0


def _share(bar: Row) -> bool:
    """Whether what was judged is a share of runs."""
    return bar["quantity"].startswith("p_") or _quantile(bar) is not None


def _asked(bar: Row) -> tuple[bool, float]:
    """Whether what was judged has to be at least, or at most, what."""
    quantile = _quantile(bar)
    if quantile is None:
        return _at_least(bar), bar["bound"]
    return not _at_least(bar), quantile


def _unit(bar: Row) -> Any:
    quantity = bar["quantity"]
    if quantity.startswith("p_"):
        return percent
    return duration if re.search(r"_s(_p\d+)?$", quantity) else count


# --- figure ---------------------------------------------------------------------------------------


def _drawable(bar: Row) -> bool:
    known = bar["judged"]["low"] is not None and bar["judged"]["high"] is not None
    return known and (_share(bar) or bar["bound"] != 0.0)


def _figure(bars: Sequence[Row]) -> Picture:
    from rolloutsim.plots.style import styled

    shares = [bar for bar in bars if _drawable(bar) and _share(bar)]
    totals = [bar for bar in bars if _drawable(bar) and not _share(bar)]
    with styled():
        figure = _drawn(shares, totals)
    return picture(
        "Bars and intervals",
        figure,
        "For each bar its interval, the number judged (dot: passed, cross: failed, open dot: inconclusive), "
        "and in grey what was asked for; the table above holds the same numbers.",
    )


def _drawn(shares: Sequence[Row], totals: Sequence[Row]) -> Figure:
    from rolloutsim.plots.style import figure_or_place, panel

    rows = [len(part) for part in (shares, totals) if part]
    heights = [ROW_INCHES * (n + 1) for n in rows]
    around = 0.75
    inches = sum(heights) + around * len(heights)
    figure, place = figure_or_place(None, (7.2, inches))
    top = inches
    for part in (shares, totals):
        if not part:
            continue
        height = ROW_INCHES * (len(part) + 1)
        top -= 0.3 + height
        axes = panel(
            place,
            (0.44, top / inches, 0.52, height / inches),
            title="Share of runs" if part is shares else "Mean over its bound",
        )
        top -= around - 0.3
        _rows(axes, part, share=part is shares)
    return figure


def _rows(axes: Axes, bars: Sequence[Row], *, share: bool) -> None:
    from matplotlib.ticker import PercentFormatter

    from rolloutsim.plots.style import GREY

    scaled = [1.0 if share else abs(bar["bound"]) for bar in bars]
    most = (
        1.0
        if share
        else max(1.5, *(bar["judged"]["high"] / by for bar, by in zip(bars, scaled, strict=True)))
    )
    axes.set_xlim(-0.03 * most, 1.03 * most)
    for y, (bar, by) in enumerate(zip(bars, scaled, strict=True)):
        at_least, level = _asked(bar)
        low, high = bar["judged"]["low"] / by, bar["judged"]["high"] / by
        wanted = (level / by, most) if at_least else (0.0, level / by)
        axes.barh(y, wanted[1] - wanted[0], left=wanted[0], height=0.72, color="#d9d9d9", zorder=1)
        axes.plot([level / by] * 2, [y - 0.36, y + 0.36], color=GREY, linewidth=1.2, zorder=2)
        axes.plot([low, high], [y, y], color="black", linewidth=1.6, zorder=3)
        mark, fill = MARKS[bar["verdict"]]
        value = bar["judged"]["value"] / by
        axes.plot(value, y, mark, markersize=6, color="black", markerfacecolor=fill, zorder=4)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    labels = [f"{bar['bar'].replace('@', '  ')}{'  (waived)' if bar['waiver'] else ''}" for bar in bars]
    axes.set_yticks(range(len(bars)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if share:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
