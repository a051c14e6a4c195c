"""A slot that still has pods of another revision: it is said what is waited for, and what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.live.ground import NEW, NEXT
from tests.live.verbs.stage import BLUE_GREEN, Stage

PROMOTES_ITSELF = BLUE_GREEN.replace("autoPromotionEnabled: false", "autoPromotionEnabled: true")
FOR_EVER = PROMOTES_ITSELF.replace(" scaleDownDelaySeconds: 1", " scaleDownDelaySeconds: 0")
UNVETTED = ("--unvetted", "a test")
WAITS = re.compile(
    r"deployment.apps/api-\w still has pods of the revision \w+ and has to be empty before \w+ goes in;"
)


def advice(text: str) -> tuple[str, str]:
    """The namespace and the Deployment that a person is told to scale down."""
    found = re.search(r"kubectl -n (\S+) scale deployment (\S+) --replicas=0", text)
    assert found is not None, text
    return found[1], found[2]


@pytest.mark.cluster
@pytest.mark.slow
def test_a_delay_of_zero_keeps_the_old_pods_and_the_next_run_says_so(shop: Stage) -> None:
    policy = shop.policy(FOR_EVER)
    assert shop.verb("run", policy, "--image", NEW, *UNVETTED).exit_code == 0
    assert shop.replicas() == {"api-a": 2, "api-b": 2}
    before = shop.ground.versions()
    for verb in (("plan",), ("run", *UNVETTED)):
        refused = shop.verb(verb[0], policy, "--image", NEXT, *verb[1:])
        assert refused.exit_code == 6, refused.output
        assert WAITS.search(refused.output)
        assert "a scale-down delay of 0 s keeps them for ever, so end them with: kubectl" in refused.output
    assert shop.ground.versions() == before
    namespace, name = advice(refused.output)
    assert (namespace, name) == (shop.ground.namespace, "api-a")
    shop.ground.patch("Deployment", name, {"spec": {"replicas": 0}})
    shop.until(lambda: not shop.ground.get("Deployment", name)["status"].get("replicas"), "it is empty")
    assert shop.verb("run", policy, "--image", NEXT, *UNVETTED).exit_code == 0


def test_pods_that_go_by_themselves(shop: Stage) -> None:
    shop.ground.patch("Deployment", "api-b", {"spec": {"replicas": 1}})
    refused = shop.verb("run", shop.policy(PROMOTES_ITSELF), "--image", NEW, *UNVETTED)
    assert refused.exit_code == 6, refused.output
    assert "after their scale-down delay, see rolloutsim status api; at once: kubectl" in refused.output
    assert advice(refused.output)[1] == "api-b"


@pytest.mark.slow
def test_a_slot_that_is_filled_in_the_last_moment(shop: Stage) -> None:
    """Log, Event, status and the end say why nothing moves; the advice lets it go on by itself."""
    done = []

    def meddle(kind: str, body: dict[str, Any]) -> None:
        if kind == "ConfigMap" and not done:
            done.append(kind)
            shop.ground.patch("Deployment", "api-b", {"spec": {"replicas": 1}})

    shop.server.after_write(meddle)
    process = shop.start("run", shop.policy(BLUE_GREEN), "--image", NEW, *UNVETTED, "--no-wait")
    shop.until(lambda: any(map(WAITS.search, shop.told(process))), "it is said what is waited for")
    (told,) = filter(WAITS.search, shop.told(process))
    assert told.startswith("not done yet: ")
    status = shop.verb("status", "api")
    assert WAITS.search(status.output), status.output
    shop.until(lambda: any(WAITS.search(one["message"]) for one in shop.ground.list("Event")), "an Event")
    shop.ground.patch("Deployment", advice(told)[1], {"spec": {"replicas": 0}})
    code, out = shop.finish(process)
    assert code == 6, shop.errors(process)
    assert out.startswith("waiting at ")
    assert not WAITS.search(shop.verb("status", "api").output)
