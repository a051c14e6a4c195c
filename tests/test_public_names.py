"""The public face: complete, sorted, in the manual, and cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rolloutsim

HEAVY = ("numpy", "pandas", "scipy", "matplotlib", "numba", "simpy", "ruamel", "promql_parser")


def test_names_are_sorted_and_complete():
    assert rolloutsim.__all__ == sorted(rolloutsim._HOMES)


@pytest.mark.parametrize("name", rolloutsim.__all__)
def test_every_name_is_there_and_documented(name):
    assert getattr(rolloutsim, name).__doc__
    assert name in (rolloutsim.__doc__ or "")


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rolloutsim.nothing


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, rolloutsim; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
