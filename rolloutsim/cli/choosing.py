"""``compare`` on choices: pieces of advice, each judged case by case."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rolloutsim.cli.output import Output, progress, writing
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rolloutsim.estimates import Estimate
    from rolloutsim.evidence.choosing import Row

__all__ = ["are_choices", "compare_choices"]

_WIDTH = 100
_MARK = "kind: Choice"


def are_choices(arguments: Sequence[str]) -> bool:
    """Whether these name files of kind Choice, or directories that hold some."""
    return bool(arguments) and all(_holds_choices(Path(one)) for one in arguments)


def compare_choices(
    arguments: Sequence[str],
    *,
    runs: int,
    seed: int,
    executor: Executor | None,
    output: Output,
    out: Path | None,
) -> None:
    """Judge every choice and write the table; ``executor`` None: all is played here."""
    from rolloutsim.evidence.choosing import judge, load_choices
    from rolloutsim.evidence.playing import players

    if output not in (Output.TABLE, Output.JSON):
        raise InputError(f"choices are not written as {output}", fix="use -o table or -o json")
    questions = [one for argument in arguments for one in load_choices(argument)]
    rows = []
    with players(1, executor) as player:
        for question in questions:
            with progress(question.name) as tick:
                rows.append(judge(question, runs=runs, seed=seed, player=player, progress=tick))
    text = _json(rows, runs, seed) if output is Output.JSON else "\n".join(_table(rows, runs, seed)) + "\n"
    if out is None:
        print(text, end="")  # noqa: T201
    else:
        with writing(out):
            out.write_text(text, encoding="utf-8", newline="\n")


def _holds_choices(path: Path) -> bool:
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    return any(
        file.is_file() and _MARK in file.read_text(encoding="utf-8", errors="replace") for file in files
    )


def _json(rows: Sequence[Row], runs: int, seed: int) -> str:
    content = {"kind": "Choices", "runs": runs, "seed": seed, "rows": [row.to_json() for row in rows]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _table(rows: Sequence[Row], runs: int, seed: int) -> Iterator[str]:
    from rolloutsim.cli.table import without_interval

    for row in rows:
        question = row.choice
        advice = question.advice or "neither of them"
        yield f"{question.situation}: {advice}"
        yield from _wrapped(f"decided by {question.quantity}, {question.means}", "  ")
        for one in row.findings:
            yield f"  {str(one.judgement).ljust(7)}  {one.case}"
            yield from _wrapped("; ".join(f"{name} {_shown(value)}" for name, value in one.values), " " * 11)
        yield from _wrapped(f"the advice {row.verdict}", "  => ", "     ")
        yield from _wrapped(f"rests on {row.basis}", "     ")
        yield ""
    yield from _wrapped(
        f"{runs} runs of each case, seed {seed}, paired; 95 % intervals. An advice holds in a case when the "
        "advised strategy has less of the quantity, by more than a tenth and by an interval that excludes 0; "
        "-o json names every assumed input.",
        "",
    )
    yield from without_interval(
        value for row in rows for one in row.findings for _, value in (*one.values, *one.differences)
    )
    yield from _wrapped("not modelled: " + "; ".join(_left_out(rows)), "")


def _left_out(rows: Sequence[Row]) -> list[str]:
    """What no case models."""
    worlds = [set(world["notModelled"]) for row in rows for world in row.card["scenarios"].values()]
    return sorted(set.intersection(*worlds))


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    indent = first if rest is None else rest
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first]


def _shown(value: Estimate) -> str:
    if value.value is None:
        return "–"
    number = _number(value.value)
    if value.low is None or value.high is None:
        return number
    low, high = _number(value.low), _number(value.high)
    return number if low == high == number else f"{number} ({low}–{high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
