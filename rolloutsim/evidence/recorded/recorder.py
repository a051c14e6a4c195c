"""From a Prometheus server to a bundle: raw samples, as they were scraped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rolloutsim.errors import ExecutorError
from rolloutsim.evidence.recorded.bundle import BundleError, gaps_of
from rolloutsim.evidence.recorded.redact import Redaction
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import Policy
from rolloutsim.policy.reading import LATE, queries_of, reads_of
from rolloutsim.prometheus import Prometheus
from rolloutsim.promql import SeriesStore
from rolloutsim.promql.api_json import read_api_json
from rolloutsim.promql.intake import rfc3339_text
from rolloutsim.promql.query import SeriesRead
from rolloutsim.telemetry import Labels
from rolloutsim.trace import sample_record

__all__ = ["Recorder", "record_bundle", "selectors_of"]

HISTORY_MS = 900_000
"""How long before the stretch samples are taken, so that the first queries have their windows."""
CHUNK_MS = 3_600_000
QUERY_MS = 60_000
API_VERSION = "rolloutsim.dev/v1alpha1"


class Recorder(Prometheus):
    """A client that also gives raw samples."""

    def raw(self, selector: str, start_ms: int, end_ms: int) -> SeriesStore:
        """All samples of a selector with start < time <= end, as they were scraped.

        Raises
        ------
        ExecutorError : the server cannot be asked, or does not answer with samples.
        """
        query = f"{selector}[{end_ms - start_ms}ms]"
        seconds = f"{end_ms // 1000}.{end_ms % 1000:03d}"
        return read_api_json(self._ask("query", {"query": query, "time": seconds}, QUERY_MS), source=selector)


def selectors_of(policies: Sequence[Policy], by: str) -> tuple[str, ...]:
    """What these policies read, of all versions: metrics with the labels that they ask for exactly."""
    metrics = (m for policy in policies for analysis in analyses_of(policy) for m in analysis.metrics)
    reads = (read for metric in metrics for query in queries_of(metric.provider) for read in reads_of(query))
    return tuple(dict.fromkeys(_selector(read, by) for read in reads if read.metric is not None))


def _selector(read: SeriesRead, by: str) -> str:
    exact = sorted(
        f'{m.name}="{m.value}"'
        for m in read.matchers
        if m.operator == "=" and m.name not in ("__name__", by) and LATE not in m.value
    )
    return f"{read.metric}{{{', '.join(exact)}}}" if exact else f"{read.metric}"


def record_bundle(
    client: Recorder,
    source: str,
    selectors: Sequence[str],
    start_ms: int,
    end_ms: int,
    by: str,
    requests: str,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The manifest and the samples of a bundle.

    Parameters
    ----------
    source : what the manifest calls the server; no secret.
    selectors : what to take, such as ``http_requests_total{service="api"}``.
    start_ms, end_ms : ms since the epoch.
    by : the label that tells versions apart. ``requests`` : the counter of requests.

    Raises
    ------
    ExecutorError : the server cannot be asked.
    BundleError : nothing was found, or nothing with the label.
    """
    if end_ms <= start_ms:
        raise BundleError("the stretch ends before it begins", fix="--from comes before --to")
    redaction = Redaction((by,))
    taken = _taken(client, selectors, start_ms - HISTORY_MS, end_ms, redaction)
    if not taken:
        raise BundleError(
            f"{source} has no samples of {', '.join(selectors)} between {rfc3339_text(start_ms)} and "
            f"{rfc3339_text(end_ms)}",
            fix="name what to take with --match, and look at the times (UTC) and the retention of the server",
        )
    store = SeriesStore.from_series(
        (dict(key), sorted(v), [v[at] for at in sorted(v)]) for key, v in taken.items()
    )
    values = sorted({dict(key)[by] for key in taken if by in dict(key)})
    if not values:
        names = sorted({name for key in taken for name, _ in key if name != "__name__"})
        raise BundleError(f"no series has the label {by!r}", fix=f"give --by one of: {', '.join(names)}")
    interval_ms, gaps = gaps_of(store, requests)
    manifest = {
        "apiVersion": API_VERSION,
        "world": "recorded",
        "source": source,
        "from": start_ms,
        "to": end_ms,
        "by": by,
        "values": values,
        "requests": requests,
        "selectors": [redaction.selector(text) for text in selectors],
        "interval_ms": interval_ms,
        "gaps": [{"start": gap.start_ms, "end": gap.end_ms} for gap in gaps],
        "redacted": dict(sorted(redaction.counts.items())),
    }
    records = sorted(
        (
            sample_record(at, dict(key), value)
            for key, series in taken.items()
            for at, value in series.items()
        ),
        key=lambda record: int(record["at"]),
    )
    return manifest, records


def _taken(
    client: Recorder, selectors: Sequence[str], start_ms: int, end_ms: int, redaction: Redaction
) -> dict[Labels, dict[int, float]]:
    """Samples by label set and time; what two selectors find is taken once."""
    taken: dict[Labels, dict[int, float]] = {}
    for selector in selectors:
        for labels, at, value in _samples(client, selector, start_ms, end_ms):
            taken.setdefault(tuple(sorted(redaction(labels).items())), {})[at] = value
    return taken


def _samples(
    client: Recorder, selector: str, start_ms: int, end_ms: int
) -> Iterator[tuple[dict[str, str], int, float]]:
    if "[" in selector.split("{")[0] or "(" in selector.split("{")[0]:
        raise BundleError(
            "what to take is a selector, not a query", value=selector, fix="for example up{job='api'}"
        )
    for first in range(start_ms, end_ms, CHUNK_MS):
        try:
            store = client.raw(selector, first, min(first + CHUNK_MS, end_ms))
        except ExecutorError as error:
            raise ExecutorError(f"{error} (while taking {selector})") from error
        for series in range(len(store)):
            labels = dict(store.labels(series))
            times, values = store.samples(series)
            for at, value in zip(times.tolist(), values.tolist(), strict=True):
                yield labels, at, value
