"""What a command writes to the Rollout, as the controller's own command line does."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.errors import ExecutorError
from rolloutsim.live.argo.commands import command_writes
from rolloutsim.live.inbox import Verb


def rollout(status: dict[str, Any], *, paused: bool = False, blue_green: bool = False) -> dict[str, Any]:
    canary = {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]}}
    strategy = {"blueGreen": {"activeService": "api"}} if blue_green else canary
    return {
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"strategy": strategy, **({"paused": True} if paused else {})},
        "status": {"currentPodHash": "b", "stableRS": "a", **status},
    }


PAUSED = {"pauseConditions": [{"reason": "CanaryPauseStep"}], "controllerPause": True, "currentStepIndex": 1}
INCONCLUSIVE = {**PAUSED, "canary": {"currentStepAnalysisRunStatus": {"status": "Inconclusive"}}}


@pytest.mark.parametrize(
    ("verb", "body", "writes"),
    [
        (Verb.PROMOTE, rollout(PAUSED), [("status", {"status": {"pauseConditions": None}})]),
        (
            Verb.PROMOTE,
            rollout(INCONCLUSIVE),
            [
                (
                    "status",
                    {"status": {"pauseConditions": None, "controllerPause": False, "currentStepIndex": 2}},
                )
            ],
        ),
        (
            Verb.PROMOTE,
            rollout({"currentStepIndex": 0}),
            [("status", {"status": {"pauseConditions": None, "currentStepIndex": 1}})],
        ),
        (
            Verb.PROMOTE,
            rollout(PAUSED, paused=True),
            [("", {"spec": {"paused": False}}), ("status", {"status": {"pauseConditions": None}})],
        ),
        (
            Verb.PROMOTE,
            rollout({"pauseConditions": [{"reason": "BlueGreenPause"}]}, blue_green=True),
            [("status", {"status": {"pauseConditions": None}})],
        ),
        (Verb.PROMOTE_FULL, rollout(PAUSED), [("status", {"status": {"promoteFull": True}})]),
        (
            Verb.SKIP_ALL_STEPS,
            rollout(PAUSED),
            [("status", {"status": {"pauseConditions": None, "currentStepIndex": 3}})],
        ),
        (Verb.PAUSE, rollout({}), [("", {"spec": {"paused": True}})]),
        (Verb.RESUME, rollout({}), [("", {"spec": {"paused": False}})]),
        (Verb.ABORT, rollout(PAUSED), [("status", {"status": {"abort": True}})]),
        (Verb.RETRY, rollout({"abort": True}), [("status", {"status": {"abort": False}})]),
    ],
)
def test_writes(verb: Verb, body: dict[str, Any], writes: list[tuple[str, dict[str, Any]]]) -> None:
    assert [(write.subresource, write.patch) for write in command_writes(verb, body)] == writes


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        (Verb.PROMOTE, rollout({"currentStepIndex": 3, "currentPodHash": "a"})),
        (Verb.PROMOTE, rollout({}, blue_green=True)),
        (Verb.PROMOTE_FULL, rollout({"currentPodHash": "a"})),
        (Verb.SKIP_STEP, rollout({}, blue_green=True)),
    ],
)
def test_a_command_that_changes_nothing_says_so(verb: Verb, body: dict[str, Any]) -> None:
    with pytest.raises(ExecutorError, match="changes nothing"):
        command_writes(verb, body)


def test_the_same_by_hand() -> None:
    (write,) = command_writes(Verb.ABORT, rollout(PAUSED))
    assert write.kubectl == (
        "kubectl patch rollouts.argoproj.io api -n shop --subresource=status --type=merge "
        '-p \'{"status":{"abort":true}}\''
    )
