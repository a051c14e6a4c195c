"""Reports: one self-contained HTML file about a simulation, a comparison or a rollout.

>>> from rolloutsim.report import report
>>> html = report("run.json")          # doctest: +SKIP
"""

from __future__ import annotations

from rolloutsim.report.document import report

__all__ = ["report"]
