"""Which series hold a service's requests, errors and latency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rolloutsim.errors import InputError
from rolloutsim.evidence.calibration.source import Source
from rolloutsim.telemetry import PRESETS, Preset

__all__ = ["POD_LABELS", "Reads", "find_reads", "given_reads", "labels_of", "pod_label", "quoted"]

POD_LABELS = ("pod", "kubernetes_pod_name", "pod_name", "instance")
LOOKS = 8
"""Times, spread over the stretch, at which series are looked for: a service may be gone today."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Selectors of a service's own series, of all its versions.

    ``requests`` and ``errors`` are counters, of all requests and of those that failed (empty: not known).
    ``latency`` is the base name of a histogram and its matchers; ``unit_per_s`` its unit (1000: ms).
    ``preset`` names the exporter (empty: given by hand).
    """

    requests: str
    errors: str
    latency: tuple[str, str] | None
    unit_per_s: float = 1.0
    preset: str = ""

    def histogram(self, part: str) -> str:
        """The selector of its series ``bucket``, ``sum`` or ``count``."""
        assert self.latency is not None
        base, matchers = self.latency
        return f"{base}_{part}{{{matchers}}}"


def given_reads(requests: str, errors: str, latency: str) -> Reads:
    """Selectors that the user spells.

    Raises
    ------
    InputError : one of them is no plain selector.
    """
    for option, text in (("--requests", requests), ("--errors", errors), ("--latency", latency)):
        if text and not re.fullmatch(r"[a-zA-Z_:][\w:]*(\{[^{}]*\})?", text.strip(), re.DOTALL):
            raise InputError(
                f"{option} is no selector", value=text, fix='write it as http_requests_total{service="api"}'
            )
    base, _, matchers = latency.strip().partition("{")
    return Reads(requests, errors, (base, matchers.rstrip("}")) if base else None)


def find_reads(source: Source, service: str, first_ms: int, last_ms: int) -> Reads:
    """The series of the service under the names of a known exporter (`rolloutsim.telemetry`).

    Raises
    ------
    InputError : no known exporter has the service; with names that are near, if there are any.
    ExecutorError : the source cannot be asked.
    """
    seen: list[str] = []
    counters = []
    for preset in PRESETS.values():
        label, pattern = _service_label(preset)
        matcher = _matcher(label, pattern, service)
        if _found(source, f"{preset.requests}{{{matcher}}}", first_ms, last_ms):
            return _of(preset, matcher)
        names = _values(source, preset.requests, label, first_ms, last_ms)
        if names:
            counters.append(preset.requests)
            seen += names
    if not counters:
        tried = ", ".join(dict.fromkeys(preset.requests for preset in PRESETS.values()))
        raise InputError(
            f"{source.shown} has no request counter of a known exporter ({tried})",
            fix='name yours: --requests http_requests_total{app="api"}, with --errors and --latency',
        )
    names = sorted(set(seen))
    near = get_close_matches(service, names, n=3, cutoff=0.5) or names[:8]
    raise InputError(
        f"{source.shown} has no service {service!r} in {', '.join(counters)}",
        fix=f"there are {', '.join(near)}" + (" and others" if len(near) < len(names) else ""),
    )


def labels_of(source: Source, reads: Reads, first_ms: int, last_ms: int) -> set[str]:
    """The labels that the series of its requests have, at some times of the stretch."""
    return {
        name
        for at in _looks(first_ms, last_ms)
        for one in source.over(f"topk(20, {reads.requests})", at, at, 1000)
        for name in one.labels
    }


def pod_label(labels: set[str], reads: Reads, wanted: str) -> str:
    """The label that tells pods apart; empty if there is none.

    Raises
    ------
    InputError : ``wanted`` is given and no series has it.
    """
    if wanted and wanted not in labels:
        known = ", ".join(sorted(labels - {"__name__"}))
        raise InputError(f"no series of {reads.requests} has the label {wanted!r}", fix=f"they have {known}")
    return wanted or next((name for name in POD_LABELS if name in labels), "")


def _of(preset: Preset, matcher: str) -> Reads:
    outcome, value = next(
        (one for one in preset.status_labels if "{class}" in one[1]), preset.status_labels[0]
    )
    failed = f'{outcome}="failure"' if "{class}" in value else f'{outcome}=~"5.."'
    return Reads(
        requests=f"{preset.requests}{{{matcher}}}",
        errors=f"{preset.requests}{{{matcher}, {failed}}}",
        latency=(preset.durations, matcher),
        unit_per_s=preset.unit_per_s,
        preset=preset.name,
    )


def _service_label(preset: Preset) -> tuple[str, str]:
    """The label of a preset that names the service, and its template; the plainest one."""
    naming = [(name, value) for name, value in preset.labels if "{service}" in value or "{backend}" in value]
    return min(naming, key=lambda one: (one[1] != "{service}", len(one[1])))


def _matcher(label: str, template: str, service: str) -> str:
    if template == "{service}":
        return f"{label}={quoted(service)}"
    parts = re.split(r"(\{\w+\})", template)
    filled = {"{service}": re.escape(service), "{backend}": f"{re.escape(service)}(-canary)?"}
    pattern = "".join(filled.get(part, ".+" if part.startswith("{") else re.escape(part)) for part in parts)
    return f"{label}=~{quoted(pattern)}"


def quoted(text: str) -> str:
    """A text as a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _found(source: Source, selector: str, first_ms: int, last_ms: int) -> bool:
    return any(source.over(f"count({selector})", at, at, 1000) for at in _looks(first_ms, last_ms))


def _values(source: Source, metric: str, label: str, first_ms: int, last_ms: int) -> list[str]:
    found: Sequence[str] = []
    for at in _looks(first_ms, last_ms):
        points = source.over(f"count by ({label}) ({metric})", at, at, 1000)
        found = [one.labels[label] for one in points if one.labels.get(label)]
        if found:
            break
    return list(found)


def _looks(first_ms: int, last_ms: int) -> Iterator[int]:
    """Times from the last back to the first."""
    yield from (last_ms - (last_ms - first_ms) * k // LOOKS for k in range(LOOKS))
