"""PromQL queries drawn at random, always the same ones for a seed."""

from __future__ import annotations

import random
from collections.abc import Callable


class Generator:
    """Queries over the series of a simulated service, as templates, alerts and dashboards ask."""

    COUNTERS = ("http_requests_total", "http_request_duration_seconds_count")
    LABELS = ("app_version", "status")
    RANGES = ("15s", "30s", "45s", "1m", "2m", "5m", "10m", "37s", "1h")

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.kinds: tuple[Callable[[], str], ...] = (
            self.instant,
            self.change,
            self.change,
            self.over_time,
            self.aggregation,
            self.aggregation,
            self.quantile,
            self.binary,
            self.binary,
            self.subquery,
            self.function,
        )

    def queries(self, count: int) -> list[str]:
        """This many different queries, every kind among them."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.kinds[len(found) % len(self.kinds)]()] = None
        return list(found)

    def pick(self, *choices: str) -> str:
        return self.draw.choice(choices)

    def selector(self, metric: str | None = None) -> str:
        matchers = [
            self.pick('app_version="v2"', 'app_version!="v1"', 'app_version=~"v.*"', 'service="api"'),
            self.pick('status="500"', 'status=~"5..|4.."', 'status!~"2.."', 'status!=""', 'nothing=""'),
        ]
        chosen = ", ".join(self.draw.sample(matchers, self.draw.randint(0, 2)))
        name = metric or self.pick(*self.COUNTERS, "http_requests_total")
        return f"{name}{{{chosen}}}" if chosen else name

    def moved(self) -> str:
        return self.draw.choice(["", "", "", " offset 1m", " offset -45s", " @ 1767571500", " @ end()"])

    def ranged(self, metric: str | None = None) -> str:
        return f"{self.selector(metric)}[{self.pick(*self.RANGES)}]{self.moved()}"

    def instant(self) -> str:
        return self.selector() + self.moved()

    def change(self) -> str:
        name = self.pick(
            "rate", "increase", "irate", "rate", "increase", "delta", "idelta", "resets", "changes"
        )
        return f"{name}({self.ranged()})"

    def over_time(self) -> str:
        names = ["avg", "min", "max", "sum", "count", "last", "present", "stddev", "stdvar"]
        name = f"{self.pick(*names)}_over_time"
        other = self.pick(
            f"quantile_over_time(0.{self.draw.randint(1, 9)}, {self.ranged()})",
            f"deriv({self.ranged()})",
            f"predict_linear({self.ranged()}, 600)",
            f"absent_over_time({self.ranged()})",
        )
        return self.pick(f"{name}({self.ranged()})", f"{name}({self.ranged()})", other)

    def vector(self) -> str:
        return self.draw.choice((self.instant, self.change, self.change, self.over_time))()

    def grouping(self) -> str:
        labels = ", ".join(self.draw.sample([*self.LABELS, "service"], self.draw.randint(0, 2)))
        return self.pick("", f" by ({labels})", f" without ({labels})")

    def aggregation(self) -> str:
        name = self.pick("sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
        special = self.pick(
            f"quantile{self.grouping()} (0.{self.draw.randint(1, 9)}, {self.vector()})",
            f"topk{self.grouping()} ({self.draw.randint(1, 3)}, {self.vector()})",
            f"bottomk(2, {self.vector()})",
            f'count_values("n", {self.vector()})',
        )
        usual = f"{name}{self.grouping()} ({self.vector()})"
        return self.pick(usual, usual, usual, special)

    def quantile(self) -> str:
        rate = f"{self.pick('rate', 'increase')}({self.ranged('http_request_duration_seconds_bucket')})"
        buckets = self.pick(rate, f"sum by (le) ({rate})", f"sum by (le, app_version) ({rate})")
        return f"histogram_quantile({self.pick('0.5', '0.9', '0.95', '0.99', '1', '0')}, {buckets})"

    def binary(self) -> str:
        window = self.pick(*self.RANGES)
        errors = f'sum by (app_version) (rate(http_requests_total{{status=~"5.."}}[{window}]))'
        every = f"sum by (app_version) (rate(http_requests_total[{window}]))"
        share = f"{errors} / {every}"
        return self.pick(
            share,
            f"1 - {share}",
            f"({share}) {self.pick('>', '<', '>=', '> bool', '== bool')} 0.0{self.draw.randint(1, 5)}",
            f"rate(http_requests_total[{window}]) / on (app_version) group_left {every}",
            f"http_requests_total {self.pick('+', '-', '*', '/', '%', '^', 'atan2')} {self.vector()}",
            f"{self.vector()} {self.pick('and', 'or', 'unless')} on (app_version) ({errors} > 0)",
            f"{errors} {self.pick('or', 'unless')} ignoring (status) {self.vector()}",
            f"{self.vector()} * ignoring (status) {self.vector()}",
            f"rate(http_request_duration_seconds_sum[{window}]) "
            f"/ rate(http_request_duration_seconds_count[{window}])",
        )

    def subquery(self) -> str:
        name = self.pick("max", "avg", "min", "sum", "count", "last")
        span, step = self.pick("2m", "5m", "10m", "30m"), self.pick("", "15s", "30s", "1m")
        inner = self.pick(self.change(), f"sum ({self.change()})", self.instant())
        other = f"{self.pick('rate', 'deriv', 'increase')}((sum ({self.instant()}))[{span}:{step}])"
        return self.pick(f"{name}_over_time(({inner})[{span}:{step}]{self.moved()})", other)

    def function(self) -> str:
        inner = self.vector()
        return self.pick(
            f"{self.pick('abs', 'ceil', 'floor', 'sqrt', 'ln', 'log2', 'exp', 'sgn', '-')}({inner})",
            f"round({inner}, 0.5)",
            f"clamp({inner}, 1, 100)",
            f'label_replace({inner}, "v", "$1", "app_version", "v(.*)")',
            f'label_join({inner}, "both", "-", "app_version", "status")',
            f"absent({inner})",
            f"timestamp({self.instant()})",
            f"scalar(sum({inner})) + time()",
            f"vector(scalar(sum({inner})))",
            f"sort_desc(sum by (app_version, status) ({inner}))",
        )
