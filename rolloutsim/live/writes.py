"""Writes that hold only for what was read. All of them name the field manager ``rolloutsim``.

They are patches, not server-side apply: a revision replaces a pod template whole, and apply would keep in it
what other managers once set; ``backendRefs`` and a Service's ``selector`` can be owned only as a whole, and
we change one weight, one key; after ``kubectl scale`` an unforced apply would fail in mid-rollout.

Source: Kubernetes, "Server-Side Apply" (merge strategies, conflicts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rolloutsim.live.port import Conflict, Invalid, Kubernetes, Object, Ref

__all__ = ["patch_read", "pointer", "settled", "version_of"]

ATTEMPTS = 6
"""How often a write is prepared anew because the object changed between reading and writing: controllers
write the status of an object many times a second while its pods start."""

Wanted = TypeVar("Wanted")


def version_of(body: Object) -> str:
    """The resourceVersion of an object that was read."""
    return str(body.get("metadata", {}).get("resourceVersion", ""))


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901); each part is escaped."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def patch_read(
    api: Kubernetes, ref: Ref, body: Object, operations: Sequence[Object], *, dry_run: bool = False
) -> Object:
    """A JSON patch that holds only for the very object ``body`` that was read.

    Raises
    ------
    Conflict : the object has changed since.
    """
    version = version_of(body)
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    try:
        return api.json_patch(ref, [test, *operations], dry_run=dry_run)
    except Invalid:
        # a failed test and a wrong value are one answer: 422
        if version_of(api.get(ref)) == version:
            raise
        raise Conflict(f"{ref} changed while it was being written", code=409, reason="Conflict") from None


def settled(attempt: Callable[[], Wanted]) -> Wanted:
    """Run ``attempt``, which reads and then writes, until nobody interferes, a few times at most.

    This repeats a decision on fresh facts; it never repeats a write whose fate is unknown.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Conflict:
            continue
    return attempt()
