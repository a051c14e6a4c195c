"""Metrics of the pods behind Prometheus' HTTP API: a real Prometheus, or a small scraper of our own."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from rolloutsim.lab.children import Child, find_program, free_port
from rolloutsim.lab.cluster import Cluster
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Loop, monotonic_s
from rolloutsim.lab.objects import Object
from rolloutsim.lab.store import Event
from rolloutsim.promql import SeriesStore
from rolloutsim.promql.store import STALE_NAN
from rolloutsim.serve import Answer, Parameters, QueryApi, QueryServer

__all__ = [
    "Monitoring",
    "Prometheus",
    "Scraper",
    "counted_services",
    "monitoring",
    "samples_of",
    "targets_of",
]

_READY_S = 15.0
_TIMEOUT_S = 0.8
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


class Monitoring(Protocol):
    """Something that scrapes the pods and answers queries at ``url``."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


def monitoring(cluster: Cluster, directory: Path, *, port: int = 0, interval_s: float = 1.0) -> Monitoring:
    """Prometheus if it is installed, else the scraper."""
    program = find_program("prometheus")
    if program is None:
        return Scraper(cluster, port=port, interval_s=interval_s)
    return Prometheus(program, cluster, directory, port=port, interval_s=interval_s)


def counted_services(url: str) -> set[str]:
    """The services whose requests per second can be asked for at this address by now."""
    query = quote("sum by (service) (rate(http_requests_total[10s]))")
    text = _fetch("127.0.0.1", urlsplit(url).port or 80, f"/api/v1/query?query={query}")
    found = json.loads(text)["data"]["result"] if text else ()
    return {series["metric"]["service"] for series in found}


def targets_of(cluster: Cluster) -> list[tuple[str, Mapping[str, str]]]:
    """Addresses and labels of the pods that have one and are not ending."""
    found: list[tuple[str, Mapping[str, str]]] = []
    for pod in cluster.store.items(cluster.kinds.named("Pod")):
        address = (pod.get("status") or {}).get("podIP")
        if address and "deletionTimestamp" not in pod["metadata"]:
            meta = pod["metadata"]
            labels = {"job": "pods", "namespace": meta["namespace"], "pod": meta["name"]}
            found.append((f"{address}:{_port(pod)}", labels))
    return found


def _port(pod: Object) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            number: int = port["containerPort"]
            return number
    return 8080


class Prometheus:
    """A real Prometheus that finds the pods in a file."""

    def __init__(
        self, program: str, cluster: Cluster, directory: Path, *, port: int = 0, interval_s: float = 1.0
    ) -> None:
        self._program, self._cluster, self._directory = program, cluster, directory
        self._port, self._interval_s = port or free_port(), interval_s
        self._targets = directory / "targets.json"
        self._loop = Loop("targets", cluster.store, self._keys, self._write_targets)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it; raises ExecutorError if it is not ready in time."""
        self._write_targets("", "")
        shutil.rmtree(self._directory / "prometheus", ignore_errors=True)  # of an earlier lab
        self._loop.start()
        path, interval = self._directory / "prometheus.yml", f"{round(1000 * self._interval_s)}ms"
        scrape = {
            "job_name": "pods",
            "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "5s"}],
        }
        settings = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [scrape],
        }
        path.write_text(json.dumps(settings), encoding="utf-8")
        self._child = Child(
            [
                self._program,
                f"--config.file={path}",
                f"--storage.tsdb.path={self._directory / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--storage.tsdb.retention.time=1d",
            ],
            self._directory / "prometheus.log",
        )
        self._child.wait_until(lambda: _is_ready(self._port), _READY_S)

    def stop(self) -> None:
        """End it."""
        self._loop.stop()
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        if kind.kind == "Pod":
            yield "", ""

    def _write_targets(self, namespace: str, name: str) -> None:
        groups = [{"targets": [address], "labels": labels} for address, labels in targets_of(self._cluster)]
        text = json.dumps(groups)
        if not self._targets.exists() or self._targets.read_text(encoding="utf-8") != text:
            fresh = self._targets.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(self._targets)


def _is_ready(port: int) -> bool:
    return _fetch("127.0.0.1", port, "/-/ready") is not None


def _fetch(host: str, port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        return text if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class _LiveApi(QueryApi):
    """The query API over a store that grows: one thing at a time."""

    def __init__(self, store: SeriesStore) -> None:
        super().__init__(store)
        self.lock = threading.Lock()

    def answer(self, path: str, parameters: Parameters) -> Answer:
        with self.lock:
            return super().answer(path, parameters)


class Scraper:
    """Scrapes all pods at a fixed interval into a `SeriesStore`, and serves that."""

    def __init__(self, cluster: Cluster, *, port: int = 0, interval_s: float = 1.0) -> None:
        self._cluster, self._interval_s = cluster, interval_s
        self._store = SeriesStore()
        self._api = _LiveApi(self._store)
        self._server = QueryServer(self._api, port)
        self._ends = threading.Event()
        self._alive: dict[str, tuple[int, ...]] = {}
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="lab-query-api", daemon=True),
            threading.Thread(target=self._run, name="lab-scraper", daemon=True),
        ]

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    def start(self) -> None:
        """Begin to scrape and to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(5.0)

    def _run(self) -> None:
        due = monotonic_s()
        while not self._ends.wait(max(0.0, due - monotonic_s())):
            due = max(due + self._interval_s, monotonic_s())
            self._scrape()

    def _scrape(self) -> None:
        found = targets_of(self._cluster)
        texts = {}
        for address, _ in found:
            host, _, port = address.rpartition(":")
            texts[address] = _fetch(host, int(port), "/metrics")
        with self._api.lock:
            at_ms = self._cluster.now_ms()
            for gone in set(self._alive) - set(texts):
                self._mark_stale(gone, at_ms)
            for address, labels in found:
                self._keep(address, labels, texts[address], at_ms)
            self._api.now_ms = at_ms

    def _keep(self, address: str, labels: Mapping[str, str], text: str | None, at_ms: int) -> None:
        target = {**labels, "instance": address}
        self._store.append({**target, "__name__": "up"}, at_ms, float(text is not None))
        if text is None:
            self._mark_stale(address, at_ms)
            return
        ids, values = [], []
        for named, value in samples_of(text):
            ids.append(self._store.add_series(named | target))
            values.append(value)
        self._alive[address] = tuple(ids)
        self._store.extend(tuple(ids), [at_ms], [values])

    def _mark_stale(self, address: str, at_ms: int) -> None:
        ids = self._alive.pop(address, ())
        if ids:
            self._store.extend(ids, [at_ms], [[STALE_NAN] * len(ids)])


def samples_of(text: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels (the name among them) and values of the text format that the pods write."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None:
            labels = {name: json.loads(f'"{value}"') for name, value in _LABEL.findall(found[2] or "")}
            yield {"__name__": found[1], **labels}, float(found[3])
