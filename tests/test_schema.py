"""JSON Schemas: every shipped file fits, and loader and schema know the same fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rolloutsim.errors import InputError
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.schema import policy_schema
from rolloutsim.policy.yaml_source import read_documents
from rolloutsim.rehearsal import case_schema, load_cases
from rolloutsim.sim.requests.model import Balancing, Fidelity, Law
from rolloutsim.sim.scenario import Change, FaultKind, Migration, Sticky, Swap
from rolloutsim.sim.scenario_file import load_scenario_text
from rolloutsim.sim.schema import release_schema, scenario_schema, service_schema

ROOT = Path(__file__).parent.parent
SCENARIOS = ROOT / "scenarios"
SCHEMAS = {
    "policy": policy_schema(),
    "service": service_schema(),
    "release": release_schema(),
    "scenario": scenario_schema(),
    "test": case_schema(),
}
KINDS = {
    "RolloutPolicy": "policy",
    "ServiceModel": "service",
    "ReleaseModel": "release",
    "Scenario": "scenario",
}
FILES = sorted(SCENARIOS.rglob("*.yaml"))
MODELINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")

Schema = dict[str, Any]


def as_plain(node: Any) -> Any:
    """A document as an editor's validator sees it."""
    if isinstance(node.value, tuple):
        return [as_plain(item) for item in node.value]
    if hasattr(node.value, "items"):
        return {key: as_plain(item) for key, item in node.value.items()}
    return node.value


def documents(path: Path) -> list[Any]:
    return [as_plain(node) for node in read_documents(path.read_text(encoding="utf-8"), str(path))]


def kind_of(document: Any) -> str | None:
    """Which schema a document of the project belongs to; None: a kind of Kubernetes or of Argo Rollouts."""
    return KINDS.get(document["kind"]) if "kind" in document else "test"


def wrong(kind: str, content: Any) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMAS[kind])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


# --- shipped files --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_checked_in_copy_is_what_is_generated(kind: str) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMAS[kind])
    text = (SCENARIOS / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert text == json.dumps(SCHEMAS[kind], indent=2, ensure_ascii=False) + "\n"
    assert SCHEMAS[kind]["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SCENARIOS)))
def test_shipped_files_fit_and_name_their_schema(path: Path) -> None:
    ours = [(kind, document) for document in documents(path) if (kind := kind_of(document))]
    for kind, document in ours:
        assert wrong(kind, document) == []
    modeline = MODELINE.match(path.read_text(encoding="utf-8"))
    if not ours:
        assert modeline is None
        return
    assert modeline is not None
    assert (path.parent / modeline.group(1)).resolve() == SCENARIOS / "schema" / f"{ours[0][0]}.json"


def test_each_kind_is_shipped() -> None:
    kinds = {kind_of(document) for path in FILES for document in documents(path)}
    assert kinds >= set(SCHEMAS)


# --- the loader's fields and the schema's ---------------------------------------------------------


def objects(schema: Schema, root: Schema, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Schema]]:
    """Every mapping with known fields, with the path at which an example of it can stand."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    for part in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from objects(part, root, path)
    if "items" in schema:
        yield from objects(schema["items"], root, (*path, 0))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from objects(schema["additionalProperties"], root, (*path, "any"))
    if "properties" in schema:
        if schema.get("additionalProperties") is False and set(schema["properties"]) != {
            "value",
            "basis",
            "source",
        }:
            yield path, schema
        for name, field in schema["properties"].items():
            yield from objects(field, root, (*path, name))


def example(path: tuple[str | int, ...], leaf: Any) -> Any:
    """Nested mappings and lists with ``leaf`` at ``path``."""
    for part in reversed(path):
        leaf = [leaf] if isinstance(part, int) else {part: leaf}
    return leaf


def known_fields(error: InputError) -> set[str]:
    """The fields that a message about ``zzz`` lists."""
    assert "unknown field 'zzz'" in error.why, error
    assert error.fix.startswith("known here: ")
    return set(filter(None, error.fix.removeprefix("known here: ").split(", ")))


HEADS = {
    "service": {"apiVersion": "rolloutsim.dev/v1alpha1", "kind": "ServiceModel", "metadata": {"name": "a"}},
    "release": {"apiVersion": "rolloutsim.dev/v1alpha1", "kind": "ReleaseModel", "metadata": {"name": "b"}},
    "scenario": {"apiVersion": "rolloutsim.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "c"}},
    "policy": {"apiVersion": "rolloutsim.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "d"}},
}
GOOD: dict[str, Any] = {
    "service": {**HEADS["service"], "spec": {"traffic": {"rate_rps": 1}}},
    "release": {**HEADS["release"], "spec": {}},
}


def load(kind: str, document: Any, tmp_path: Path) -> Any:
    """What the loader of a kind says to a document."""
    if kind == "policy":
        return load_policy_text(json.dumps(document))
    if kind == "test":
        file = tmp_path / "test.yaml"
        file.write_text(json.dumps(document), encoding="utf-8")
        return load_cases(file)
    if kind == "scenario":
        return load_scenario_text(json.dumps(document))
    other = GOOD["release" if kind == "service" else "service"]
    return load_scenario_text(f"{json.dumps(document)}\n---\n{json.dumps(other)}")


def in_context(kind: str, path: tuple[str | int, ...], leaf: Any) -> Any:
    """A document that is right but for what stands at ``path``."""
    document = example(path, leaf)
    if kind == "test":
        document.setdefault("policy", str(SCENARIOS / "policies" / "native-blue-green.yaml"))
        document.setdefault("tests", [{"name": "x", "outcome": "paused"}])
        return document
    if path[:1] == ("spec",):
        spec = document["spec"]
        if kind == "scenario":
            spec.setdefault("service", {"name": "a", "traffic": {"rate_rps": 1}})
            spec.setdefault("release", {"name": "b"})
            for part, name in (("service", "a"), ("release", "b")):
                if isinstance(spec[part], dict):
                    spec[part].setdefault("name", name)
        service = spec["service"] if kind == "scenario" else spec
        if kind in ("service", "scenario") and isinstance(service, dict) and "traffic" not in service:
            service["traffic"] = {"rate_rps": 1}
        if kind == "policy":
            spec.setdefault("target", {"deployment": "a", "service": "s"})
            spec.setdefault("strategy", {"blueGreen": {}})
    return {**HEADS[kind], **document}


OBJECTS = [
    pytest.param(kind, path, set(schema["properties"]), id=f"{kind}-{'.'.join(map(str, path))}")
    for kind, whole in SCHEMAS.items()
    for path, schema in objects(whole, whole)
]


@pytest.mark.parametrize(("kind", "path", "fields"), OBJECTS)
def test_loader_and_schema_know_the_same_fields(
    kind: str, path: tuple[str | int, ...], fields: set[str], tmp_path: Path
) -> None:
    document = in_context(kind, (*path, "zzz"), 1)
    assert any("zzz" in message for message in wrong(kind, document))
    with pytest.raises(InputError) as refused:
        load(kind, document, tmp_path)
    assert known_fields(refused.value) == fields


# --- values ---------------------------------------------------------------------------------------

VALUES = (
    0,
    1,
    0.5,
    5,
    80,
    -1,
    1e9,
    "5m",
    "-5m",
    "+90s",
    "1h30m",
    "2%",
    "99.9 %",
    "150%",
    "",
    True,
    False,
    None,
)
WORDS = (
    *("never", "random", "exact", "shallow", "deep", "app", "istio", "text", "nasa.csv"),
    *Sticky,
    *Swap,
    *Change,
    *Migration,
    *Fidelity,
    *Balancing,
    *Law,
)


def leaves(kind: str) -> list[tuple[str | int, ...]]:
    """Paths of the fields of a kind that hold a value."""
    found = [
        (*path, name)
        for path, schema in objects(SCHEMAS[kind], SCHEMAS[kind])
        for name, field in schema["properties"].items()
        if "anyOf" in field or field.get("type") not in ("object", "array")
    ]
    return [path for path in found if path[0] == "spec"]


def fault(document: Any) -> Any:
    """Complete a fault, so that only the field that is tried can be wrong."""
    for one in document["spec"].get("faults", []):
        if "share" in one:
            one.setdefault("kind", "latency-tail")
        one.setdefault("kind", "latency-shift" if one.get("size") not in (None, "2%") else "error-step")
        one.setdefault("size", 0.5)
    for one in document["spec"].get("measurements", []):
        one.setdefault("metric", "m")
        one.setdefault("pass_probability", 1)
    if isinstance(change := document["spec"].get("schema"), dict):
        change.setdefault("change", "expand-contract" if "contract" in change else "one-step")
    return document


def complete(kind: str, document: Any) -> Any:
    if kind == "release":
        return fault(document)
    spec = document["spec"]
    traffic = spec["traffic"]
    if not traffic.keys() & {"rate_rps", "diurnal", "recorded"}:
        traffic["rate_rps"] = 1
    if "diurnal" in traffic:
        traffic["diurnal"] = {"mean_rps": 1, "amplitude": 0.5, **traffic["diurnal"]}
    if "recorded" in traffic:
        file = "scenarios/services/nasa-http-1995-weekday.csv"
        traffic["recorded"] = {"file": file, **traffic["recorded"]}
    for gap in spec.get("telemetry", {}).get("gaps", []):
        gap.setdefault("start", -1e6)
        gap.setdefault("end", 1e6)
    for one in spec.get("requests", {}).get("endpoints", []):
        one.setdefault("mean", 1)
    for one in spec.get("checks", []):
        one.setdefault("metric", "m")
    hours = spec.get("operators", {}).get("hours", {})
    if "end" in hours:
        hours.setdefault("start", "0s")
    return document


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param(kind, path, id=f"{kind}-{'.'.join(map(str, path))}")
        for kind in ("service", "release")
        for path in leaves(kind)
    ],
)
def test_the_schema_accepts_what_the_loader_accepts(
    kind: str, path: tuple[str | int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    accepted = 0
    # names and descriptions are no inputs: nobody says how they are known
    annotated = path[-1] not in ("kind", "metric", "description", "change", "name")
    for value in (*VALUES, *WORDS, "scenarios/services/nasa-http-1995-weekday.csv", *FaultKind):
        known = {"value": value, "basis": "source", "source": "somebody"}
        for leaf in (value, known) if annotated else (value,):
            document = complete(kind, in_context(kind, path, leaf))
            try:
                load(kind, document, tmp_path)
            except InputError:
                continue
            assert wrong(kind, document) == [], document
            accepted += 1
    assert accepted


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("service", ("spec", "error_rate"), 1.5),
        ("service", ("spec", "telemetry", "preset"), "nagios"),
        ("service", ("spec", "telemetry", "scrape_interval"), "15 seconds"),
        ("service", ("spec", "operators", "promote"), "always"),
        ("release", ("spec", "faults"), [{"kind": "error-step"}]),
        ("release", ("spec", "faults"), [{"kind": "gremlins", "size": 1}]),
        ("scenario", ("spec", "service"), 5),
        ("policy", ("spec", "strategy"), {"canary": {}, "blueGreen": {}}),
        ("policy", ("spec", "strategy", "canary", "steps"), [{"setWeight": "20"}]),
        ("policy", ("spec", "target"), {"deployment": "a", "deployments": ["a", "b"]}),
        ("policy", ("spec", "target", "route"), {"kind": "VirtualService", "name": "a"}),
        ("test", ("tests",), [{"name": "x", "outcome": "exploded"}]),
        ("test", ("tests",), [{"name": "x", "commands": [{"at": "5m", "do": "panic"}]}]),
    ],
)
def test_the_schema_refuses_what_an_editor_should_mark(kind: str, path: tuple[str, ...], value: Any) -> None:
    assert wrong(kind, complete_or_same(kind, in_context(kind, path, value)))


def complete_or_same(kind: str, document: Any) -> Any:
    return complete(kind, document) if kind == "service" else document


def test_what_the_schema_marks_the_loader_refuses_too(tmp_path: Path) -> None:
    for kind, path, value in (
        ("service", ("spec", "error_rate"), 1.5),
        ("release", ("spec", "faults"), [{"kind": "gremlins", "size": 1}]),
        ("policy", ("spec", "target", "route"), {"kind": "VirtualService", "name": "a"}),
        ("test", ("tests",), [{"name": "x", "outcome": "exploded"}]),
    ):
        with pytest.raises(InputError):
            load(kind, complete_or_same(kind, in_context(kind, path, value)), tmp_path)
