"""The gates as plain data: what a policy says about how a canary is judged.

Two families. `RateRatio`, `EventShare` and `SampleRatio` trust the weight and look only at which arm each bad
request (or each request) fell on; they speak of ratios. `TwoSampleBlocks`, `TwoProportionZ`, `FisherExact`,
`GroupSequential` and `BetaPosterior` use the request counts of both arms; they speak of differences. All but
`BetaPosterior` keep apart what was counted under different weights, since it comes from different hours.
`WaldSprt` looks at the canary alone, against an objective.

One rule for all: a gate fails when "the canary is no worse than tolerated" is refuted at level ``alpha``, and
passes when "the canary is worse by the smallest effect that matters" is refuted at level ``beta``. Whatever
refutes neither does not pass.

What was measured
-----------------
Share of good releases that fail, 100,000 streams of 60 looks (one after every scrape, 300 requests each, 1 %
errors), at the worst that a gate tolerates. The promise is 5 %, where not stated otherwise. Errors of both
versions swing with the hours (diurnal), rise ninefold as the weight does, or come in bursts common to both.

=========================  =======  ========  =======  ===============  =============  ==============
gate                       weight   weights   diurnal  diurnal, and     errors rise    common bursts
                           5 %      5 25 50            weights change   with weights
=========================  =======  ========  =======  ===============  =============  ==============
RateRatio, margin 1        1.57 %   2.05 %    1.37 %   1.80 %           2.10 %         1.88 %
RateRatio, margin 1.25     1.66 %   2.15 %    1.49 %   1.84 %           2.21 %         1.94 %
EventShare, margin 1       0.50 %   0.29 %    0.44 %   0.32 %           0.27 %         0.29 %
TwoSampleBlocks            1.99 %   2.18 %    1.52 %   1.43 %           2.14 %         1.77 %
SampleRatio (1 %)          0.11 %   0.09 %    0.10 %   0.11 %           0.09 %         0.09 %
GroupSequential, 5 looks   3.56 %   4.19 %    3.49 %   4.33 %           4.59 %         3.92 %
the same, Pocock           3.13 %   3.79 %    2.81 %   3.38 %           4.22 %         3.52 %
FisherExact, one look      3.71 %   4.28 %    3.68 %   4.10 %           4.37 %
TwoProportionZ, one look   5.83 %   5.27 %    5.80 %   5.27 %           5.22 %
WaldSprt (5.56 %)          3.11 %   2.83 %    2.89 %   2.73 %
=========================  =======  ========  =======  ===============  =============  ==============

The promise of TwoProportionZ is a normal approximation: 5.83 % at 9 bad canary requests, 5.2 to 5.3 % at 48.
The errors of WaldSprt's good canary are at what the objective allows all day, whatever traffic does.

Share of canaries, worse by the smallest effect, that pass, 100,000 streams with weights 5, 25, 50 %; the
promise is 10 % (10.53 % of WaldSprt): RateRatio 5.82 %, EventShare 1.67 %, TwoSampleBlocks 0.19 %,
SampleRatio 1.27 %, WaldSprt 8.16 %, GroupSequential 0.34 %, and 9.36 % at a weight of 5 %.

What no promise covers, 20,000 streams with weights 5, 25, 50 %: errors of one arm that come in bursts
(intra-class correlation within a scrape), and a version whose pods differ for the whole rollout (deviation of
the logarithm of the error rate).

========================  ==========  ===================  ======================  ===============
world                     z, peeking  RateRatio, margin 1  RateRatio, margin 1.25  TwoSampleBlocks
========================  ==========  ===================  ======================  ===============
as promised               28.8 %      2.1 %                0.4 %                   2.1 %
bursts, ICC 0.001         30.9 %      2.8 %                0.6 %                   2.6 %
bursts, ICC 0.01          46.9 %      11.3 %               3.6 %                   7.0 %
bursts, ICC 0.05          67.7 %      38.4 %               25.6 %                  20.3 %
pods differ by 10 %       30.8 %      3.0 %                0.6 %                   2.9 %
pods differ by 20 %       35.4 %      6.5 %                1.4 %                   5.7 %
pods differ by 40 %       41.2 %      17.1 %               8.2 %                   15.9 %
========================  ==========  ===================  ======================  ===============

A two-sided z at 5 % that is looked at again (the probability to fail some time, evenly spaced looks):

=====  =====  =====  =====  =====  =====  =====  =====  =====  =====  =====  =====
looks  1      2      3      4      5      10     20     30     50     60     100
%      5.00   8.31   10.73  12.62  14.17  19.34  24.79  28.02  32.05  33.46  37.36
=====  =====  =====  =====  =====  =====  =====  =====  =====  =====  =====  =====

Common fields
-------------
alpha : largest false-abort probability, of the gate over its whole life where it is always valid.
beta : largest probability to pass a canary that is worse by the smallest effect.
min_requests : canary requests below which there is no verdict.
max_requests : canary requests from which an undecided gate is inconclusive instead of going on; None: never.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "BetaPosterior",
    "EventShare",
    "FisherExact",
    "Gate",
    "GroupSequential",
    "RateRatio",
    "SampleRatio",
    "Spending",
    "TwoProportionZ",
    "TwoSampleBlocks",
    "WaldSprt",
]


@dataclass(frozen=True, slots=True)
class RateRatio:
    """Conditional-Poisson e-value: a grid mixture over the ratio of error rates. The default for errors.

    Given a bad request, it is the canary's with probability ``r w / (r w + 1 - w)``, whatever the traffic
    does; so the test is exact at every time to stop, also when the weight changes by step (M. Lindon and
    A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022).

    margin : tolerated ratio. 1 would stop good canaries whose pods differ a little by chance.
    smallest_ratio : a ratio that must not pass.
    harmless_rate : a canary whose rate of bad requests is surely below this passes whatever the ratio says;
        0 switches it off, and then a service without any errors is never judged.
    """

    alpha: float = 0.05
    beta: float = 0.10
    margin: float = 1.25
    smallest_ratio: float = 2.0
    harmless_rate: float = 0.0
    min_requests: int = 0
    max_requests: int | None = None

    def __post_init__(self) -> None:
        _check_ratios(self.margin, self.smallest_ratio)
        _check_levels(self.alpha, self.beta)
        _check_rate("harmless_rate", self.harmless_rate)
        _check_requests(self.min_requests, self.max_requests)


@dataclass(frozen=True, slots=True)
class EventShare:
    """The same question with a Beta mixture over the canary's share of bad requests (same source).

    ``concentration`` is the weight of the prior in bad requests, centred on the share under the margin: 100
    at a weight of 5 % and a margin of 1 is Beta(5, 95). Every weight has a mixture of its own, so `RateRatio`
    learns faster when the weight changes.
    """

    alpha: float = 0.05
    beta: float = 0.10
    margin: float = 1.25
    smallest_ratio: float = 2.0
    concentration: float = 100.0
    min_requests: int = 0
    max_requests: int | None = None

    def __post_init__(self) -> None:
        _check_ratios(self.margin, self.smallest_ratio)
        _check_levels(self.alpha, self.beta)
        _check_requests(self.min_requests, self.max_requests)
        _check_weight("concentration", self.concentration)


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Does the router do what the weight says? A failure means that relative gates cannot be believed.

    The odds of a request to reach the canary, against the odds that the weight states: fails when surely
    outside ``1/tolerance .. tolerance``, passes when surely inside ``1/largest .. largest``. Two e-values
    of the `RateRatio` kind on requests, averaged.
    """

    alpha: float = 0.01
    beta: float = 0.10
    tolerance: float = 1.1
    largest: float = 1.5

    def __post_init__(self) -> None:
        _check_levels(self.alpha, self.beta)
        if not 1.0 <= self.tolerance <= self.tolerance * _APART <= self.largest <= _MOST_RATIO:
            raise ValueError(
                f"sample ratio needs 1 <= tolerance < largest, not {self.tolerance}, {self.largest}"
            )


@dataclass(frozen=True, slots=True)
class TwoSampleBlocks:
    """Two-sample e-value, a block per sample (R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact
    sequential k-sample tests that allow for optional stopping", J. Statist. Plann. Inference 230, 2024).

    Uses observed requests, so a wrong weight does not matter, and the common error rate may drift from
    sample to sample. The guess for the first block is ``prior_rate`` for stable and ``prior_ratio`` times
    that for the canary; it counts as ``prior_requests`` in each arm afterwards.
    """

    alpha: float = 0.05
    beta: float = 0.10
    smallest_difference: float = 0.01
    prior_rate: float = 0.01
    prior_ratio: float = 3.0
    prior_requests: float = 100.0
    min_requests: int = 0
    max_requests: int | None = None

    def __post_init__(self) -> None:
        _check_levels(self.alpha, self.beta)
        _check_difference(self.smallest_difference)
        _check_requests(self.min_requests, self.max_requests)
        most = self.prior_rate * self.prior_ratio
        if not _LEAST_RATE <= self.prior_rate <= most <= 1.0 - _LEAST_RATE:
            raise ValueError("blocks need 0 < prior_rate <= prior_rate * prior_ratio < 1")
        _check_weight("prior_requests", self.prior_requests)


@dataclass(frozen=True, slots=True)
class WaldSprt:
    """Sequential probability ratio test of the canary alone, for an absolute objective (A. Wald, 1945).

    ``good_rate`` is what the objective allows, ``bad_rate`` what must not pass. Guarantees: false-abort
    probability at most ``alpha / (1 - beta)``, false-pass probability at most ``beta / (1 - alpha)``.
    """

    good_rate: float
    bad_rate: float
    alpha: float = 0.05
    beta: float = 0.10
    min_requests: int = 0
    max_requests: int | None = None

    def __post_init__(self) -> None:
        _check_levels(self.alpha, self.beta)
        _check_requests(self.min_requests, self.max_requests)
        least = self.good_rate * _APART
        if not _LEAST_RATE <= self.good_rate < least <= self.bad_rate <= 1.0 - _LEAST_RATE:
            raise ValueError(
                f"a WaldSprt needs 0 < good_rate < bad_rate < 1, not {self.good_rate}, {self.bad_rate}"
            )


class Spending(StrEnum):
    """How a group-sequential test spends its alpha (K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983)."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"


@dataclass(frozen=True, slots=True)
class GroupSequential:
    """Both arms compared at a fixed number of looks, alpha spent by information. For a planned duration.

    ``planned_requests`` are the effective requests ``n_c n_s / (n_c + n_s)`` at the last look: close to the
    canary's own while its weight is small. It must be fixed before the rollout; a look is taken each time a
    further ``1 / looks`` of it is there, at the information actually seen. The last look decides. The score
    is that of the tail of what was seen, weight by weight, so that few bad requests do not raise its rate.
    """

    planned_requests: int
    looks: int = 5
    spending: Spending = Spending.OBRIEN_FLEMING
    alpha: float = 0.05
    beta: float = 0.10
    smallest_difference: float = 0.01

    def __post_init__(self) -> None:
        _check_levels(self.alpha, self.beta)
        _check_difference(self.smallest_difference)
        if not 1 <= self.looks <= self.planned_requests < math.inf:
            raise ValueError("a group-sequential gate needs looks >= 1 and planned_requests >= looks")


@dataclass(frozen=True, slots=True)
class TwoProportionZ:
    """Two-proportion z, for one look at ``min_requests`` or later; further looks are warned of.

    Pooled under one weight, summed up weight by weight under several (N. Mantel and W. Haenszel, 1959). A
    normal approximation, and warned of below a hundred bad canary requests.
    """

    alpha: float = 0.05
    beta: float = 0.10
    smallest_difference: float = 0.01
    min_requests: int = 100

    def __post_init__(self) -> None:
        _check_one_look(self.alpha, self.beta, self.smallest_difference, self.min_requests)


@dataclass(frozen=True, slots=True)
class FisherExact:
    """Fisher's exact test, one-sided, for one look; further looks are warned of.

    Exact at any size under one weight. Under several the tail of a sum of hypergeometric counts is taken as
    that of a binomial one with its mean and variance.
    """

    alpha: float = 0.05
    beta: float = 0.10
    smallest_difference: float = 0.01
    min_requests: int = 1

    def __post_init__(self) -> None:
        _check_one_look(self.alpha, self.beta, self.smallest_difference, self.min_requests)


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """Jeffreys' Beta posteriors: fails when P(canary > stable + margin) is at least 1 - alpha.

    passes when P(canary > stable + smallest_difference) is at most beta. A posterior probability is not a
    false-abort rate and grows with the number of looks like a one-sided z; every answer says so.
    """

    alpha: float = 0.05
    beta: float = 0.10
    margin: float = 0.0
    smallest_difference: float = 0.01
    min_requests: int = 100

    def __post_init__(self) -> None:
        _check_one_look(self.alpha, self.beta, self.smallest_difference, self.min_requests)
        if not 0.0 <= self.margin < self.smallest_difference:
            raise ValueError("a posterior gate needs 0 <= margin < smallest_difference")


Gate = (
    RateRatio
    | EventShare
    | SampleRatio
    | TwoSampleBlocks
    | WaldSprt
    | GroupSequential
    | TwoProportionZ
    | FisherExact
    | BetaPosterior
)


_LEAST_LEVEL = 1e-12
"""Error rates of a test below it are beyond what arithmetic and any assumption carry."""
_LEAST_RATE = 1e-9
"""A rate of bad requests below it is none, and one as close to 1 is all."""
_MOST_RATIO = 1e6
_APART = 1.0 + 1e-6
"""Two rates or ratios closer than that are the same."""
_LEAST_PRIOR, _MOST_PRIOR = 1e-6, 1e12


def _check_levels(alpha: float, beta: float) -> None:
    if not (_LEAST_LEVEL <= alpha < 0.5 and _LEAST_LEVEL <= beta < 0.5):
        raise ValueError(f"alpha and beta must lie between {_LEAST_LEVEL:g} and 0.5, not {alpha}, {beta}")


def _check_ratios(margin: float, smallest_ratio: float) -> None:
    if not 1.0 <= margin <= margin * _APART <= smallest_ratio <= _MOST_RATIO:
        raise ValueError(f"ratios need 1 <= margin < smallest_ratio, not {margin}, {smallest_ratio}")


def _check_requests(least: int, most: int | None) -> None:
    if not 0 <= least < math.inf or (most is not None and not max(least, 1) <= most < math.inf):
        raise ValueError(f"requests need 0 <= min_requests <= max_requests, not {least}, {most}")


def _check_weight(name: str, requests: float) -> None:
    if not _LEAST_PRIOR <= requests <= _MOST_PRIOR:
        raise ValueError(f"{name} must lie between {_LEAST_PRIOR:g} and {_MOST_PRIOR:g}, not {requests}")


def _check_rate(name: str, rate: float) -> None:
    if rate != 0.0 and not _LEAST_RATE <= rate < 1.0:
        raise ValueError(f"{name} must be 0, or at least {_LEAST_RATE:g} and below 1, not {rate}")


def _check_difference(difference: float) -> None:
    if not _LEAST_RATE <= difference < 1.0:
        raise ValueError(
            f"smallest_difference must be at least {_LEAST_RATE:g} (no sample proves that two rates are "
            f"equal) and below 1, not {difference}"
        )


def _check_one_look(alpha: float, beta: float, difference: float, least: int) -> None:
    _check_levels(alpha, beta)
    _check_difference(difference)
    if not 1 <= least < math.inf:
        raise ValueError(f"min_requests must be at least 1, not {least}")
