"""Options that more than one folder of tests reads."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        default=None,
        metavar="DIR",
        help="folder of expected values, instead of the copies beside the conformance and oracle tests",
    )
