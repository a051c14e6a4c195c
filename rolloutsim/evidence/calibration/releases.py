"""What in a service's history looks like a release: another version gets requests.

Versions are told apart by the labels that the exporter or the scrape configuration gives them, by the
backend that a router names, and by the hash that a ReplicaSet puts into the names of its pods. A version
counts as there while its requests grow from one count to the next; it has gone once sixty counts in a row
(an hour of minutes, at usual traffic) hold requests of others and none of its own.

Not seen: a new version that is there for less than two counts; one that keeps all of these as they were (no
hash, and the label is of the environment); and one that both begins and ends in the first sixty counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rolloutsim.evidence.calibration.reads import POD_LABELS, Reads
from rolloutsim.evidence.calibration.source import Source
from rolloutsim.promql.intake import rfc3339_text
from rolloutsim.telemetry import PRESETS

__all__ = ["Change", "Releases", "releases_in"]

LABELS = ("rollouts_pod_template_hash", "pod_template_hash", "app_version", "version", "destination_version")
"""Labels that tell versions apart under any exporter, if they are there."""
ABSENT = 60
MINUTE_MS = 60_000
HASH = "rolloutsim_pod_hash"
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
_POD_NAME = f".+-({_SAFE}{{5,10}})-{_SAFE}{{5}}"
"""Names that a ReplicaSet gives: k8s.io/apimachinery/pkg/util/rand, ``SafeEncodeString`` and ``String``."""

Version = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A version that begins to get requests, and the times (ms) between which another one got some too."""

    version: str
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Releases:
    """The changes of version in a history, the labels that tell them, and the longest time without one."""

    labels: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    calm_ms: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """One sentence; empty if there is nothing to say."""
        if not self.changes:
            return ""
        first, more = self.changes[0], len(self.changes) - 1
        when = f"{rfc3339_text(first.first_ms)} to {rfc3339_text(first.last_ms)}"
        others = f", and {more} more after it" if more else ""
        start, end = self.calm_ms
        return (
            f"this history looks as if it held a release ({when}: {first.version} begins to get requests"
            f"{others}), and traffic, dispersion, errors and latency include it: to leave it out, measure "
            f"the longest stretch without one, --to {rfc3339_text(end)} --last {(end - start) // MINUTE_MS}m"
        )


def releases_in(
    source: Source, reads: Reads, known: Iterable[str], first_ms: int, last_ms: int, step_ms: int
) -> Releases:
    """Look for changes of version, from count to count; ``known`` are the labels that the series have.

    Raises
    ------
    ExecutorError : the source cannot be asked.
    """
    labels, pod = _labels(reads, set(known))
    grows = f"{reads.requests} - {reads.requests} offset {step_ms}ms"
    if pod:
        grows = f'label_replace({grows}, "{HASH}", "$1", "{pod}", "{_POD_NAME}")'
    query = f"sum by ({', '.join(labels)}) ({grows}) > 0"
    grown = {
        tuple(one.labels.get(label, "") for label in labels): set(one.times_ms.tolist())
        for one in (source.over(query, first_ms + step_ms, last_ms, step_ms) if labels else ())
    }
    grown.pop(("",) * len(labels), None)
    if not grown:
        return Releases(())
    times = np.array(sorted(set().union(*grown.values())), dtype=np.int64)
    stretches = [
        (version, first, last)
        for version, there in sorted(grown.items())
        for first, last in _stretches(np.searchsorted(times, sorted(there)).tolist())
    ]
    names = _names(labels, list(grown))
    changes = _merged(
        [
            Change(names[version], int(times[first]) - step_ms, int(times[last]))
            for version, first, last in _changes(stretches, len(times))
        ]
    )
    return Releases(labels, changes, _calm(changes, int(times[0]) - step_ms, int(times[-1])))


def _labels(reads: Reads, known: set[str]) -> tuple[tuple[str, ...], str]:
    """Labels of the series that may tell versions apart, and the one that names pods, if there is one."""
    preset = PRESETS.get(reads.preset)
    own = [] if preset is None else [*preset.labels, *preset.canary_labels]
    naming = [name for name, value in own if "{revision}" in value or "{backend}" in value]
    found = tuple(name for name in dict.fromkeys((*naming, *LABELS)) if name in known)
    pod = next((name for name in POD_LABELS if name in known), "")
    return (*found, HASH) if pod else found, pod


def _names(labels: tuple[str, ...], versions: list[Version]) -> dict[Version, str]:
    """Each version by the labels in which some differ."""
    shown = ["pod hash" if label == HASH else label for label in labels]
    differ = [k for k in range(len(labels)) if len({version[k] for version in versions}) > 1]
    return {version: ", ".join(f"{shown[k]} {version[k] or '-'}" for k in differ) for version in versions}


def _stretches(there: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of counts without a long absence."""
    first = last = there[0]
    for at in there[1:]:
        if at - last > ABSENT:
            yield first, last
            first = at
        last = at
    yield first, last


def _changes(stretches: list[tuple[Version, int, int]], counts: int) -> Iterator[tuple[Version, int, int]]:
    """Versions that begin within the history, and those beside which another one ends that did not."""
    for version, first, last in stretches:
        others = [(w, a, b) for w, a, b in stretches if w != version]
        if first >= ABSENT:
            yield version, first, max((min(b, last) for _, a, b in others if a <= first <= b), default=first)
        elif last < counts - ABSENT:
            beside = [(a, w) for w, a, b in others if a <= last <= b and a < ABSENT]
            if beside:
                begun, newest = max(beside)
                yield newest, begun, last


def _merged(changes: list[Change]) -> tuple[Change, ...]:
    """Changes that overlap are one."""
    merged: list[Change] = []
    for one in sorted(changes, key=lambda change: (change.first_ms, change.last_ms)):
        if merged and one.first_ms <= merged[-1].last_ms:
            before = merged.pop()
            one = Change(before.version, before.first_ms, max(before.last_ms, one.last_ms))
        merged.append(one)
    return tuple(merged)


def _calm(changes: tuple[Change, ...], first_ms: int, last_ms: int) -> tuple[int, int]:
    """The longest stretch without a change."""
    starts = [first_ms, *(one.last_ms for one in changes)]
    ends = [*(one.first_ms for one in changes), last_ms]
    return max(zip(starts, ends, strict=True), key=lambda span: span[1] - span[0])
