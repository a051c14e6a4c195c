"""Under which names a policy looks for its service, and what it reads that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolloutsim.evidence.incidents import Expectation, IncidentError, load_incident, replay
from rolloutsim.evidence.incidents.choice import play_of
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import SeenAs, seen_as, unread

SCENARIOS = Path(__file__).parents[2] / "scenarios"
GUARDED = (SCENARIOS / "policies/canary-guarded.yaml").read_text(encoding="utf-8")
OURS = 'http_requests_total{\n              service="{{args.service-name}}",'


def asking(selector: str) -> Policy:
    """The guarded canary with other names in its query, up to the label of the version."""
    assert OURS in GUARDED
    return load_policy_text(GUARDED.replace(OURS, selector))


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (OURS, SeenAs("app", "api", ())),
        ("http_requests_total{", SeenAs("app", "else", ())),
        ('http_requests_total{job="shop", service="cart",', SeenAs("app", "cart", (("job", "shop"),))),
        ('my_requests_total{service="cart",', SeenAs("app", "else", ())),
        (
            'istio_requests_total{destination_service_name="cart-canary", reporter="source",'
            'destination_workload_namespace="prod",',
            SeenAs("istio", "cart", (("namespace", "prod"), ("reporter", "source"))),
        ),
    ],
)
def test_how_a_policy_names_its_service(selector: str, names: SeenAs) -> None:
    assert seen_as(asking(selector), "else") == names


def test_what_no_series_fits_is_named() -> None:
    policy = asking('http_requests_total{service="cart",')
    fitting = {"__name__": "http_requests_total", "service": "cart", "rollouts_pod_template_hash": "x"}
    assert unread(policy, [fitting]) == (), "a label of the outcome comes with the first request"
    (one,) = unread(policy, [{**fitting, "service": "shop"}])
    assert str(one) == 'error-rate reads http_requests_total{service="cart"}'
    assert len(unread(policy, [{**fitting, "__name__": "up"}])) == 1


WORKLOAD = 'istio_requests_total{destination_workload="cart", reporter="source",'


def of_istio(selector: str) -> Policy:
    text = GUARDED.replace(OURS, selector).replace("rollouts_pod_template_hash", "destination_version")
    return load_policy_text(text.replace("status=~", "response_code=~"))


@pytest.mark.parametrize("policy", [asking(OURS), of_istio(WORKLOAD)], ids=["app", "istio"])
def test_an_incident_is_replayed_under_the_names_of_the_policy(policy: Policy) -> None:
    incident = load_incident("cloudflare-2019-07-02")
    found = replay(incident, policy, play_of(incident, "mine"), runs=2, bounds=False)
    assert found.verdict is Expectation.CAUGHT_AT_ONCE
    assert found.unread == ()
    assert found.gate == "error-rate"


def test_a_gate_that_finds_nothing_is_not_said_to_read_the_same() -> None:
    """Without a router no request comes through the canary's Service, so its series stay empty."""
    incident = load_incident("cloudflare-2019-07-02")
    policy = of_istio('istio_requests_total{destination_service_name="cart-canary",')
    found = replay(incident, policy, play_of(incident, "mine"), runs=1, bounds=False)
    assert found.verdict is Expectation.MISSED
    assert found.blind == "error-rate found nothing, nor would it have for a good release"


def test_a_policy_that_reads_nothing_of_an_incident_is_refused_and_not_called_blind() -> None:
    incident = load_incident("cloudflare-2019-07-02")
    policy = asking('my_requests_total{service="cart",')
    with pytest.raises(IncidentError) as caught:
        replay(incident, policy, play_of(incident, "mine"), runs=1, bounds=False)
    assert 'error-rate reads my_requests_total{service="cart"}, which the model of cloudflare' in str(
        caught.value
    )
    assert "ask for some of: " in caught.value.fix
    assert "http_requests_total" in caught.value.fix


def test_a_check_that_is_no_query_is_refused_with_what_to_do_about_an_incident() -> None:
    incident = load_incident("cloudflare-2019-07-02")
    policy = load_policy(SCENARIOS / "policies" / "blue-green-checked.yaml")
    with pytest.raises(IncidentError, match=r"'smoke-test' .* is not a Prometheus query.*; leave it out"):
        replay(incident, policy, play_of(incident, "mine"), runs=1, bounds=False)
