"""Files that are read into checked records, with mistakes named by file, line, reason and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from rolloutsim.errors import InputError, PolicyError, Position
from rolloutsim.policy.yaml_source import Node, read_documents

__all__ = ["as_error", "read_record"]

Record = TypeVar("Record")

_FIXES = {
    "missing": "add it",
    "extra_forbidden": "remove it, or mend its spelling",
    "enum": "use one of these words",
}


def read_record(
    text: str,
    file: str,
    adapter: TypeAdapter[Record],
    error: type[InputError],
    first: Mapping[str, tuple[str, str]],
) -> Record:
    """The record in a YAML text of one document.

    Parameters
    ----------
    file : what messages call it.
    error : raised for the first thing that is wrong.
    first : fields of which a mistake comes before all others; why and what to do when one is missing.
    """
    try:
        documents = read_documents(text, file)
    except PolicyError as wrong:
        raise as_error(wrong, error) from wrong
    if len(documents) != 1:
        raise error(
            f"one document is wanted, and the file holds {len(documents) or 'none'}",
            at=Position(file, 1),
            fix="is it the file that was meant?",
        )
    (document,) = documents
    try:
        return adapter.validate_python(_plain(document))
    except ValidationError as wrong:
        raise _mistake(wrong, document, error, first) from None


def as_error(wrong: InputError, error: type[InputError]) -> InputError:
    """The same mistake under another name."""
    return error(wrong.why, at=wrong.at, path=wrong.path, value=wrong.value, fix=wrong.fix)


def _plain(node: Node) -> Any:
    if isinstance(node.value, Mapping):
        return {name: _plain(value) for name, value in node.value.items()}
    if isinstance(node.value, tuple):
        return [_plain(value) for value in node.value]
    return node.value


def _mistake(
    wrong: ValidationError, document: Node, error: type[InputError], first: Mapping[str, tuple[str, str]]
) -> InputError:
    """The first mistake; one that names a field comes before one that is about the whole."""
    mistakes = wrong.errors(include_url=False)
    urgent = [one for one in mistakes if one["loc"] and one["loc"][0] in first]
    mistake = max(urgent or mistakes, key=lambda one: len(one["loc"]))
    loc = tuple(mistake["loc"])
    at, path = _place(document, loc)
    why, _, fix = str(mistake["msg"]).removeprefix("Value error, ").partition("; ")
    if mistake["type"] == "missing":
        why, fix = first.get(str(loc[0]), ("", "")) if len(loc) == 1 else ("", "")
        why = why or f"the field {loc[-1]!r} is missing"
    elif mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        why, fix = f"the field {loc[-1]!r} is unknown", _FIXES["extra_forbidden"]
    value = mistake["input"] if isinstance(mistake["input"], str | int | float) else None
    return error(
        why[:1].lower() + why[1:],
        at=at,
        path=path,
        value=value,
        fix=fix or _FIXES.get(mistake["type"], "see the documentation for the form"),
    )


def _place(document: Node, loc: tuple[int | str, ...]) -> tuple[Position, str]:
    """Where in the file the last part of ``loc`` stands that is there, and the path in words."""
    node, at = document, document.at
    for part in loc:
        found = next(_below(node, part), None)
        if found is None:
            break
        node, at = found
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return at, words.removeprefix(".")


def _below(node: Node, part: int | str) -> Iterator[tuple[Node, Position]]:
    if isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
        yield node.value[part], node.value[part].at
    elif isinstance(node.value, Mapping) and str(part) in node.value:
        yield node.value[str(part)], node.keys[str(part)]
