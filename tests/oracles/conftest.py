"""Oracles: closed forms that the simulated world has to meet, one test per expected value.

A test module names its group of cases with ``GROUP`` and takes the argument ``oracle``. ``--vectors DIR``
runs the same tests on the cases of ``DIR/statistics.json``.
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
    metafunc.parametrize("oracle", found, ids=[f"{one.case}-{one.key}" for one in found])
