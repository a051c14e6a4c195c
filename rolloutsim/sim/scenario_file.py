"""Scenario files: a service and a release, each a file that others can refer to, and the two together.

Kinds, all of ``apiVersion: rolloutsim.dev/v1alpha1``:

``ServiceModel``
    traffic, telemetry, people and cluster of a service;
``ReleaseModel``
    what is wrong with a new version;
``Scenario``
    ``spec.service`` and ``spec.release``: paths relative to the file, or the content itself with a ``name``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rolloutsim.errors import PolicyError, Position, ScenarioError
from rolloutsim.policy.document import nearest
from rolloutsim.policy.yaml_source import Node, read_documents
from rolloutsim.sim.overlay import NOTHING, Overlay, overlaid
from rolloutsim.sim.quantities import choice, metadata_name, text
from rolloutsim.sim.release_file import RELEASE_FIELDS, read_release
from rolloutsim.sim.scenario import Input, Scenario, Service
from rolloutsim.sim.section import Section
from rolloutsim.sim.service_file import SERVICE_FIELDS, read_service

__all__ = ["API_VERSION", "load_scenario", "load_scenario_text", "load_service", "text_of"]

API_VERSION = "rolloutsim.dev/v1alpha1"
KINDS = ("ServiceModel", "ReleaseModel", "Scenario")


@dataclass(frozen=True, slots=True)
class _Document:
    """One document of a file, or what a scenario holds itself; ``spec`` is still to be read."""

    kind: str
    name: str
    spec: Section
    besides: tuple[str, ...] = ()
    """Fields beside the content in ``spec``, already read."""

    def content(self, noun: str, inputs: list[Input], fields: tuple[str, ...]) -> Section:
        """The ``spec`` as the section ``noun`` of a scenario, checked to have no unknown fields."""
        return Section(self.spec.node, self.spec.path, noun, inputs).only(*self.besides, *fields)


def load_scenario(path: str | Path, overlay: Overlay = NOTHING) -> Scenario:
    """Load a scenario: one file of kind Scenario, or ``SERVICE.yaml+RELEASE.yaml``.

    The documents of a service and of a release may stand in any order, also in one file. An ``overlay``
    changes fields of either before they are read.

    Raises
    ------
    ScenarioError : a file cannot be read, or something in it is wrong; says where and what to do.
    """
    files = str(path).split("+") if "+" in str(path) and not Path(path).exists() else [str(path)]
    documents = [document for file in files for document in _documents(text_of(Path(file)), file)]
    return _scenario(documents, str(path), overlay)


def load_service(path: str | Path) -> Service:
    """Load a service by itself, or that of a scenario.

    Raises
    ------
    ScenarioError : as `load_scenario`.
    """
    documents = _documents(text_of(Path(path)), str(path))
    document = documents[0] if documents else None
    if document is None or len(documents) > 1 or document.kind != "ServiceModel":
        return load_scenario(path).service
    return read_service(document.name, document.content("service", [], SERVICE_FIELDS))


def load_scenario_text(content: str, file: str = "scenario.yaml") -> Scenario:
    """Load a scenario from text; ``file`` is its name in messages, and paths are relative to it.

    Raises
    ------
    ScenarioError : as `load_scenario`.
    """
    return _scenario(_documents(content, file), file, NOTHING)


def _scenario(documents: list[_Document], source: str, overlay: Overlay) -> Scenario:
    kinds = [document.kind for document in documents]
    if kinds == ["Scenario"]:
        (document,) = documents
        spec = document.content("scenario", [], ("service", "release"))
        name = document.name
        service, release = (
            _referred(spec, "service", "ServiceModel"),
            _referred(spec, "release", "ReleaseModel"),
        )
    elif sorted(kinds) == ["ReleaseModel", "ServiceModel"]:
        release, service = sorted(documents, key=lambda document: document.kind)
        name = f"{service.name}+{release.name}"
    else:
        raise ScenarioError(
            "a scenario is one document of kind Scenario, or a ServiceModel and a ReleaseModel",
            at=Position(source),
            value=", ".join(kinds) or "nothing",
            fix="name a service and a release as SERVICE.yaml+RELEASE.yaml",
        )
    inputs: list[Input] = []
    service, release = (
        _overlaid(document, overlay.get(part))
        for document, part in ((service, "service"), (release, "release"))
    )
    return Scenario(
        name,
        read_service(service.name, service.content("service", inputs, SERVICE_FIELDS)),
        read_release(release.name, release.content("release", inputs, RELEASE_FIELDS)),
        tuple(inputs),
    )


def _overlaid(document: _Document, over: Node | None) -> _Document:
    if over is None:
        return document
    spec = document.spec
    return replace(document, spec=Section(overlaid(spec.node, over), spec.path, spec.name, spec.inputs))


def _referred(spec: Section, key: str, kind: str) -> _Document:
    """The document that a scenario refers to, or the one that it holds."""
    if not spec.has(key):
        raise spec.error(key, f"the field {key!r} is missing", fix=f"name the file of the {kind}")
    if spec.holds_mapping(key):
        inline = spec.section(key)
        return _Document(kind, inline.read("name", metadata_name), inline, besides=("name",))
    reference = spec.read(key, text)
    if Path(reference).is_absolute():
        raise spec.error(key, "the path is absolute", reference, "give it relative to this file")
    file = spec.directory / reference
    if not file.exists():
        raise spec.error(key, "there is no such file", reference, _neighbour(file))
    documents = _documents(text_of(file), str(file))
    if [document.kind for document in documents] != [kind]:
        found = ", ".join(document.kind for document in documents) or "nothing"
        raise spec.error(key, f"the file holds {found}, not one {kind}", reference)
    return documents[0]


def _documents(content: str, file: str) -> list[_Document]:
    try:
        nodes = read_documents(content, file)
    except PolicyError as error:
        raise ScenarioError(
            error.why, at=error.at, path=error.path, value=error.value, fix=error.fix
        ) from error
    return [_document(node) for node in nodes]


def _document(node: Node) -> _Document:
    if not isinstance(node.value, Mapping):
        raise ScenarioError("expected a mapping with apiVersion, kind, metadata and spec", at=node.at)
    root = Section(node, (), "document", [])
    kind = root.read("kind", choice(*KINDS))
    root.read("apiVersion", choice(API_VERSION))
    root.only("apiVersion", "kind", "metadata", "spec")
    name = root.section("metadata").only("name").read("name", metadata_name)
    if not root.has("spec"):
        raise root.error("spec", "the field 'spec' is missing", fix="add it")
    return _Document(kind, name, root.section("spec"))


def text_of(file: Path) -> str:
    """The text of one file.

    Raises
    ------
    ScenarioError : it is not there, or no text.
    """
    at = Position(str(file))
    if not file.exists():
        one, plus, _ = str(file).partition("+")
        fix = f"one file is wanted here, as {one}" if plus and one else _neighbour(file)
        raise ScenarioError("there is no such file", at=at, fix=fix)
    try:
        return file.read_text(encoding="utf-8-sig")
    except IsADirectoryError:
        raise ScenarioError(
            "a directory stands here for a file", at=at, fix="name one of its files"
        ) from None
    except OSError as error:
        raise ScenarioError(f"the file cannot be read: {error.strerror}", at=at) from error
    except UnicodeDecodeError:
        raise ScenarioError("the file is not UTF-8 text", at=at, fix="save it as UTF-8") from None


def _neighbour(file: Path) -> str:
    """``did you mean ...?`` when a file of a similar name lies where this one does not."""
    return nearest(file.name, sorted(path.name for path in file.parent.glob("*.yaml")))
