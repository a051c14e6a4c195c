"""``{{args.NAME}}`` in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import PolicyError
from rolloutsim.policy.templating import interpolate


@pytest.mark.parametrize(
    ("text", "values", "keep", "expected"),
    [
        ("no tag } } {", {}, (), "no tag } } {"),
        ("{{args.a}}-{{ args.a }}", {"a": "x"}, (), "x-x"),
        ("{{args.a}}", {"a": ""}, (), ""),
        ("{{args.a}}", {"a": 'q"\\\n'}, (), 'q"\\\n'),
        ("{{args.a}}", {"a": "{{args.b}}", "b": "no"}, (), "{{args.b}}"),  # values are not searched again
        ("{{ args.b }}/{{args.a}}", {"a": "x"}, ("b",), "{{args.b}}/x"),
        ("{{args.a}}", {"a": "x"}, ("a",), "x"),
        ('{l="{{args.a}}"}}', {"a": "x"}, (), '{l="x"}}'),
    ],
)
def test_interpolation(text: str, values: dict[str, str], keep: tuple[str, ...], expected: str) -> None:
    assert interpolate(text, values, keep) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{args.b}}", "failed to resolve {{args.b}}"),
        ("x {{ .Values.x }} y", "failed to resolve {{ .Values.x }}"),
        ("{{a}}", "failed to resolve {{a}}"),
        ("{{{args.a}}}", "failed to resolve {{{args.a}}"),
        ("{{}}", "failed to resolve {{}}"),
        ("a {{args.a", "cannot find the end of the tag {{args.a"),
    ],
)
def test_anything_else_is_an_error(text: str, why: str) -> None:
    with pytest.raises(PolicyError) as caught:
        interpolate(text, {"a": "x"})
    assert caught.value.why == why


@given(st.lists(st.text("ab{}. ", max_size=6)), st.text(max_size=8))
def test_two_rounds_equal_one(parts: list[str], value: str) -> None:
    """Filling in what is known, then the rest, gives the same text as all at once."""
    text = "{{args.late}}{{ args.now }}".join(part.replace("{", "").replace("}", "") for part in parts)
    first = interpolate(text, {"now": "n"}, {"late"})
    assert interpolate(first, {"late": value}) == interpolate(text, {"now": "n", "late": value})
