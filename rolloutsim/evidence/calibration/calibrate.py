"""From a service's history to its description: what is measured, how well, and what is left to a default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rolloutsim.errors import InputError
from rolloutsim.evidence.calibration.counting import Cells, count_cells
from rolloutsim.evidence.calibration.day import DayRate, rate_by_day, shown
from rolloutsim.evidence.calibration.dispersion import Known, correlation_of, dispersion_of, error_rate_of
from rolloutsim.evidence.calibration.latency import (
    Fit,
    PodSpread,
    bucket_counts,
    fit_lognormal,
    pod_spread,
    pods_of,
)
from rolloutsim.evidence.calibration.reads import Reads, find_reads, labels_of, pod_label
from rolloutsim.evidence.calibration.releases import Releases, releases_in
from rolloutsim.evidence.calibration.scrapes import Scraping, scraping
from rolloutsim.evidence.calibration.source import Progress, Source
from rolloutsim.evidence.recorded.redact import Redaction
from rolloutsim.promql.intake import rfc3339_text
from rolloutsim.sim.defaults import DEFAULTS
from rolloutsim.telemetry import PRESETS

__all__ = ["Calibration", "Value", "calibrate"]

GAP_MS = 300_000


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a service description as its file has it, where it was measured, and its standard error.

    ``path`` is the place below ``spec``. ``number`` is the value as a number, ``error`` on the same scale;
    None where there is none, or too little data to say.
    """

    path: str
    text: str
    source: str
    number: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found of a service. ``absent`` are sentences on what could not be measured.

    ``day`` holds the rate by time of day; ``pod_label`` tells pods apart, if it is not empty. ``source`` and
    the times (ms) say from where and when all is; ``valid`` of ``cells`` counts were whole. ``releases`` are
    within these times, and not taken out.
    """

    service: str
    source: str
    first_ms: int
    last_ms: int
    values: tuple[Value, ...]
    day: DayRate | None
    latency: Fit | None
    pods: PodSpread | None
    reads: Reads
    pod_label: str
    cells: int
    valid: int
    gaps: tuple[tuple[int, int], ...]
    absent: tuple[str, ...]
    releases: Releases

    def value(self, path: str) -> Value:
        """The measured value at a place such as ``traffic.dispersion``; KeyError if it was not measured."""
        for one in self.values:
            if one.path == path:
                return one
        raise KeyError(path)


def calibrate(
    source: Source,
    service: str,
    first_ms: int,
    last_ms: int,
    *,
    reads: Reads | None = None,
    pod: str = "",
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """Measure what a service is like between two times (ms since the epoch).

    Parameters
    ----------
    reads : where its series are; None: under the names of a known exporter.
    pod : the label that tells pods apart; empty: a usual one.
    progress : called with (steps done, steps in all).

    Raises
    ------
    InputError : there is no such service, or nothing of it in these times.
    ExecutorError : the source cannot be asked.
    """
    if reads is None:
        reads = find_reads(source, service, first_ms, last_ms)
    labels = labels_of(source, reads, first_ms, last_ms)
    label = pod_label(labels, reads, pod)
    steps = 12
    progress(1, steps)
    found = scraping(source, reads, first_ms, last_ms)
    if found is None:
        raise InputError(
            f"{source.shown} has no samples of {reads.requests} between {rfc3339_text(first_ms)} and "
            f"{rfc3339_text(last_ms)}",
            fix="look at the times (UTC) and at how long the server keeps samples",
        )
    progress(2, steps)
    cells = count_cells(source, reads, first_ms, last_ms, found, lambda done, _: progress(2 + done, steps))
    releases = releases_in(source, reads, labels, first_ms, last_ms, cells.length_ms)
    buckets = bucket_counts(source, reads, first_ms, last_ms)
    progress(9, steps)
    fit = fit_lognormal(buckets)
    pods = pods_of(source, reads, label, first_ms, last_ms) if fit is not None else []
    progress(steps, steps)
    dispersion = dispersion_of(cells)
    day = rate_by_day(cells, dispersion.value if dispersion is not None else 1.0)
    spread = pod_spread(pods, fit.sigma) if fit is not None else None
    told = _Told(source, reads, first_ms, last_ms)
    told.scraping(found)
    told.traffic(day, dispersion)
    told.errors(cells)
    told.latency(fit, [bound for bound, _ in buckets])
    told.pods(spread, label)
    told.releases(releases)
    return Calibration(
        service=service,
        source=source.shown,
        first_ms=first_ms,
        last_ms=last_ms,
        values=tuple(told.values),
        day=day,
        latency=fit,
        pods=spread,
        reads=reads,
        pod_label=label,
        cells=len(cells.ends_ms),
        valid=int(cells.valid.sum()),
        gaps=tuple(cells.gaps(GAP_MS)),
        absent=(*told.absent, *_left_out(told.values)),
        releases=releases,
    )


class _Told:
    """Values with their sources, and sentences on what is missing, as they are found."""

    def __init__(self, source: Source, reads: Reads, first_ms: int, last_ms: int) -> None:
        self.values: list[Value] = []
        self.absent: list[str] = []
        self._source = source
        self._reads = reads
        self._redaction = Redaction(())
        self._where = f"{source.shown}, {rfc3339_text(first_ms)} to {rfc3339_text(last_ms)}"

    def scraping(self, found: Scraping) -> None:
        reads, closed = self._reads, self._source.left_closed
        if reads.preset:
            self._add("telemetry.preset", reads.preset, f"{reads.requests} is there")
        else:
            self.absent.append(
                "telemetry.preset: its metrics are named by hand; describe them with telemetry.labels, so "
                "that a policy's queries find them in a simulation"
            )
        detail = f"times of {found.scrapes} scrapes of {reads.requests}"
        seconds = found.interval_ms / 1000.0
        self._add("telemetry.scrape_interval", f"{seconds:g}s", detail, seconds)
        self._add("telemetry.missed", _percent(found.missed), detail, found.missed)
        if closed is not None:
            self._add("telemetry.left_closed", "true" if closed else "false", "the server's version")

    def traffic(self, day: DayRate | None, dispersion: Known | None) -> None:
        if day is None:
            self.absent.append("traffic: no minute could be counted whole; say traffic.rate_rps yourself")
            return
        reads = self._reads
        if day.rates_rps:
            detail = f"{reads.requests}: mean of each half hour of a day (UTC) over {day.days:.3g} days"
            self._add("traffic.recorded.file", "", detail, day.mean_rps)
            self.absent.append(
                "traffic.recorded.release_at: releases are asked for at midnight UTC unless you say when"
            )
        else:
            why = "the same at all times of day" if day.whole else "less than a day, so not by time of day"
            detail = f"{reads.requests}: mean over {day.days:.3g} days, {why}"
            self._add("traffic.rate_rps", f"{shown(day.mean_rps):g}", detail, day.mean_rps)
            if not day.whole:
                self.absent.append("traffic: less than a day is known, so it is the same at all times of day")
        if dispersion is None:
            self.absent.append("traffic.dispersion: too few minutes with all their scrapes")
            return
        detail = f"{reads.requests}: {dispersion.cells} counts of a minute or more, {_error(dispersion)}"
        value = max(1.0, dispersion.value)
        self._add("traffic.dispersion", f"{shown(value):g}", detail, value, dispersion.error)

    def errors(self, cells: Cells) -> None:
        reads = self._reads
        rate = error_rate_of(cells) if reads.errors else None
        if rate is None:
            why = "no requests were counted" if reads.errors else "no counter of errors is known (--errors)"
            self.absent.append(f"error_rate, error_icc: {why}")
            return
        failed = float(cells.errors[cells.valid].sum())
        detail = f"{reads.errors}: {failed:.0f} requests failed, {_error(rate)}"
        self._add("error_rate", _percent(rate.value), detail, rate.value, rate.error)
        icc = correlation_of(cells)
        if icc is None or icc.error is None:
            self.absent.append("error_icc: too few errors to tell how they come together")
            return
        value = min(0.99, max(0.0, icc.value))
        detail = f"{reads.errors}: pairs of requests within a minute, {_error(icc)}"
        self._add("error_icc", f"{shown(value):g}", detail, value, icc.error)

    def latency(self, fit: Fit | None, bounds: Sequence[float]) -> None:
        reads = self._reads
        if fit is None:
            why = (
                "fewer than two buckets have requests on both sides of their bound"
                if bounds
                else f"there is no histogram {reads.latency[0]}"
                if reads.latency is not None
                else "no histogram is known (--latency)"
            )
            self.absent.append(f"latency: {why}")
            return
        edges = " ".join(f"{bound:g}" for bound in fit.bounds_s)
        detail = (
            f"{reads.histogram('bucket')}: lognormal through the bounds {edges} s; largest distance "
            f"{100 * fit.distance:.2g} percentage points, at {fit.worst_s:g} s"
        )
        self._add("latency.median", f"{shown(1000 * fit.median_s):g}ms", detail, fit.median_s)
        self._add("latency.sigma", f"{shown(fit.sigma):g}", detail, fit.sigma)
        if fit.poor:
            self.absent.append(
                f"latency: no lognormal law fits it well ({100 * fit.distance:.0f} percentage points off at "
                f"{fit.worst_s:g} s): do not rest a verdict on a latency gate near there"
            )
        own = tuple(PRESETS[reads.preset].bounds_s) if reads.preset else ()
        finite = tuple(bound for bound in bounds if bound != float("inf"))
        if own and finite != own:
            self.absent.append(
                f"latency: the histogram has {len(finite)} bounds of its own, and a simulation plays "
                f"those of the preset {reads.preset}: quantiles are read between other bounds"
            )

    def pods(self, spread: PodSpread | None, label: str) -> None:
        if spread is None:
            why = "no series tell pods apart" if not label else f"fewer than three pods by the label {label}"
            self.absent.append(f"requests.pod_spread: {why}")
            return
        detail = f"mean latency of {spread.pods} pods by the label {label}, sampling noise taken out"
        self._add("requests.pod_spread", f"{shown(spread.sigma):g}", detail, spread.sigma)
        self.absent.append(
            "requests.pod_spread: measured, and not played until requests.fidelity is auto or request and "
            "requests.slots and queue are yours"
        )

    def releases(self, found: Releases) -> None:
        if not found.labels:
            self.absent.append(
                f"releases: no label of {self._redaction.selector(self._reads.requests)} tells versions "
                "apart, so one in this history is not seen; what is measured includes it"
            )

    def _add(
        self, path: str, text: str, detail: str, number: float | None = None, error: float | None = None
    ) -> None:
        # the file is kept and shared, and a selector may hold a secret
        source = f"{self._where}: {self._redaction.selector(detail)}"
        self.values.append(Value(path, text, source, number, error))


def _error(known: Known) -> str:
    return "standard error unknown" if known.error is None else f"standard error {known.error:.2g}"


def _percent(share: float) -> str:
    return f"{shown(100.0 * share):g}%"


def _left_out(values: Sequence[Value]) -> tuple[str, ...]:
    """Places that no history of requests tells about, and that stay at their defaults."""
    measured = {one.path for one in values}
    places: tuple[str, ...]
    places = ("telemetry.lag", "telemetry.query_time", "cluster.pod_ready.median", "cluster.readiness")
    places += ("cluster.router_delay.median", "operators.promote.median", "operators.respond.median", "slo")
    left = [place for place in places if place not in measured]
    said = ", ".join(f"{place} {DEFAULTS[f'service.{place}'].value}" for place in left)
    return (f"not in a history of requests, so at their defaults: {said}",)
