"""A suite of faults, and what becomes of it on a service: the scenarios that a policy is vetted in.

A suite is a directory of YAML files. Each holds

* a ``ReleaseModel``, played on the service that is given, and if need be a ``ServiceChange``: fields of a
  ServiceModel that differ while this release goes out (bursts, a gap in the scrapes, no traffic); or
* a ``Scenario``, which brings a service of its own.

Scenarios are called after their releases, whatever the service.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rolloutsim.engine.codec import to_json
from rolloutsim.errors import PolicyError, Position, ScenarioError
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import JobProvider, OtherProvider, Policy, WebProvider
from rolloutsim.policy.yaml_source import Node, read_documents
from rolloutsim.sim.quantities import choice, metadata_name
from rolloutsim.sim.release_file import RELEASE_FIELDS, read_release
from rolloutsim.sim.scenario import Input, Measurements, Scenario
from rolloutsim.sim.scenario_file import API_VERSION, load_scenario, text_of
from rolloutsim.sim.section import Section
from rolloutsim.sim.service_file import SERVICE_FIELDS, read_service

__all__ = ["Suite", "chosen_suite", "load_suite", "standard_suite"]

KINDS = ("ReleaseModel", "ServiceModel", "ServiceChange", "Scenario")
_YAML = (".yaml", ".yml")
_RATES = frozenset({"rate_rps", "diurnal", "recorded"})
_HERE = Path(__file__)
_STANDARD = (_HERE.parents[1] / "data" / "faults", _HERE.parents[2] / "scenarios" / "faults")
"""Where the standard suite is: in the package when it is installed, else in the source tree."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Scenarios under names that differ, and the service that most of them share."""

    name: str
    service: str
    scenarios: tuple[Scenario, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scenarios, in order."""
        return tuple(scenario.name for scenario in self.scenarios)

    @property
    def digest(self) -> str:
        """``sha256:`` and the hash of all that the scenarios say, not of how their files say it."""
        content = {one.name: to_json(replace(one, name="", inputs=())) for one in self.scenarios}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def only(self, names: Sequence[str]) -> Suite:
        """The suite of these scenarios alone."""
        return replace(self, scenarios=tuple(one for one in self.scenarios if one.name in names))

    def fitted(self, policy: Policy) -> tuple[Suite, tuple[str, ...]]:
        """The suite in which every metric of ``policy`` finds something, and what had to be assumed for that.

        Outcomes of jobs, web checks and other providers that no release states are taken to pass: nothing is
        caught by them, and nothing killed.
        """
        others = [
            metric.name
            for analysis in analyses_of(policy)
            for metric in analysis.metrics
            if isinstance(metric.provider, JobProvider | WebProvider | OtherProvider)
        ]
        scenarios: list[Scenario] = []
        assumed: dict[str, None] = {}
        for scenario in self.scenarios:
            stated = {measurement.metric for measurement in scenario.release.measurements}
            stated |= {one.metric for one in scenario.service.checks}
            missing = [name for name in dict.fromkeys(others) if name not in stated]
            assumed.update(dict.fromkeys(missing))
            added = tuple(Measurements(name, 1.0) for name in missing)
            release = replace(scenario.release, measurements=(*scenario.release.measurements, *added))
            scenarios.append(replace(scenario, release=release))
        notes = tuple(
            f"metric {name} is no query and no release of the suite says what it finds: taken to pass always"
            for name in assumed
        )
        return replace(self, scenarios=tuple(scenarios)), notes


def chosen_suite(service: str | Path, directory: str | Path | None) -> Suite:
    """The suite in a directory, or the standard one, on the service in a file. Errors as `load_suite`."""
    return standard_suite(service) if directory is None else load_suite(service, directory)


def standard_suite(service: str | Path) -> Suite:
    """The standard suite of faults, six of which are none, on the service in this file.

    Raises
    ------
    ScenarioError : as `load_suite`.
    """
    found = next((directory for directory in _STANDARD if directory.is_dir()), None)
    if found is None:
        raise ScenarioError("the standard suite is not installed", fix="name a directory with --suite")
    return load_suite(service, found, name="standard")


def load_suite(service: str | Path, directory: str | Path, *, name: str | None = None) -> Suite:
    """The suite in a directory on the service in a file, in the order of the file names.

    Raises
    ------
    ScenarioError : a file cannot be read, holds something else, or two scenarios have one name.
    """
    base = _service_node(str(service))
    scenarios: dict[str, Scenario] = {}
    for file in _files(Path(directory)):
        one = _scenario(base, file)
        if one.name in scenarios:
            raise ScenarioError(
                f"the suite has two scenarios {one.name!r}", at=Position(str(file)), fix="rename one"
            )
        scenarios[one.name] = one
    service_name = _name(base)
    return Suite(name or Path(directory).name, service_name, tuple(scenarios.values()))


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise ScenarioError(
            "the suite is no directory", at=Position(str(directory)), fix="name a directory of fault files"
        )
    found = sorted(file for file in directory.iterdir() if file.suffix in _YAML)
    if not found:
        raise ScenarioError("no YAML file is here", at=Position(str(directory)), fix="add fault files")
    return found


def _service_node(file: str) -> Node:
    nodes = [node for node in _documents(file) if _kind(node) == "ServiceModel"]
    if len(nodes) != 1:
        raise ScenarioError(
            f"the file holds {len(nodes)} documents of kind ServiceModel",
            at=Position(file),
            fix="name a file with one, as scenarios/services/api.yaml",
        )
    return nodes[0]


def _scenario(service: Node, file: Path) -> Scenario:
    nodes = {_kind(node): node for node in _documents(str(file))}
    if list(nodes) == ["Scenario"]:
        return load_scenario(file)
    release, change = nodes.pop("ReleaseModel", None), nodes.pop("ServiceChange", None)
    if release is None or nodes:
        raise ScenarioError(
            "a file of a suite holds a ReleaseModel, or one and a ServiceChange, or a Scenario",
            at=Position(str(file)),
            fix="see scenarios/faults",
        )
    inputs: list[Input] = []
    spec = _spec(service) if change is None else _merged(_spec(service), _checked(change))
    return Scenario(
        _name(release),
        read_service(_name(service), Section(spec, ("spec",), "service", inputs).only(*SERVICE_FIELDS)),
        read_release(
            _name(release), Section(_spec(release), ("spec",), "release", inputs).only(*RELEASE_FIELDS)
        ),
        tuple(inputs),
    )


def _checked(change: Node) -> Node:
    """The fields of a change, checked to be fields of a service where they stand."""
    spec = _spec(change)
    Section(spec, ("spec",), "service", []).only(*SERVICE_FIELDS)
    return spec


def _merged(base: Node, change: Node) -> Node:
    """``base`` with the fields of ``change``; paths of files stay relative to the base.

    A list and an annotated value replace what was there; so does the kind of traffic.
    """
    if not isinstance(base.value, Mapping) or not isinstance(change.value, Mapping):
        return change
    if "value" in base.value or "value" in change.value:
        return change
    replaced = _RATES if _RATES & change.value.keys() else frozenset[str]()
    kept = {key: node for key, node in base.value.items() if key not in replaced}
    for key, node in change.value.items():
        kept[key] = _merged(kept[key], node) if key in kept else node
    keys = {**base.keys, **change.keys}
    return Node(kept, base.at, {key: keys[key] for key in kept})


# --- documents ------------------------------------------------------------------------------------


def _documents(file: str) -> tuple[Node, ...]:
    text = text_of(Path(file))
    try:
        return read_documents(text, file)
    except PolicyError as error:
        raise ScenarioError(error.why, at=error.at, path=error.path, fix=error.fix) from error


def _root(node: Node) -> Section:
    if not isinstance(node.value, Mapping):
        raise ScenarioError("expected a mapping with apiVersion, kind, metadata and spec", at=node.at)
    return Section(node, (), "document", [])


def _kind(node: Node) -> str:
    root = _root(node)
    root.read("apiVersion", choice(API_VERSION))
    return root.read("kind", choice(*KINDS))


def _name(node: Node) -> str:
    return _root(node).section("metadata").only("name").read("name", metadata_name)


def _spec(node: Node) -> Node:
    return _root(node).only("apiVersion", "kind", "metadata", "spec").section("spec").node
