"""A value of any metric of the catalogue, whatever its kind."""

from __future__ import annotations

from edgemon.metric import Distribution, Kind, Metric, Reading
from edgemon.sketch import Sketch


def taken(metric: Metric, *labels: str) -> Reading | Distribution:
    """The reading 1, or for a histogram the distribution of some inferences of a few milliseconds."""
    if metric.kind is not Kind.HISTOGRAM:
        return metric(1.0, *labels)
    sketch = Sketch()
    sketch.add([0.001, 0.002, 0.003, 0.25])
    return metric.distribution(sketch.exponential(), *labels)
