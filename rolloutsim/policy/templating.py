"""``{{args.NAME}}`` in the texts of a metric.

Argo Rollouts, docs/features/analysis ("Analysis Template Arguments"): the only legal tag is
``args.NAME``, with any white space inside the braces; there are no defaults, filters or nested tags, and
every other ``{{...}}`` (a Helm left-over, a PromQL label template) is an error. A value is inserted as it
is and never searched for tags again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rolloutsim.errors import PolicyError

__all__ = ["interpolate"]

OPEN, CLOSE = "{{", "}}"
PREFIX = "args."
FIX = "declare the argument and give it a value; only {{args.NAME}} is understood"


def interpolate(text: str, values: Mapping[str, str], keep: Collection[str] = ()) -> str:
    """Return ``text`` with each ``{{args.NAME}}`` replaced by ``values[NAME]``.

    Tags of the arguments named in ``keep`` (bound later: pod hash, field, secret) stay, written as
    ``{{args.NAME}}`` without spaces; a name in both is replaced.

    Raises
    ------
    PolicyError : a tag that names no argument, or ``{{`` without ``}}``. ``why`` reads
        ``failed to resolve {{tag}}`` with the tag as it stands in the text.
    """
    start = text.find(OPEN)
    if start < 0:
        return text
    parts: list[str] = []
    end = 0
    while start >= 0:
        parts.append(text[end:start])
        stop = text.find(CLOSE, start + len(OPEN))
        if stop < 0:
            raise PolicyError(f"cannot find the end of the tag {text[start:]}", fix="close it with }}")
        parts.append(_replacement(text[start + len(OPEN) : stop], values, keep))
        end = stop + len(CLOSE)
        start = text.find(OPEN, end)
    parts.append(text[end:])
    return "".join(parts)


def _replacement(tag: str, values: Mapping[str, str], keep: Collection[str]) -> str:
    cleaned = tag.strip()
    if cleaned.startswith(PREFIX):
        name = cleaned[len(PREFIX) :]
        if name in values:
            return values[name]
        if name in keep:
            return f"{OPEN}{cleaned}{CLOSE}"
    raise PolicyError(f"failed to resolve {OPEN}{tag}{CLOSE}", fix=FIX)
