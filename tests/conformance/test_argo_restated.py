"""The rules of Argo Rollouts said a second time, plainly, and compared on drawn cases.

The vectors are samples; these are the rules themselves, written from the specification alone: the phase of
a measurement, an analysis run second by second, and replica counts. Drawn cases have the shape of vectors
and go through the same checks.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from rolloutsim.conditions import VectorResult, compile_condition, judge
from rolloutsim.policy.metric import validate_metric
from tests.conformance import test_argo_measurements as measurements
from tests.conformance import test_argo_replicas as replicas

Raw = dict[str, Any]

# --- the phase of one measurement -------------------------------------------------------------------

CONDITIONS: dict[str, Callable[[list[float]], bool]] = {
    "result[0] >= 0.95": lambda v: at(v, 0) >= 0.95,
    "result[0] < 0.9": lambda v: at(v, 0) < 0.9,
    "len(result) > 0 && result[0] == 1": lambda v: len(v) > 0 and v[0] == 1,
    "len(result) == 0 || isNaN(result[0])": lambda v: len(v) == 0 or math.isnan(v[0]),
    "all(result, # <= 1)": lambda v: all(x <= 1 for x in v),
    "any(result, isInf(#))": lambda v: any(math.isinf(x) for x in v),
    "result[-1] != result[0]": lambda v: at(v, -1) != at(v, 0),
    "sum(result) > 1": lambda v: sum(v) > 1,
    "true": lambda v: True,
    "false": lambda v: False,
}


def at(values: list[float], index: int) -> float:
    return values[index]  # an IndexError is the error of the condition


def phase_of(values: list[float], success: str, failure: str) -> str:
    try:
        good = CONDITIONS[success](values) if success else None
        bad = CONDITIONS[failure](values) if failure else None
    except IndexError:
        return "Error"
    match good, bad:
        case None, None:
            return "Successful"
        case _, True:
            return "Failed"
        case True, _:
            return "Successful"
        case None, _:
            return "Successful"
        case _, None:
            return "Failed"
    return "Inconclusive"


numbers = st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0, 2.0, -1.0, math.nan, math.inf, -math.inf])
conditions = st.sampled_from(["", *CONDITIONS])


@given(st.lists(numbers, max_size=3), conditions, conditions)
@example([], "", "")
@example([], "result[0] >= 0.95", "false")
@example([math.nan], "result[0] >= 0.95", "result[0] < 0.9")
def test_phase_of_a_measurement(values: list[float], success: str, failure: str) -> None:
    compiled = [compile_condition(text) if text else None for text in (success, failure)]
    phase, message = judge(VectorResult(tuple(values)), *compiled)
    assert phase == phase_of(values, success, failure)
    assert bool(message) == (phase == "Error")


# --- analysis runs ----------------------------------------------------------------------------------

BAD = ("Inconclusive", "Error", "Failed")
"""From best to worst."""
COUNTED = {"S": "successful", "F": "failed", "I": "inconclusive"}
ERROR_RETRY_S = 10
KEPT = 10


class Told:
    """One metric of the run."""

    def __init__(self, raw: Raw, letters: list[str], dry_run: bool) -> None:
        self.raw, self.letters, self.dry_run = raw, letters, dry_run
        self.name = raw["name"]
        self.interval = measurements.duration_ms(raw["interval"]) // 1000 if "interval" in raw else None
        self.delay = measurements.duration_ms(raw["initialDelay"]) // 1000 if "initialDelay" in raw else 0
        self.taken = 0
        self.last = ""
        """Letter of the last measurement; R is in flight."""
        self.last_at = 0
        self.said = ""
        self.counters: Counter[str] = Counter()
        self.phase = ""

    def limit(self, name: str, default: int) -> int:
        return int(self.raw.get(name, default))

    @property
    def count(self) -> float:
        given = int(self.raw.get("count", 0))
        return given or (1 if self.interval is None else math.inf)

    @property
    def exceeded(self) -> tuple[str, str]:
        """Phase and reason, or two empty texts."""
        failures, wrong = self.limit("failureLimit", 0), ("", "")
        if failures >= 0 and self.counters["failed"] > failures:
            wrong = "Failed", f"failed ({self.counters['failed']}) > failureLimit ({failures})"
        for phase, counter, limit, default, word in (
            ("Inconclusive", "inconclusive", "inconclusiveLimit", 0, "inconclusive"),
            ("Error", "consecutiveError", "consecutiveErrorLimit", 4, "consecutiveErrors"),
        ):
            if self.counters[counter] > self.limit(limit, default):
                wrong = phase, f"{word} ({self.counters[counter]}) > {limit} ({self.limit(limit, default)})"
        return wrong

    def due(self, now: int, started: int | None) -> bool:
        if self.phase or self.last == "R":
            return False
        if not self.last:
            return self.delay == 0 or (started is not None and now >= started + self.delay)
        wait = ERROR_RETRY_S if self.last == "E" else self.interval
        return wait is not None and now >= self.last_at + wait

    def measure(self, now: int) -> str:
        self.taken += 1
        self.last = self.letters[min(self.taken, len(self.letters)) - 1]
        self.end(self.last, now, "boom" if self.last == "E" else "")
        return self.last

    def end(self, letter: str, now: int, said: str = "") -> None:
        self.last, self.last_at, self.said = letter, now, said
        if letter == "R":
            return
        streaks = {"E": "consecutiveError", "S": "consecutiveSuccess"}
        for of, streak in streaks.items():
            self.counters[streak] = self.counters[streak] + 1 if of == letter else 0
        self.counters["error" if letter == "E" else COUNTED[letter]] += 1
        self.counters["count"] += letter != "E"

    def assess(self, terminating: bool) -> None:
        if self.phase or self.last == "R":
            return
        if not self.last:
            self.phase = "Successful" if terminating else ""
            return
        streak = self.limit("consecutiveSuccessLimit", 0)
        self.phase = self.exceeded[0]
        if not self.phase and 0 < streak <= self.counters["consecutiveSuccess"]:
            self.phase = "Successful"
        if not self.phase and self.counters["count"] >= self.count:
            unlimited = self.limit("failureLimit", 0) < 0
            self.phase = ("Failed" if unlimited else "Inconclusive") if streak > 0 else "Successful"
        if not self.phase and terminating:
            self.phase = "Successful"


def worst_of(metrics: list[Told]) -> Told | None:
    """The first metric with the worst phase, if it is a bad one."""
    bad = [metric for metric in metrics if metric.phase in BAD and not metric.dry_run]
    return max(bad, key=lambda metric: BAD.index(metric.phase), default=None)


def message_of(metrics: list[Told], terminated: bool) -> str:
    """The reason of the worst metric; where that has none, of the one that was the worst before it."""
    message, worst = "Run Terminated" if terminated else "", -1
    for metric in metrics:
        if metric.dry_run or metric.phase not in BAD or BAD.index(metric.phase) <= worst:
            continue
        worst = BAD.index(metric.phase)
        reason = metric.exceeded[1]
        if reason:
            said = f': "Error Message: {metric.said}"' if metric.said else ""
            message = f'Metric "{metric.name}" assessed {metric.phase} due to {reason}{said}'
    return message


def run_of(case: Raw) -> Raw:
    """What comes of an analysis run, one second after the other."""
    rules = [rule["metricName"] for rule in case.get("dryRun", ())]
    metrics = [
        Told(raw, case["outcomes"][raw["name"]], any(re.search(rule, raw["name"]) for rule in rules))
        for raw in case["metrics"]
    ]
    taken: list[list[Any]] = []
    started, completed, message = None, None, ""
    for now in range(case["observeUntilSeconds"] + 1):
        asked = now >= case.get("terminateAtSeconds", math.inf)
        while completed is None:
            terminating = asked or worst_of(metrics) is not None
            quiet = not terminating and started is not None
            for metric in metrics:
                if terminating and metric.last == "R" and not metric.phase:
                    metric.end("I", now, "Metric Terminated")
                    taken.append([now, metric.name, "terminated"])
                elif not terminating and metric.due(now, started):
                    taken.append([now, metric.name, metric.measure(now)])
                    quiet = False
            started = now if started is None else started
            for metric in metrics:
                metric.assess(terminating)
            if all(metric.phase for metric in metrics):
                completed, message = now, message_of(metrics, asked)
            if quiet:
                break
    worst = worst_of(metrics)
    measured = [metric for metric in metrics if metric.taken]
    expected: Raw = {
        "phase": "Running" if completed is None else worst.phase if worst else "Successful",
        "measurements": sorted(taken, key=lambda record: (record[0], record[1])),
        "metricPhases": {metric.name: metric.phase or "Running" for metric in measured},
        "counters": {
            metric.name: {name: value for name, value in metric.counters.items() if value}
            | {"retained": min(KEPT, metric.taken)}
            for metric in measured
        },
    }
    if completed is not None:
        expected["completedAtSeconds"] = completed
    return expected | ({"message": message} if message else {})


@st.composite
def metric_specs(draw: st.DrawFn, name: str) -> Raw:
    given: Raw = {
        "interval": draw(st.sampled_from([None, "1s", "7s", "10s", "1m"])),
        "initialDelay": draw(st.sampled_from([None, None, "5s", "15s"])),
        "count": draw(st.sampled_from([None, 0, 1, 2, 4, "3", 13])),
        "failureLimit": draw(st.sampled_from([None, 0, 1, 3, "2", -1])),
        "inconclusiveLimit": draw(st.sampled_from([None, 0, 1, 2])),
        "consecutiveErrorLimit": draw(st.sampled_from([None, 0, 1, 2])),
        "consecutiveSuccessLimit": draw(st.sampled_from([None, 0, 1, 2, 3])),
    }
    return {"name": name} | {key: value for key, value in given.items() if value is not None}


def is_valid(raw: Raw) -> bool:
    return not validate_metric({**raw, "provider": {"job": {}}})


@st.composite
def run_cases(draw: st.DrawFn) -> Raw:
    names = ["a", "ab", "b"][: draw(st.integers(1, 3))]
    letters = st.lists(st.sampled_from("SSFIER"), min_size=1, max_size=16)
    case: Raw = {
        "metrics": [draw(metric_specs(name).filter(is_valid)) for name in names],
        "outcomes": {name: draw(letters) for name in names},
        "observeUntilSeconds": draw(st.sampled_from([0, 30, 200])),
    }
    rule = draw(st.sampled_from([None, None, "a", "^a$", ".*"]))
    if rule:
        case["dryRun"] = [{"metricName": rule}]
    end = draw(st.sampled_from([None, None, 0, 3, 25]))
    return case if end is None else case | {"terminateAtSeconds": end}


@given(run_cases())
def test_analysis_run(case: Raw) -> None:
    measurements.test_run(case | {"expected": run_of(case)})


# --- replica counts ---------------------------------------------------------------------------------


def approximation(total: int, weight: int, full: int, surge: int) -> tuple[int, int]:
    if total == 0:
        return 0, 0
    up, down = math.ceil(total * weight / full), math.floor(total * weight / full)
    empty_is_fine = weight in (0, full) or (total == 1 and surge == 0)
    options = [(up, total)] if up < total or empty_is_fine else []
    for size in [total] if surge == 0 else [total, total + 1]:
        if size > total:
            options.append((up, size))
        if (size * (weight / full)) % 1 != 0.5 and (down != 0 or empty_is_fine):
            options.append((down, size))
    if not options:
        return 0, total
    canary, size = min(options, key=lambda option: abs(option[0] * full / option[1] - weight))
    return canary, size - canary


def resolved(raw: int | str | None, total: int, *, up: bool) -> int:
    if isinstance(raw, int):
        return raw
    percent = 25 if raw is None else int(raw.removesuffix("%"))
    return math.ceil(percent * total / 100) if up else math.floor(percent * total / 100)


def basic_counts(case: Raw) -> Raw:
    total, new, stable = case["replicas"], case["canary"], case["stable"]
    surge = resolved(case.get("maxSurge"), total, up=True)
    missing = resolved(case.get("maxUnavailable"), total, up=False)
    missing = min(total, 1 if surge == 0 and missing == 0 else missing)
    weight = 100 if case.get("promoteFull") else 0 if case.get("abort") else case["weight"]
    goal, rest = (total, 0) if stable is None else approximation(total, weight, 100, surge)
    none = {"spec": 0, "available": 0}
    n, s = new or none, stable or none
    others = sum(one["spec"] for one in case.get("older", ()))
    most, least = total + surge, total - missing
    c, k = n["spec"], s["spec"]
    room = most - c - k - others
    if stable and k < rest and room > 0:
        more = min(room, rest - k)
        k, room = k + more, room - more
    if new and c < goal and room > 0:
        c += min(room, goal - c)
    rises = new is None or goal >= n["spec"]
    pods = alive(n, all_count=not rises) + alive(s, all_count=rises)
    if others == 0 and pods > least:
        spare = pods - least
        if not rises:
            c = max(goal, n["spec"] - spare) if n["spec"] > goal else c
            c, k = (c, k) if stable is None else fit(n, s, c, k, most, least)
        elif stable:
            k = max(rest, k if k <= rest else s["spec"] - spare) if s["spec"] > rest else k
            k, c = (k, c) if new is None else fit(s, n, k, c, most, least)
    return {"canary": c, "stable": k, "resolvedMaxSurge": surge, "resolvedMaxUnavailable": missing}


def alive(pods: Raw, *, all_count: bool) -> int:
    spec, available = int(pods["spec"]), int(pods["available"])
    return spec if all_count or spec < available else available


def fit(drained: Raw, other: Raw, d: int, a: int, most: int, least: int) -> tuple[int, int]:
    a -= max(0, a + d - most)
    available: int = min(drained["available"], d) + min(other["available"], a)
    a += min(max(0, int(other["available"]) - a), max(0, least - available))
    d -= max(0, a + d - most)
    return d, a


def routed_counts(case: Raw) -> Raw:
    total, full = int(case["replicas"]), int(case.get("maxTrafficWeight", 100))
    minimum, dynamic = int(case.get("minPodsPerReplicaSet", 0)), case.get("dynamicStableScale", False)
    aborted = case.get("abort", False)
    named = None
    weight = 0 if aborted else case["weight"]
    if case.get("promoteFull") or case["stable"] is None:
        weight = full
    elif not case.get("matchTrafficWeight") and not aborted:
        named = case.get("setCanaryScaleReplicas")
        weight = case.get("setCanaryScaleWeight", weight) if named is None else 0

    def pods(share: int) -> int:
        return math.ceil(share * total / full)

    def enough(count: int) -> int:
        return 0 if count == 0 else max(count, min(minimum, total))

    canary = enough(pods(weight)) if named is None else named
    if not dynamic:
        return {"canary": canary, "stable": total}
    stable = pods(full - weight)
    if "currentCanaryWeight" in case:
        stable = max(stable, pods(full - case["currentCanaryWeight"]))
    return {"canary": enough(canary), "stable": enough(stable)}


pod_counts = st.fixed_dictionaries({"spec": st.integers(0, 12), "available": st.integers(0, 14)})
limits = st.sampled_from([None, 0, 1, 2, 5, "0%", "1%", "10%", "25%", "34%", "100%", "20"])


@given(
    st.integers(0, 300), st.sampled_from([100, 1000, 7, 3]), st.floats(0, 1), st.sampled_from([0, 1, 2, 9])
)
@example(1, 100, 0.05, 0)
@example(10, 100, 0.05, 1)
def test_approximation_by_pods(total: int, full: int, share: float, surge: int) -> None:
    weight = round(share * full)
    canary, stable = approximation(total, weight, full, surge)
    replicas.test_counts(
        {"kind": "approx", "replicas": total, "weight": weight, "maxTrafficWeight": full, "surge": surge}
        | {"expected": {"canary": canary, "stable": stable}}
    )


@given(
    total=st.integers(0, 12),
    weight=st.integers(0, 100),
    surge=limits,
    unavailable=limits,
    canary=st.none() | pod_counts,
    stable=st.none() | pod_counts,
    older=st.lists(pod_counts, max_size=2),
    flag=st.sampled_from([None, None, "abort", "promoteFull"]),
)
def test_counts_without_a_router(
    total: int,
    weight: int,
    surge: int | str | None,
    unavailable: int | str | None,
    canary: Raw | None,
    stable: Raw | None,
    older: list[Raw],
    flag: str | None,
) -> None:
    case: Raw = {"kind": "basic", "replicas": total, "weight": weight, "canary": canary, "stable": stable}
    case |= {"maxSurge": surge, "maxUnavailable": unavailable, "older": older}
    case |= {flag: True} if flag else {}
    replicas.test_counts(case | {"expected": basic_counts(case)})


@given(
    total=st.integers(0, 20),
    full=st.sampled_from([100, 1000, 7]),
    share=st.floats(0, 1),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "minPodsPerReplicaSet": st.integers(1, 25),
            "dynamicStableScale": st.booleans(),
            "setCanaryScaleReplicas": st.integers(0, 9),
            "setCanaryScaleWeight": st.integers(0, 7),
            "matchTrafficWeight": st.booleans(),
            "currentCanaryWeight": st.integers(0, 7),
            "promoteFull": st.booleans(),
        },
    ),
    stable=st.none() | pod_counts,
    abort=st.booleans(),
)
def test_counts_with_a_router(
    total: int, full: int, share: float, extra: Raw, stable: Raw | None, abort: bool
) -> None:
    if "setCanaryScaleReplicas" in extra:
        extra.pop("setCanaryScaleWeight", None)
    # The weight of an abort under dynamicStableScale is another rule: `tests/engine/test_replicas.py`.
    aborted = {"abort": True} if abort and not extra.get("dynamicStableScale") else {}
    case: Raw = {"kind": "traffic", "replicas": total, "weight": round(share * full), "stable": stable}
    case |= {"canary": {"spec": 0, "available": 0}, "maxTrafficWeight": full, **aborted, **extra}
    replicas.test_counts(case | {"expected": routed_counts(case)})
