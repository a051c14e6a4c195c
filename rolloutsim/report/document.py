"""Which page a file makes: results and vettings are JSON, a trace is JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rolloutsim.errors import InputError, Position
from rolloutsim.report.comparison import comparison_page
from rolloutsim.report.page import Page, render
from rolloutsim.report.recorded import recorded_page
from rolloutsim.report.replay import replay_page
from rolloutsim.report.timeline import timeline_page
from rolloutsim.report.vetting import vetting_page
from rolloutsim.trace import read_trace

__all__ = ["page_of", "report"]

PAGES: Mapping[str, Callable[[Mapping[str, Any]], Page]] = {
    "Simulation": comparison_page,
    "Comparison": comparison_page,
    "Replay": replay_page,
    "RecordedReplay": recorded_page,
    "Vetting": vetting_page,
}
"""The page of each kind of JSON document."""


def report(path: str | Path) -> str:
    """The HTML page of a file that `rolloutsim` wrote.

    Raises
    ------
    InputError : the file cannot be read, is of another kind, or lacks what its kind has.
    """
    return render(page_of(path))


def page_of(path: str | Path) -> Page:
    """As `report`, before it is HTML."""
    at = Position(str(path))
    document = _json(path, at)
    if document is None:
        return timeline_page(read_trace(path))
    kind = str(document.get("kind", ""))
    if kind not in PAGES:
        known = ", ".join(PAGES)
        raise InputError(
            "there is no report of this kind of file",
            at=at,
            value=kind or None,
            fix=f"give a trace, or {known}",
        )
    try:
        return PAGES[kind](document)
    except KeyError as error:
        raise InputError(f"the {kind} has no {error}", at=at, fix="write it again with -o json") from error


def _json(path: str | Path, at: Position) -> Mapping[str, Any] | None:
    """The document, or None for JSON Lines."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", at=at) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8 text", at=at, fix="give a trace or a JSON file") from error
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if isinstance(document, dict) and document.get("kind") != "manifest":
        return document
    return None
