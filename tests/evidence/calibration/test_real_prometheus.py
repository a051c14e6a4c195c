"""Two weeks of a service on a real Prometheus server, measured through its HTTP API."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from rolloutsim.evidence.calibration import ServerSource, calibrate, false_aborts
from rolloutsim.evidence.recorded import Recorder
from rolloutsim.policy import load_policy
from rolloutsim.prometheus import Server
from rolloutsim.promql.openmetrics import write_openmetrics
from rolloutsim.sim.scenario import DiurnalRate
from tests.evidence.calibration.histories import END_MS, HOUR_MS, history, labelled, service, without

HOURS = 14 * 24
FEW = {"0.005", "0.01", "0.25", "1.0", "2.5", "5.0", "10.0"}
NAME = "http_request_duration_seconds"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus and promtool are not installed (Debian: apt-get install prometheus)",
    ),
]


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A server over ``folder/data``; its address. It is ended, and nothing else, when the block is left."""
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1m}\n", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=10y"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                with urlopen(f"http://{address}/-/ready", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_two_weeks(tmp_path: Path) -> None:
    """Two pods with phases of their own; the queries of an A/A check as well."""
    known = service(DiurnalRate(20.0, 0.5), dispersion=6.0, error_rate=0.004, error_icc=0.01)
    stores = {f"api-{k}": without(history(known, HOURS, seed=k + 1), le=FEW) for k in range(2)}
    # one histogram is enough to look at, and half of the text to load
    stores["api-1"] = without(
        stores["api-1"], __name__={f"{NAME}_{part}" for part in ("bucket", "sum", "count")}
    )
    store = labelled(stores)
    with (tmp_path / "run.om").open("w", encoding="utf-8") as page:
        page.writelines(write_openmetrics(store))
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "run.om", "data"]
    subprocess.run(backfill, cwd=tmp_path, check=True, capture_output=True, timeout=600)
    with prometheus(tmp_path) as url, closing(Recorder(Server(url))) as client:
        source = ServerSource(client, url)
        found = calibrate(source, "api", END_MS - HOURS * HOUR_MS, END_MS)
        policy = load_policy("scenarios/policies/httproute-canary.yaml")
        aborts = false_aborts(
            policy, source, END_MS - HOURS * HOUR_MS, END_MS, pod=found.pod_label, starts=40
        )
    assert found.valid > 0.99 * found.cells
    assert found.value("telemetry.scrape_interval").text == "15s"
    # two pods whose minutes are independent: the sum has the dispersion of each
    for path, true in (("traffic.dispersion", 6.0), ("error_rate", 0.004)):
        value = found.value(path)
        assert value.number is not None
        assert value.error is not None
        assert abs(value.number - true) < 5.0 * value.error, path
        assert value.error < 0.05 * true, path
    assert found.day is not None
    assert found.day.mean_rps == pytest.approx(40.0, rel=0.01)
    assert max(found.day.rates_rps) == pytest.approx(60.0, rel=0.03)
    assert min(found.day.rates_rps) == pytest.approx(20.0, rel=0.03)
    assert found.latency is not None
    assert found.latency.sigma == pytest.approx(0.6, rel=0.02)
    assert aborts.starts == 40
    assert aborts.days == 14
    assert aborts.aborted == 0
    assert aborts.rate.high == pytest.approx(1.0 - 0.025 ** (1 / 14), rel=1e-6)
