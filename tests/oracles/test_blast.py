"""Blast radius: how many requests a bad release spoils under a policy, and who notices when.

Bad requests of a run are expectations given its path, so where nothing random decides they are exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from rolloutsim.outcomes import End, Outcome
from rolloutsim.policy.model import Policy
from rolloutsim.sim.run import play, trace_run
from rolloutsim.sim.scenario import Delay, Operators, Scenario, Split
from tests.oracles.cases import Found, Oracle, adapter, meet, unknown
from tests.oracles.worlds import (
    ANALYSIS,
    all_at_once,
    ideal_telemetry,
    instant_cluster,
    metric,
    pause,
    replica_canary,
    rolling_update,
    routed_canary,
    scraped_first,
    set_weight,
    world,
)

GROUP = "blast"
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
HOUR_S = 3600.0


def seconds_in(key: str, pattern: str) -> float | None:
    """The time that a key names, as 300 for ``bad_at_300s`` and ``bad_(?:at_)?``; None if it names none."""
    match = re.fullmatch(rf"{pattern}(\d+(?:_\d+)?)([smh])", key)
    return float(match[1].replace("_", ".")) * SECONDS[match[2]] if match else None


# --- an error budget, and people who answer a page ------------------------------------------------


def workbook(oracle: Oracle) -> Found:
    """A share of the traffic, or all of it, fails until people have rolled back."""
    given = oracle.inputs
    until_s = given["detect_plus_rollback_s"]
    asked = routed_canary([set_weight(given["weight"]), {"pause": {}}])
    bad_world = world(
        given["rps"],
        given["p_err"],
        2 * until_s,
        operators=Operators(None, notice_excess=0.0, notice_after_ms=0, respond=Delay(round(1000 * until_s))),
        slo=given["slo"],
        slo_days=given["slo_days"],
    )
    canary, naive = play(asked, bad_world), play(all_at_once(), bad_world)
    found: dict[str, float] = {
        "overall_error_canary": canary.bad_requests / (given["rps"] * until_s),
        "overall_error_naive": naive.bad_requests / (given["rps"] * until_s),
        "bad_naive": naive.bad_requests,
        "bad_canary": canary.bad_requests,
        "budget_requests": canary.bad_requests / canary.budget_spent,
        "budget_share_naive": naive.budget_spent,
        "budget_share_canary": canary.budget_spent,
        "ratio": naive.bad_requests / canary.bad_requests,
    }
    return found.get(oracle.key, unknown(oracle))


# --- alerts on the burn rate of the error budget --------------------------------------------------

SMOOTH_RPS = 1e8
"""So many requests that chance moves no count by a noticeable part."""
HALVINGS = 26


def burn_alert(oracle: Oracle) -> Found:
    """The alert is a query over all requests; it is silent up to some time, and rings from then on."""
    given, key = oracle.inputs, oracle.key
    if key == "burn_canary":
        return burn(oracle, given["weight"], given["p_err"])
    if key == "burn_naive":
        return burn(oracle, 1.0, given["p_err"])
    if match := re.fullmatch(r"threshold_error_(\d+)h", key):
        return threshold_error(oracle, page_of(oracle, "window_h", float(match[1])))
    match = re.search(r"(?:fires|naive|at|before)_(\d+(?:_\d+)?)(?=x|_|$)", key)
    page = page_of(oracle, "burn", float(match[1].replace("_", "."))) if match else None
    if page is None:
        return unknown(oracle)
    window_s = page[1]
    if re.fullmatch(r"fires_[\d_]+", key):
        return rings(oracle, page, given["weight"], given["p_err"], window_s)
    if re.fullmatch(r"fires_[\d_]+x_after_h", key):
        at_s = alarm_s(oracle, page, given["weight"])
        return None if at_s is None else at_s / HOUR_S
    if re.fullmatch(r"naive_[\d_]+_after_s", key):
        return alarm_s(oracle, page, 1.0)
    if re.fullmatch(r"budget_exhaust_h_at_[\d_]+", key):
        return 1.0 / spent(oracle, 1.0, page[0] * (1.0 - given["slo"]), HOUR_S).budget_spent
    match = re.fullmatch(r"bad_before_[\d_]+x_page_at_(\d+)rps", key)
    if match:
        until_s = alarm_s(oracle, page, given["weight"])
        if until_s is None:
            return None
        run = spent(oracle, given["weight"], given["p_err"], until_s)
        return run.bad_requests * float(match[1]) / SMOOTH_RPS
    return unknown(oracle)


def threshold_error(oracle: Oracle, page: tuple[float, float] | None) -> Found:
    """The least error rate of all requests that makes the alert ring."""
    if page is None:
        return unknown(oracle)
    return least(lambda error_rate: rings(oracle, page, 1.0, error_rate, page[1]), 1.0)


def page_of(oracle: Oracle, field: str, value: float) -> tuple[float, float] | None:
    """Burn rate and window in seconds of the page whose field has this value."""
    for page in ("page", "page2"):
        if oracle.inputs[f"{page}_{field}"] == value:
            return oracle.inputs[f"{page}_burn"], oracle.inputs[f"{page}_window_h"] * HOUR_S
    return None


def spent(oracle: Oracle, weight: float, error_rate: float, until_s: float) -> Outcome:
    """What a release with this share of the traffic has spoilt until then."""
    steps = [set_weight(weight), {"pause": {}}]
    return play(routed_canary(steps), world(SMOOTH_RPS, error_rate, until_s, slo=oracle.inputs["slo"]))


def burn(oracle: Oracle, weight: float, error_rate: float) -> float:
    """How many times faster than allowed the budget is spent."""
    return spent(oracle, weight, error_rate, HOUR_S).budget_spent * 30 * 24


def rings(
    oracle: Oracle, page: tuple[float, float], weight: float, error_rate: float, after_s: float
) -> bool:
    """Whether the alert rings this long after the release: a gate that looks once, then."""
    threshold, window_s = page
    window_ms, scrape_ms = round(1000 * window_s), round(10 * window_s)
    ahead_s = math.ceil(2 * scrape_ms / 1000)
    after_ms = round(1000 * after_s)
    at_ms = after_ms + 1000 * ahead_s
    errors, requests = (
        f"sum(increase(http_requests_total{selector}[{window_ms}ms]))" for selector in ('{status=~"5.."}', "")
    )
    gate = metric(
        f"{errors} / {requests} / {1.0 - oracle.inputs['slo']!r}",
        f"result[0] < {threshold!r}",
        initialDelay=f"{after_ms}ms",
        count=1,
    )
    steps = [*scraped_first(ahead_s), set_weight(weight), {"analysis": ANALYSIS}]
    telemetry = ideal_telemetry(scrape_ms / 1000, at_ms % scrape_ms, history_s=1.01 * window_s)
    cluster = instant_cluster(Split.EXACT)
    horizon_s = (at_ms + 1) / 1000
    bad_world = world(SMOOTH_RPS, error_rate, horizon_s, telemetry=telemetry, cluster=cluster)
    run = play(routed_canary(steps, [gate]), bad_world)
    return run.end is End.ABORTED


def alarm_s(oracle: Oracle, page: tuple[float, float], weight: float) -> float | None:
    """When the alert begins to ring: the burn in its window grows until the window is full."""

    def rung(after_s: float) -> bool:
        return rings(oracle, page, weight, oracle.inputs["p_err"], after_s)

    return least(rung, page[1]) if rung(page[1]) else None


def least(reached: Callable[[float], bool], most: float) -> float:
    """The least value up to ``most`` at which something is reached, by bisection."""
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


# --- steps, rolling updates, canaries by replicas -------------------------------------------------


def stepped(oracle: Oracle) -> Found:
    """A canary that nobody stops, looked at some time after its first step."""
    given = oracle.inputs
    if (until_s := seconds_in(oracle.key, "by_")) is not None:
        steps = [step for weight, length in given["steps"] for step in (set_weight(weight), pause(length))]
        policy = routed_canary(steps)
    elif (until_s := seconds_in(oracle.key, "no_canary_")) is not None:
        policy = all_at_once()
    else:
        return unknown(oracle)
    return play(policy, world(given["rps"], given["delta"], until_s)).bad_requests


def one_pod_at_a_time(oracle: Oracle) -> Found:
    """A Deployment whose pods take their time; each is replaced when the one before is ready."""
    given = oracle.inputs
    pods, ready_s = given["pods"], given["ready_s"]

    def until(horizon_s: float) -> tuple[Policy, Scenario]:
        cluster = instant_cluster(ready_s=ready_s)
        return rolling_update(pods, 1), world(given["rps"], given["delta"], horizon_s, cluster=cluster)

    if oracle.key == "weight_integral_s":
        return play(*until(pods * ready_s)).requests_exposed / float(given["rps"])
    horizon_s = seconds_in(oracle.key, "bad_(?:at_)?")
    return unknown(oracle) if horizon_s is None else play(*until(horizon_s)).bad_requests


def replicas_as_weight(oracle: Oracle) -> Found:
    """What share of the traffic a canary really gets when only its pods decide."""
    match = re.fullmatch(r"n(\d+)_w(\d+)_surge(\d+)/(canary|stable|real_weight)", oracle.key)
    if match is None:
        return unknown(oracle)
    replicas, weight, surge = (int(part) for part in match.groups()[:3])
    _, records = trace_run(replica_canary(weight / 100, replicas, surge), world(100.0, 0.1, 600.0))
    truth = {record["revision"]: record for record in records if record["kind"] == "truth"}
    found: dict[str, float] = {
        "canary": truth["v2"]["pods"],
        "stable": truth["v1"]["pods"],
        "real_weight": truth["v2"]["share"],
    }
    return found[match[4]]


ADAPTERS = (
    adapter("rps p_err weight detect_plus_rollback_s slo slo_days", workbook),
    adapter("slo weight p_err page_burn page_window_h page2_burn page2_window_h", burn_alert),
    adapter("rps delta steps", stepped),
    adapter("rps delta pods ready_s", one_pod_at_a_time),
    adapter("rule", replicas_as_weight),
)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)
