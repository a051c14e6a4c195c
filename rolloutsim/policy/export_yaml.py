"""Plain content to YAML that every reader takes for the same: this package, kubectl and editors."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

__all__ = ["duration_text", "yaml_text"]

WIDTH = 4096
"""Long lines are not folded: a query or a condition stays on its line."""

_YAML_1_1_WORDS = frozenset(("y", "yes", "n", "no", "on", "off", "true", "false", "null", "~", "", "=", "<<"))
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""``1:30`` is 90 in YAML 1.1. Other numbers, and dates, ruamel.yaml quotes itself."""


class _Representer(SafeRepresenter):
    """Text that YAML 1.1 or 1.2 could read as something else is quoted; several lines are a block."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> ScalarNode:
        style = None
        if "\n" in data and _fits_block(data):
            style = "|"
        elif not data.isprintable() or data.lower() in _YAML_1_1_WORDS or _SEXAGESIMAL.fullmatch(data):
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_text)


def _fits_block(text: str) -> bool:
    """Whether a literal block keeps the text as it is and shows all of it."""
    lines = text.split("\n")
    return lines[0][:1].strip() != "" and all(line == line.rstrip() and line.isprintable() for line in lines)


def yaml_text(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents of dicts, lists and scalars as one YAML stream; equal content gives equal text."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    texts = []
    for document in documents:
        out = io.StringIO()
        yaml.dump(document, out)
        texts.append(out.getvalue())
    return "---\n".join(texts)


def duration_text(milliseconds: int) -> str:
    """A duration as manifests write it: ``1h30m``, ``45s``, ``250ms``."""
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if number]
    return "".join(parts) or "0s"
