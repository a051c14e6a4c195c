"""What a store holds: its series, the names of their labels and the values of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.labels import Labels
from rolloutsim.promql.parse import parse
from rolloutsim.promql.store import SeriesStore
from rolloutsim.promql.tree import Selector

__all__ = ["label_names", "label_values", "series_matching", "time_range"]


def series_matching(
    store: SeriesStore,
    selectors: Sequence[str] = (),
    first_ms: int | None = None,
    last_ms: int | None = None,
) -> list[Labels]:
    """The series that one of the selectors fits, or all, if they have a sample in these times (ms).

    In the order of their labels. Raises PromQLError for what is no plain selector.
    """
    tests = [_selector(text).tests() for text in selectors]
    after = -(2**63) if first_ms is None else first_ms - 1
    until = 2**63 - 1 if last_ms is None else last_ms
    return [
        Labels(record.labels)
        for record in sorted(store.records, key=lambda record: record.labels)
        if (not tests or any(fits(record.labels) for fits in tests))
        and record.newest(after, until) is not None
    ]


def label_names(series: Sequence[Labels]) -> list[str]:
    """All names of labels, sorted."""
    return sorted({name for labels in series for name in labels})


def label_values(series: Sequence[Labels], name: str) -> list[str]:
    """All values of a label, sorted."""
    return sorted({labels[name] for labels in series if name in labels})


def time_range(store: SeriesStore) -> tuple[int, int] | None:
    """The times (ms) of the first and the last sample of a store; None if it has none."""
    blocks = [block for block in _blocks(store) if block]
    return (min(b[0] for b in blocks), max(b[-1] for b in blocks)) if blocks else None


def _blocks(store: SeriesStore) -> Iterator[Sequence[int]]:
    for record in store.records:
        yield from (block.times for block, _ in record.segments)


def _selector(text: str) -> Selector:
    tree = parse(text)
    if isinstance(tree, Selector) and tree.range_ms is None and tree.offset_ms == 0 and tree.at is None:
        return tree
    raise PromQLError("parse", 'a selector is needed, such as up{job="api"}', text=text, offset=0)
