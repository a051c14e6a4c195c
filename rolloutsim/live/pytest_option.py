"""``pytest -m cluster --kubeconfig FILE``, for who tests a clone of this project; else it does nothing.

pytest settles where its configuration stands before it knows any option but its own, and takes FILE for a
path of tests until then. So the option is not one of a ``conftest.py``; and where FILE has led pytest away
from the clone, it begins again with ``--kubeconfig=FILE``, which is no path to anybody.

Source: pytest, "Configuration", the note on custom options that expect a path.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

__all__ = ["joined", "pytest_addoption", "pytest_cmdline_main"]

CLONE = Path(__file__).parents[2]
OPTION = "--kubeconfig"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, if this is a clone: an installed package has no tests."""
    if (CLONE / "tests" / "live").is_dir():
        parser.addoption(
            OPTION,
            default=None,
            metavar="FILE",
            help="a cluster for the tests marked 'cluster', instead of the embedded API server",
        )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Begin again, if pytest looked for its configuration beside the kubeconfig."""
    given = config.invocation_params
    args = tuple(joined(given.args))
    if given.dir != CLONE or config.rootpath == CLONE or args == tuple(given.args):
        return None
    return subprocess.call([sys.executable, "-m", "pytest", *args])


def joined(args: Sequence[str]) -> Iterator[str]:
    """The same arguments, option and file as one word."""
    words = iter(args)
    for word in words:
        file = next(words, None) if word == OPTION else None
        yield word if file is None else f"{OPTION}={file}"
