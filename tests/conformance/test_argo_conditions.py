"""Argo Rollouts' condition language: one test per vector of ``conditions`` and ``evaluate_result``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.conditions import (
    Condition,
    ConditionError,
    Dialect,
    Result,
    compile_condition,
    judge,
    result_from_json,
)

HERE = Path(__file__).parent
SECTIONS = {"condition_case": "conditions", "verdict_case": "evaluate_result"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = Path(metafunc.config.getoption("--vectors", None) or HERE / "vectors")
    for argument, section in SECTIONS.items():
        if argument in metafunc.fixturenames:
            cases = json.loads((folder / "argo.json").read_text(encoding="utf-8"))[section]
            metafunc.parametrize(argument, cases, ids=[f"argo-{case['id']}" for case in cases])


def result_of(data: dict[str, Any]) -> Result:
    if data["type"] == "list_any":
        # The vectors' lists were decoded from JSON by Go, where every number is a float64.
        data = {"type": "json", "value": data["value"]}
    return result_from_json(data)


def answer(text: str, dialect: Dialect, result: Result) -> bool | str:
    try:
        return compile_condition(text, dialect).evaluate(result)
    except ConditionError:
        return "error"


def compiled(text: str) -> Condition | ConditionError | None:
    if not text:
        return None
    try:
        return compile_condition(text)
    except ConditionError as error:
        return error


def test_condition_on_master(condition_case: dict[str, Any]) -> None:
    given = answer(condition_case["condition"], Dialect.MASTER, result_of(condition_case["result"]))
    assert given == condition_case["expected"]


def test_condition_in_release_1_9_1(condition_case: dict[str, Any]) -> None:
    expected = condition_case.get("expected_v1_9_1", condition_case["expected"])
    assert (
        answer(condition_case["condition"], Dialect.V1_9_1, result_of(condition_case["result"])) == expected
    )


def test_verdict(verdict_case: dict[str, Any]) -> None:
    success = compiled(verdict_case["successCondition"])
    failure = compiled(verdict_case["failureCondition"])
    phase, message = judge(result_of(verdict_case["result"]), success, failure)
    assert phase == verdict_case["expected_phase"]
    assert bool(message) == (phase == "Error")
