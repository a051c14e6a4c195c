"""``version``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["version"]


class VersionOutput(StrEnum):
    """Forms in which `version` answers."""

    TEXT = "text"
    JSON = "json"


def version(
    output: Annotated[
        VersionOutput, typer.Option("--output", "-o", help="text or json.")
    ] = VersionOutput.TEXT,
) -> None:
    """Print the versions of rolloutsim and of what its numbers depend on."""
    from rolloutsim.tables import versions

    known = versions()
    if output is VersionOutput.JSON:
        import json

        typer.echo(json.dumps(known, indent=2))
    else:
        typer.echo("\n".join(f"{name} {number}" for name, number in known.items()))
