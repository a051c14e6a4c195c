"""What more than one folder of tests reads; `rolloutsim.live.pytest_option` adds ``--kubeconfig``."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        default=None,
        metavar="DIR",
        help="folder of expected values, instead of the copies beside the conformance and oracle tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: runs on any Kubernetes API server, see --kubeconfig")
