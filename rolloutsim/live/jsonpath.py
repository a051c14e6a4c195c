"""The part of Kubernetes' JSONPath that a web check needs: one path to one value.

Kubernetes, "JSONPath Support": ``{$.status.items[0].name}`` with ``.name``, ``['name']``, ``[index]`` (from
the end if negative), and ``*`` for all of a list or an object. The first value that a path finds counts, as
in Argo Rollouts (``metricproviders/webmetric``).
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["first_match"]

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z0-9_\-]+|\*)
      | \[(?:(?P<index>-?[0-9]+)|(?P<all>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]""",
    re.VERBOSE,
)


def first_match(path: str, value: Any) -> Any:
    """The first value at ``path`` in decoded JSON.

    Raises
    ------
    ValueError : the path cannot be read, as a sentence.
    LookupError : there is nothing at the path.
    """
    inner = path.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    inner = inner.removeprefix("$")
    if inner and inner[0] not in ".[":
        inner = f".{inner}"
    if inner == ".":
        inner = ""
    found, at = [value], 0
    while at < len(inner):
        step = _STEP.match(inner, at)
        if step is None:
            raise ValueError(f"jsonPath {path!r} cannot be read at {inner[at:]!r}; write {{$.name[0].name}}")
        found = [item for one in found for item in _step(step, one)]
        at = step.end()
    if not found:
        raise LookupError(f"the answer has nothing at jsonPath {path!r}")
    return found[0]


def _step(step: re.Match[str], value: Any) -> list[Any]:
    if step["all"] or step["name"] == "*":
        if isinstance(value, dict):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    if step["index"] is not None:
        index = int(step["index"])
        if isinstance(value, list) and -len(value) <= index < len(value):
            return [value[index]]
        return []
    name = next(text for text in (step["name"], step["single"], step["double"]) if text is not None)
    return [value[name]] if isinstance(value, dict) and name in value else []
