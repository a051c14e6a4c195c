"""PromQL as a Prometheus 3.5 server answers it, over series in memory.

::

    store = SeriesStore()
    store.append({"__name__": "up", "job": "api"}, 1_700_000_000_000, 1.0)
    compile_query("sum(up)").evaluate(store, 1_700_000_010_000)      # Vector(elements=(({}, 1.0),))

A query is parsed, type-checked and planned once (`compile_query`); a plan keeps what it worked out about
the series of a store in that store, so that an evaluation costs what its windows cost, however long the
run. Classic histograms only. What the server would refuse is refused when the query is compiled. A range
query is an instant query per step (`Query.evaluate_range`).

Series come from elsewhere and go elsewhere as text: `openmetrics`, `api_json`, `csv_form`.
"""

from rolloutsim.promql.errors import ErrorKind, PromQLError
from rolloutsim.promql.labels import METRIC_NAME, Labels
from rolloutsim.promql.query import LOOKBACK_MS, Query, SeriesRead, compile_query, evaluate
from rolloutsim.promql.store import STALE_NAN, SeriesStore, is_stale
from rolloutsim.promql.tree import Matcher
from rolloutsim.promql.values import Matrix, Result, Scalar, Series, String, Vector

__all__ = [
    "LOOKBACK_MS",
    "METRIC_NAME",
    "STALE_NAN",
    "ErrorKind",
    "Labels",
    "Matcher",
    "Matrix",
    "PromQLError",
    "Query",
    "Result",
    "Scalar",
    "Series",
    "SeriesRead",
    "SeriesStore",
    "String",
    "Vector",
    "compile_query",
    "evaluate",
    "is_stale",
]
