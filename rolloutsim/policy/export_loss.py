"""What an export does not keep, and what a policy says that its export does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from rolloutsim.policy.digest import LEFT_OUT
from rolloutsim.policy.model import Policy

__all__ = ["Loss", "losses_between"]

_NEVER_DECIDES = re.compile(r"target\b|.*\.(address|settings_json|managed_routes|routers)(\[\d+\])?$")
"""Paths of a policy that name things in a cluster and that no decision reads."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that the exported files do not say, or say otherwise.

    ``path`` is a place in the policy (``strategy.steps[2]``) or in a manifest (``Rollout spec.template``).
    ``decides``: the exported policy can decide otherwise because of it.
    """

    path: str
    why: str
    decides: bool = False

    def __str__(self) -> str:
        mark = "changes what the policy does" if self.decides else "changes no decision"
        return f"{self.path}: {self.why} ({mark})"


def losses_between(policy: Policy, exported: Policy, known: Sequence[Loss]) -> tuple[Loss, ...]:
    """The known losses, and each further difference between a policy and its export.

    Only what the digest covers is compared, so without a difference the digests are equal.
    """
    found = list(known)
    for path, before, after in _differences(policy, exported, ""):
        if not any(_same_place(path, loss.path) for loss in known):
            why = f"is {_shown(before)} and reads back as {_shown(after)}"
            found.append(Loss(path, why, decides=_NEVER_DECIDES.match(path) is None))
    return tuple(found)


def _same_place(path: str, other: str) -> bool:
    return path.startswith(other) or other.startswith(path)


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if is_dataclass(before) and type(before) is type(after):
        left_out = LEFT_OUT.get(type(before), frozenset())
        for field in fields(before):
            if field.name not in left_out:
                where = f"{path}.{field.name}" if path else field.name
                yield from _differences(getattr(before, field.name), getattr(after, field.name), where)
    elif isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    text = type(value).__name__ if is_dataclass(value) else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
