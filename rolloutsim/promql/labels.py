"""Label sets: sorted tuples of (name, value) inside, read-only mappings outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

__all__ = ["METRIC_NAME", "LabelSet", "Labels", "keep", "label_set", "value_of", "with_label", "without"]

METRIC_NAME = "__name__"

LabelSet = tuple[tuple[str, str], ...]
"""Labels sorted by name, none with an empty value: equal sets are equal tuples."""


class Labels(Mapping[str, str]):
    """The labels of one element or series: a hashable read-only mapping from name to value.

    The metric name, if there is one, is the label ``__name__``.
    """

    __slots__ = ("_values", "pairs")

    def __init__(self, pairs: LabelSet) -> None:
        self.pairs = pairs
        self._values = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __reduce__(self) -> tuple[type[Labels], tuple[LabelSet]]:
        return Labels, (self.pairs,)

    def __repr__(self) -> str:
        rest = ", ".join(f"{name}={value!r}" for name, value in self.pairs if name != METRIC_NAME)
        return f"{self._values.get(METRIC_NAME, '')}{{{rest}}}"


def label_set(labels: Mapping[str, str]) -> LabelSet:
    """The canonical form of a mapping; a label with an empty value is the same as no label."""
    return tuple(sorted((name, value) for name, value in labels.items() if value != ""))


def value_of(labels: LabelSet, name: str) -> str:
    """The value of a label, empty when it is missing."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def keep(labels: LabelSet, names: Iterable[str]) -> LabelSet:
    """Only the labels in ``names``."""
    return tuple(pair for pair in labels if pair[0] in names)


def without(labels: LabelSet, names: Iterable[str]) -> LabelSet:
    """All labels but those in ``names``."""
    return tuple(pair for pair in labels if pair[0] not in names)


def with_label(labels: LabelSet, name: str, value: str) -> LabelSet:
    """The labels with one of them set; an empty value removes it."""
    rest = [pair for pair in labels if pair[0] != name]
    if value != "":
        rest.append((name, value))
        rest.sort()
    return tuple(rest)
