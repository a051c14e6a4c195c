"""Attempts in the order of their deadlines: a linked list through the records, oldest first."""

from __future__ import annotations

from rolloutsim.sim.requests.compiled import index, inlined
from rolloutsim.sim.requests.layout import AFTER, BEFORE, NEWEST, OLDEST

__all__ = ["link", "unlink"]

NOBODY = -1


@inlined
def unlink(record, n, records):  # type: ignore[no-untyped-def]
    """No deadline any more."""
    before, after = records[record, BEFORE], records[record, AFTER]
    if before >= 0:
        records[index(before), AFTER] = after
    else:
        n[OLDEST] = after
    if after >= 0:
        records[index(after), BEFORE] = before
    else:
        n[NEWEST] = before


@inlined
def link(record, n, records):  # type: ignore[no-untyped-def]
    """The latest deadline of all."""
    newest = n[NEWEST]
    records[record, BEFORE] = newest
    records[record, AFTER] = NOBODY
    if newest >= 0:
        records[index(newest), AFTER] = record
    else:
        n[OLDEST] = record
    n[NEWEST] = record
