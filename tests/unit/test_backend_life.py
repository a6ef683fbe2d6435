"""Lives of pails: what is used, which alarms that raises, and when a life is extended."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.harvest import OpenPail
from backend.domain.life import (
    EXTENSION_PERCENT,
    PailLife,
    Risk,
    alarm_of,
    bands,
    is_extensible,
    last_ledger,
    nears_its_end,
    risk_of,
    used_percent,
)
from kale_chain.model import Block, BlockEntry, Pail, PailEntry

PLANTED, END = 1_000, 2_000
BLOCK = 10


def pail(*, live_until: int | None = END, blocks: int = 5, stake: int = 50) -> OpenPail:
    """A pail planted in block 10."""
    return OpenPail(UUID(int=1), UUID(int=2), "G", BLOCK, stake, PLANTED, live_until, blocks)


def entry(*, zeros: int | None = 3, live_until: int = END) -> PailEntry:
    """The pail on the ledger."""
    return PailEntry(Pail(sequence=PLANTED, gap=None, stake=50, zeros=zeros), live_until)


def block(live_until: int = END) -> BlockEntry:
    """Its block on the ledger."""
    return BlockEntry(Block.unseen(1), live_until)


@pytest.mark.parametrize(
    ("ledger", "alarm"),
    [(1_249, 0), (1_250, 25), (1_499, 25), (1_500, 50), (1_749, 50), (1_750, 75), (2_000, 75), (9_999, 75)],
)
def test_alarms_are_raised_at_quarters_of_the_life(ledger: int, alarm: int) -> None:
    assert alarm_of(pail(), END, farm_index=BLOCK, ledger=ledger) == alarm


def test_pail_that_waits_for_its_farmers_blocks_raises_no_alarm_before_half_its_life() -> None:
    waiting = pail(blocks=200)
    assert alarm_of(waiting, END, farm_index=BLOCK + 1, ledger=1_499) == 0
    assert alarm_of(waiting, END, farm_index=BLOCK + 1, ledger=1_500) == 50
    assert alarm_of(waiting, END, farm_index=BLOCK, ledger=1_499) == 25  # its block does not end
    assert alarm_of(waiting, END, farm_index=BLOCK + 200, ledger=1_499) == 25  # its harvest is late


def test_life_ends_with_the_block_where_that_is_sooner() -> None:
    assert last_ledger(pail(), {BLOCK: 1_900}) == 1_900
    assert last_ledger(pail(), {BLOCK: 2_100}) == END
    assert last_ledger(pail(), {}) == END
    assert last_ledger(pail(live_until=None), {BLOCK: 1_900}) is None


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 3 * 10**6))
def test_used_part_is_a_percentage(planted: int, life: int, ledger: int) -> None:
    used = used_percent(planted, planted + life, ledger)
    assert 0 <= used <= 100
    assert used <= used_percent(planted, planted + life, ledger + 1)


@given(st.integers(1, 20_000), st.integers(0, 20_000))
def test_life_of_whatever_length_is_extended_before_its_last_alarm(life: int, past: int) -> None:
    near = nears_its_end(pail(), PLANTED + life, PLANTED + past)
    if past >= life - 20 or 4 * past >= 3 * life:
        assert near
    if near and life > 80:
        assert 2 * past >= life
    assert near <= nears_its_end(pail(), PLANTED + life, PLANTED + past + 1)


def test_only_what_can_still_be_harvested_is_extended() -> None:
    late = PLANTED + (END - PLANTED) * EXTENSION_PERCENT // 100
    assert is_extensible(pail(), entry(), block(), farm_index=BLOCK + 1, ledger=late)
    assert not is_extensible(pail(), entry(), block(), farm_index=BLOCK + 1, ledger=late - 1)
    assert is_extensible(pail(), entry(zeros=None), block(), farm_index=BLOCK, ledger=late)
    assert not is_extensible(pail(), entry(zeros=None), block(), farm_index=BLOCK + 1, ledger=late)
    assert not is_extensible(pail(), None, block(), farm_index=BLOCK + 1, ledger=late)
    assert not is_extensible(pail(), entry(), None, farm_index=BLOCK + 1, ledger=late)
    longer = entry(live_until=20_000)
    assert not is_extensible(pail(), longer, block(20_000), farm_index=BLOCK + 1, ledger=late)
    assert is_extensible(pail(), longer, block(), farm_index=BLOCK + 1, ledger=late)


def test_risk_sums_what_has_raised_an_alarm() -> None:
    assert risk_of([]) == Risk(pails=0, stake_stroops=0, percent=0)
    lives = [PailLife(pail(stake=stake), alarm) for stake, alarm in ((5, 0), (7, 25), (9, 50))]
    assert risk_of(lives) == Risk(pails=2, stake_stroops=16, percent=50)


def test_bands_hold_every_pail_once() -> None:
    ends = [END, 1_400, 1_300, 1_240, None]
    held = bands([replace(pail(), live_until=end, stake_stroops=end or 1) for end in ends], 1_210)
    assert [(band.from_percent, band.to_percent, band.pails) for band in held] == [
        (0, 25, 1),
        (25, 50, 0),
        (50, 75, 2),
        (75, None, 1),
        (0, 0, 1),
    ]
    assert [band.first_end_ledger for band in held] == [END, None, 1_300, 1_240, None]
    assert sum(band.stake_stroops for band in held) == END + 1_400 + 1_300 + 1_240 + 1
