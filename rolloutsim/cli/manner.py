"""How an executor behaves, as the command line says: its options, its metrics servers, its journals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from rolloutsim.live.inbox import Command
    from rolloutsim.live.traffic_probe import TrafficProbe
    from rolloutsim.prometheus import Server

__all__ = [
    "JournalOption",
    "LogOption",
    "Manner",
    "MetricsOption",
    "NoWait",
    "ProbeHost",
    "ProbeOption",
    "ProbeVersion",
    "PrometheusHeaders",
    "PrometheusOption",
    "Timeout",
    "journal_directory",
    "probe_of",
    "refuse_probe",
    "servers",
]

JournalOption = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        envvar="ROLLOUTSIM_JOURNAL",
        help="Directory of the journals.",
        show_default="~/.local/state/rolloutsim",
    ),
]
LogOption = Annotated[
    Path | None,
    typer.Option("--log", help="Append one JSON line per decision here.", show_default="standard error"),
]
MetricsOption = Annotated[
    str,
    typer.Option("--metrics-listen", help="Serve Prometheus metrics at HOST:PORT.", show_default=False),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="End with code 6 where a person has to decide.")]
Timeout = Annotated[
    str,
    typer.Option(help="End with code 7 after this time (1h30m); the rollout stays.", show_default=False),
]
PrometheusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prometheus",
        envvar="ROLLOUTSIM_PROMETHEUS",
        help="ADDRESS for metrics that name none, or ADDRESS-IN-POLICY=ADDRESS-FROM-HERE; may be repeated.",
        show_default=False,
    ),
]
ProbeOption = Annotated[
    str,
    typer.Option(
        "--traffic-probe",
        help="Check each weight with requests to this URL, where users come in; needs --traffic-version.",
        show_default=False,
    ),
]
ProbeVersion = Annotated[
    str,
    typer.Option(
        "--traffic-version",
        help="How answers of the new version are known, HEADER: VALUE.",
        show_default=False,
    ),
]
ProbeHost = Annotated[
    str, typer.Option("--traffic-host", help="Host header of the probe.", show_default="the URL's own")
]
PrometheusHeaders = Annotated[
    Path | None,
    typer.Option(
        "--prometheus-headers",
        help="A file of headers for Prometheus, NAME: VALUE a line; they are shown nowhere.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an executor behaves, and towards the people who watch it.

    ``servers`` : metrics servers by the address that the policy writes.
    ``journal`` : the directory of journals; None: no record is kept (an abort must not need one).
    ``log`` : a file for the JSON lines; None: standard error, unless that is a terminal.
    ``metrics`` : HOST:PORT of the metrics, "" for none.
    ``wait`` : stay where a person has to decide.
    ``writes`` : False only looks on. ``measures`` : False asks no metrics server.
    ``plain`` : sentences instead of JSON lines or the live view.
    ``patience_ms`` : how long to wait for the Lease of another.
    ``commands`` : what people asked for already; it is heard before anything else.
    """

    servers: Mapping[str, Server] = field(default_factory=dict)
    journal: Path | None = None
    log: Path | None = None
    metrics: str = ""
    wait: bool = True
    timeout_s: float | None = None
    writes: bool = True
    measures: bool = True
    permit: Mapping[str, Any] | None = None
    patience_ms: int = 0
    commands: tuple[Command, ...] = ()
    plain: bool = False


def journal_directory(given: Path | None, namespace: str, rollout: str) -> Path:
    """Where the journals of one rollout go."""
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path.home() / ".local" / "state"
    return (given or home / "rolloutsim") / namespace / rollout


def servers(addresses: list[str] | None, headers: Path | None) -> dict[str, Server]:
    """Metrics servers by the address that a policy writes; "" is for metrics without one."""
    from rolloutsim.prometheus import Server

    known = _headers(headers)
    found = {}
    for given in addresses or ():
        written, _, here = given.rpartition("=")
        if "://" not in here or (written and "://" not in written):
            # an "=" may stand in an address by itself
            written, here = "", given
        found[written.rstrip("/") if written else ""] = Server(here, known, confidential=bool(known))
    return found


def probe_of(url: str, version: str, host: str) -> TrafficProbe | None:
    """The traffic probe of these options, None for none. Raises InputError."""
    from rolloutsim.live import traffic_probe

    if not url and (version or host):
        raise InputError("a traffic probe has no address", fix="give --traffic-probe URL")
    return traffic_probe.probe_of(url, version, host) if url else None


def refuse_probe(probe: TrafficProbe | None) -> None:
    """An installed controller decides by itself when a weight is verified. Raises InputError."""
    if probe is not None:
        raise InputError(
            "an installed Argo Rollouts controller verifies weights itself", fix="leave out --traffic-probe"
        )


def _headers(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the file of headers cannot be read", at=Position(str(path))) from error
    found = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise InputError("a header is NAME: VALUE", at=Position(str(path), number))
        if colon:
            found[name.strip()] = value.strip()
    return found
