"""Series as OpenMetrics text, the form that ``promtool tsdb create-blocks-from openmetrics`` loads.

OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec) with timestamps; names outside the classic
character set are quoted inside the braces, as Prometheus 3 writes and reads them. Every sample needs a
timestamp: a page without them is one moment, and which one it does not say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.errors import InputError, Position
from rolloutsim.promql.intake import Intake, seconds_ms, value_of, value_text
from rolloutsim.promql.labels import METRIC_NAME, LabelSet, without
from rolloutsim.promql.labels import value_of as label_of
from rolloutsim.promql.store import SeriesStore, is_stale

__all__ = ["read_openmetrics", "write_openmetrics"]

_TYPES = frozenset(
    ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown")
)
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}
_DESCRIPTION = re.compile(r"# (TYPE|UNIT|HELP) (\"(?:[^\"\\]|\\.)*\"|[^ ]+)(?: (.*))?")
_AFTER = re.compile(r" ([^ #]+)(?: ([^ #]+))?(?: # \{.*)?")


# --- reading --------------------------------------------------------------------------------------


def read_openmetrics(text: str, *, source: str = "<text>") -> SeriesStore:
    """A store of all samples of an OpenMetrics text; ``source`` is its name in messages.

    The end marker must be there. Types, units, help and exemplars are checked for form and forgotten.

    Raises
    ------
    InputError : a line that is not OpenMetrics, a sample without a timestamp, or one that Prometheus would
        not ingest (out of order, or a second value at a time), with its line.
    """
    intake = Intake()
    ended = False
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if ended:
            if line or number < len(lines):
                raise InputError("there is more after # EOF", at=Position(source, number))
            continue
        try:
            if line.startswith("#"):
                ended = _description(line)
            elif line or number < len(lines):
                intake.add(*_sample(line))
        except ValueError as error:
            raise InputError(str(error), at=Position(source, number)) from None
    if not ended:
        raise InputError(
            "there is no # EOF at the end",
            at=Position(source, len(lines)),
            fix="is it complete, and OpenMetrics rather than the older Prometheus text format?",
        )
    return intake.store()


def _description(line: str) -> bool:
    """Check a line that begins with #; true for the end marker."""
    if line == "# EOF":
        return True
    found = _DESCRIPTION.fullmatch(line)
    if found is None:
        raise ValueError("a line with # is # TYPE, # UNIT, # HELP or # EOF in OpenMetrics")
    if found.group(1) == "TYPE" and found.group(3) not in _TYPES:
        raise ValueError(f"there is no type {found.group(3)!r} in OpenMetrics")
    return False


def _sample(line: str) -> tuple[Mapping[str, str], int, float]:
    found = _METRIC.match(line)
    labels, at = ({METRIC_NAME: found.group()}, found.end()) if found else ({}, 0)
    if line.startswith("{", at):
        at = _labels(line, at + 1, labels)
    if not labels.get(METRIC_NAME):
        raise ValueError("a sample begins with the name of its metric")
    after = _AFTER.fullmatch(line, at)
    if after is None:
        raise ValueError("after the labels a sample has a space, its value, a space and its timestamp")
    value, seconds = after.groups()
    if seconds is None:
        raise ValueError("this sample has no timestamp; only samples with one can be placed in time")
    return labels, seconds_ms(seconds), value_of(value)


def _labels(line: str, at: int, labels: dict[str, str]) -> int:
    """Read what is in the braces into ``labels``; the place behind them."""
    while not line.startswith("}", at):
        quoted = _TEXT.match(line, at)
        found = quoted or _LABEL.match(line, at)
        if found is None:
            raise ValueError(f"a label's name is needed at column {at + 1}")
        name, at = (_unescaped(quoted.group(1)) if quoted else found.group()), found.end()
        if line.startswith("=", at):
            value = _TEXT.match(line, at + 1)
            if value is None:
                raise ValueError(f"a quoted value is needed at column {at + 2}")
            pair, at = (name, _unescaped(value.group(1))), value.end()
        elif quoted:
            pair = (METRIC_NAME, name)
        else:
            raise ValueError(f"= and a value are needed at column {at + 1}")
        if pair[0] in labels:
            raise ValueError(f"the label {pair[0]} is there twice")
        labels[pair[0]] = pair[1]
        if line.startswith(",", at):
            at += 1
        elif not line.startswith("}", at):
            raise ValueError(f"a comma or }} is needed at column {at + 1}")
    return at + 1


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found.group(1), found.group()), text)


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Family:
    """Series under one name and type; ``groups`` are written one after the other, each by time."""

    name: str
    type: str
    groups: tuple[tuple[int, ...], ...]


def write_openmetrics(store: SeriesStore) -> Iterator[str]:
    """The lines of a store as OpenMetrics text, each with its newline, the end marker last.

    Names say the types, as the format wants it: ``_total`` is a counter, ``_bucket``, ``_sum`` and ``_count``
    that belong together are a histogram, all else is ``unknown``. What breaks the format's rules for its
    type (a count that is negative or NaN, a histogram without its ``+Inf`` bucket) is ``unknown`` too.

    Stale markers have no text and are left out: where a series ended, an instant selector finds its last
    sample for the lookback (5 minutes) longer than it does in this store. Raises InputError for a series
    without a name.
    """
    for family in _families(store):
        yield f"# TYPE {_name(family.name)} {family.type}\n"
        for group in family.groups:
            yield from _points(store, group)
    yield "# EOF\n"


def _families(store: SeriesStore) -> list[_Family]:
    named: dict[str, list[int]] = defaultdict(list)
    for identity, record in enumerate(store.records):
        name = label_of(record.labels, METRIC_NAME)
        if not name:
            raise InputError(
                f"the series {dict(record.labels)} has no name, and OpenMetrics needs one",
                fix="write series as they were scraped, not results of functions",
            )
        named[name].append(identity)
    families: dict[str, _Family] = {}
    for base in sorted({name.removesuffix("_bucket") for name in named if name.endswith("_bucket")}):
        parts = [f"{base}_{part}" for part in ("bucket", "count", "sum")]
        members = [identity for part in parts for identity in named.get(part, ())]
        groups = _histograms(store, members)
        if base not in named and groups:
            families[base] = _Family(base, "histogram", groups)
            for part in parts:
                named.pop(part, None)
    for name, members in named.items():
        base = name.removesuffix("_total")
        groups = tuple((identity,) for identity in sorted(members, key=lambda i: store.records[i].labels))
        free = base not in (name, "") and base not in named and base not in families
        if free and _only_counts(store, members):
            families[base] = _Family(base, "counter", groups)
        else:
            families[name] = _Family(name, "unknown", groups)
    return [families[name] for name in sorted(families)]


def _histograms(store: SeriesStore, members: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """The series of one histogram each: buckets in order, count, sum; empty if some are no histogram."""
    groups: dict[LabelSet, dict[tuple[str, float], int]] = defaultdict(dict)
    for identity in members:
        labels = store.records[identity].labels
        part = label_of(labels, METRIC_NAME).rpartition("_")[2]
        try:
            bound = value_of(label_of(labels, "le")) if part == "bucket" else 0.0
        except ValueError:
            return ()
        rest = without(labels, (METRIC_NAME, "le") if part == "bucket" else (METRIC_NAME,))
        groups[rest][part, bound] = identity
    for group in groups.values():
        times = {store.samples(identity)[0].tobytes() for identity in group.values()}
        sums = [part for part, _ in group if part != "bucket"]
        whole = ("bucket", float("inf")) in group and len(times) == 1 and len(sums) != 1
        if not whole or not _only_counts(store, group.values()):
            return ()
    return tuple(tuple(group[key] for key in sorted(group)) for _, group in sorted(groups.items()))


def _only_counts(store: SeriesStore, members: Iterable[int]) -> bool:
    return all(bool(np.all(_alive(store, identity)[1] >= 0.0)) for identity in members)


def _points(store: SeriesStore, group: tuple[int, ...]) -> Iterator[str]:
    """The samples of a group by time; series of one histogram share their times."""
    heads = [_head(store.records[identity].labels) for identity in group]
    columns = [_alive(store, identity) for identity in group]
    order = sorted(
        (at_ms, place, value)
        for place, (times, values) in enumerate(columns)
        for at_ms, value in zip(times.tolist(), values.tolist(), strict=True)
    )
    for at_ms, place, value in order:
        yield f"{heads[place]} {value_text(value)} {_seconds(at_ms)}\n"


def _alive(store: SeriesStore, identity: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The samples of a series without stale markers."""
    times, values = store.samples(identity)
    if not np.isnan(values).any():
        return times, values
    keep = np.array([not is_stale(value) for value in values.tolist()])
    return times[keep], values[keep]


def _seconds(at_ms: int) -> str:
    sign, (seconds, rest) = "-" if at_ms < 0 else "", divmod(abs(at_ms), 1000)
    text = f"{sign}{seconds}.{rest:03d}"
    # Prometheus cuts the product of this number and 1000 off to whole ms: it must not fall below.
    return text if int(float(text) * 1000) == at_ms else text + "1"


def _head(labels: LabelSet) -> str:
    name = label_of(labels, METRIC_NAME)
    pairs = [f'{_name(key, _LABEL)}="{_escaped(value)}"' for key, value in without(labels, (METRIC_NAME,))]
    if _METRIC.fullmatch(name):
        return f"{name}{{{','.join(pairs)}}}" if pairs else name
    return f"{{{','.join((_name(name), *pairs))}}}"


def _name(name: str, plain: re.Pattern[str] = _METRIC) -> str:
    return name if plain.fullmatch(name) else f'"{_escaped(name)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
