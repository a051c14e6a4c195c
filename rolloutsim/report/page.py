"""A page: what a report says, apart from how it looks.

A page is one self-contained HTML file: styles and figures are inside, nothing is fetched, no script runs. It
reads on a phone (tables scroll by themselves), in print and without colour.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Block", "Page", "Picture", "Prose", "Sheet", "Tone", "picture", "render"]


class Tone(StrEnum):
    """How the verdict stands; a symbol and a word say it as well as the colour."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Prose:
    """A heading and sentences; ``listed`` sets them as a list."""

    heading: str
    sentences: tuple[str, ...]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. Cells of the first column are row headings; ``numeric`` columns stand to the right."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as SVG, base64; ``alternative`` says in words what it shows."""

    heading: str
    svg_base64: str
    alternative: str


Block = Prose | Sheet | Picture


@dataclass(frozen=True, slots=True)
class Page:
    """``verdict`` is the one sentence at the top; ``colophon`` is what it takes to get the numbers again."""

    title: str
    verdict: str
    tone: Tone
    blocks: tuple[Block, ...]
    colophon: tuple[str, ...]


def picture(heading: str, figure: Figure, alternative: str) -> Picture:
    """A matplotlib figure; the same figure gives the same bytes."""
    from rolloutsim.plots.style import styled

    drawn = BytesIO()
    with styled():
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return Picture(heading, base64.b64encode(drawn.getvalue()).decode("ascii"), alternative)


def render(page: Page) -> str:
    """The page as HTML; every text is escaped."""
    text: str = _template().render(page=page, blocks=[(type(b).__name__, b) for b in page.blocks])
    return text


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rolloutsim.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def sentence(parts: Sequence[str]) -> str:
    """Words joined as in a sentence: a, b and c."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
