"""The ledger's gauges in Prometheus' text format; the home of its library on this side."""

from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from jobs.ledger.gauges import Gauge


def gauges_text(gauges: Iterable[Gauge]) -> str:
    """One exposition, as a scrape or node_exporter's textfile collector takes it."""
    registry = CollectorRegistry()
    registry.register(_Fixed(gauges))
    return generate_latest(registry).decode()


class _Fixed(Collector):
    """Gauges that were read already."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
            for labels, value in gauge.values.items():
                family.add_metric(labels, value)
            yield family
