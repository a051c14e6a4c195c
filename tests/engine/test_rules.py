"""Rules of Argo Rollouts that users trip over, each played as a trace.

Where a rule was confirmed on the controller's own code, the expected behaviour is what the project's
documentation and issues say of it; the issue is named.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.argo_traces import Player

ROUTED = {"canaryService": "c", "stableService": "s", "trafficRouting": {"plugins": {"fake": {}}}}
TWO_STEPS = [{"setWeight": 20}, {"pause": {}}]
FOUR_STEPS = [
    {"setWeight": 20},
    {"pause": {"duration": "60s"}},
    {"setWeight": 60},
    {"pause": {"duration": "60s"}},
]


def canary(steps: list[Any], **more: Any) -> dict[str, Any]:
    return {"replicas": 10, "strategy": {"canary": {**ROUTED, "steps": steps, **more}}}


def blue_green(**more: Any) -> dict[str, Any]:
    return {
        "replicas": 4,
        "strategy": {"blueGreen": {"activeService": "a", "previewService": "p", **more}},
    }


def released(at: int = 100, image: str = "v2") -> dict[str, Any]:
    return {"at": at, "do": "image", "image": image}


def patched(at: int, **status: Any) -> dict[str, Any]:
    return {"at": at, "do": "status", "status": status}


def play(
    spec: dict[str, Any],
    *actions: dict[str, Any],
    until: int = 400,
    pods: dict[str, int] | None = None,
    metrics: dict[str, Any] | None = None,
    outcomes: dict[str, str] | None = None,
) -> Player:
    player = Player(
        {
            "spec": spec,
            "analysisTemplates": {"t": [{"name": "m", **(metrics or {})}]},
            "outcomes": outcomes or {},
            "podReadySeconds": pods or {"*": 5},
            "actions": list(actions),
            "untilSeconds": until,
        }
    )
    player.play()
    return player


def lines(player: Player, *kinds: str, since: int = 100) -> list[str]:
    """Events as short lines: ``105 set_weight 20``."""
    return [
        " ".join(str(value) for value in event.values())
        for event in player.events()
        if event["e"] in kinds and event["t"] >= since
    ]


ANALYSIS = {"templates": [{"templateName": "t"}]}


def test_steps_pods_and_weights_follow_each_other() -> None:
    player = play(canary(FOUR_STEPS), released(), until=300)
    assert lines(player, "scale", "set_weight", "promoted", "service") == [
        "100 scale v2 0 2",
        "105 set_weight 20",
        "165 scale v2 2 6",
        "170 set_weight 60",
        "230 scale v2 6 10",
        "235 set_weight 100",
        "235 promoted Rollout completed update to revision 2 : Completed all 4 canary steps",
        "235 set_weight 0",
        "265 scale v1 10 0",
        "105 service c v2",
        "235 service s v2",
    ]


def test_a_broken_first_version_is_stable_from_the_start() -> None:
    player = play(canary(TWO_STEPS), pods={"*": -1}, until=100)
    assert player.final()["replicaSets"] == {"v1": "0/10 stable current"}
    assert "0 promoted Rollout completed update to revision 1 : Initial deploy" in lines(
        player, "promoted", since=0
    )


def test_background_analysis_starts_before_there_is_traffic_and_may_abort() -> None:
    """argoproj/argo-rollouts#4864: the first measurement comes before the first pod is ready."""
    player = play(
        canary(FOUR_STEPS, analysis=ANALYSIS),
        released(),
        metrics={"interval": "20s"},
        outcomes={"m": "SSF"},
        until=200,
    )
    assert lines(player, "measurement", "set_weight", "analysisrun", "scale") == [
        "100 scale v2 0 2",
        "100 measurement RS(v2)-2 m S",
        "100 analysisrun RS(v2)-2 Running",
        "105 set_weight 20",
        "120 measurement RS(v2)-2 m S",
        "140 measurement RS(v2)-2 m F",
        "140 analysisrun RS(v2)-2 Failed",
        "140 set_weight 0",
        "170 scale v2 2 0",
    ]


def test_clearing_the_pause_of_an_inconclusive_step_runs_the_analysis_again() -> None:
    """argoproj/argo-rollouts#3015."""
    steps = [{"setWeight": 20}, {"analysis": ANALYSIS}, {"setWeight": 60}, {"pause": {}}]
    player = play(
        canary(steps),
        released(),
        patched(200, pauseConditions=None),
        metrics={"interval": "10s", "count": 3},
        outcomes={"m": "SI"},
        until=230,
    )
    assert lines(player, "analysisrun") == [
        "105 analysisrun RS(v2)-2-1 Running",
        "115 analysisrun RS(v2)-2-1 Inconclusive",
        "200 analysisrun RS(v2)-2-1.1 Running",
        "210 analysisrun RS(v2)-2-1.1 Inconclusive",
    ]
    assert player.final()["canaryWeight"] == 20


def test_promoting_during_an_analysis_skips_its_step() -> None:
    steps = [{"setWeight": 20}, {"analysis": ANALYSIS}, {"setWeight": 60}, {"pause": {}}]
    player = play(
        canary(steps),
        released(),
        patched(110, pauseConditions=None, currentStepIndex=2),
        metrics={"interval": "10s", "count": 3},
        until=200,
    )
    assert lines(player, "analysisrun", "step_completed") == [
        "105 step_completed 1/4 completed (setWeight: 20)",
        "105 analysisrun RS(v2)-2-1 Running",
        "110 analysisrun RS(v2)-2-1 Successful",
        "115 step_completed 3/4 completed (setWeight: 60)",
    ]


def test_a_full_promotion_never_shows_all_traffic_at_the_router() -> None:
    player = play(canary(TWO_STEPS), released(), patched(120, promoteFull=True), until=200)
    assert lines(player, "set_weight", "scale") == [
        "100 scale v2 0 2",
        "105 set_weight 20",
        "120 scale v2 2 10",
        "125 set_weight 0",
        "155 scale v1 10 0",
    ]


def test_an_abort_keeps_the_pods_for_its_delay_and_a_retry_starts_over() -> None:
    player = play(
        canary(TWO_STEPS), released(), patched(120, abort=True), patched(200, abort=False), until=300
    )
    assert lines(player, "set_weight", "scale", "aborted") == [
        "100 scale v2 0 2",
        "105 set_weight 20",
        "120 set_weight 0",
        "120 aborted Rollout aborted update to revision 2",
        "150 scale v2 2 0",
        "200 scale v2 0 2",
        "205 set_weight 20",
    ]


def test_a_full_promotion_of_an_aborted_update_promotes_it() -> None:
    player = play(
        canary(TWO_STEPS), released(), patched(120, abort=True), patched(200, promoteFull=True), until=300
    )
    assert player.final()["phase"] == "Healthy"
    assert "v2" in player.final()["replicaSets"]
    assert "stable current" in player.final()["replicaSets"]["v2"]


def test_abort_delay_zero_keeps_pods_only_with_a_canary_scale_at_step_zero() -> None:
    """argoproj/argo-rollouts#1841."""
    late = [{"setWeight": 20}, {"setCanaryScale": {"replicas": 3}}, {"pause": {}}]
    player = play(canary(late, abortScaleDownDelaySeconds=0), released(), patched(150, abort=True))
    assert player.final()["replicaSets"]["v2"] == "0/0 current"


def test_rollback_within_the_window_to_running_pods_skips_all_steps() -> None:
    spec = {**canary(TWO_STEPS), "rollbackWindow": {"revisions": 3}}
    player = play(spec, released(), patched(120, promoteFull=True), released(140, "v1"), until=200)
    assert "140 promoted Rollout completed update to revision 3 : Rollback within window" in lines(
        player, "promoted"
    )
    assert lines(player, "skip_steps") == [
        "140 skip_steps Rollback to active ReplicaSets within RollbackWindow"
    ]


@pytest.mark.parametrize("abort", [False, True])
def test_a_missed_progress_deadline_degrades_and_aborts_only_if_asked_to(abort: bool) -> None:
    spec = {
        "replicas": 10,
        "strategy": {"canary": {"steps": TWO_STEPS}},
        "progressDeadlineSeconds": 60,
        "progressDeadlineAbort": abort,
    }
    player = play(spec, released(), pods={"v2": -1, "*": 5}, until=300)
    final = player.final()
    assert final["phase"] == "Degraded"
    reason = 'ReplicaSet "RS" has timed out progressing.'
    if abort:
        assert final["message"] == f"RolloutAborted: Rollout aborted update to revision 2: {reason}"
        assert final["replicaSets"] == {"v1": "10/10 stable", "v2": "0/0 current"}
    else:
        assert final["message"] == f"ProgressDeadlineExceeded: {reason}"
        assert final["replicaSets"] == {"v1": "8/8 stable", "v2": "0/2 current"}
    assert [line for line in lines(player, "phase") if line.startswith("161 phase Degraded")]


def test_an_update_heals_when_its_pods_recover_after_the_deadline() -> None:
    spec = {
        "replicas": 2,
        "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}},
        "progressDeadlineSeconds": 60,
    }
    player = play(spec, released(), pods={"v2": 80, "*": 5}, until=300)
    assert player.final()["phase"] == "Paused"


def test_a_change_of_the_replicas_only_scales() -> None:
    scaled = {"at": 150, "do": "patchSpec", "patch": {"spec": {"replicas": 20}}}
    player = play(canary(TWO_STEPS), released(), scaled, until=200)
    assert lines(player, "scale", "set_weight", since=150) == ["150 scale v1 10 20", "150 scale v2 2 4"]
    assert player.final()["phase"] == "Paused"


def test_a_routed_canary_without_steps_is_promoted_by_its_services() -> None:
    player = play(canary([]), released(), until=200)
    assert lines(player, "set_weight", "scale", "service") == [
        "100 scale v2 0 10",
        "135 scale v1 10 0",
        "105 service c v2",
        "105 service s v2",
    ]


def test_a_lower_weight_removes_pods_before_the_weight_drops() -> None:
    steps = [{"setWeight": 60}, {"pause": {"duration": 10}}, {"setWeight": 20}, {"pause": {}}]
    player = play(canary(steps), released(), until=200)
    assert lines(player, "scale", "set_weight") == [
        "100 scale v2 0 6",
        "105 set_weight 60",
        "115 scale v2 6 2",
        "115 set_weight 20",
    ]


def test_the_router_is_told_zero_when_the_canary_has_no_pods_left() -> None:
    lost = {"at": 120, "do": "unready", "image": "v2", "count": 0}
    player = play(canary(TWO_STEPS), released(), lost, until=200)
    assert "120 set_weight 0" in lines(player, "set_weight")


def test_starting_step_delays_the_background_analysis() -> None:
    analysis = {**ANALYSIS, "startingStep": 2}
    player = play(canary(FOUR_STEPS, analysis=analysis), released(), metrics={"interval": "500s"}, until=200)
    assert lines(player, "measurement") == ["165 measurement RS(v2)-2 m S"]


def test_blue_green_waits_for_a_person_even_with_auto_promotion_seconds() -> None:
    spec = blue_green(autoPromotionEnabled=False, autoPromotionSeconds=30)
    player = play(spec, released(), patched(300, pauseConditions=None))
    assert lines(player, "promoted") == [
        "300 promoted Rollout completed update to revision 2 : Completed blue-green update"
    ]


def test_the_auto_promotion_clock_starts_after_the_pre_promotion_analysis() -> None:
    spec = blue_green(autoPromotionSeconds=30, prePromotionAnalysis=ANALYSIS)
    player = play(spec, released(), metrics={"interval": "10s", "count": 2})
    assert lines(player, "service") == ["100 service p v2", "145 service a v2"]


def test_back_to_a_revision_that_still_waits_for_its_scale_down_is_fast() -> None:
    spec = blue_green(autoPromotionEnabled=False)
    player = play(spec, released(), patched(150, pauseConditions=None), released(165, "v1"), until=200)
    assert lines(player, "service", since=165) == ["165 service p v1", "165 service a v1"]


def test_blue_green_scale_down_delay_zero_never_scales_down() -> None:
    """argoproj/argo-rollouts#1992."""
    player = play(blue_green(scaleDownDelaySeconds=0), released())
    assert player.final()["replicaSets"]["v1"] == "4/4"


def test_an_abort_after_the_switch_with_one_pod_missing_takes_the_service_down() -> None:
    """argoproj/argo-rollouts#2824: saturation is looked at before the abort."""
    spec = blue_green(postPromotionAnalysis=ANALYSIS)
    lost = {"at": 108, "do": "unready", "image": "v2", "count": 1}
    player = play(spec, released(), lost, patched(110, abort=True), metrics={"interval": "60s", "count": 2})
    assert player.final()["replicaSets"]["v2"] == "0/0 deadline@140 current svc:a svc:p"


def test_a_new_release_makes_an_abort_forgotten() -> None:
    player = play(canary(TWO_STEPS), released(), patched(120, abort=True), released(200, "v3"), until=300)
    assert player.final()["phase"] == "Paused"
    assert player.final()["replicaSets"]["v3"].startswith("2/2 current")


def test_old_revisions_beyond_the_history_limit_are_removed() -> None:
    spec = {**canary([{"setWeight": 20}]), "revisionHistoryLimit": 0}
    player = play(spec, released(), released(250, "v3"), until=400)
    assert set(player.final()["replicaSets"]) == {"v3"}


# --- much at one instant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy", [{"canary": {"maxSurge": 1, "maxUnavailable": 0}}, canary(TWO_STEPS)["strategy"]]
)
def test_pods_that_are_ready_at_once_exchange_all_at_one_instant(strategy: dict[str, Any]) -> None:
    """Each ready pod is news from outside, so a hundred of them are no endless loop."""
    player = play({"replicas": 100, "strategy": strategy}, released(), pods={"*": 0})
    assert {event["t"] for event in player.events() if event["e"] == "scale"} == {0, 100}


@pytest.mark.parametrize("step", [{"setWeight": 1}, {"pause": {"duration": "0s"}}, {"analysis": ANALYSIS}])
def test_a_long_list_of_steps_may_be_over_at_once(step: dict[str, Any]) -> None:
    player = play({**canary([step] * 100), "replicas": 1}, released())
    assert player.final()["replicaSets"]["v2"] == "1/1 stable current svc:c svc:s"
    assert lines(player, "promoted") == [
        "105 promoted Rollout completed update to revision 2 : Completed all 100 canary steps"
    ]
