"""A change of the database schema that comes with a release, as frozen data.

Phases follow the pattern of parallel change: expand (the new shape is added), migrate (rows are
backfilled), contract (the old shape goes). A one-step change does all three at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Change", "Migration", "SchemaChange"]


class Change(StrEnum):
    """What a release does to the schema."""

    ONE_STEP = "one-step"
    """A rename or drop: each version works with one shape only, and the old shape goes at the migration."""
    EXPAND_CONTRACT = "expand-contract"
    """Both shapes from before the release on; both versions work until the old shape is contracted."""


class Migration(StrEnum):
    """When the migration of a one-step change runs."""

    AT_START = "at-start"
    """With the first pod of the new version, which waits for it: a hook or an init container."""
    AT_PROMOTION = "at-promotion"
    """By hand, once the new version has been promoted."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """``touches`` is the share of requests that read or write what changes, ``writes`` of those that write.

    The migration takes ``duration_ms``. ``contract_ms``, from the release, is when an expand-contract
    change drops the old shape (None: in a later release, not in this run).
    """

    change: Change
    touches: float
    writes: float = 0.3
    migration: Migration = Migration.AT_START
    duration_ms: int = 60_000
    contract_ms: int | None = None
