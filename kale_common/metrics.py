"""What both services' metrics have in common: a registry of their own, and how it is told to Prometheus.

No label is an id of a farmer, a transaction or a request: the number of series stays small.
"""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from kale_common.version import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Buckets:
    """A histogram: how many values were at most as great as each bound.

    Args:
        bounds: Ascending upper bounds; greater values are counted too.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Adds it to a family as one series."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", total))
        family.add_metric(labels, buckets, self._sum)


class _Build(Collector):
    """The program's version."""

    def collect(self) -> Sequence[Metric]:
        """See Collector."""
        return [InfoMetricFamily("kale_build", "The program's version.", {"version": VERSION})]


def registry(*collectors: Collector) -> CollectorRegistry:
    """A registry with these collectors, the process's own figures (memory, descriptors) and the version."""
    made = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=made)
    for collector in (_Build(), *collectors):
        made.register(collector)
    return made


def exposition(of: CollectorRegistry) -> bytes:
    """What Prometheus reads."""
    return generate_latest(of)
