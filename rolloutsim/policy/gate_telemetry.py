"""The counters of a telemetry preset as a gate reads them: PromQL selectors of canary and stable."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rolloutsim.policy.gated import ArmCounters
from rolloutsim.telemetry import PRESETS, Preset, le_label

__all__ = ["edge_s", "needs_revisions", "preset_counters"]


def needs_revisions(preset: Preset) -> bool:
    """Whether the preset tells versions apart by a label that names the revision."""
    return any("{revision}" in template for _, template in preset.labels)


def preset_counters(
    preset_name: str,
    service: str,
    namespace: str = "default",
    *,
    canary_revision: str,
    stable_revision: str,
    slower_than_s: float | None = None,
) -> tuple[ArmCounters, ArmCounters]:
    """Selectors of the canary's and of the stable version's counters.

    With ``slower_than_s`` the bad requests are the slow ones, else the failed ones. Where a label names the
    revision it tells the versions apart; otherwise the router's backend does.

    Raises
    ------
    ValueError : an unknown preset, one that cannot tell versions apart, or no bucket with this edge.
    """
    preset = PRESETS.get(preset_name)
    if preset is None:
        raise ValueError(f"there is no telemetry preset {preset_name!r}: choose {', '.join(PRESETS)}")
    if not preset.tells_versions_apart:
        raise ValueError(f"telemetry {preset_name!r} tells versions apart {preset.apart}")
    edge = None
    if slower_than_s is not None:
        if slower_than_s not in preset.bounds_s:
            edges = ", ".join(f"{bound:g}" for bound in preset.bounds_s)
            raise ValueError(
                f"{slower_than_s:g} s is no bucket edge of {preset_name!r}: choose one of {edges}"
            )
        edge = slower_than_s * preset.unit_per_s
    names = {"service": service, "namespace": namespace}
    canary = {**names, "revision": canary_revision, "backend": f"{service}-canary"}
    stable = {**names, "revision": stable_revision, "backend": service}
    return (
        _arm(preset, dict(_matchers(preset, canary, canary=True)), edge),
        _arm(preset, dict(_matchers(preset, stable, canary=False)), edge),
    )


def edge_s(counters: ArmCounters) -> float | None:
    """The limit in seconds that a counter of fast requests is the bucket of; None where it cannot be read."""
    found = re.search(r'\ble=~?"([0-9.e+\[\]]+)', counters.fast)
    if found is None:
        return None
    try:
        edge = float(found.group(1).replace("[", "").replace("]", ""))
    except ValueError:
        return None
    if edge <= 0.0:
        return None
    return edge / 1000.0 if "milliseconds" in counters.fast or "_ms_" in counters.fast else edge


def _matchers(preset: Preset, names: dict[str, str], *, canary: bool) -> Iterator[tuple[str, str]]:
    """Labels that say whose series these are. Fixed labels (method, path) are left open: all are meant."""
    by_revision = [name for name, template in preset.labels if "{revision}" in template]
    revision = next((name for name in by_revision if "hash" in name), by_revision[-1] if by_revision else "")
    router_labels = dict(preset.canary_labels)
    for name, template in preset.labels:
        by_backend = "{backend}" in template
        whose = template in ("{service}", "{namespace}") or (by_backend and not revision)
        if name in router_labels:
            continue
        if name == revision or whose:
            yield name, template.format(**names)
    for name, template in router_labels.items():
        yield name, template.format(**names) if canary else ""


def _arm(preset: Preset, labels: dict[str, str], edge: float | None) -> ArmCounters:
    if edge is None:
        name, template = min(preset.status_labels)  # Linkerd's classification before its status code
        bad = f'{name}="failure"' if template == "{class}" else f'{name}=~"5.."'
        return ArmCounters(_selector(preset.requests, labels), errors=_selector(preset.requests, labels, bad))
    # The server normalises the label from version 3 on: 1 becomes 1.0.
    forms = dict.fromkeys((le_label(edge), f"{edge:g}"))
    bucket = 'le=~"' + "|".join(form.replace(".", "[.]").replace("+", "[+]") for form in forms) + '"'
    return ArmCounters(
        _selector(f"{preset.durations}_count", labels),
        fast=_selector(f"{preset.durations}_bucket", labels, bucket),
    )


def _selector(metric: str, labels: dict[str, str], *more: str) -> str:
    matchers = [f'{name}="{value}"' for name, value in sorted(labels.items())]
    return f"{metric}{{{', '.join([*matchers, *more])}}}"
