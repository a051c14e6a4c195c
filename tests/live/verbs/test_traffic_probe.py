"""A route that is accepted while requests have not moved: the step waits and says why; an abort does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.ground import NEW
from tests.live.loop.answering import Answer, Asked, answering
from tests.live.verbs.stage import BLUE_GREEN, Stage

STEPS = ("setWeight: 20", "pause: {}", "setWeight: 50")


@dataclass
class Entry:
    """Where users come in. Of a hundred requests the new version gets ``percent``."""

    url: str = ""
    percent: int = 0
    asked: int = 0

    def answer(self, asked: Asked) -> Answer:
        self.asked += 1
        new = self.asked * self.percent // 100 != (self.asked - 1) * self.percent // 100
        return 200, "", {"X-Version": "2" if new else "1"}


@pytest.fixture
def entry() -> Iterator[Entry]:
    made = Entry()
    with answering(made.answer) as server:
        made.url = server.url
        yield made


def options(entry: Entry) -> tuple[str, ...]:
    return ("--traffic-probe", entry.url, "--traffic-version", "X-Version: 2")


def waits_for_requests(shop: Stage) -> None:
    shop.until(lambda: shop.weight() == 20, "the weight is set")
    shop.until(lambda: "have not shown weight 20 yet" in shop.verb("status", "api").output, "status says so")


@pytest.mark.slow
def test_a_step_waits_until_requests_have_moved(shop: Stage, entry: Entry) -> None:
    process = shop.run(*options(entry), steps=STEPS)
    waits_for_requests(shop)
    shop.until(
        lambda: any(
            "requests to" in one and "reached the new version, not 20 %" in one for one in shop.told(process)
        ),
        "the log says why",
    )
    assert shop.status()["step_index"] == 0
    assert entry.asked >= 200
    entry.percent = 20
    shop.waits_at(20)
    assert shop.verb("status", "api").output.count("requests to") == 0
    shop.verb("promote", "api")
    shop.until(lambda: shop.weight() == 50, "the next weight is set")
    time.sleep(3)
    assert shop.status()["step_index"] == 2
    entry.percent = 50
    shop.until(lambda: shop.weight() == 100 or shop.status()["step_index"] == 3, "it goes on")
    entry.percent = 100
    code, out = shop.finish(process)
    assert code == 0, shop.errors(process)
    assert out.startswith("promoted")


@pytest.mark.slow
def test_an_abort_waits_for_no_request(shop: Stage, entry: Entry) -> None:
    process = shop.run(*options(entry), steps=STEPS)
    waits_for_requests(shop)
    began = time.monotonic()
    aborted = shop.verb("abort", "api")
    assert aborted.exit_code == 0, aborted.output
    assert time.monotonic() - began < 5
    assert "taking over" not in aborted.output
    assert shop.finish(process)[0] == 1
    assert shop.weight() == 0


@pytest.mark.slow
def test_who_resumes_asks_too_and_who_aborts_does_not(shop: Stage, entry: Entry) -> None:
    process = shop.run(*options(entry), steps=STEPS)
    waits_for_requests(shop)
    process.terminate()
    assert shop.finish(process)[0] == 130
    resumed = shop.start("resume", "api", "--timeout", "3s")
    assert shop.finish(resumed)[0] == 7
    assert shop.status()["step_index"] == 0
    asked = entry.asked
    assert shop.verb("abort", "api").exit_code == 0
    assert entry.asked == asked
    assert shop.weight() == 0


def test_a_plan_says_what_is_asked(shop: Stage, entry: Entry) -> None:
    plan = shop.folder / "plan.json"
    made = shop.verb("plan", shop.canary(STEPS), "--image", NEW, *options(entry), "-o", plan)
    assert made.exit_code == 0, made.output
    assert f"requests to {entry.url}, where the new version answers X-Version: 2" in made.output
    assert entry.asked == 0
    entry.percent = 20
    run = shop.verb("run", plan, "--unvetted", "a test", "--no-wait")
    assert run.exit_code == 6, run.output
    assert entry.asked >= 100


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--traffic-probe", "http://127.0.0.1:9"), "by a header of its answers"),
        (("--traffic-version", "X: 1"), "give --traffic-probe URL"),
        (("--traffic-probe", "nowhere", "--traffic-version", "X: 1"), "needs an address"),
    ],
)
def test_options_that_do_not_fit(shop: Stage, words: tuple[str, ...], why: str) -> None:
    refused = shop.verb("run", shop.canary(STEPS), "--image", NEW, "--unvetted", "a test", *words)
    assert refused.exit_code == 2, refused.output
    assert why in refused.output
    assert shop.untouched()


def test_a_policy_without_weights_has_nothing_to_probe(shop: Stage, entry: Entry) -> None:
    policy = shop.policy(BLUE_GREEN)
    refused = shop.verb("run", policy, "--image", NEW, "--unvetted", "a test", *options(entry))
    assert refused.exit_code == 2, refused.output
    assert "this policy has none" in refused.output
