"""Why something is left to the ordinary path."""

from __future__ import annotations

__all__ = ["NotCompiled"]


class NotCompiled(Exception):
    """The fast path does not know this; the text says what. Never seen by a user."""
