"""Conformance vectors: what other systems do for given inputs, one test per vector.

A test module names its vectors with ``VECTORS = (file, section)`` and takes the argument ``case``; ids are
those of the file. ``--vectors DIR`` runs the same tests on another set.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    where = getattr(metafunc.module, "VECTORS", None)
    if where is None or "case" not in metafunc.fixturenames:
        return
    file, section = where
    folder = Path(metafunc.config.getoption("--vectors") or HERE / "vectors")
    cases = json.loads((folder / file).read_text(encoding="utf-8"))[section]
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
