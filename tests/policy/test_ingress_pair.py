"""The ingress-nginx pair: weight, total, hosts, paths and what does not fit."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import Canary, Pause, SetWeight
from tests.policy.policy_manifests import ARTICLE, changed

PAIR = (ARTICLE / "ingress-nginx.yaml").read_text(encoding="utf-8")
PREFIX = "nginx.ingress.kubernetes.io/"
WEIGHT = f'{PREFIX}canary-weight: "5"'


def canary_of(text: str) -> Canary:
    strategy = load_policy_text(text).strategy
    assert isinstance(strategy, Canary)
    return strategy


@pytest.mark.parametrize(
    ("annotations", "weight", "total"),
    [
        (f'{PREFIX}canary-weight: "30"', 30, 100),
        (f'{WEIGHT}\n    {PREFIX}canary-weight-total: "1000"', 5, 1000),
        (f'{WEIGHT}\n    {PREFIX}canary-weight-total: "50"', 5, 100),
        (f'{PREFIX}canary-weight: "130"', 100, 100),
        (f'{PREFIX}canary-by-cookie: "never"', 0, 100),
    ],
)
def test_weights(annotations: str, weight: int, total: int) -> None:
    canary = canary_of(changed(PAIR, WEIGHT, annotations))
    assert canary.steps == (SetWeight(weight), Pause(None))
    assert canary.routing is not None
    assert canary.routing.max_weight == total


def test_what_goes_by_header_or_cookie_is_said() -> None:
    text = changed(PAIR, WEIGHT, f'{WEIGHT}\n    {PREFIX}canary-by-header: "x"')
    assert load_policy_text(text).not_modelled == (
        f"{PREFIX}canary-by-header: requests of a simulation carry no headers or cookies",
    )


def test_a_size_that_the_weight_does_not_give_is_said() -> None:
    (note,) = load_policy_text(changed(PAIR, "replicas: 1\n", "replicas: 4\n")).not_modelled
    assert "Deployment 'api-new' asks for 4 pods" in note
    assert "1 pods at 5 of 100" in note


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (WEIGHT, f'{PREFIX}canary-weight: "five"', "expected a whole number"),
        (WEIGHT, f'{PREFIX}canary-weight: "-5"', "expected a whole number"),
        (WEIGHT, f"{PREFIX}canary-weight: 5", 'put it in quotes: "5"'),
        (f'{PREFIX}canary: "true"', f'{PREFIX}canary: "yes"', 'expected "true" or "false"'),
        (f'{PREFIX}canary: "true"\n', f'{PREFIX}other: "true"\n', "only when the canary is switched on"),
        ("name: api-new\n                port", "name: api-stable\n                port", "same Service"),
        (
            "name: api-new\n                port",
            "name: api-nwe\n                port",
            "did you mean 'api-new'?",
        ),
        ("track: new\n  ports", "track: newer\n  ports", "no Deployment in the files has the pods"),
        ("host: api.example.com", "host: www.example.com", "no main Ingress in the files has the host"),
        ("pathType: Prefix", "pathType: Exact", "no main Ingress in the files has the host"),
    ],
)
def test_what_does_not_fit_is_named(old: str, new: str, part: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy_text(changed(PAIR, old, new), "pair.yaml")
    assert part in str(caught.value)
    assert caught.value.at.line > 0


def test_a_canary_without_rules_is_named() -> None:
    head, canary, tail = PAIR.split("---\n", 2)
    without = canary.split("  rules:")[0] + "  rules: []\n"
    with pytest.raises(PolicyError, match="the canary Ingress has no rule"):
        load_policy_text("---\n".join((head, without, tail)))
