"""The request model of a service, out of its section of a scenario file."""

from __future__ import annotations

import math
from collections.abc import Callable

from rolloutsim.policy.yaml_source import Scalar
from rolloutsim.sim.quantities import (
    UnfitValue,
    choice,
    duration_ms,
    number,
    positive,
    positive_ms,
    seconds,
    share,
    text,
)
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Fidelity, Law, Pods, Requests
from rolloutsim.sim.section import Section

__all__ = ["REQUEST_FIELDS", "read_requests"]

REQUEST_FIELDS = (
    "fidelity",
    "balancing",
    "slots",
    "queue",
    "cold_factor",
    "warm_up",
    "pod_spread",
    "timeout",
    "retries",
    "backoff",
    "retry_budget",
    "retry_burst",
    "endpoints",
)
MOST_SLOTS, MOST_QUEUE, MOST_RETRIES, MOST_SIGMA = 10_000, 1_000_000, 100, 5.0


def read_requests(spec: Section, median_s: float, sigma: float) -> Requests | None:
    """How requests meet; None when nothing is said.

    Where no endpoints are given, a request's work is its usual latency: lognormal, of this median.

    Raises
    ------
    ScenarioError : a field that is unknown, of the wrong type or out of range.
    """
    if not spec.has("requests"):
        return None
    if sigma > MOST_SIGMA:
        raise spec.error("requests", f"a latency of sigma {sigma:g} is no work that pods could do")
    usual = Endpoint(1000.0 * median_s * math.exp(sigma**2 / 2), Law.LOGNORMAL, sigma)
    section = spec.section("requests").only(*REQUEST_FIELDS)
    return Requests(
        endpoints=tuple(_endpoint(one, usual) for one in section.sections("endpoints")) or (usual,),
        balancing=Balancing(section.read("balancing", choice(*Balancing))),
        pods=Pods(
            slots=section.read("slots", _whole(1, MOST_SLOTS)),
            queue=section.read("queue", _whole(0, MOST_QUEUE)),
            cold=section.read("cold_factor", _factor) - 1.0,
            warm_ms=float(section.read("warm_up", positive_ms)),
            spread=section.read("pod_spread", _spread),
        ),
        client=Client(
            timeout_ms=_float(section.read_or("timeout", "never", positive_ms)),
            retries=section.read("retries", _whole(0, MOST_RETRIES)),
            backoff_ms=float(section.read("backoff", duration_ms)),
            budget=section.read_or("retry_budget", "none", share),
            burst=float(section.read("retry_burst", _whole(1, MOST_QUEUE))),
        ),
        fidelity=Fidelity(section.read("fidelity", choice(*Fidelity))),
    )


def _endpoint(section: Section, usual: Endpoint) -> Endpoint:
    section.only("name", "share", "mean", "law", "sigma")
    law = Law(section.optional("law", choice(*Law), str(Law.LOGNORMAL)))
    return Endpoint(
        mean_ms=1000.0 * section.read("mean", seconds),
        law=law,
        sigma=section.optional("sigma", _sigma, usual.sigma),
        share=section.optional("share", positive, 1.0),
        name=section.word("name", text) if section.has("name") else "",
    )


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _whole(least: int, most: int) -> Callable[[Scalar], int]:
    def parse(value: Scalar) -> int:
        found = number(value)
        if found != int(found) or not least <= found <= most:
            raise UnfitValue(f"expected a whole number from {least} to {most}")
        return int(found)

    return parse


def _sigma(value: Scalar) -> float:
    found = positive(value)
    if found > MOST_SIGMA:
        raise UnfitValue(f"the standard deviation of the logarithm is at most {MOST_SIGMA:g}")
    return found


def _factor(value: Scalar) -> float:
    found = number(value)
    if not 1.0 <= found <= 1000.0:
        raise UnfitValue("a cold pod takes at least as long as a warm one", "1 is no difference")
    return found


def _spread(value: Scalar) -> float:
    found = number(value)
    if not 0.0 <= found <= 2.0:
        raise UnfitValue("the spread of pods, a standard deviation of the logarithm, lies between 0 and 2")
    return found
