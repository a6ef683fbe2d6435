"""Counting what happens, for the metrics: transactions by kind and end, fees, latencies, blocks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.attempt import AttemptKind, AttemptState
from backend.domain.plant import FarmView
from backend.services.submitting import Ended
from kale_chain.planning.plants import PlantPlan, Reason
from kale_common.metrics import Buckets

INCLUSION_LEDGERS = (1, 2, 3, 4, 6, 8, 12)
BLOCK_SECONDS = (1, 5, 10, 15, 20, 30, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class Planned:
    """What came of the plans of a block's plants.

    Attributes:
        block_index: The block.
        planting: Farmers for whom planting pays.
        left_out: Farmers who were not planted, by why.
    """

    block_index: int
    planting: int
    left_out: Mapping[Reason, int]


class Tally:
    """Counts since the process began.

    `note` is told of attempts that ended, `plan` of plans, `look` of the farm after every ledger.

    Attributes:
        transactions: Attempts that ended, by kind and state.
        fees: XLM charged, in stroops, by kind.
        inclusion: Ledgers from the one a transaction was built after to the one that applied it, by kind.
        notice: Seconds of ledger time from a block's opening to the ledger it was noticed after.
        planted: Seconds of ledger time from a block's opening to the ledger after which a plant was known to be in it.
        blocks: Blocks that ended.
        missed: Those of them in which nobody was planted although farmers were active and the farm was not paused.
        last_missed: Whether the last block that ended was missed.
        planned: What came of the last plan of plants; None before the first.
        upgraded_at: The ledger after which another code of the farm was last seen; None if it never was.
    """

    def __init__(self) -> None:
        self.transactions: Counter[tuple[AttemptKind, AttemptState]] = Counter()
        self.fees: Counter[AttemptKind] = Counter()
        self.inclusion: defaultdict[AttemptKind, Buckets] = defaultdict(lambda: Buckets(INCLUSION_LEDGERS))
        self.notice = Buckets(BLOCK_SECONDS)
        self.planted = Buckets(BLOCK_SECONDS)
        self.blocks = 0
        self.missed = 0
        self.last_missed = False
        self.planned: Planned | None = None
        self.upgraded_at: int | None = None
        self._new_plants = 0
        self._index: int | None = None
        self._code: bytes | None = None
        self._eligible = False
        self._planted_now = 0

    def note(self, ended: Sequence[Ended]) -> None:
        """Counts attempts that ended."""
        for end in ended:
            kind, settlement = end.attempt.kind, end.settlement
            self.transactions[kind, settlement.state] += 1
            self.fees[kind] += settlement.fee_charged or 0
            if settlement.state is AttemptState.SUCCEEDED:
                self.inclusion[kind].add(settlement.result_ledger - end.attempt.created_ledger)
                self._new_plants += kind is AttemptKind.PLANT

    def plan(self, plan: PlantPlan) -> None:
        """Takes what was planned. A later plan of the same block is about those whom the earlier ones left out."""
        reasons = Counter(one.reason for one in plan.farmers)
        planting = reasons.pop(Reason.PAYS, 0)
        if self.planned is not None and self.planned.block_index == plan.index:
            planting += self.planned.planting
        self.planned = Planned(plan.index, planting, reasons)

    def look(self, view: FarmView, *, active_farmers: int, planted: int) -> None:
        """Counts what the farm shows after a ledger; `planted` is of its current block."""
        since_opening = max(0, view.ledger.close_time - view.farm.block.timestamp)
        if self._index is not None and view.farm.index > self._index:
            self._block_ended(view.farm.index - self._index)
            self.notice.add(since_opening)
        self._index = view.farm.index
        self._planted_now = planted
        self._eligible = active_farmers > 0 and not view.farm.paused
        for _ in range(self._new_plants):
            self.planted.add(since_opening)
        self._new_plants = 0
        if self._code not in (None, view.farm.wasm_hash) and view.farm.wasm_hash is not None:
            self.upgraded_at = view.ledger.sequence
        self._code = view.farm.wasm_hash or self._code

    def _block_ended(self, blocks: int) -> None:
        self.blocks += blocks
        # Blocks that passed between two looks were not planted in either.
        missed = (blocks - 1) + (self._planted_now == 0) if self._eligible else 0
        self.missed += missed
        self.last_missed = missed > 0
