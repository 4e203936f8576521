"""The store's histograms as the series that Prometheus has of them: `_bucket` with `le`, `_sum` and `_count`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache

from edgemon.metric import Kind, Metric
from edgemon.sketch import Exponential
from edgemon.store import Series


def flat(histograms: Mapping[Series, Exponential]) -> Iterator[tuple[Series, float]]:
    """Series and values, named and labelled as the exposition has them."""
    for (metric, labels), value in histograms.items():
        bucket, total, count = _parts(metric)
        for bound, below in value.classic():
            yield (bucket, (*labels, "+Inf" if bound == math.inf else repr(bound))), float(below)
        yield (total, labels), value.sum
        yield (count, labels), float(value.count)


@cache
def _parts(metric: Metric) -> tuple[Metric, Metric, Metric]:
    """What a histogram is in Prometheus; gauges, as that adds nothing to their names."""

    def part(name: str, *labels: str) -> Metric:
        return Metric(f"{metric.prometheus}_{name}", "", Kind.GAUGE, metric.help, (*metric.labels, *labels))

    return part("bucket", "le"), part("sum"), part("count")
