"""A calibration as the file of a service, and the traffic of a day beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from rolloutsim.evidence.calibration.calibrate import Calibration, Value
from rolloutsim.evidence.calibration.day import STEP_MS, shown
from rolloutsim.promql.intake import rfc3339_text

__all__ = ["service_files", "write_service"]

API_VERSION = "rolloutsim.dev/v1alpha1"
SECTIONS = ("traffic", "error_rate", "error_icc", "latency", "telemetry", "requests")


def service_files(calibration: Calibration, name: str) -> dict[str, str]:
    """Texts of the files, by name: ``NAME.yaml``, and ``NAME-traffic.csv`` where the rate differs by day."""
    traffic = f"{name}-traffic.csv"
    files = {f"{name}.yaml": "\n".join(_lines(calibration, traffic)) + "\n"}
    day = calibration.day
    if day is not None and day.rates_rps:
        rows = [f"{k * STEP_MS // 1000},{shown(rate):g}" for k, rate in enumerate(day.rates_rps)]
        files[traffic] = "\n".join(["t_s,rate_rps", *rows]) + "\n"
    return files


def write_service(calibration: Calibration, path: str | Path) -> list[Path]:
    """Write the description to ``path`` (``.yaml``), and its traffic beside it.

    Raises
    ------
    OSError : a file cannot be written.
    """
    path = Path(path)
    written = []
    for name, text in service_files(calibration, path.stem).items():
        target = path if name.endswith(".yaml") else path.with_name(name)
        target.write_text(text, encoding="utf-8", newline="\n")
        written.append(target)
    return written


def _lines(calibration: Calibration, traffic: str) -> Iterator[str]:
    first, last = rfc3339_text(calibration.first_ms), rfc3339_text(calibration.last_ms)
    yield f"# Measured by rolloutsim calibrate from {calibration.source}, {first} to {last}:"
    if calibration.releases.changes:
        yield f"# Beware: {calibration.releases}."
    yield f"# {calibration.valid} of {calibration.cells} counts are whole. Everything else is a default:"
    for sentence in calibration.absent:
        yield f"# - {_comment(sentence)}"
    yield f"apiVersion: {API_VERSION}"
    yield "kind: ServiceModel"
    yield "metadata:"
    yield f"  name: {_name(calibration.service)}"
    yield "spec:"
    for section in SECTIONS:
        here = [one for one in calibration.values if one.path.split(".")[0] == section]
        yield from _section(section, here, traffic)


def _section(section: str, values: list[Value], traffic: str) -> Iterator[str]:
    if not values:
        return
    if values[0].path == section:
        yield from _value(section, values[0], values[0].text, 1)
        return
    yield f"  {section}:"
    if section == "requests":
        yield "    fidelity: {value: aggregate, basis: stated, source: slots and queue are not measured}"
    for one in values:
        place = one.path.split(".")[1:]
        for depth, key in enumerate(place[:-1], start=2):
            yield f"{'  ' * depth}{key}:"
        text = json.dumps(traffic) if one.path == "traffic.recorded.file" else one.text
        yield from _value(place[-1], one, text, 1 + len(place))


def _value(key: str, value: Value, text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{key}:"
    yield f"{indent}  value: {text}"
    yield f"{indent}  basis: measured"
    yield f"{indent}  source: {json.dumps(value.source, ensure_ascii=False)}"


def _name(service: str) -> str:
    """A name as objects have it; what a label may hold beyond that becomes a dash."""
    return json.dumps(re.sub(r"[^A-Za-z0-9._-]", "-", service).lstrip("-._") or "service")


def _comment(text: str) -> str:
    return " ".join(text.split())
