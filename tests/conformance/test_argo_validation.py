"""Validation and parsing as Argo Rollouts' own code does it: specs, metrics, durations, tags, arguments.

The number and the field paths of the errors have to agree; their wording may differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import validate_metric, validate_rollout
from rolloutsim.policy.analysis_templates import UnresolvedArgument, merge_arguments
from rolloutsim.policy.durations import pause_seconds
from rolloutsim.policy.templating import interpolate

VECTORS = ("argo.json", "validation_and_parsing")

LABELS = {"app": "api"}
PODS = {
    "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "api", "image": "api"}]}}
}


def test_agrees_with_the_controller(case: dict[str, Any]) -> None:
    check = {
        "rollout": check_rollout,
        "metric": check_metric,
        "pause": check_pause,
        "template": check_template,
        "merge": check_merge,
    }[case["kind"]]
    check(case)


def check_rollout(case: dict[str, Any]) -> None:
    spec = {"strategy": case["strategy"], **case["spec_fields"], **PODS}
    if case["selector_present"]:
        spec["selector"] = {"matchLabels": LABELS}
    assert fields(validate_rollout(spec)) == fields(case["expected"]["errors"])


def fields(errors: list[str]) -> list[str]:
    return [error.split(": ", 1)[0] for error in errors]


def check_metric(case: dict[str, Any]) -> None:
    assert len(validate_metric(case["metric"])) == len(case["expected"]["errors"])


def check_pause(case: dict[str, Any]) -> None:
    assert pause_seconds(case["pause"]) == case["expected"]["seconds"]


def check_template(case: dict[str, Any]) -> None:
    if "error" not in case["expected"]:
        # The controller fills in JSON, where quotes, backslashes and line ends of a value are escaped.
        assert case["expected"]["out"] in (filled(case), filled(case, in_json))
        return
    with pytest.raises((PolicyError, UnresolvedArgument)) as caught:
        filled(case)
    if case["expected"]["error"].startswith("failed to resolve"):
        assert case["expected"]["error"] in str(caught.value)


def filled(case: dict[str, Any], written: Callable[[str], str] = str) -> str:
    arguments = merge_arguments([], case["args"])
    values = {argument["name"]: written(argument["value"]) for argument in arguments}
    return interpolate(case["template"], values)


def in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def check_merge(case: dict[str, Any]) -> None:
    if "error" in case["expected"]:
        with pytest.raises(UnresolvedArgument) as caught:
            merge_arguments(case["args"], case["templateArgs"])
        assert str(caught.value) == case["expected"]["error"]
    else:
        assert merge_arguments(case["args"], case["templateArgs"]) == case["expected"]["out"]
