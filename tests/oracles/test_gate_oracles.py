"""Gates against closed forms, published constants and exact operating characteristics.

Operating characteristics are dynamic programs over sequences of requests or events whose only knowledge of
the test is the verdict of `rolloutsim.engine.gates.update` on the counts reached.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom

from rolloutsim.engine.gates import (
    Arm,
    BetaPosterior,
    EventShare,
    Evidence,
    FisherExact,
    Gate,
    GroupSequential,
    Sample,
    Spending,
    TwoProportionZ,
    TwoSampleBlocks,
    Verdict,
    WaldSprt,
    quantile_ranks,
    rate_sequence,
    start_gate,
    update,
)
from rolloutsim.engine.gates.boundaries import crossing_probabilities, spent
from rolloutsim.engine.gates.confidence import (
    normal_mixture_bound,
    normal_mixture_log_e,
    normal_mixture_rho,
    quantile_half_widths,
)
from rolloutsim.engine.gates.mixtures import share_of, share_two_sided
from rolloutsim.engine.gates.objective import wald_bounds
from rolloutsim.engine.gates.planning import normal_requests_for_objective, requests_for_objective
from rolloutsim.engine.gates.rank_shift import rank_shift
from tests.oracles.cases import RELATIVE, Found, NotPlayed, Oracle, adapter, meet, oracles, unknown

HERE = Path(__file__).parent
GROUPS = ("sprt", "peeking", "group-seq", "anytime", "fixed")
NORMAL = NormalDist()
POWER = 0.9


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = Path(metafunc.config.getoption("--vectors") or HERE)
    found = [one for group in GROUPS for one in oracles(folder / "statistics.json", group)]
    metafunc.parametrize("case", found, ids=[f"{one.case}-{one.key}" for one in found])


def judged(gate: Gate, stable: Arm, canary: Arm, weight_percent: float = 50.0) -> tuple[Verdict, Evidence]:
    step = update(gate, start_gate(gate), Sample(stable, canary, weight_percent))
    return step.verdict, step.evidence


# --- sequential probability ratio test --------------------------------------------------------------


@lru_cache
def sprt_course(gate: WaldSprt, rate: float) -> tuple[float, float, float]:
    """Probability to fail, to pass, and expected requests, one request at a time at an error rate."""
    alive, fails, passes, requests = {0: 1.0}, 0.0, 0.0, 0.0
    n = 0
    while sum(alive.values()) > 1e-13:
        n += 1
        requests += sum(alive.values())
        reached: dict[int, float] = {}
        for bad, mass in alive.items():
            reached[bad] = reached.get(bad, 0.0) + mass * (1.0 - rate)
            reached[bad + 1] = reached.get(bad + 1, 0.0) + mass * rate
        alive = {}
        for bad, mass in reached.items():
            verdict, _ = judged(gate, Arm(), Arm(n, bad))
            if verdict is Verdict.FAIL:
                fails += mass
            elif verdict is Verdict.PASS:
                passes += mass
            else:
                alive[bad] = mass
    return fails, passes, requests


def sprt(oracle: Oracle) -> Found:
    given = oracle.inputs
    p0, p1, alpha, beta = given["p0"], given["p1"], given["alpha"], given["beta"]
    gate = WaldSprt(p0, p1, alpha, beta)
    fails, passes = wald_bounds(gate)
    bad_step, good_step = (judged(gate, Arm(), Arm(1, bad))[1].value for bad in (1, 0))
    match oracle.key:
        case "log_A":
            return fails
        case "log_B":
            return passes
        case "llr_error":
            return bad_step
        case "llr_ok":
            return good_step
        case "wald_asn_h0":
            return float(((1.0 - alpha) * passes + alpha * fails) / (p0 * bad_step + (1.0 - p0) * good_step))
        case "wald_asn_h1":
            return float((beta * passes + (1.0 - beta) * fails) / (p1 * bad_step + (1.0 - p1) * good_step))
        case "exact_alpha":
            return sprt_course(gate, p0)[0]
        case "exact_asn_h0":
            return sprt_course(gate, p0)[2]
        case "exact_power":
            return sprt_course(gate, p1)[0]
        case "exact_asn_h1":
            return sprt_course(gate, p1)[2]
        case "fixed_n_normal_approx":
            return normal_requests_for_objective(p0, p1, alpha, beta)
        case "fixed_n_exact":
            return float(requests_for_objective(p0, p1, alpha, beta)[0])
        case "fixed_k_exact":
            return float(requests_for_objective(p0, p1, alpha, beta)[1])
    return unknown(oracle)


# --- repeated looks ---------------------------------------------------------------------------------


def leaving(bounds: list[float], drift: float = 0.0, sides: int = 2) -> list[float]:
    """Probability of first leaving on one side or either, look by look, at equal information."""
    fractions = [(look + 1) / len(bounds) for look in range(len(bounds))]
    lower = [-bound if sides == 2 else -math.inf for bound in bounds]
    return [above + below for above, below in crossing_probabilities(fractions, bounds, lower, drift)]


def peeking(oracle: Oracle) -> Found:
    match = re.fullmatch(r"looks_(\d+)", oracle.key)
    if match is None:
        return unknown(oracle)
    sides = oracle.inputs.get("sides", 2)
    bound = NORMAL.inv_cdf(1.0 - oracle.inputs["alpha"] / sides)
    return sum(leaving([bound] * int(match[1]), sides=sides))


def classic(name: str, looks: int, alpha: float) -> list[float]:
    """Boundaries of Pocock, or of O'Brien and Fleming, for z."""
    shape = [1.0 if name == "pocock" else math.sqrt(looks / (look + 1)) for look in range(looks)]
    constant = brentq(lambda c: sum(leaving([c * one for one in shape])) - alpha, 1.0, 5.0, xtol=1e-12)
    return [float(constant) * one for one in shape]


def classic_constants(oracle: Oracle) -> Found:
    match = re.fullmatch(r"(pocock|obf)(_nominal_p)?_K(\d+)(_bounds)?", oracle.key)
    if match is None:
        return unknown(oracle)
    bounds = classic(match[1], int(match[3]), oracle.inputs["alpha"])
    if match[2]:
        return 2.0 * NORMAL.cdf(-bounds[-1])
    return bounds if match[4] else bounds[-1]


def lan_demets(oracle: Oracle) -> Found:
    """The limits that the gate states at its looks, at equal information."""
    match = re.fullmatch(r"(pocock|obf)_(bounds|cum_alpha)", oracle.key)
    if match is None:
        return unknown(oracle)
    looks, alpha = oracle.inputs["K"], oracle.inputs["alpha"]
    spending = Spending.POCOCK if match[1] == "pocock" else Spending.OBRIEN_FLEMING
    if match[2] == "cum_alpha":
        return [spent(spending, alpha, (look + 1) / looks) for look in range(looks)]
    gate = GroupSequential(1000 * looks, looks, spending, alpha)
    state, limits = start_gate(gate), []
    for look in range(1, looks + 1):
        arm = Arm(2000 * look, 20 * look)
        step = update(gate, state, Sample(arm, arm, 50.0))
        state = step.state
        limits.append(step.evidence.limit)
    return limits


def inflation(oracle: Oracle) -> Found:
    """Against a fixed sample with the same two-sided 5 % and 90 % power."""
    name, _, key = oracle.key.partition("/")
    looks, alpha = oracle.inputs["K"], 0.05
    if name not in ("pocock", "obf") or key not in ("max_n_inflation", "expected_n_over_fixed"):
        return unknown(oracle)
    bounds = classic(name, looks, alpha)
    drift = float(brentq(lambda d: sum(leaving(bounds, d)) - POWER, 1.0, 8.0, xtol=1e-12))
    fixed = NORMAL.inv_cdf(1.0 - alpha / 2.0) + NORMAL.inv_cdf(POWER)
    factor = (drift / fixed) ** 2
    if key == "max_n_inflation":
        return factor
    leaves = leaving(bounds, drift)
    leaves[-1] += 1.0 - sum(leaves)
    return factor * sum(look * mass for look, mass in enumerate(leaves, start=1)) / float(looks)


# --- always valid -----------------------------------------------------------------------------------


def normal_mixture(oracle: Oracle) -> Found:
    given = oracle.inputs
    rho = normal_mixture_rho(given["v_opt"], given["alpha"])
    bounds = [normal_mixture_bound(v, rho, given["alpha"]) for v in given["v"]]
    if match := re.fullmatch(r"log_e_at_s(\d+)_v(\d+)", oracle.key):
        return normal_mixture_log_e(float(match[1]), float(match[2]), rho)
    fixed = NORMAL.inv_cdf(1.0 - given["alpha"] / 2.0)
    values: dict[str, Found] = {
        "rho": rho,
        "bound": bounds,
        "ratio_to_1_96_sqrt_v": [b / (fixed * math.sqrt(v)) for b, v in zip(bounds, given["v"], strict=True)],
    }
    return values.get(oracle.key, unknown(oracle))


def event_share(oracle: Oracle, alpha: float = 0.05) -> EventShare | NotPlayed:
    """The gate whose prior is the case's, without a margin."""
    given = oracle.inputs
    concentration = given["a"] + given["b"]
    if not math.isclose(concentration * given["theta0"], given["a"]):
        return NotPlayed("the gate's prior is centred on the share under the null")
    return EventShare(alpha=alpha, margin=1.0, concentration=concentration)


def conditional_e_values(oracle: Oracle) -> Found:
    given, gate = oracle.inputs, event_share(oracle)
    if isinstance(gate, NotPlayed):
        return gate
    theta, a, b = given["theta0"], given["a"], given["b"]
    if oracle.key == "log_e_two_sided":
        return [share_two_sided(x, y, theta, a, b) for x, y in given["cases"]]
    found = [judged(gate, Arm(y, y), Arm(x, x), 100.0 * theta)[1] for x, y in given["cases"]]
    if oracle.key == "log_e_one_sided":
        return [math.log(evidence.value) for evidence in found]
    if oracle.key == "p_always_valid_one_sided":
        return [evidence.p if evidence.p is not None else math.nan for evidence in found]
    return unknown(oracle)


@lru_cache
def fewest_that_fail(gate: EventShare, weight_percent: float, events: int) -> tuple[int, ...]:
    """Canary events at which the gate fails, after 1, 2, ... events of both arms."""
    fewest, out = 0, []
    for n in range(1, events + 1):
        while fewest <= n:
            verdict, _ = judged(
                gate, Arm(n - fewest, n - fewest), Arm(max(fewest, 1), fewest), weight_percent
            )
            if verdict is Verdict.FAIL:
                break
            fewest += 1
        out.append(fewest)
    return tuple(out)


@lru_cache
def event_course(gate: EventShare, weight_percent: float, events: int, ratio: float) -> tuple[float, ...]:
    """Probability to have failed after 0, 1, 2, ... events."""
    share = share_of(ratio, weight_percent)
    alive = np.zeros(events + 2)
    alive[0] = 1.0
    failed = [0.0]
    for fewest in fewest_that_fail(gate, weight_percent, events):
        alive[1:] = alive[1:] * (1.0 - share) + alive[:-1] * share
        alive[0] *= 1.0 - share
        failed.append(failed[-1] + float(alive[fewest:].sum()))
        alive[fewest:] = 0.0
    return tuple(failed)


def event_operating_characteristics(oracle: Oracle) -> Found:
    given = oracle.inputs
    gate = event_share(oracle, given["alpha"])
    match = re.fullmatch(r"ratio_([\d.]+)/(\w+)", oracle.key)
    if isinstance(gate, NotPlayed):
        return gate
    if match is None:
        return unknown(oracle)
    weight, ratio = 100.0 * given["theta0"], float(match[1])
    failed = event_course(gate, weight, given["max_events"], ratio)

    def reached(chance: float) -> Found:
        return next((float(n) for n, mass in enumerate(failed) if mass >= chance), None)

    match match[2]:
        case "p_cross":
            return failed[-1]
        case "expected_events_truncated":
            return sum(1.0 - mass for mass in failed[:-1])
        case "median_events":
            return reached(0.5)
        case "p90_events":
            return reached(0.9)
    if re.fullmatch(r"wald_like_ln\d+_over_KL", match[2]):
        p, q = share_of(ratio, weight), given["theta0"]
        return -math.log(given["alpha"]) / (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    return unknown(oracle)


def block_e_values(oracle: Oracle) -> Found:
    """The first block of the gate, whose guess is the case's pair of rates."""
    given = oracle.inputs
    stable_rate, canary_rate = given["theta_stable"], given["theta_canary"]
    n_s, n_c = given["n_stable"], given["n_canary"]
    gate = TwoSampleBlocks(prior_rate=stable_rate, prior_ratio=canary_rate / stable_rate)

    def e(bad_s: int, bad_c: int) -> float:
        return judged(gate, Arm(n_s, bad_s), Arm(n_c, bad_c))[1].value

    def mean(value: Callable[[int, int], float], p_s: float, p_c: float) -> float:
        return sum(
            float(binom.pmf(k_s, n_s, p_s) * binom.pmf(k_c, n_c, p_c)) * value(k_s, k_c)
            for k_s in range(n_s + 1)
            for k_c in range(n_c + 1)
        )

    if match := re.fullmatch(r"mean_at_p/([\d.]+)", oracle.key):
        return mean(e, float(match[1]), float(match[1]))
    match oracle.key:
        case "e_canary_err_only":
            return e(0, 1)
        case "e_no_errors":
            return e(0, 0)
        case "e_stable_err_only":
            return e(1, 0)
        case "growth_per_block_at_truth":
            return mean(lambda k_s, k_c: math.log(e(k_s, k_c)), stable_rate, canary_rate)
    return unknown(oracle)


def rate_interval(oracle: Oracle) -> Found:
    given = oracle.inputs
    if oracle.key != "cs":
        return unknown(oracle)
    return list(rate_sequence(given["k"], given["n"], given["alpha"], given["t_opt"]))


def quantile_interval(oracle: Oracle) -> Found:
    match = re.fullmatch(r"p(\d+)_t(\d+)/(\w+)", oracle.key)
    if match is None:
        return unknown(oracle)
    quantile, requests, alpha = int(match[1]) / 100.0, int(match[2]), oracle.inputs["alpha"]
    ranks = quantile_ranks(quantile, requests, alpha, requests)
    below, above = quantile_half_widths(quantile, requests, alpha, requests)
    values: dict[str, Found] = {
        "lower_rank": float(ranks[0]),
        "upper_rank": float(ranks[1]),
        "lower_halfwidth": below,
        "upper_halfwidth": above,
        "lower_prob": quantile - below,
        "upper_prob": quantile + above,
    }
    return values.get(match[3], unknown(oracle))


# --- one look ---------------------------------------------------------------------------------------


def two_proportions(oracle: Oracle) -> Found:
    bad_c, n_c = oracle.inputs["canary"]
    bad_s, n_s = oracle.inputs["stable"]

    def evidence(gate: Gate) -> Evidence:
        return judged(gate, Arm(n_s, bad_s), Arm(n_c, bad_c))[1]

    if match := re.fullmatch(r"post_p_worse(?:_by_([\d_]+)pct)?", oracle.key):
        margin = float((match[1] or "0").replace("_", ".")) / 100.0
        return evidence(BetaPosterior(margin=margin, smallest_difference=margin + 0.01)).value
    match oracle.key:
        case "z":
            return evidence(TwoProportionZ()).value
        case "p_one_sided_z":
            return evidence(TwoProportionZ()).p
        case "fisher_greater":
            return evidence(FisherExact()).value
        case "fisher_two_sided":
            return fisher_two_sided(Arm(n_c, bad_c), Arm(n_s, bad_s))
    return unknown(oracle)


def fisher_two_sided(canary: Arm, stable: Arm) -> float:
    """All tables that are no likelier than this one, their chances being what the gate's tail loses."""
    bad = canary.bad + stable.bad
    first, last = max(0, bad - stable.requests), min(bad, canary.requests)

    def tail(on_canary: int) -> float:
        if on_canary > last:
            return 0.0
        arms = Arm(stable.requests, bad - on_canary), Arm(canary.requests, on_canary)
        return judged(FisherExact(), *arms)[1].value

    chances = [tail(count) - tail(count + 1) for count in range(first, last + 1)]
    seen = chances[canary.bad - first]
    return sum(chance for chance in chances if chance <= seen * (1.0 + 1e-7))


def kayenta(oracle: Oracle) -> None:
    """Kayenta's judge: the expected value is a class, or the p-value of its rank test."""
    given = oracle.inputs
    if (found := re.fullmatch(r"scipy_mwu_p_(\w+)", oracle.key)) is not None and found[1] in given:
        arrays = given[found[1]]
        assert rank_shift(arrays["canary"], arrays["baseline"]).p == pytest.approx(
            oracle.expected, rel=RELATIVE
        )
        return
    match = re.fullmatch(r"(\w+?)(?:_conf(\d+))?(?:_tol(\d+))?", oracle.key)
    if match is None or match[1] not in given:
        pytest.skip(f"no arrays for {oracle.key}")
    confidence = int(match[2]) / 100.0 if match[2] else given["conf"]
    tolerance = int(match[3]) / 100.0 if match[3] else given["tolerance"]
    arrays = given[match[1]]
    found = rank_shift(arrays["canary"], arrays["baseline"], confidence, tolerance)
    assert found.shift == oracle.expected


ADAPTERS = (
    adapter("p0 p1 alpha beta", sprt),
    adapter("alpha spacing", peeking, also="sides"),
    adapter("alpha", classic_constants),
    adapter("alpha K", lan_demets),
    adapter("K", inflation),
    adapter("v_opt alpha v", normal_mixture),
    adapter("theta0 a b cases", conditional_e_values),
    adapter("theta0 a b alpha max_events", event_operating_characteristics),
    adapter("theta_stable theta_canary n_stable n_canary", block_e_values),
    adapter("k n alpha t_opt", rate_interval),
    adapter("alpha t_opt", quantile_interval),
    adapter("canary stable", two_proportions),
)


def test_oracle(case: Oracle) -> None:
    if {"conf", "tolerance"} <= set(case.inputs):
        kayenta(case)
    else:
        meet(case, ADAPTERS)
