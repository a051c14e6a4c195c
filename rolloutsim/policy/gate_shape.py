"""The field ``gate`` of a RolloutPolicy's metric: its fields, and what each test of them reads.

Where one name serves several tests it says the same thing of each: ``margin`` is what is tolerated,
``smallestRatio`` or ``smallestDifference`` what must not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rolloutsim.policy.argo_shape import METRIC, PROVIDER
from rolloutsim.policy.gated import NoData, OnFail, Scope
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    SampleRatio,
    Spending,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)
from rolloutsim.policy.shape import Fields, Leaf, ListOf, Shape

__all__ = ["DEFAULT_TEST", "GATE", "GATE_CHOICES", "GATE_NOTES", "METRIC_WITH_GATE", "PROMETHEUS", "TESTS"]

ARM = Fields({"requests": Leaf.TEXT, "errors": Leaf.TEXT, "fast": Leaf.TEXT}, required=("requests",))
_PROMETHEUS = PROVIDER.fields["prometheus"]
assert isinstance(_PROMETHEUS, Fields)
PROMETHEUS = Fields(
    {name: shape for name, shape in _PROMETHEUS.fields.items() if name not in ("query", "rangeQuery")}
)
"""How the counters are reached: what a Prometheus provider has beside its query."""

_PARAMETERS: dict[str, Shape] = {
    "falseAbortRate": Leaf.SHARE,
    "missRate": Leaf.SHARE,
    "margin": Leaf.SHARE,
    "smallestRatio": Leaf.NUMBER,
    "smallestDifference": Leaf.SHARE,
    "harmlessRate": Leaf.SHARE,
    "concentration": Leaf.NUMBER,
    "goodRate": Leaf.SHARE,
    "badRate": Leaf.SHARE,
    "plannedRequests": Leaf.INTEGER,
    "looks": Leaf.INTEGER,
    "spending": Leaf.TEXT,
    "priorRate": Leaf.SHARE,
    "priorRatio": Leaf.NUMBER,
    "priorRequests": Leaf.NUMBER,
    "minRequests": Leaf.INTEGER,
    "maxRequests": Leaf.INTEGER,
}
GATE = Fields(
    {
        "test": Leaf.TEXT,
        "telemetry": Fields(
            {
                "preset": Leaf.TEXT,
                "service": Leaf.TEXT,
                "namespace": Leaf.TEXT,
                "slowerThan": Leaf.DURATION,
            },
            required=("preset", "service"),
        ),
        "counters": Fields({"canary": ARM, "stable": ARM}, required=("canary",)),
        "prometheus": PROMETHEUS,
        **_PARAMETERS,
        "onNoData": Leaf.TEXT,
        "onFail": Leaf.TEXT,
        "scope": Leaf.TEXT,
        "expiresAfter": Leaf.DURATION,
        "approvers": ListOf(Leaf.TEXT),
    }
)
METRIC_WITH_GATE = Fields({**METRIC.fields, "gate": GATE}, required=METRIC.required)


@dataclass(frozen=True, slots=True)
class Test:
    """A test that a gate may be: its class, and the attribute that each field of the manifest sets."""

    gate: type[Gate]
    fields: Mapping[str, str]
    required: tuple[str, ...] = ()


_RATES = {"falseAbortRate": "alpha", "missRate": "beta"}
_REQUESTS = {"minRequests": "min_requests", "maxRequests": "max_requests"}
_RATIOS = {"margin": "margin", "smallestRatio": "smallest_ratio"}
_DIFFERENCE = {"smallestDifference": "smallest_difference"}
_ONE_LOOK = {**_RATES, **_DIFFERENCE, "minRequests": "min_requests"}
DEFAULT_TEST = "rateRatio"
TESTS: Mapping[str, Test] = {
    "rateRatio": Test(RateRatio, {**_RATES, **_RATIOS, "harmlessRate": "harmless_rate", **_REQUESTS}),
    "eventShare": Test(EventShare, {**_RATES, **_RATIOS, "concentration": "concentration", **_REQUESTS}),
    "sampleRatio": Test(SampleRatio, {**_RATES, "margin": "tolerance", "smallestRatio": "largest"}),
    "twoSampleBlocks": Test(
        TwoSampleBlocks,
        {
            **_RATES,
            **_DIFFERENCE,
            "priorRate": "prior_rate",
            "priorRatio": "prior_ratio",
            "priorRequests": "prior_requests",
            **_REQUESTS,
        },
    ),
    "waldSprt": Test(
        WaldSprt,
        {**_RATES, "goodRate": "good_rate", "badRate": "bad_rate", **_REQUESTS},
        required=("goodRate", "badRate"),
    ),
    "groupSequential": Test(
        GroupSequential,
        {
            **_RATES,
            **_DIFFERENCE,
            "plannedRequests": "planned_requests",
            "looks": "looks",
            "spending": "spending",
        },
        required=("plannedRequests",),
    ),
    "twoProportionZ": Test(TwoProportionZ, _ONE_LOOK),
    "fisherExact": Test(FisherExact, _ONE_LOOK),
    "betaPosterior": Test(BetaPosterior, {**_ONE_LOOK, "margin": "margin"}),
}
"""Tests by the name that a manifest gives them."""

GATE_CHOICES: Mapping[str, tuple[str, ...]] = {
    "test": tuple(TESTS),
    "spending": tuple(Spending),
    "onNoData": tuple(NoData),
    "onFail": tuple(OnFail),
    "scope": tuple(Scope),
}
"""Fields with a closed set of values."""

GATE_NOTES: Mapping[str, str] = {
    "test": "how counts are judged; rateRatio, which compares error rates at any time, unless told otherwise",
    "telemetry": "counters by the names of a telemetry preset; slowerThan counts slow requests, not errors",
    "counters": "PromQL selectors of the counters: requests, and errors or (a bucket) fast",
    "prometheus": "where the counters are asked for",
    "falseAbortRate": "largest probability to fail a good canary; gates of an analysis that state none "
    "share 5 %",
    "missRate": "largest probability to pass a canary that is worse by the smallest effect",
    "margin": "what is tolerated: a ratio of rates, or (betaPosterior) a difference",
    "smallestRatio": "ratio of canary to stable that must not pass",
    "smallestDifference": "difference of the rates that must not pass",
    "harmlessRate": "a canary surely below this rate passes whatever the ratio says",
    "concentration": "weight of eventShare's prior, in bad requests",
    "goodRate": "rate of bad requests that the objective allows",
    "badRate": "rate of bad requests that must not pass",
    "plannedRequests": "effective requests at the last look of groupSequential",
    "looks": "number of looks of groupSequential",
    "spending": "how groupSequential spends its false-abort rate",
    "priorRate": "twoSampleBlocks' first guess of stable's rate",
    "priorRatio": "twoSampleBlocks' first guess of the ratio",
    "priorRequests": "requests that the first guess counts for",
    "minRequests": "canary requests below which there is no verdict",
    "maxRequests": "canary requests from which an undecided gate is inconclusive",
    "onNoData": "a version has no request after 2.5 minutes (and two looks) of a weight above 0: wait (until "
    "the gate expires), hold for a person, fail, or pass",
    "onFail": "abort, or hold for a person",
    "scope": "count since the rollout began, or since the present weight came into force (step)",
    "expiresAfter": "a gate that has not decided by then is inconclusive: the rollout waits for a person",
    "approvers": "who may go on without the gate's verdict; empty: anybody",
}
"""What each field means, one line each."""
