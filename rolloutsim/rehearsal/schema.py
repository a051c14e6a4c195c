"""JSON Schema (draft-07) of test files."""

from __future__ import annotations

from rolloutsim.policy.schema import DRAFT
from rolloutsim.rehearsal.fields import FILE, schema_of
from rolloutsim.sim.schema import Schema, defined

__all__ = ["case_schema"]


def case_schema() -> Schema:
    """The schema of a file of tests."""
    return defined(
        {"$schema": DRAFT, "title": "Tests of a rollout policy", **schema_of(FILE, "policy", "tests")}
    )
