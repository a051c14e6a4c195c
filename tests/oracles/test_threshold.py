"""Error rates judged window by window: how often a gate stops a release, and when.

Fixed counts and Poisson arrivals differ, since the threshold of a whole number of errors is met exactly by
the one and passed over by the other; windows that overlap and windows that do not differ as well.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tests.oracles.cases import Found, NotPlayed, Oracle, adapter, meet, unknown
from tests.oracles.trials import Gate, aborts, needs_a_worse_world, windows

GROUP = "threshold"
MINUTE_S = 60.0
ERROR_RETRY_S = 10.0
"""Argo Rollouts measures again this long after an error, whatever the interval."""

RATIO = "{errors} / {total}"


def below(theta: float) -> str:
    """A window passes below the threshold, and if it is empty."""
    return f"isNaN(result[0]) || result[0] < {theta!r}"


def one_window(requests: int, theta: float) -> Gate:
    """Windows of a minute with the same number of requests each, one after the other."""
    return Gate(RATIO, below(theta), requests, True, MINUTE_S, MINUTE_S, MINUTE_S, 1, 0)


def aborted(oracle: Oracle, gate: Gate, error_rate: float, theta: float) -> Found:
    """The share of the runs that the gate aborts."""
    sample = aborts(gate, error_rate, theta, oracle.expected)
    return sample if isinstance(sample, NotPlayed) else sample.share()


def is_slow(oracle: Oracle) -> bool:
    """Hundreds of traced runs of a worse world are needed for an abort that is rare in this one."""
    key = oracle.key.rpartition("/")[2].replace("mean_abort_min", "p_abort")
    return "p_abort" in key and needs_a_worse_world(oracle.beside.get(key) or 0.0)


# --- one window -----------------------------------------------------------------------------------


def window_alarm(oracle: Oracle) -> Found:
    """A window of so many requests fails if the share of errors reaches the threshold."""
    match = re.fullmatch(r"p_(0\.\d+)", oracle.key)
    if match is None:
        return unknown(oracle)
    theta = oracle.inputs["theta"]
    gate = one_window(oracle.inputs["n"], theta)
    return windows(gate, float(match[1]), theta, oracle.expected).share()


def at_least_one_error(oracle: Oracle) -> Found:
    """A window fails if it has an error."""
    p = oracle.inputs["p"]
    if match := re.fullmatch(r"p_seen_(\d+)", oracle.key):
        requests, chance = int(match[1]), oracle.expected
    elif match := re.fullmatch(r"n(\d\d)", oracle.key):
        requests, chance = oracle.expected, int(match[1]) / 100
    else:
        return unknown(oracle)
    gate = replace(one_window(requests, 1.0), query="{errors}", condition="result[0] < 1")
    return replace(windows(gate, p, p, chance).share(), of=chance)


def low_traffic(oracle: Oracle) -> Found:
    """A few windows that do not overlap, with few requests in each."""
    given = oracle.inputs
    p, theta, limit = given["p"], given["theta"], given["failureLimit"]
    gate = replace(one_window(given["n"], theta), ticks=given["ticks"])
    if oracle.key == "q":
        return windows(gate, p, theta, oracle.expected).share()
    limits = {"p_abort_code_gt": limit, "p_abort_if_docs_ge": limit - 1}
    if match := re.fullmatch(r"p_abort_failureLimit(\d+)", oracle.key):
        limits[oracle.key] = int(match[1])
    if oracle.key not in limits:
        return unknown(oracle)
    return aborted(oracle, replace(gate, limit=limits[oracle.key]), p, theta)


# --- overlapping windows --------------------------------------------------------------------------


def sliding(rule: dict[str, float], first_tick: float, *, fixed: bool) -> Gate | NotPlayed:
    """The rule of a case; times are in minutes."""
    interval, window = rule["interval_min"], rule["window_min"]
    requests = rule["canary_req_per_min"] * interval
    if fixed and requests != round(requests):
        return NotPlayed(f"{requests} is no whole number of requests in each interval")
    return Gate(
        RATIO,
        below(rule["theta"]),
        requests,
        fixed,
        MINUTE_S * interval,
        MINUTE_S * window,
        MINUTE_S * first_tick,
        1 + int((rule["minutes"] - first_tick) / interval),
        int(rule["failureLimit"]),
    )


def overlapping_windows(oracle: Oracle) -> Found:
    given = {name: value for name, value in oracle.inputs.items() if name != "arrivals"}
    match = re.fullmatch(r"p_(0\.\d+)/(poisson|fixed)_(\w+)", oracle.key)
    if match is None:
        return unknown(oracle)
    p, theta, arrivals, what = float(match[1]), given["theta"], match[2], match[3]
    gate = sliding(given, given["first_tick_min"], fixed=arrivals == "fixed")
    if isinstance(gate, NotPlayed):
        return gate
    if what == "p_abort":
        return aborted(oracle, gate, p, theta)
    if what == "mean_abort_min":
        chance = oracle.beside.get(f"{arrivals}_p_abort")
        if chance is None:
            return NotPlayed("without the probability of an abort nobody knows how many runs it takes")
        sample = aborts(gate, p, theta, chance)
        return sample if isinstance(sample, NotPlayed) else sample.mean_time(MINUTE_S)
    if consecutive := re.fullmatch(r"p_abort_if_(\d+)_consecutive", what):
        return aborted(oracle, in_a_row(gate, theta, int(consecutive[1])), p, theta)
    if what == "per_tick_q":
        return windows(apart(gate), p, theta, oracle.expected).share()
    if what == "naive_independent":
        return NotPlayed("what comes out if windows that overlap are taken for independent is arithmetic")
    return unknown(oracle)


def apart(gate: Gate) -> Gate:
    """The same ticks with windows of the same size that do not overlap."""
    requests = gate.requests * gate.window_s / gate.interval_s
    return replace(gate, requests=requests, interval_s=gate.window_s, first_s=gate.window_s)


def in_a_row(gate: Gate, theta: float, failures: int) -> Gate:
    """Argo Rollouts has no limit for failures in a row, but one for errors: a bad window gives no result.

    After an error it measures again in 10 s, so that is how long an interval takes here.
    """
    scale = ERROR_RETRY_S / gate.interval_s
    return replace(
        gate,
        query=f"({RATIO} < {theta!r}) or ({{total}} == 0)",
        condition="result[0] >= 0",
        interval_s=ERROR_RETRY_S,
        window_s=scale * gate.window_s,
        first_s=scale * gate.first_s,
        limit=failures - 1,
        in_a_row=True,
    )


USUAL_RULE = {
    "canary_req_per_min": 60,
    "theta": 0.05,
    "failureLimit": 3,
    "interval_min": 1,
    "window_min": 2,
}


def half_filled_window(oracle: Oracle) -> Found:
    """The usual rule with fixed counts, its first tick before or after the window is full."""
    match = re.fullmatch(r"p_abort_first_tick_(\d+)", oracle.key)
    if match is None:
        return unknown(oracle)
    rule = USUAL_RULE | {name: value for name, value in oracle.inputs.items() if name != "p"}
    gate = sliding(rule, float(match[1]), fixed=True)
    if isinstance(gate, NotPlayed):
        return gate
    return aborted(oracle, gate, oracle.inputs["p"], rule["theta"])


# --- another engine -------------------------------------------------------------------------------


def flagger(oracle: Oracle) -> Found:
    return NotPlayed(
        "there is no engine with Flagger's rules, by which the given number of failures is enough"
    )


RULE = "canary_req_per_min theta failureLimit interval_min window_min"
ADAPTERS = (
    adapter("n theta", window_alarm),
    adapter("n p theta ticks failureLimit", low_traffic),
    adapter("q threshold ticks", flagger),
    adapter(f"{RULE} minutes first_tick_min", overlapping_windows, also="arrivals"),
    adapter("p minutes", half_filled_window, also=RULE),
    adapter("p", at_least_one_error),
)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)
