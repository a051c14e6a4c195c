"""The functions of Prometheus 3.5 in its default configuration, and what they return."""

from __future__ import annotations

from rolloutsim.promql.tree import ValueType

__all__ = ["AGGREGATORS", "FUNCTIONS"]

_VECTOR = """
abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max
clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp
floor histogram_avg histogram_count histogram_fraction histogram_quantile histogram_stddev histogram_stdvar
histogram_sum hour idelta increase irate label_join label_replace last_over_time ln log10 log2 max_over_time
min_over_time minute month predict_linear present_over_time quantile_over_time rad rate resets round sgn sin
sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh timestamp vector year
"""

FUNCTIONS: dict[str, ValueType] = {
    **dict.fromkeys(_VECTOR.split(), "vector"),
    **dict.fromkeys(("pi", "scalar", "time"), "scalar"),
}
"""Every function by name, with the type of its result; experimental ones are not among them."""

_AGGREGATORS = "avg bottomk count count_values group max min quantile stddev stdvar sum topk"

AGGREGATORS = frozenset(_AGGREGATORS.split(" "))
"""The aggregation operators; ``limitk`` and ``limit_ratio`` are experimental."""
