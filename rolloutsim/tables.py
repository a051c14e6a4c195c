"""From outcomes to tables: what a simulation or a comparison says, in one object.

`build_results` turns rows of `Outcome` into `Results`: every run, one summary row per policy and
scenario, the differences between policies that met the same worlds, and what all of it rests on. Frames
are made when they are asked for; until then a run costs some 130 bytes.
"""

from __future__ import annotations

import html
import platform
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rolloutsim.estimates import (
    Estimate,
    mean_interval,
    paired_mean_difference,
    paired_rate_difference,
    rate,
)
from rolloutsim.outcomes import End, Outcome, column_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "API_VERSION",
    "RATES",
    "TOTALS",
    "Difference",
    "Results",
    "Summary",
    "build_results",
    "provenance",
    "versions",
]

API_VERSION = "rolloutsim.dev/v1alpha1"

RATES = ("p_abort", "p_detect", "p_false_abort")
TOTALS = (
    "time_to_detect_s",
    "bad_requests",
    "requests_exposed",
    "duration_s",
    "pod_hours",
    "restore_s",
    "users_harmed",
    "cut_connections",
    "schema_violations",
    "peak_pods",
    "human_waits",
    "budget_spent",
)

BLIND_BELOW = 0.05
"""A gate whose chance to stop a fault is surely below this does not see it."""

_SIGNIFICANT_DIGITS = 10
_SHOWN = 5
"""Totals that a notebook shows of itself; the others are columns of ``summary``."""

_TEXTS = ("policy", "scenario", "end", "caught_by", "message")
_FLAGS = ("healthy", "detected", "false_abort")
_COUNTS = ("run", "peak_pods", "human_waits", "measurements")


@dataclass(frozen=True, slots=True)
class Summary:
    """One policy in one scenario.

    ``p_detect`` is None for a healthy release, ``p_false_abort`` for a bad one. ``time_to_detect_s`` is
    over the runs that were detected, and its ``n`` says how many these are.
    """

    policy: str
    scenario: str
    healthy: bool
    runs: int
    p_abort: Estimate
    p_detect: Estimate | None
    p_false_abort: Estimate | None
    time_to_detect_s: Estimate
    bad_requests: Estimate
    requests_exposed: Estimate
    duration_s: Estimate
    pod_hours: Estimate
    restore_s: Estimate
    users_harmed: Estimate
    cut_connections: Estimate
    schema_violations: Estimate
    peak_pods: Estimate
    human_waits: Estimate
    budget_spent: Estimate


@dataclass(frozen=True, slots=True)
class Difference:
    """``policy`` minus ``versus`` in one scenario, run by run in the same world."""

    policy: str
    versus: str
    scenario: str
    runs: int
    p_abort: Estimate
    p_detect: Estimate | None
    p_false_abort: Estimate | None
    time_to_detect_s: Estimate
    bad_requests: Estimate
    requests_exposed: Estimate
    duration_s: Estimate
    pod_hours: Estimate
    restore_s: Estimate
    users_harmed: Estimate
    cut_connections: Estimate
    schema_violations: Estimate
    peak_pods: Estimate
    human_waits: Estimate
    budget_spent: Estimate


@dataclass(frozen=True, slots=True)
class Results:
    """What a simulation found.

    ``kind`` is Simulation or Comparison; ``rows`` are the summaries, ``pairs`` the differences from the
    first policy; ``notes`` say what the numbers rest on and what no gate saw; ``provenance`` is what it
    takes to get the same bytes again.
    """

    kind: str
    rows: tuple[Summary, ...]
    pairs: tuple[Difference, ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]
    columns: Mapping[str, NDArray[Any]]
    """The runs by column; texts are codes into ``labels``."""
    labels: Mapping[str, tuple[str, ...]]
    card: Mapping[str, Any] = field(default_factory=dict)
    """The model card: fidelity, inputs by how they are known, dispersion, what is not modelled."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run, with the columns of `Outcome`; texts are categoricals."""
        import pandas as pd

        data: dict[str, object] = dict(self.columns)
        for name, known in self.labels.items():
            data[name] = pd.Categorical.from_codes(self.columns[name], categories=pd.Index(known))
        return _with_provenance(pd.DataFrame(data), self.provenance)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per policy and scenario; an estimate is three columns, as bad_requests, _low, _high."""
        return self._frame(self.rows, Summary)

    @property
    def differences(self) -> pd.DataFrame:
        """One row per further policy and scenario: its paired difference from the first policy."""
        return self._frame(self.pairs, Difference)

    def to_frame(self) -> pd.DataFrame:
        """One row per run: the same as ``runs``."""
        return self.runs

    def to_json(self) -> dict[str, Any]:
        """Everything but the runs, for machines: the same runs give the same bytes.

        Keys keep their order, floats have ten significant digits, and nothing depends on the clock.
        """
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "provenance": dict(self.provenance),
            "summary": [_json_row(row) for row in self.rows],
            "differences": [_json_row(pair) for pair in self.pairs],
            "notes": list(self.notes),
            "modelCard": dict(self.card),
        }

    def _repr_html_(self) -> str:
        head = ("policy", "scenario", "runs", *RATES, *TOTALS[:_SHOWN])
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_short(getattr(row, name)))}</td>" for name in head) + "</tr>"
            for row in self.rows
        )
        top = "".join(f"<th>{name}</th>" for name in head)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self._colophon())}</p><ul>{notes}</ul>"
        )

    def _colophon(self) -> str:
        known = self.provenance
        versions = ", ".join(f"{name} {number}" for name, number in known.get("versions", {}).items())
        return f"seed {known.get('seed')}, {known.get('runs')} runs each; 95 % intervals; {versions}"

    def _frame(self, rows: Sequence[Summary | Difference], kind: type) -> pd.DataFrame:
        import pandas as pd

        flat = [dict(_flat_cells(row)) for row in rows]
        columns = list(flat[0]) if flat else list(kind.__annotations__)
        return _with_provenance(pd.DataFrame(flat, columns=columns), self.provenance)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "rolloutsim": version("rolloutsim"),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "simpy": version("simpy"),
    }


def provenance(
    policies: Mapping[str, str], scenarios: Mapping[str, str], *, seed: int, runs: int
) -> dict[str, Any]:
    """What it takes to repeat a simulation: versions, digests by name (in order), seed and runs."""
    return {
        "versions": dict(versions()),
        "policies": dict(policies),
        "scenarios": dict(scenarios),
        "seed": seed,
        "runs": runs,
    }


def build_results(
    rows: Iterable[Outcome],
    *,
    kind: str,
    notes: Iterable[str],
    provenance: Mapping[str, Any],
    card: Mapping[str, Any] | None = None,
) -> Results:
    """Sum up runs, which may come in any order.

    Policies and scenarios stand in the order of ``provenance["policies"]`` and ``["scenarios"]``; names
    that are missing there follow, as they come.

    Raises
    ------
    ValueError : two rows are the same run of the same policy and scenario.
    """
    columns, labels = _columns(rows, provenance)
    summaries = tuple(_summary(columns, labels, cell) for cell in _cells(columns))
    return Results(
        kind=kind,
        rows=summaries,
        pairs=tuple(_differences(columns, labels)),
        notes=(*notes, *_blind_spots(summaries), *_overloads(columns, labels)),
        provenance=provenance,
        columns=columns,
        labels=labels,
        card=card or {},
    )


# --- columns --------------------------------------------------------------------------------------

_Columns = dict[str, NDArray[Any]]
_Labels = dict[str, tuple[str, ...]]


def _columns(rows: Iterable[Outcome], provenance: Mapping[str, Any]) -> tuple[_Columns, _Labels]:
    """The rows as arrays, sorted by policy, scenario and run."""
    names = column_names()
    codes: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
    for name, listed in (("policy", "policies"), ("scenario", "scenarios")):
        for label in provenance.get(listed, ()):
            codes[name].setdefault(label, len(codes[name]))
    raw = {name: array("d" if name not in (*_TEXTS, *_FLAGS, *_COUNTS) else "q") for name in names}
    for row in rows:
        for name in names:
            value = getattr(row, name)
            if name in codes:
                value = codes[name].setdefault(str(value), len(codes[name]))
            raw[name].append(value)
    columns: _Columns = {name: np.array(column) for name, column in raw.items()}
    order = np.lexsort((columns["run"], columns["scenario"], columns["policy"]))
    columns = {name: column[order] for name, column in columns.items()}
    for name in _FLAGS:
        columns[name] = columns[name].astype(bool)
    _refuse_doubles(columns)
    return columns, {name: tuple(known) for name, known in codes.items()}


def _refuse_doubles(columns: _Columns) -> None:
    same = np.ones(max(len(columns["run"]) - 1, 0), dtype=bool)
    for name in ("policy", "scenario", "run"):
        same &= np.diff(columns[name]) == 0
    if same.any():
        raise ValueError(
            "the same run of the same policy and scenario came twice: give each policy its own name"
        )


def _cells(columns: _Columns) -> Iterator[slice]:
    """The rows of each policy and scenario."""
    pair = list(zip(columns["policy"].tolist(), columns["scenario"].tolist(), strict=True))
    start = 0
    for _, members in groupby(pair):
        end = start + sum(1 for _ in members)
        yield slice(start, end)
        start = end


# --- rows -----------------------------------------------------------------------------------------


def _summary(columns: _Columns, labels: _Labels, cell: slice) -> Summary:
    part = _part(columns, labels, cell)

    def rate_of(name: str) -> Estimate:
        return rate(int(np.count_nonzero(part[name])), len(part[name]))

    def mean_of(name: str) -> Estimate:
        return mean_interval(part[name])

    healthy = bool(part["healthy"][0])
    return Summary(
        policy=labels["policy"][part["policy"][0]],
        scenario=labels["scenario"][part["scenario"][0]],
        healthy=healthy,
        runs=len(part["run"]),
        **_measures(healthy, rate_of, mean_of),
    )


def _differences(columns: _Columns, labels: _Labels) -> Iterator[Difference]:
    cells = {(columns["policy"][c.start], columns["scenario"][c.start]): c for c in _cells(columns)}
    first = min((policy for policy, _ in cells), default=None)
    for (policy, scenario), cell in cells.items():
        if policy != first and (first, scenario) in cells:
            yield _difference(columns, labels, cells[first, scenario], cell)


def _difference(columns: _Columns, labels: _Labels, first: slice, second: slice) -> Difference:
    a, b = _part(columns, labels, first), _part(columns, labels, second)
    runs, at_a, at_b = np.intersect1d(a["run"], b["run"], return_indices=True)

    def rate_of(name: str) -> Estimate:
        return paired_rate_difference(a[name][at_a], b[name][at_b])

    def mean_of(name: str) -> Estimate:
        return paired_mean_difference(a[name][at_a], b[name][at_b])

    return Difference(
        policy=labels["policy"][b["policy"][0]],
        versus=labels["policy"][a["policy"][0]],
        scenario=labels["scenario"][b["scenario"][0]],
        runs=len(runs),
        **_measures(bool(b["healthy"][0]), rate_of, mean_of),
    )


def _measures(
    healthy: bool, rate_of: Callable[[str], Estimate], mean_of: Callable[[str], Estimate]
) -> dict[str, Any]:
    return {
        "p_abort": rate_of("aborted"),
        "p_detect": None if healthy else rate_of("detected"),
        "p_false_abort": rate_of("false_abort") if healthy else None,
        **{name: mean_of(name) for name in TOTALS},
    }


def _part(columns: _Columns, labels: _Labels, cell: slice) -> _Columns:
    """The columns of one policy and scenario, with ``aborted`` as a flag of its own."""
    part = {name: column[cell] for name, column in columns.items()}
    aborted = [label == End.ABORTED for label in labels["end"]]
    part["aborted"] = np.array(aborted, dtype=bool)[part["end"]]
    return part


def _blind_spots(rows: Sequence[Summary]) -> Iterator[str]:
    """Bad releases that a policy stops no oftener than it stops a good one.

    What a policy stops by chance is its false abort rate in the calmest healthy scenario: healthy ones
    with a disturbance of their own would hide what it cannot see.
    """
    by_chance: dict[str, float] = {}
    for row in rows:
        if row.p_false_abort is not None and row.p_false_abort.value is not None:
            by_chance[row.policy] = min(by_chance.get(row.policy, 1.0), row.p_false_abort.value)
    unseen: dict[str, list[str]] = {}
    for row in rows:
        if row.p_detect is None or row.p_detect.value is None or row.p_detect.high is None:
            continue
        if row.p_detect.high < BLIND_BELOW or row.p_detect.value <= by_chance.get(row.policy, -1.0):
            unseen.setdefault(row.policy, []).append(row.scenario)
    for policy, scenarios in unseen.items():
        yield f"no gate of {policy} sees {', '.join(scenarios)}"


def _overloads(columns: _Columns, labels: _Labels) -> Iterator[str]:
    """Where more work came than pods can do, so that what is found depends on queues and patience."""
    for cell in _cells(columns):
        most = float(columns["load_most"][cell].max())
        if most > 1.0:
            policy, scenario = (labels[name][columns[name][cell][0]] for name in ("policy", "scenario"))
            yield (
                f"overload: {policy} in {scenario} met up to {most:.2g} times the work "
                "that the pods of a version can do; what finds no place in a queue is rejected"
            )


# --- cells ----------------------------------------------------------------------------------------


def _flat_cells(row: Summary | Difference) -> Iterator[tuple[str, Any]]:
    """A row for a frame: an estimate becomes three columns."""
    for name in row.__dataclass_fields__:
        value = getattr(row, name)
        if name in RATES or name in TOTALS:
            parts = (None, None, None) if value is None else (value.value, value.low, value.high)
            for suffix, part in zip(("", "_low", "_high"), parts, strict=True):
                yield name + suffix, float("nan") if part is None else part
        else:
            yield name, value


def _json_row(row: Summary | Difference) -> dict[str, Any]:
    return {name: _json_cell(getattr(row, name)) for name in row.__dataclass_fields__}


def _json_cell(value: object) -> object:
    if isinstance(value, Estimate):
        if value.value is None:
            return None
        return {
            "value": _rounded(value.value),
            "low": _rounded(value.low),
            "high": _rounded(value.high),
            "n": value.n,
        }
    return value


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _short(value: object) -> str:
    if value is None or (isinstance(value, Estimate) and value.value is None):
        return "–"
    if not isinstance(value, Estimate):
        return str(value)
    if value.low is None or value.high is None:
        return f"{value.value:.3g}"
    return f"{value.value:.3g} [{value.low:.3g}, {value.high:.3g}]"


def _with_provenance(frame: pd.DataFrame, known: Mapping[str, Any]) -> pd.DataFrame:
    frame.attrs["provenance"] = dict(known)
    return frame
