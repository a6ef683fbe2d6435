"""What the backend tells Prometheus. Names and meanings are listed in docs/operations.md."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.services.alarming import Alarming
from backend.services.endpoints import EndpointWatch
from backend.services.status import Health
from backend.services.submitting import Submitting
from backend.services.tally import Tally
from backend.services.vitals import Vitals, VitalSigns
from kale_chain.planning.plants import Reason

_HEALTH = {Health.UP: 1.0, Health.DEGRADED: 0.5, Health.DOWN: 0.0}


class BackendMetrics(Collector):
    """Collects from the services; nothing is read from database or ledger for a scrape."""

    def __init__(
        self,
        signs: VitalSigns,
        tally: Tally,
        alarming: Alarming,
        submitting: Submitting,
        endpoints: EndpointWatch,
    ) -> None:
        self._signs = signs
        self._tally = tally
        self._alarming = alarming
        self._submitting = submitting
        self._endpoints = endpoints

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._counted()
        yield from self._latencies()
        yield self._left_out()
        yield self._alarms()
        yield _gauge("kale_attempts_open", "Transactions whose end is not known yet.", self._submitting.open_count)
        yield self._circuits()
        vitals = self._signs.latest
        if vitals is not None:
            yield from _status(vitals)
            yield from _chain(vitals)
            yield from _money(vitals)
            yield from _pails(vitals)
            yield from _surroundings(vitals)

    def _counted(self) -> Iterator[Metric]:
        tally = self._tally
        transactions = CounterMetricFamily(
            "kale_transactions", "Transactions that ended, by kind and result.", labels=["kind", "result"]
        )
        for (kind, state), count in tally.transactions.items():
            transactions.add_metric([kind.value, state.value], count)
        fees = CounterMetricFamily("kale_fees_stroops", "XLM charged, in stroops, by kind.", labels=["kind"])
        for kind, stroops in tally.fees.items():
            fees.add_metric([kind.value], stroops)
        yield transactions
        yield fees
        yield CounterMetricFamily("kale_blocks", "Blocks that ended.", value=tally.blocks)
        missed = "Blocks that ended without any plant of ours, though farmers were active and the farm open."
        yield CounterMetricFamily("kale_blocks_missed", missed, value=tally.missed)

    def _left_out(self) -> Metric:
        family = GaugeMetricFamily(
            "kale_farmers_left_out", "Farmers whom the last plan did not plant, by why.", labels=["reason"]
        )
        planned = self._tally.planned
        for reason in Reason:
            if reason is not Reason.PAYS:
                family.add_metric([reason.value], 0 if planned is None else planned.left_out.get(reason, 0))
        return family

    def _latencies(self) -> Iterator[Metric]:
        inclusion = HistogramMetricFamily(
            "kale_inclusion_ledgers", "Ledgers from building a transaction to its applying, by kind.", labels=["kind"]
        )
        for kind, buckets in self._tally.inclusion.items():
            buckets.add_to(inclusion, [kind.value])
        notice = HistogramMetricFamily(
            "kale_block_notice_seconds", "Ledger time from a block's opening to the ledger it was noticed after."
        )
        self._tally.notice.add_to(notice)
        planted = HistogramMetricFamily(
            "kale_plant_seconds", "Ledger time from a block's opening to the ledger after which a plant was known."
        )
        self._tally.planted.add_to(planted)
        yield from (inclusion, notice, planted)

    def _alarms(self) -> Metric:
        family = GaugeMetricFamily("kale_alarm_active", "1 while an alarm is raised.", labels=["alarm", "severity"])
        for name, alarm in self._alarming.alarms.items():
            family.add_metric([name, alarm.severity.value], int(alarm.active))
        return family

    def _circuits(self) -> Metric:
        family = GaugeMetricFamily("kale_rpc_circuit_open", "1 while calls avoid an RPC endpoint.", labels=["endpoint"])
        for report in self._endpoints.reports:
            family.add_metric([report.name], int(report.circuit != "closed"))
        return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _status(vitals: Vitals) -> Iterator[Metric]:
    status = vitals.status
    family = GaugeMetricFamily("kale_component_up", "1 up, 0.5 degraded, 0 down.", labels=["component"])
    for component in status.components:
        family.add_metric([component.name], _HEALTH[component.health])
    yield family
    yield _gauge("kale_uptime_seconds", "Seconds since the service began.", status.uptime_seconds)
    yield _gauge("kale_farmers_active", "Farmers that are planted.", status.counts.active_farmers)
    yield _gauge("kale_block_planted", "Plants of the current block that succeeded.", status.counts.planted)
    yield _gauge("kale_block_unworked", "Those of them without accepted work.", status.counts.unworked)
    yield _gauge("kale_pails_open", "Pails that are not harvested yet.", status.counts.open_pails)
    yield _gauge("kale_poolers_attending", "Poolers that answer.", vitals.poolers_attending)
    yield _gauge("kale_poolers_silent", "Poolers that attended and fell silent.", vitals.poolers_silent)


def _chain(vitals: Vitals) -> Iterator[Metric]:
    view = vitals.status.view
    if view is None:
        return
    yield _gauge("kale_ledger_sequence", "The last closed ledger that was settled.", view.ledger.sequence)
    yield _gauge("kale_ledger_close_time_seconds", "Its close time, Unix seconds.", view.ledger.close_time)
    yield _gauge("kale_block_index", "The farm's current block.", view.farm.index)
    yield _gauge("kale_block_age_seconds", "Ledger time since it opened.", _age(vitals))
    yield _gauge("kale_farm_paused", "1 while the farm is paused.", int(view.farm.paused))


def _age(vitals: Vitals) -> int:
    view = vitals.status.view
    return 0 if view is None else max(0, view.ledger.close_time - view.farm.block.timestamp)


def _money(vitals: Vitals) -> Iterator[Metric]:
    balance = vitals.status.master_balance_stroops
    yield _gauge("kale_master_balance_stroops", "XLM of the master account.", balance)
    yield _gauge("kale_master_spent_day_stroops", "XLM charged in the last 17,280 ledgers.", vitals.spent_day_stroops)
    if vitals.hours_left is not None:
        yield _gauge("kale_master_hours_left", "Hours it lasts at the last day's spending.", vitals.hours_left)
    yield _gauge("kale_channel_accounts", "Channel accounts on the ledger.", vitals.channel_accounts)
    yield _gauge("kale_channel_balance_stroops", "Their XLM together.", vitals.channel_stroops)


def _pails(vitals: Vitals) -> Iterator[Metric]:
    labels = ["life_used_percent"]
    pails = GaugeMetricFamily("kale_pails_unharvested", "Unharvested pails by the life used.", labels=labels)
    stakes = GaugeMetricFamily("kale_at_risk_stroops", "KALE staked in them.", labels=labels)
    for band in vitals.bands:
        label = ["unread" if band.to_percent == 0 else str(band.from_percent)]
        pails.add_metric(label, band.pails)
        stakes.add_metric(label, band.stake_stroops)
    yield from (pails, stakes)


def _surroundings(vitals: Vitals) -> Iterator[Metric]:
    free = GaugeMetricFamily("kale_disk_free_bytes", "Free bytes of the disk something lies on.", labels=["place"])
    total = GaugeMetricFamily("kale_disk_total_bytes", "All bytes of it.", labels=["place"])
    for name, disk in vitals.disks.items():
        free.add_metric([name], disk.free)
        total.add_metric([name], disk.total)
    yield from (free, total)
    ages = vitals.backups
    if ages is None:
        return
    for name, text, value in (
        ("kale_backup_base_age_seconds", "Since the last base backup was complete.", ages.base_seconds),
        ("kale_backup_log_age_seconds", "Since the log was last fetched up to its end.", ages.log_seconds),
        ("kale_backup_drill_age_seconds", "Since the last restore drill.", ages.drill_seconds),
    ):
        if value is not None:
            yield _gauge(name, text, value)
    yield _gauge("kale_backup_drill_passed", "1 if the last drill passed, or none was made.", int(ages.drill_passed))
