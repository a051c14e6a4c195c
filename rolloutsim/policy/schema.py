"""JSON Schema (draft-07) of RolloutPolicy, out of the field table that the loader checks documents with.

A schema is for editors: it knows names and types; what values mean together only the loader knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rolloutsim.policy.argo_shape import METRIC
from rolloutsim.policy.gate_shape import GATE_CHOICES, GATE_NOTES, METRIC_WITH_GATE
from rolloutsim.policy.native import API_VERSION, ROLLOUT_POLICY, ROUTERS, STEP, STRATEGIES, TARGET
from rolloutsim.policy.shape import Leaf, ListOf, MapOf, Shape

__all__ = ["DRAFT", "GO_DURATION", "manifest_schema", "policy_schema"]

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
GO_DURATION = r"(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)"
"""A Go duration without its sign, as a regular expression."""

_LEAVES: Mapping[Leaf, Schema] = {
    Leaf.TEXT: {"type": "string"},
    Leaf.DURATION: {
        "type": "string",
        "pattern": rf"^([-+]?{GO_DURATION}|.*\{{\{{.*)?$",
        "description": "30s, 5m, 1h30m",
    },
    Leaf.INTEGER: {"type": "integer"},
    Leaf.BOOLEAN: {"type": "boolean"},
    Leaf.INTEGER_OR_TEXT: {"type": ["integer", "string"]},
    Leaf.NUMBER: {"type": "number"},
    Leaf.SHARE: {"type": ["number", "string"], "pattern": r"^[0-9]*\.?[0-9]+%?$"},
    Leaf.ANYTHING: {},
}
_ONE = {"minProperties": 1, "maxProperties": 1}
_REFINED: tuple[tuple[Shape, Schema], ...] = (
    (STRATEGIES, _ONE),
    (STEP, {"minProperties": 1}),
    (METRIC.fields["provider"], _ONE),
    (TARGET, {"oneOf": [{"required": ["deployment"]}, {"required": ["deployments"]}]}),
)
"""What the loader asks of these mappings beside names and types."""


def policy_schema() -> Schema:
    """The schema of a RolloutPolicy document."""
    schema = manifest_schema(API_VERSION, "RolloutPolicy", _schema(ROLLOUT_POLICY))
    schema["properties"]["status"] = {}
    metric = _schema(METRIC_WITH_GATE, inside=True)
    gate = metric["properties"]["gate"]["properties"]
    for name, note in GATE_NOTES.items():
        gate[name] = {**gate[name], "description": note}
    for name, choices in GATE_CHOICES.items():
        gate[name] = {"enum": list(choices), "description": GATE_NOTES[name]}
    schema["definitions"] = {"metric": metric}
    route = schema["properties"]["spec"]["properties"]["target"]["properties"]["route"]
    route["properties"]["kind"] = {"enum": list(ROUTERS)}
    return schema


def manifest_schema(api_version: str, kind: str, spec: Schema) -> Schema:
    """The schema of a document with apiVersion, kind, metadata and this ``spec``."""
    metadata = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    return {
        "$schema": DRAFT,
        "title": f"{kind} ({api_version})",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": api_version},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": spec,
        },
    }


def _schema(shape: Shape, *, inside: bool = False) -> Schema:
    """The schema of a shape; a metric is defined once, and ``inside`` that definition written out."""
    if shape is METRIC_WITH_GATE and not inside:
        return {"$ref": "#/definitions/metric"}
    if isinstance(shape, ListOf):
        return {"type": "array", "items": _schema(shape.item)}
    if isinstance(shape, MapOf):
        return {"type": "object", "additionalProperties": _schema(shape.item)}
    if isinstance(shape, Leaf):
        return dict(_LEAVES[shape])
    schema: Schema = {"type": "object"}
    if shape.required:
        schema["required"] = list(shape.required)
    if not shape.open:
        schema["additionalProperties"] = False
    schema |= next((more for refined, more in _REFINED if refined is shape), {})
    schema["properties"] = {name: _schema(field) for name, field in shape.fields.items()}
    return schema
