"""JSON Schema (draft-07) of ServiceModel, ReleaseModel and Scenario.

Names, kinds, words and defaults come from the tables of the loader; for each field its quantity stands here.
A schema is for editors: what values mean together only the loader knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rolloutsim.policy.schema import DRAFT, GO_DURATION, manifest_schema
from rolloutsim.sim.defaults import DEFAULTS
from rolloutsim.sim.platform_file import FOUND_KINDS
from rolloutsim.sim.release_file import RELEASE_FIELDS
from rolloutsim.sim.requests.model import Balancing, Fidelity, Law
from rolloutsim.sim.scenario import Basis, Change, FaultKind, Migration, Split, Sticky, Swap
from rolloutsim.sim.scenario_file import API_VERSION
from rolloutsim.sim.service_file import SERVICE_FIELDS
from rolloutsim.telemetry import PRESETS

__all__ = [
    "DRAFT",
    "DURATION",
    "NUMBER",
    "TEXT",
    "TIME",
    "Schema",
    "defined",
    "mapping",
    "release_schema",
    "scenario_schema",
    "service_schema",
]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 100_000}
POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
RATE: Schema = {"type": "number", "minimum": 0, "description": "requests per second"}
SIGMA: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": 5,
    "description": "standard deviation of the logarithm; 0 is constant",
}

_TEXT_DURATION: Schema = {"type": "string", "pattern": rf"^[-+]?{GO_DURATION}$"}
_PERCENTAGE: Schema = {"type": "string", "pattern": r"^\s*[-+]?[0-9]*\.?[0-9]+\s*%\s*$"}
DEFINITIONS: Mapping[str, Schema] = {
    "duration": {
        "description": "15s, 1h30m, 250ms, or plain seconds",
        "anyOf": [{"type": "number", "minimum": 0}, _TEXT_DURATION],
    },
    "time": {
        "description": "a time from the release on, before it negative: 5m, -15m, or plain seconds",
        "anyOf": [{"type": "number"}, _TEXT_DURATION],
    },
    "share": {
        "description": "2% or 0.02",
        "anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, _PERCENTAGE],
    },
    "probability": {
        "description": "0.9 or 90%",
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _PERCENTAGE],
    },
    "percent": {
        "description": "20 or 20%",
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 100}, _PERCENTAGE],
    },
}
"""Quantities that are written in more than one way."""
DURATION, TIME, SHARE, PROBABILITY, PERCENT = ({"$ref": f"#/definitions/{name}"} for name in DEFINITIONS)


def defined(schema: Schema) -> Schema:
    """A whole schema with the definitions that it refers to."""
    text = json.dumps(schema)
    used = {name: content for name, content in DEFINITIONS.items() if f'#/definitions/{name}"' in text}
    return {**schema, "definitions": used}


def mapping(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """The schema of a mapping with these fields and no others."""
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema


def service_schema() -> Schema:
    """The schema of a ServiceModel document."""
    return defined(manifest_schema(API_VERSION, "ServiceModel", _service()))


def release_schema() -> Schema:
    """The schema of a ReleaseModel document."""
    return defined(manifest_schema(API_VERSION, "ReleaseModel", _release()))


def scenario_schema() -> Schema:
    """The schema of a Scenario document: each part a file or the content itself."""
    parts = {
        name: {"anyOf": [{**TEXT, "description": f"file of a {kind}, relative to this one"}, _named(content)]}
        for name, kind, content in (
            ("service", "ServiceModel", _service()),
            ("release", "ReleaseModel", _release()),
        )
    }
    content = mapping(parts, required=("service", "release"))
    return defined(manifest_schema(API_VERSION, "Scenario", content))


def _named(content: Schema) -> Schema:
    properties = {"name": TEXT, **content["properties"]}
    return mapping(properties, required=("name", *content.get("required", ())))


# --- services -------------------------------------------------------------------------------------


def _service() -> Schema:
    latency = {"median": _value("latency.median", DURATION), "sigma": _value("latency.sigma", POSITIVE)}
    fields: dict[str, Schema] = {
        "traffic": _traffic(),
        "error_rate": _value("error_rate", SHARE),
        "error_icc": _value("error_icc", {"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
        "latency": mapping(latency),
        "telemetry": _telemetry(),
        "operators": _operators(),
        "cluster": _cluster(),
        "slo": _value("slo", SHARE),
        "slo_period": _value("slo_period", DURATION),
        "horizon": _value("horizon", DURATION),
        "sessions": _sessions(),
        "connections": _connections(),
        "checks": {"type": "array", "items": _check()},
        "requests": _requests(),
    }
    return mapping({name: fields[name] for name in SERVICE_FIELDS}, required=("traffic",))


def _traffic() -> Schema:
    diurnal = {
        "mean_rps": _value("traffic.diurnal.mean_rps", RATE),
        "amplitude": _value("traffic.diurnal.amplitude", {"type": "number", "minimum": 0, "maximum": 1}),
        "period": _value("traffic.diurnal.period", DURATION),
        "phase": _value("traffic.diurnal.phase", TIME),
    }
    recorded = {
        "file": _value("traffic.recorded.file", {**TEXT, "description": "CSV with t_s,rate_rps"}),
        "scale": _value("traffic.recorded.scale", POSITIVE),
        "release_at": _value("traffic.recorded.release_at", DURATION),
    }
    schema = mapping(
        {
            "rate_rps": _value("traffic.rate_rps", RATE),
            "diurnal": mapping(diurnal, required=("mean_rps", "amplitude")),
            "recorded": mapping(recorded, required=("file",)),
            "dispersion": _value("traffic.dispersion", {"type": "number", "minimum": 1}),
        }
    )
    return {**schema, "oneOf": [{"required": [kind]} for kind in ("rate_rps", "diurnal", "recorded")]}


def _telemetry() -> Schema:
    gap = {name: _value(f"telemetry.gaps.{name}", TIME) for name in ("start", "end")}
    phase = {"anyOf": [{"const": "random"}, DURATION]}
    fields: dict[str, Schema] = {
        "preset": {"enum": list(PRESETS)},
        "scrape_interval": DURATION,
        "scrape_phase": phase,
        "lag": DURATION,
        "missed": SHARE,
        "query_time": DURATION,
        "counters_from_zero": FLAG,
        "left_closed": FLAG,
        "discovery": DURATION,
        "history": DURATION,
    }
    return mapping(
        {
            **{name: _value(f"telemetry.{name}", schema) for name, schema in fields.items()},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "gaps": {"type": "array", "items": mapping(gap, required=("start", "end"))},
            "unlabelled": _value("telemetry.unlabelled", PROBABILITY),
            "mislabelled": _value("telemetry.mislabelled", PROBABILITY),
            "resources": _fields(
                "telemetry.resources",
                memory_mb=POSITIVE,
                memory_limit_mb=POSITIVE,
                cpu_per_request=DURATION,
            ),
            "logs": _fields(
                "telemetry.logs", rate=SHARE, classes=COUNT, exponent=POSITIVE, baseline=DURATION
            ),
        }
    )


def _operators() -> Schema:
    return mapping(
        {
            "promote": _delay("operators.promote", "never"),
            "notice_excess": _value("operators.notice_excess", {"anyOf": [{"const": "never"}, SHARE]}),
            "notice_after": _value("operators.notice_after", DURATION),
            "respond": _delay("operators.respond"),
            "slow": _value("operators.slow", DURATION),
            "rubber_stamp": _value("operators.rubber_stamp", PROBABILITY),
            "hours": _fields("operators.hours", start=DURATION, end=DURATION, released=DURATION),
        }
    )


def _cluster() -> Schema:
    return mapping(
        {
            "pod_ready": _delay("cluster.pod_ready"),
            "readiness": _value("cluster.readiness", {"enum": ["shallow", "deep"]}),
            "router_delay": _delay("cluster.router_delay"),
            "weight_granularity": _value("cluster.weight_granularity", PERCENT),
            "split": _value("cluster.split", {"enum": [str(split) for split in Split]}),
            "pod_capacity_rps": _value("cluster.pod_capacity_rps", POSITIVE),
            **_pods(),
        }
    )


def _pods() -> dict[str, Schema]:
    """The optional parts of a cluster."""
    phases = mapping(
        {
            **{part: _delay(f"cluster.phases.{part}") for part in ("schedule", "pull", "start")},
            "probe": _value("cluster.phases.probe", DURATION),
            "nodes": _value("cluster.phases.nodes", COUNT),
        }
    )
    probe = _fields("cluster.probe", coupling=PROBABILITY, period=DURATION, failures=COUNT)
    probe["properties"]["finds"] = _finds("cluster.probe")
    drain = _fields("cluster.drain", pre_stop=DURATION, grace=DURATION)
    drain["properties"]["endpoints"] = _delay("cluster.drain.endpoints")
    return {
        "phases": phases,
        "probe": probe,
        "drain": drain,
        "controller": _fields("cluster.controller", sync=DURATION, qps=POSITIVE, burst=COUNT),
        "autoscaler": _fields(
            "cluster.autoscaler",
            least=COUNT,
            most=COUNT,
            target=SHARE,
            sync=DURATION,
            tolerance=SHARE,
            settle=DURATION,
        ),
    }


def _sessions() -> Schema:
    sticky: Schema = {"enum": [str(one) for one in Sticky]}
    return _fields("sessions", requests=COUNT, length=DURATION, sticky=sticky)


def _connections() -> Schema:
    swap: Schema = {"enum": [str(one) for one in Swap]}
    schema = _fields("connections", open=COUNT, swap=swap, drain=DURATION, grace=DURATION)
    schema["properties"]["lifetime"] = _delay("connections.lifetime")
    return schema


def _requests() -> Schema:
    never: Schema = {"anyOf": [{"const": "never"}, DURATION]}
    budget: Schema = {"anyOf": [{"const": "none"}, SHARE]}
    schema = _fields(
        "requests",
        fidelity={"enum": [str(one) for one in Fidelity]},
        balancing={"enum": [str(one) for one in Balancing]},
        slots=COUNT,
        queue={"type": "integer", "minimum": 0},
        cold_factor={"type": "number", "minimum": 1},
        warm_up=DURATION,
        pod_spread={"type": "number", "minimum": 0, "maximum": 2},
        timeout=never,
        retries={"type": "integer", "minimum": 0},
        backoff=DURATION,
        retry_budget=budget,
        retry_burst=COUNT,
    )
    endpoint = {
        "name": TEXT,
        "share": _value("requests.endpoints.share", POSITIVE),
        "mean": _value("requests.endpoints.mean", DURATION),
        "law": _value("requests.endpoints.law", {"enum": [str(one) for one in Law]}),
        "sigma": _value("requests.endpoints.sigma", POSITIVE),
    }
    schema["properties"]["endpoints"] = {"type": "array", "items": mapping(endpoint, required=("mean",))}
    return schema


def _check() -> Schema:
    fields: dict[str, Schema] = {
        "metric": TEXT,
        "finds": _finds("checks"),
        "false_failure": _value("checks.false_failure", PROBABILITY),
        "duration": _value("checks.duration", DURATION),
    }
    return mapping(fields, required=("metric",))


def _finds(path: str) -> Schema:
    """Chances to find each kind of fault."""
    return mapping({kind: _value(f"{path}.finds.{kind}", PROBABILITY) for kind in FOUND_KINDS})


def _fields(path: str, **schemas: Schema) -> Schema:
    """A mapping of values, each with its default."""
    return mapping({name: _value(f"{path}.{name}", schema) for name, schema in schemas.items()})


def _delay(path: str, *words: str) -> Schema:
    """A plain duration, or median and sigma of a lognormal one."""
    parts = {"median": _value(f"{path}.median", DURATION), "sigma": _value(f"{path}.sigma", SIGMA)}
    plain = {"anyOf": [*({"const": word} for word in words), DURATION]}
    return {"anyOf": [*_value(path, plain)["anyOf"], mapping(parts)]}


def _value(path: str, schema: Schema, part: str = "service") -> Schema:
    """A value, plain or with how it is known; its default with the default's source."""
    known = mapping(
        {
            "value": schema,
            "basis": {"enum": [str(basis) for basis in Basis]},
            "source": TEXT,
        },
        required=("value",),
    )
    both: Schema = {"anyOf": [schema, known]}
    default = DEFAULTS.get(f"{part}.{path}")
    if default is None:
        return both
    both["default"] = default.value
    if default.source:
        both["description"] = f"default: {default.basis}, {default.source}"
    return both


# --- releases -------------------------------------------------------------------------------------


def _release() -> Schema:
    # the size of some faults is a factor, of all others a share
    size: Schema = {
        "description": "a share (2%), or the factor of a latency-shift, latency-tail, capacity or cold-start",
        "anyOf": [POSITIVE, SHARE],
    }
    fault = {
        "kind": {"enum": [str(kind) for kind in FaultKind]},
        "size": _value("faults.size", size),
        "share": _value("faults.share", SHARE, "release"),
        "onset": _value("faults.onset", DURATION),
        "ramp": _value("faults.ramp", DURATION),
        "end": _value("faults.end", DURATION),
        "above_rps": _value("faults.above_rps", RATE),
        "above_weight": _value("faults.above_weight", PERCENT),
    }
    stated = {
        "metric": TEXT,
        "pass_probability": _value("measurements.pass_probability", PROBABILITY),
        "duration": _value("measurements.duration", DURATION),
    }
    fields: dict[str, Schema] = {
        "description": TEXT,
        "faults": {"type": "array", "items": mapping(fault, required=("kind", "size"))},
        "schema": _schema_change(),
        "measurements": {"type": "array", "items": mapping(stated, required=("metric", "pass_probability"))},
    }
    return mapping({name: fields[name] for name in RELEASE_FIELDS})


def _schema_change() -> Schema:
    fields: dict[str, Schema] = {
        "change": {"enum": [str(change) for change in Change]},
        "touches": _value("schema.touches", PROBABILITY, "release"),
        "writes": _value("schema.writes", PROBABILITY, "release"),
        "migration": _value("schema.migration", {"enum": [str(one) for one in Migration]}, "release"),
        "duration": _value("schema.duration", DURATION, "release"),
        "contract": _value("schema.contract", DURATION, "release"),
    }
    return mapping(fields, required=("change",))
