"""What the user's own service is like, and how often a policy would stop it for nothing.

::

    source = ServerSource(Recorder(Server("http://prometheus:9090")), "http://prometheus:9090")
    found = calibrate(source, "api", first_ms, last_ms)
    write_service(found, "api.yaml")
"""

from rolloutsim.evidence.calibration.aa import FalseAborts, false_aborts
from rolloutsim.evidence.calibration.calibrate import Calibration, Value, calibrate
from rolloutsim.evidence.calibration.clusters import clustered_rate
from rolloutsim.evidence.calibration.counting import Cells, count_cells
from rolloutsim.evidence.calibration.dispersion import Known, correlation_of, dispersion_of, error_rate_of
from rolloutsim.evidence.calibration.latency import Fit, fit_lognormal, pod_spread
from rolloutsim.evidence.calibration.reads import Reads, find_reads, given_reads
from rolloutsim.evidence.calibration.releases import Change, Releases, releases_in
from rolloutsim.evidence.calibration.scrapes import Scraping, scraping
from rolloutsim.evidence.calibration.source import Points, ServerSource, Source, StoreSource
from rolloutsim.evidence.calibration.writing import service_files, write_service

__all__ = [
    "Calibration",
    "Cells",
    "Change",
    "FalseAborts",
    "Fit",
    "Known",
    "Points",
    "Reads",
    "Releases",
    "Scraping",
    "ServerSource",
    "Source",
    "StoreSource",
    "Value",
    "calibrate",
    "clustered_rate",
    "correlation_of",
    "count_cells",
    "dispersion_of",
    "error_rate_of",
    "false_aborts",
    "find_reads",
    "fit_lognormal",
    "given_reads",
    "pod_spread",
    "releases_in",
    "scraping",
    "service_files",
    "write_service",
]
