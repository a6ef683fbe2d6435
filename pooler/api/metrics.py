"""What the pooler tells Prometheus. Names and meanings are listed in docs/operations.md."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kale_chain.breaker import CircuitState
from pooler.domain.snapshot import Snapshot
from pooler.services.overview import Overview

_PHASES = ("waiting", "planting", "searching", "submitting")


class PoolerMetrics(Collector):
    """Collects from an overview."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        snapshot = self._overview.snapshot()
        yield from _state(snapshot)
        yield from _search(snapshot)
        yield from self._works()

    def _works(self) -> Iterator[Metric]:
        tally = self._overview.tally
        works = CounterMetricFamily("kale_pooler_works", "Work transactions by what became of them.", labels=["result"])
        for ending, count in tally.endings.items():
            works.add_metric([ending.value], count)
        yield works
        for name, text, buckets in (
            ("kale_pooler_inclusion_ledgers", "Ledgers that applied works needed.", tally.inclusion),
            ("kale_pooler_work_zeros", "Leading zero nibbles of accepted works.", tally.zeros),
            ("kale_pooler_work_gap_ledgers", "Ledgers between plant and accepted work.", tally.gaps),
        ):
            family = HistogramMetricFamily(name, text)
            buckets.add_to(family)
            yield family
        yield _gauge("kale_pooler_attempts_open", "Works whose end is not known yet.", self._overview.open_attempts)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _state(snapshot: Snapshot) -> Iterator[Metric]:
    parts = GaugeMetricFamily("kale_pooler_component_up", "1 up, 0 down.", labels=["component"])
    for part in snapshot.parts:
        parts.add_metric([part.name], int(part.problem is None))
    circuits = GaugeMetricFamily(
        "kale_pooler_backend_circuit_open", "1 while calls avoid a backend's address.", labels=["address"]
    )
    for circuit in snapshot.circuits:
        circuits.add_metric([circuit.address], int(circuit.state is CircuitState.OPEN))
    phases = GaugeMetricFamily("kale_pooler_phase", "1 for the block's phase.", labels=["phase"])
    for phase in _PHASES:
        phases.add_metric([phase], int(phase == snapshot.phase))
    yield from (parts, circuits, phases)
    yield _gauge("kale_pooler_uptime_seconds", "Seconds since the pooler began.", snapshot.uptime_seconds)
    yield _gauge("kale_pooler_ledger_sequence", "The last closed ledger it has seen.", snapshot.ledger.sequence)
    yield _gauge("kale_pooler_block_index", "The farm's current block.", snapshot.block_index)
    yield _gauge("kale_pooler_fee_balance_stroops", "XLM of the fee account.", snapshot.fee_balance_stroops)
    unacknowledged = "Reports that the backend has not acknowledged."
    yield _gauge("kale_pooler_reports_unacknowledged", unacknowledged, snapshot.unacknowledged_reports)


def _search(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("kale_pooler_farmers", "Farmers of the current block.", len(snapshot.farmers))
    accepted = sum(farmer.accepted_zeros is not None for farmer in snapshot.farmers)
    yield _gauge("kale_pooler_farmers_worked", "Those of them with an accepted work.", accepted)
    yield _gauge("kale_pooler_searches_running", "Searches that run.", snapshot.running_searches)
    yield _gauge("kale_pooler_hashes_per_second", "Hashes a second, over the last seconds.", snapshot.hashes_per_second)
    yield _gauge("kale_pooler_machine_load", "1 means every usable core is busy.", snapshot.machine_load)
