"""What plans of plants learn: defaults before anything was seen, then what was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.plant import FarmView
from backend.domain.presence import Attended, Capacity, last_rate
from backend.ports.stores import AttemptStore, HarvestStore, Stores
from backend.services.access import ChainAccess
from backend.services.attending import Attending
from backend.services.learning import UNMEASURED_FEES, UNMEASURED_HASHES_PER_SECOND, Learning
from backend.services.pulse import Pulse
from kale_chain.model import Block, Farm, Ledger
from kale_chain.planning.inputs import Fees, LossHistory


@dataclass
class FakeStore:
    """Rows of poolers, losses and fees."""

    rows: dict[str, Attended] = field(default_factory=dict)
    charged: Mapping[AttemptKind, int] = field(default_factory=dict)
    asked_since: int | None = None

    @property
    def poolers(self) -> "FakeStore":
        return self

    async def attended(self, poolers: Mapping[str, Attended]) -> None:
        self.rows |= poolers

    async def attendance(self) -> Mapping[str, Attended]:
        return self.rows

    async def handed(self, block_index: int) -> list[object]:
        del block_index
        return []

    async def leases(self, block_index: int) -> list[object]:
        del block_index
        return []

    async def losses(self, since_block: int) -> LossHistory:
        self.asked_since = since_block
        return LossHistory(10, 1)

    async def fees(self) -> Mapping[AttemptKind, int]:
        return self.charged


@dataclass
class FakeChain:
    """A farm without an open block, at a ledger."""

    ledger: int = 1_000
    closed: Pulse = field(default_factory=Pulse)

    @property
    def watch(self) -> "FakeChain":
        return self

    @property
    def known(self) -> FarmView:
        return self.view

    @property
    def view(self) -> FarmView:
        farm = Farm(7, Block.unseen(0), paused=False, ledger=self.ledger, live_until=10_000)
        return FarmView(farm, Ledger(self.ledger, 5_000), None)


def attending(store: FakeStore, chain: FakeChain | None = None) -> Attending:
    return Attending(cast("Stores", store), cast("ChainAccess", chain or FakeChain()))


def learning(store: FakeStore, present: Attending) -> Learning:
    return Learning(cast("HarvestStore", store), cast("AttemptStore", store), present)


async def test_hash_rate_is_that_of_the_poolers_that_are_there() -> None:
    store = FakeStore()
    present = attending(store)
    assert learning(store, present).hashes_per_second == UNMEASURED_HASHES_PER_SECOND
    present.attend("a", Capacity(10, 3e6))
    present.attend("b", Capacity(10, 4e6))
    assert learning(store, present).hashes_per_second == 7_000_000


async def test_pooler_that_drains_or_falls_silent_counts_no_more() -> None:
    present = attending(FakeStore())
    one = present.attend("a", Capacity(10, 3e6))
    present.attend("b", Capacity(10, 4e6))
    await present.hear(one, Capacity(10, 3e6, draining=True))
    assert present.hashes_per_second == 4_000_000


async def test_without_poolers_the_last_known_hash_rate_stands() -> None:
    store, chain = FakeStore(), FakeChain()
    present = attending(store, chain)
    present.attend("a", Capacity(10, 3e6))
    for _ in range(6):
        await present.act()
        chain.ledger += 1
    assert present.poolers[0].silent
    assert present.hashes_per_second == 3_000_000


async def test_restart_knows_the_hash_rate_from_the_rows() -> None:
    waited = FakeStore({"a": Attended(999, 5), "b": Attended(998, 6), "old": Attended(100, 1_000)})
    present = attending(waited)
    await present.act()
    assert present.hashes_per_second == 11
    long_gone = FakeStore({"a": Attended(201, 5), "b": Attended(200, 6), "old": Attended(100, 1_000)})
    present = attending(long_gone)
    await present.act()
    assert learning(long_gone, present).hashes_per_second == 11


async def test_absurd_hash_rate_fits_its_column() -> None:
    store = FakeStore()
    present = attending(store)
    present.attend("liar", Capacity(10, 1e300))
    await present.act()
    assert store.rows["liar"] == Attended(1_000, 2**62)


@pytest.mark.parametrize(("ledgers", "rate"), [((), 0), ((10,), 1), ((10, 8), 3), ((10, 7), 1)], ids=str)
def test_last_rate_is_of_those_that_were_there_together(ledgers: tuple[int, ...], rate: int) -> None:
    assert last_rate([Attended(ledger, number) for number, ledger in enumerate(ledgers, 1)]) == rate


async def test_fees_are_as_charged_and_usual_where_nothing_was() -> None:
    store = FakeStore()
    assert await learning(store, attending(store)).history(300) == (LossHistory(10, 1), UNMEASURED_FEES)
    assert store.asked_since == 12
    store.charged = {AttemptKind.PLANT: 5, AttemptKind.HARVEST: 7}
    _, fees = await learning(store, attending(store)).history(3)
    assert fees == Fees(plant=5, work=UNMEASURED_FEES.work, harvest=7)
    assert store.asked_since == 0
