"""Bars: what a policy has to reach in a scenario, as ``p_detect>=0.95@err-step-2pp``.

A bar is a quantity, ``>=`` or ``<=``, a bound, and the scenarios in which it has to hold. Quantities:

============================================  ===========================================================
p_detect                                      share of runs in which the policy itself stops a bad release
p_false_abort                                 share of runs in which a good release is aborted
p_abort, p_promoted, p_held, p_stuck          share of runs that end so
bad_requests, unserved, requests_exposed      mean over the runs; with _p50, _p90, _p95, _p99 that quantile
users_exposed, users_harmed, budget_spent
cut_connections, cut_requests                 where the service has long-lived connections
schema_violations, rows_at_risk               where the release changes the schema
duration_s, pod_hours, peak_pods, human_waits
time_to_detect_s, time_to_mitigate_s,         a quantile only: a run that detects nothing counts as never
restore_s
============================================  ===========================================================

A bound is a number, a share in percent (``2%``), or for times a duration (``10m``). Scenarios are names or
patterns (``err-step-*``); without any a bar holds wherever its quantity has a meaning. A bar on a quantile
is one on a share: the 95th percentile is at most 5000 where at least 95 % of the runs have at most 5000. It
is decided sooner than one on a mean, and exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from rolloutsim.errors import InputError, Position
from rolloutsim.estimates import Estimate, repeated_mean, repeated_rate
from rolloutsim.evidence.law import Law
from rolloutsim.evidence.suite import Suite
from rolloutsim.outcomes import End, Outcome
from rolloutsim.policy.document import nearest
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.sim.scenario import Scenario

__all__ = ["DEFAULT_BARS", "Bar", "bars_on", "default_left_out"]

DEFAULT_BARS = (
    "p_detect>=0.95@err-step-2pp",
    "p_detect>=0.95@err-step-5pp",
    "p_detect>=0.99@err-step-20pp",
    "p_detect>=0.99@crashloop",
    "p_false_abort<=0.02@healthy",
    "p_false_abort<=0.02@metrics-gap",
    "p_false_abort<=0.02@no-traffic",
    "p_false_abort<=0.05@noisy-baseline",
)
"""What is asked when nothing else is: catch what is clearly bad, let go what is clearly good."""

MEAN_RUNS = 800
"""Fewer runs do not decide about a mean: what happens in one run of a hundred may not have happened yet."""

_ENDS = {
    "p_abort": End.ABORTED,
    "p_promoted": End.PROMOTED,
    "p_held": End.HELD,
    "p_stuck": End.STUCK,
}
_FLAGS = {"p_detect": "detected", "p_false_abort": "false_abort"}
_TOTALS = (
    "bad_requests",
    "unserved",
    "requests_exposed",
    "users_exposed",
    "users_harmed",
    "cut_connections",
    "cut_requests",
    "schema_violations",
    "rows_at_risk",
    "budget_spent",
    "duration_s",
    "pod_hours",
    "peak_pods",
    "human_waits",
)
_CENSORED = ("time_to_detect_s", "time_to_mitigate_s", "restore_s")
"""Times of what may never happen."""
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_FORM = re.compile(r"\s*([A-Za-z_0-9]+)\s*(>=|<=|==|=|>|<)\s*([^@\s=<>][^@\s]*)\s*(?:@\s*(\S.*?)\s*)?")
_EXAMPLE = "write it as p_detect>=0.95@err-step-2pp"
_AT = Position("--require")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar in one scenario.

    ``measure`` is a share or a total; with a ``quantile`` (0..1) the bar is on that quantile of a total.
    """

    measure: str
    quantile: float | None
    at_least: bool
    bound: float
    scenario: str

    @property
    def name(self) -> str:
        """The quantity as it is written: ``bad_requests_p95``."""
        return self.measure if self.quantile is None else f"{self.measure}_p{round(100 * self.quantile)}"

    def __str__(self) -> str:
        return f"{self.name}{'>=' if self.at_least else '<='}{self.bound:g}@{self.scenario}"

    @property
    def is_share(self) -> bool:
        """Whether runs are counted, and not summed up."""
        return self.quantile is not None or self.measure.startswith("p_")

    @property
    def asked(self) -> tuple[bool, float]:
        """Whether the estimate has to be at least, or at most, what; for a quantile that of the share."""
        if self.quantile is None:
            return self.at_least, self.bound
        return (False, self.quantile) if self.at_least else (True, self.quantile)

    def estimate(self, runs: Sequence[Outcome], tail: float) -> Estimate:
        """What runs say about it at one look, each end of the interval wrong with chance ``tail``.

        For a quantile: the share of runs below the bound.
        """
        values = self._values(runs)
        if not self.is_share:
            if len(values) < MEAN_RUNS:
                return Estimate(float(values.mean()), None, None, len(values), "none")
            return repeated_mean(values, tail)
        return repeated_rate(int(np.count_nonzero(values)), len(values), tail)

    def by_law(self, law: Law) -> Estimate:
        """As `estimate`, without runs: a single number, since every course and its chance is known."""
        found = float(self._values(law.rows) @ np.array(law.chances))
        return Estimate(found, found, found, 0, "exact")

    def needs(self, tail: float) -> int:
        """Runs that could show it to be met at one look, if all of them agree."""
        at_least, bound = self.asked
        agreeing = bound if at_least else 1.0 - bound
        if not self.is_share:
            return MEAN_RUNS
        if not 0.0 < agreeing < 1.0:
            return 1
        # where all of n runs agree the bound of Clopper and Pearson is tail^(1/n)
        return math.ceil(math.log(tail) / math.log(agreeing))

    def value(self, runs: Sequence[Outcome], chances: Sequence[float] | None = None) -> float:
        """The quantity itself: share, mean or quantile; all rows count alike unless they have ``chances``."""
        weights = None if chances is None else np.array(chances)
        if self.quantile is None:
            return float(np.average(self._values(runs), weights=weights))
        known = np.array([getattr(run, self.measure) for run in runs], dtype=np.float64)
        known[np.isnan(known)] = np.inf
        return float(np.quantile(known, self.quantile, method="inverted_cdf", weights=weights))

    def _values(self, runs: Sequence[Outcome]) -> NDArray[np.float64]:
        if self.measure in _ENDS:
            return np.array([run.end is _ENDS[self.measure] for run in runs], dtype=np.float64)
        column = _FLAGS.get(self.measure, self.measure)
        values = np.array([getattr(run, column) for run in runs], dtype=np.float64)
        if self.quantile is None:
            return values
        # NaN is never: it is not below any bound
        below = values < self.bound if self.at_least else values <= self.bound
        return below.astype(np.float64)


def bars_on(suite: Suite, texts: Sequence[str] = DEFAULT_BARS) -> tuple[Bar, ...]:
    """The bars that these expressions put on a suite, each once.

    The default bars are those of its scenarios that the suite has.

    Raises
    ------
    InputError : an expression that is no bar, names no scenario, or asks what runs can never show.
    """
    found: dict[tuple[str, bool, str], Bar] = {}
    default = tuple(texts) == DEFAULT_BARS
    for asked in map(_read, texts):
        if default and asked.scenario not in suite.names:
            continue
        for bar in _on(suite, asked):
            # a bar that is given later is meant
            found[bar.name, bar.at_least, bar.scenario] = bar
    if not found:
        raise InputError("no bar applies to this suite", fix=f"add --require; {_EXAMPLE}")
    return tuple(found.values())


def default_left_out(suite: Suite) -> tuple[str, ...]:
    """The default bars that a suite cannot be asked, since it lacks their scenarios."""
    return tuple(text for text in DEFAULT_BARS if text.partition("@")[2] not in suite.names)


def _on(suite: Suite, asked: Bar) -> Iterator[Bar]:
    matched = [one for one in suite.scenarios if fnmatchcase(one.name, asked.scenario)]
    if not matched:
        fix = nearest(asked.scenario, list(suite.names)) or f"the suite has {', '.join(suite.names)}"
        raise _error(f"no scenario of suite {suite.name} is called so", asked.scenario, fix)
    fitting = [one for one in matched if not _why_not(asked.measure, one)]
    if not fitting:
        raise _error(_why_not(asked.measure, matched[0]), asked.scenario, "ask something else of it")
    for scenario in fitting:
        yield Bar(asked.measure, asked.quantile, asked.at_least, asked.bound, scenario.name)


def _why_not(measure: str, scenario: Scenario) -> str:
    """Why a quantity has no meaning in a scenario; empty if it has one. What is not modelled never passes."""
    healthy = scenario.release.healthy
    if measure in ("p_detect", *_CENSORED) and healthy:
        return f"{measure} is about bad releases, and this one is good"
    if measure == "p_false_abort" and not healthy:
        return "p_false_abort is about good releases, and this one is bad"
    if measure.startswith("cut_") and scenario.service.connections is None:
        return f"{measure} is 0 for a service that says nothing about its connections"
    if measure in ("schema_violations", "rows_at_risk") and scenario.release.schema is None:
        return f"{measure} is 0 for a release that does not change the schema"
    return ""


def _read(text: str) -> Bar:
    form = _FORM.fullmatch(text)
    if form is None:
        raise _error("this is no bar", text, _EXAMPLE)
    name, sign, bound, pattern = form.groups()
    if sign not in (">=", "<="):
        raise _error("a bar is judged with >= or <=", text, f"write {name}{_sign(sign)}{bound}")
    measure, quantile = _quantity(name, text)
    at_least = sign == ">="
    return Bar(measure, quantile, at_least, _bound(measure, quantile, at_least, bound, text), pattern or "*")


def _sign(sign: str) -> str:
    return "<=" if sign == "<" else ">="


def _quantity(name: str, text: str) -> tuple[str, float | None]:
    if name in _ENDS or name in _FLAGS or name in _TOTALS:
        return name, None
    stem, _, suffix = name.rpartition("_")
    if stem in (*_TOTALS, *_CENSORED):
        if suffix == "mean" and stem in _TOTALS:
            return stem, None
        if suffix in _QUANTILES:
            return stem, _QUANTILES[suffix]
        raise _error(f"there is no {suffix!r} of {stem}", text, f"known are {', '.join(_QUANTILES)}")
    if name in _CENSORED:
        raise _error(
            f"{name} has no mean, since a run that detects nothing has none", text, f"write {name}_p90"
        )
    known = [*_FLAGS, *_ENDS, *_TOTALS, *_CENSORED]
    raise _error(
        f"there is no quantity {name!r}", text, nearest(name, known) or f"known are {', '.join(known)}"
    )


def _bound(measure: str, quantile: float | None, at_least: bool, written: str, text: str) -> float:
    value = _number(measure, written, text)
    if not measure.startswith("p_") or quantile is not None:
        return value
    if not 0.0 <= value <= 1.0:
        raise _error("a share lies between 0 and 1", text, "write 0.95 or 95%")
    if value == (1.0 if at_least else 0.0):
        raise _error(f"no number of runs can show that a share is {value:g}", text, "ask for 0.99, or 0.01")
    return value


def _number(measure: str, written: str, text: str) -> float:
    try:
        if written.endswith("%"):
            return float(written[:-1]) / 100.0
        if measure.endswith("_s") and written[-1].isalpha():
            return go_duration_ns(written) / 1e9
        value = float(written)
    except ValueError:
        raise _error("the bound is no number", text, _EXAMPLE) from None
    if not math.isfinite(value):
        raise _error("the bound is not finite", text, _EXAMPLE)
    return value


def _error(why: str, value: str, fix: str) -> InputError:
    return InputError(why, at=_AT, value=value, fix=fix)
