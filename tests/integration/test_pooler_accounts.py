"""The fee account and its channel accounts on the real local ledger, and work that goes through them."""

import pytest

from devnet.server import DevnetServer
from kale_chain.follower import LedgerFollower
from kale_chain.tx import FarmCalls, Signer
from pooler.chain.accounts import CHANNEL_STROOPS, FeeAccount, channel_signers
from pooler.chain.channels import FarmWorkChannels
from pooler.chain.feed import RpcLedgerFeed
from pooler.domain.assignment import Assignment, Find, Reason
from pooler.domain.attempt import Attempt, WorkResult
from pooler.domain.schedule import Stage
from pooler.errors import FundsError
from pooler.ports import SendState, WorkOrder
from tests.fixtures.devnet import closing
from tests.fixtures.farmyard import Farmyard


def account(yard: Farmyard, payer: Signer, count: int) -> FeeAccount:
    return FeeAccount(yard.rpc, yard.identity, payer=payer, count=count, poll_seconds=0.01)


@pytest.fixture
async def funded(devnet: DevnetServer, farmyard: Farmyard) -> Signer:
    payer = Signer.generate()
    async with closing(devnet):
        await account(farmyard, payer, 3).fund()
        await account(farmyard, payer, 3).create_missing()
    return payer


async def test_friendbot_funds_and_channel_accounts_are_made_once(devnet: DevnetServer, farmyard: Farmyard) -> None:
    payer = Signer.generate()
    fee_account = account(farmyard, payer, 3)
    before = await fee_account.survey()
    assert (before.balance_stroops, len(before.missing)) == (None, 3)
    assert before.needed_stroops > 3 * CHANNEL_STROOPS
    async with closing(devnet):
        assert (await fee_account.fund()).needed_stroops == 0
        after = await fee_account.create_missing()
        assert (len(after.existing), after.missing) == (3, ())
        more = await account(farmyard, payer, 5).create_missing()
    assert [one.address for one in more.existing] == [one.address for one in channel_signers(payer, 5)]
    balances = await farmyard.reader.accounts([one.address for one in more.existing])
    assert {one.balance_stroops for one in balances.values()} == {CHANNEL_STROOPS}
    balance = await fee_account.balance()
    assert balance is not None
    assert after.balance_stroops is not None
    assert after.balance_stroops - balance == 2 * CHANNEL_STROOPS + 200


async def test_a_poor_fee_account_makes_what_it_can_pay_for(devnet: DevnetServer, farmyard: Farmyard) -> None:
    (payer,) = await farmyard.channels(1, xlm_stroops=45_000_000)
    async with closing(devnet):
        survey = await account(farmyard, payer, 5).create_missing()
    assert (len(survey.existing), len(survey.missing)) == (2, 3)


async def test_a_fee_account_that_is_missing_is_told_with_address_and_amount(farmyard: Farmyard) -> None:
    payer = Signer.generate()
    with pytest.raises(FundsError, match=rf"send 5 XLM to the fee account {payer.address}"):
        await account(farmyard, payer, 3).create_missing()


class Field:
    """One planted farmer, and work for it through our channel accounts."""

    def __init__(self, yard: Farmyard, payer: Signer, farmer: str, index: int) -> None:
        self.yard = yard
        self.channels = FarmWorkChannels(
            yard.rpc, yard.reader, FarmCalls(yard.identity), payer=payer, channels=channel_signers(payer, 3)
        )
        self.farmer = farmer
        self.index = index

    async def attempt(self, zeros: int, *, channel: int = 0, digest: bytes | None = None, pending: int = 0) -> Attempt:
        """A work with exactly `zeros`, for a channel account with so many transactions pending."""
        nonce, found = await self.yard.search(self.farmer, self.index, zeros)
        await self.channels.refresh_fees()
        latest = await self.yard.rpc.latest_ledger()
        pail = (await self.yard.reader.pails([(self.farmer, self.index)]))[self.farmer, self.index].pail
        return self.channels.build(
            WorkOrder(
                assignment=Assignment(self.index, "farmer", self.farmer, pail.sequence, 0),
                find=Find(zeros, nonce, digest or found),
                stage=Stage.FINAL,
                channel=channel,
                sequence=(await self.channels.sequences([channel]))[channel] + 1 + pending,
                max_ledger=latest.sequence + 4,
                ledgers_left=3,
            )
        )

    async def result(self, attempt: Attempt) -> WorkResult | None:
        """What the next ledger makes of an attempt, as the feed tells."""
        latest = await self.yard.rpc.latest_ledger()
        await self.yard.devnet.advance(1)
        feed = RpcLedgerFeed(self.yard.rpc, LedgerFollower(self.yard.rpc, poll_seconds=0.01), self.yard.identity)
        async for news in feed.news(latest.sequence):
            assert news.last.sequence == latest.sequence + 1
            return news.result(attempt.transaction_hash)
        raise AssertionError("the feed ended")


@pytest.fixture
async def field(farmyard: Farmyard, funded: Signer) -> Field:
    (farmer,) = await farmyard.onboard(1)
    index = await farmyard.next_block()
    (planted,) = await farmyard.land(await farmyard.plant(farmer, 0, index))
    assert planted.successful
    await farmyard.devnet.advance(2)
    return Field(farmyard, funded, farmer.address, index)


async def test_work_through_a_channel_account_is_accepted_and_paid_by_the_fee_account(
    field: Field, funded: Signer
) -> None:
    yard = field.yard
    channel = channel_signers(funded, 1)[0].address
    before = await yard.reader.accounts([funded.address, channel])
    attempt = await field.attempt(2)
    assert (await field.channels.send(attempt)).state is SendState.TAKEN
    assert (await field.channels.send(attempt)).state is SendState.TAKEN
    result = await field.result(attempt)
    pail = (await yard.reader.pails([(field.farmer, field.index)]))[field.farmer, field.index].pail
    assert result is not None
    assert (result.gap, result.failure) == (pail.gap, None)
    assert pail.zeros == 2
    after = await yard.reader.accounts([funded.address, channel])
    assert after[channel].balance_stroops == before[channel].balance_stroops
    assert after[channel].sequence == before[channel].sequence + 1
    assert 0 < before[funded.address].balance_stroops - after[funded.address].balance_stroops < 1_000_000


async def test_a_work_with_no_more_zeros_is_refused_but_not_for_good(field: Field) -> None:
    first = await field.attempt(2)
    await field.channels.send(first)
    await field.result(first)
    second = await field.attempt(1, channel=1)
    await field.channels.send(second)
    result = await field.result(second)
    assert result is not None
    assert result.failure is not None
    assert (result.gap, result.failure.reason, result.failure.final) == (None, Reason.CONTRACT_REFUSED, False)
    assert "ZERO_COUNT_TOO_LOW" in result.failure.message


async def test_a_wrong_hash_is_refused_for_good(field: Field) -> None:
    attempt = await field.attempt(1, digest=b"\x00" * 32)
    await field.channels.send(attempt)
    result = await field.result(attempt)
    assert result is not None
    assert result.failure is not None
    assert (result.failure.reason, result.failure.final) == (Reason.HASH_INVALID, True)


async def test_a_work_that_slips_into_the_next_block_traps(field: Field) -> None:
    yard = field.yard
    attempt = await field.attempt(1)
    (stranger,) = await yard.onboard(1)
    index = await yard.next_block()
    await yard.land(await yard.plant(stranger, 0, index))
    # Built again with later bounds: the same call, for a block that is over.
    late = Field(yard, Signer.generate(), field.farmer, field.index)
    late.channels = field.channels
    attempt = await late.attempt(1)
    await field.channels.send(attempt)
    result = await field.result(attempt)
    assert result is not None
    assert result.failure is not None
    assert "trapped" in result.failure.message


async def test_two_works_on_one_channel_account_are_not_both_taken(field: Field) -> None:
    first, second = await field.attempt(1), await field.attempt(2, pending=1)
    assert (await field.channels.send(first)).state is SendState.TAKEN
    assert (await field.channels.send(second)).state is SendState.AGAIN


async def test_a_used_sequence_number_is_refused_with_its_code(field: Field) -> None:
    attempt, stale = await field.attempt(1), await field.attempt(2)
    await field.channels.send(attempt)
    await field.result(attempt)
    answer = await field.channels.send(stale)
    assert (answer.state, answer.code) == (SendState.REFUSED, "txBAD_SEQ")


async def test_a_ledger_without_our_work_tells_nothing_of_it(field: Field) -> None:
    assert await field.result(await field.attempt(1)) is None
