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
    parser.addoption(
        "--kubeconfig",
        default=None,
        metavar="FILE",
        help="a cluster for the tests marked 'cluster', instead of the embedded API server; write it with an "
        "equals sign, since pytest takes a path alone for one of tests: -m cluster --kubeconfig=FILE",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: runs on any Kubernetes API server, see --kubeconfig")
