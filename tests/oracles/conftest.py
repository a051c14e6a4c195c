"""Oracles: closed forms that the simulated world has to meet, one test per expected value.

A test module names its group of cases with ``GROUP`` and takes the argument ``oracle``. ``--vectors DIR``
runs the same tests on the cases of ``DIR/statistics.json``. A module may name values that take long: its
function ``is_slow`` says so of an oracle.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracles.cases import oracles

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "oracle" not in metafunc.fixturenames:
        return
    folder = Path(metafunc.config.getoption("--vectors") or HERE)
    found = list(oracles(folder / "statistics.json", metafunc.module.GROUP))
    is_slow = getattr(metafunc.module, "is_slow", lambda _: False)
    metafunc.parametrize(
        "oracle",
        [
            pytest.param(one, id=f"{one.case}-{one.key}", marks=[pytest.mark.slow] * is_slow(one))
            for one in found
        ],
    )
