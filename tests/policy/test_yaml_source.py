"""YAML with positions: what scalars mean, what is refused, and that no text gets past the bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.errors import PolicyError, Position
from rolloutsim.policy.yaml_source import MAX_CHARACTERS, Node, read_documents


def value_of(text: str) -> object:
    (node,) = read_documents(f"a: {text}", "f")
    assert isinstance(node.value, Mapping)
    return node.value["a"].value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("0x10", 16),
        ("0b11", 3),
        ("08", 8),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000),
        ("20.0", 20),
        ("1e300", 1e300),
        ("-.inf", -math.inf),
        ("5%", "5%"),
        ("5m", "5m"),
        ("1:30", "1:30"),
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
        ("true", True),
        ("yes", True),
        ("On", True),
        ("off", False),
        ("yEs", "yEs"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"yes"', "yes"),
        ("! 5", "5"),
        ("|\n  text\n", "text\n"),
        (">-\n  two\n  lines\n", "two lines"),
    ],
)
def test_a_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_nan() -> None:
    found = value_of(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_positions_count_from_one() -> None:
    (node,) = read_documents("# comment\na:\n  - b: 1\n    c: {d: 2}\n", "f.yaml")
    assert node.at == Position("f.yaml", 2, 1)
    item = child(node, "a", 0)
    assert item.keys["c"] == Position("f.yaml", 4, 5)
    assert child(item, "c", "d").at == Position("f.yaml", 4, 12)


def child(node: Node, *path: str | int) -> Node:
    for part in path:
        if isinstance(part, int):
            assert isinstance(node.value, tuple)
            node = node.value[part]
        else:
            assert isinstance(node.value, Mapping)
            node = node.value[part]
    return node


def test_empty_documents_are_left_out() -> None:
    assert len(read_documents("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n", "f")) == 2


def test_anchors_and_merge_keys() -> None:
    text = "base: &base {a: 1, b: 2}\nover: {<<: *base, b: 3}\nboth:\n  <<: [{a: 5}, *base]\n  c: 4\n"
    (node,) = read_documents(text, "f")
    assert {key: leaf.value for key, leaf in mapping(child(node, "over")).items()} == {"a": 1, "b": 3}
    assert {key: leaf.value for key, leaf in mapping(child(node, "both")).items()} == {"a": 5, "b": 2, "c": 4}


def mapping(node: Node) -> Mapping[str, Node]:
    assert isinstance(node.value, Mapping)
    return node.value


BOMB = "a0: &a0 x\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 30)
)


@pytest.mark.parametrize(
    "text",
    [
        "a: {{ .Values.replicas }}\n",
        "a:\n{{- if .Values.x }}\n  b: 1\n{{- end }}\n",
        "{{- if .Values.x }}\na: 1\n{{- end }}\n",
        "a: {{ .Values.a }}-{{ .Values.b }}\n",
        "a: 1\n{% if x %}\nb: 2\n{% endif %}\n",
    ],
)
def test_a_template_is_to_be_rendered_first(text: str) -> None:
    with pytest.raises(PolicyError, match="rendered first"):
        read_documents(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("a: !!python/object/apply:os.system ['true']", "tags are not accepted", 1),
        ("a: !!int '5'", "tags are not accepted", 1),
        ("a: !custom {b: 1}", "tags are not accepted", 1),
        ("a: 1\nb: 2\na: 3\n", "'a' stands twice in one mapping, first in line 1", 3),
        ("a:\n  b: 1\n  b: 1\n", "'b' stands twice", 3),
        ("? [a]\n: 1\n", "plain text", 1),
        ("a: *b\n", "an alias without its anchor", 1),
        ("a: &a [*a]\n", "an alias without its anchor", 1),
        ("a: {<<: 5}\n", "a merge key", 1),
        ("a: [1\nb: 2\n", "does not parse", 2),
        ("a: b: c\n", "does not parse", 1),
        ("a:\n\t- 1\n", "does not parse.*indent with spaces, not with a tab", 2),
        ("a: 'open\n", "does not parse", 2),
        ("%YAML 3.0\n---\na: 1\n", "does not parse", 1),
        ("a: \x00\n", "does not parse", 0),
        (BOMB, "more than 100000 values", 7),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper than 60", 1),
        ("a: " + "[" * 5000, "nested deeper than 60", 1),
        ("# " + "x" * MAX_CHARACTERS, "at most 1500000 are read", 0),
    ],
)
def test_what_is_refused(text: str, why: str, line: int) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        read_documents(text, "f.yaml")
    assert caught.value.at.file == "f.yaml"
    assert caught.value.at.line == line


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{}#&*!|>'\"%@`,~0.x \n\t\\"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        documents = read_documents(text, "f")
    except PolicyError:
        return
    assert all(isinstance(node, Node) for node in documents)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_characters_are_read_or_refused(text: str) -> None:
    try:
        read_documents(text, "f")
        message = ""
    except PolicyError as error:
        message = str(error)
    assert "\n" not in message
