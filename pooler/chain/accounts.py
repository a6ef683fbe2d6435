"""The fee account and the channel accounts derived from it: looking, funding, creating."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import structlog

from kale_chain.farm import FarmReader
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc, SubmissionStatus
from kale_chain.tx import Bounds, ClassicCalls, Signer, Transaction
from pooler.errors import FundsError

log = structlog.get_logger(__name__)

CHANNEL_LABEL = "work channel"
CHANNEL_STROOPS = 10_000_000
"""What a channel account holds: the network's minimum balance of an account, 1 XLM. It spends nothing."""

KEEP_STROOPS = 20_000_000
"""What stays on the fee account: its own minimum balance, and fees to begin with."""

CREATE_AT_ONCE = 50
_CREATE_LEDGERS = 12
_FRIENDBOT_SECONDS = 60.0


def channel_signers(payer: Signer, count: int) -> list[Signer]:
    """The first `count` channel accounts of a fee account."""
    return [payer.derive(CHANNEL_LABEL, number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class Survey:
    """The accounts as the ledger shows them.

    Attributes:
        address: The fee account.
        balance_stroops: Its XLM in stroops; None if it does not exist.
        existing: Channel accounts on the ledger.
        missing: Channel accounts that are not.
    """

    address: str
    balance_stroops: int | None
    existing: tuple[Signer, ...]
    missing: tuple[Signer, ...]

    @property
    def needed_stroops(self) -> int:
        """XLM the fee account lacks for the missing channel accounts, in stroops; 0 if it has enough."""
        wanted = KEEP_STROOPS + CHANNEL_STROOPS * len(self.missing)
        return max(0, wanted - (self.balance_stroops or 0))

    @property
    def affordable(self) -> int:
        """How many missing channel accounts it can pay for."""
        spare = (self.balance_stroops or 0) - KEEP_STROOPS
        return max(0, min(len(self.missing), spare // CHANNEL_STROOPS))


class FeeAccount:
    """A pooler's fee account.

    Args:
        rpc: The network.
        identity: The farm's network.
        payer: The fee account's key.
        count: How many channel accounts there should be (WORK_CHANNELS).
        poll_seconds: How often a result is asked for.
    """

    def __init__(
        self, rpc: StellarRpc, identity: FarmIdentity, *, payer: Signer, count: int, poll_seconds: float
    ) -> None:
        self._rpc = rpc
        self._reader = FarmReader(rpc, identity)
        self._calls = ClassicCalls(identity)
        self._payer = payer
        self._channels = channel_signers(payer, count)
        self._poll_seconds = poll_seconds

    async def balance(self) -> int | None:
        """The fee account's XLM in stroops; None if it does not exist."""
        account = (await self._reader.accounts([self._payer.address])).get(self._payer.address)
        return None if account is None else account.balance_stroops

    async def survey(self) -> Survey:
        """What exists now."""
        addresses = [self._payer.address, *(channel.address for channel in self._channels)]
        accounts = await self._reader.accounts(addresses)
        payer = accounts.get(self._payer.address)
        return Survey(
            address=self._payer.address,
            balance_stroops=None if payer is None else payer.balance_stroops,
            existing=tuple(channel for channel in self._channels if channel.address in accounts),
            missing=tuple(channel for channel in self._channels if channel.address not in accounts),
        )

    async def create_missing(self) -> Survey:
        """Creates the missing channel accounts that the fee account can pay for; what exists then.

        Raises:
            FundsError: If not one channel account exists nor can be paid for.
            RpcError: Repeat it then; an account is never created twice.
        """
        survey = await self.survey()
        wanted = survey.missing[: survey.affordable]
        for start in range(0, len(wanted), CREATE_AT_ONCE):
            await self._create(wanted[start : start + CREATE_AT_ONCE])
        survey = await self.survey() if wanted else survey
        if not survey.existing:
            raise FundsError(_advice(survey))
        if survey.missing:
            log.warning("some channel accounts are missing", missing=len(survey.missing), advice=_advice(survey))
        return survey

    async def _create(self, channels: Sequence[Signer]) -> None:
        accounts = [(channel.address, CHANNEL_STROOPS) for channel in channels]
        ledger = await self._rpc.latest_ledger()
        payer = (await self._reader.accounts([self._payer.address]))[self._payer.address]
        transaction = self._calls.create_accounts(
            source=self._payer.address,
            accounts=accounts,
            sequence=payer.sequence + 1,
            bounds=Bounds(max_ledger=ledger.sequence + 1 + _CREATE_LEDGERS),
            fee=max((await self._rpc.fee_stats()).inclusion_p90, 100),
        ).signed_by(self._payer)
        log.info("creating channel accounts", count=len(channels), transaction_hash=transaction.hash)
        await self._apply(transaction)

    async def _apply(self, transaction: Transaction) -> None:
        """Sends the same bytes at every ledger until a ledger has applied them or none can."""
        sent_at = 0
        while (ledger := await self._rpc.latest_ledger()).sequence < transaction.max_ledger:
            result = await self._rpc.transaction(transaction.hash)
            if result is not None:
                if not result.successful:
                    codes = f"{result.result_code} {result.operation_code or ''}".strip()
                    raise FundsError(f"the channel accounts were not created ({codes}): {transaction.hash}")
                return
            if ledger.sequence > sent_at:
                sent_at = ledger.sequence
                answer = await self._rpc.send(transaction.envelope)
                if answer.status is SubmissionStatus.ERROR:
                    log.warning("the network refused it", code=answer.code, transaction_hash=transaction.hash)
            await asyncio.sleep(self._poll_seconds)
        raise FundsError(f"no ledger took the creation of the channel accounts ({transaction.hash}); try again")

    async def fund(self) -> Survey:
        """Has a test network's friendbot create or fill the fee account.

        Raises:
            FundsError: On a network without friendbot; the message tells address and amount.
        """
        survey = await self.survey()
        if survey.balance_stroops is not None and not survey.needed_stroops:
            return survey
        friendbot = (await self._rpc.network()).friendbot_url
        if friendbot is None:
            raise FundsError(f"this network has no friendbot; {_advice(survey)}")
        timeout = aiohttp.ClientTimeout(total=_FRIENDBOT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(friendbot, params={"addr": survey.address}) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FundsError(f"the network's friendbot does not answer: {error}") from error
        survey = await self.survey()
        if survey.balance_stroops is None or (status != 200 and survey.needed_stroops):  # noqa: PLR2004 - HTTP's OK
            raise FundsError(f"the network's friendbot refused (HTTP {status}); {_advice(survey)}")
        return survey


def _advice(survey: Survey) -> str:
    amount = -(-survey.needed_stroops // 10_000_000)
    return f"send {amount} XLM to the fee account {survey.address}, then run kale-pooler accounts create"
