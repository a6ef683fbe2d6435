"""Sending: from the fee account and channel accounts of its own, each of which carries one transaction at a time."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from kale_chain.errors import RpcError
from kale_chain.farm import FarmReader
from kale_chain.model import FarmIdentity
from kale_chain.rpc import LedgerTransaction, StellarRpc, SubmissionStatus
from kale_chain.tx import MIN_FEE, Bounds, ClassicCalls, Signer, Transaction, fee_bump
from kale_lifeboat.errors import FundsError
from kale_lifeboat.patience import patiently

_log = structlog.get_logger(__name__)

CHANNEL_LABEL = "lifeboat channel"
CHANNEL_STROOPS = 10_000_000
"""What a channel account holds: the network's least balance of an account, 1 XLM. It spends nothing."""
KEEP_STROOPS = 50_000_000
"""What stays on the fee account: its own least balance, and fees."""
_CREATE_AT_ONCE = 50
_WINDOW_LEDGERS = 12
_FEE_STEP = 10

Build = Callable[[str, int, Bounds], Transaction]
"""Makes an unsigned transaction from its source account, that account's sequence number, and its bounds."""


@dataclass(frozen=True)
class Sender:
    """The accounts to send from.

    Args:
        rpc: Takes the transactions.
        identity: Farm and network.
        payer: The fee account.
        poll_seconds: How often the ledger is asked for.
        max_inclusion_fee: Most stroops to offer for inclusion.
    """

    rpc: StellarRpc
    identity: FarmIdentity
    payer: Signer
    poll_seconds: float
    max_inclusion_fee: int
    _sources: list[Signer] = field(default_factory=list)
    _fee: list[int] = field(default_factory=lambda: [MIN_FEE])

    @property
    def width(self) -> int:
        """How many transactions can be under way at a time."""
        return max(1, len(self._sources))

    async def prepare(self, channels: int) -> None:
        """Finds the channel accounts, and makes those that are missing as far as the fee account can pay for them.

        Raises:
            FundsError: The fee account does not exist.
            RpcError: No RPC answered for a long time.
        """
        derived = [self.payer.derive(CHANNEL_LABEL, number) for number in range(channels)]
        reader = FarmReader(self.rpc, self.identity)
        accounts = await patiently(lambda: reader.accounts([self.payer.address, *(one.address for one in derived)]))
        fee_account = accounts.get(self.payer.address)
        if fee_account is None:
            raise FundsError(f"the fee account {self.payer.address} does not exist on this network: send it XLM")
        self._fee[0] = await self._usual_fee()
        missing = [one for one in derived if one.address not in accounts]
        spare = fee_account.balance_stroops - fee_account.reserved_stroops - KEEP_STROOPS
        affordable = missing[: max(0, spare // CHANNEL_STROOPS)]
        for start in range(0, len(affordable), _CREATE_AT_ONCE):
            await self._create(affordable[start : start + _CREATE_AT_ONCE])
        if affordable:
            accounts = await patiently(lambda: reader.accounts([one.address for one in derived]))
        existing = [one for one in derived if one.address in accounts]
        self._sources[:] = existing or [self.payer]
        if len(existing) < channels:
            _log.warning("fewer channel accounts than asked for: the fee account holds too little", have=len(existing))

    async def carry(self, calls: Sequence[Build]) -> list[LedgerTransaction | None]:
        """Sends at most `width` farm calls at once, the same bytes at every ledger, until each has ended.

        None stands for one that no ledger took: look at the ledger before anything is built again. The next ones then
        offer a higher fee.

        Raises:
            RpcError: No RPC answered for a long time. What was sent may be applied all the same.
        """
        sources = self._sources[: len(calls)]
        reader = FarmReader(self.rpc, self.identity)
        accounts = await patiently(lambda: reader.accounts([source.address for source in sources]))
        bounds = await self._bounds()
        made = []
        for build, source in zip(calls, sources, strict=True):
            inner = build(source.address, accounts[source.address].sequence + 1, bounds).signed_by(source)
            made.append(fee_bump(inner, self.payer, inclusion_fee=self._fee[0]))
        results = await self._settle(made)
        if len(results) < len(made):
            self._fee[0] = min(self._fee[0] * _FEE_STEP, self.max_inclusion_fee)
            _log.warning("no ledger took some transactions", count=len(made) - len(results), next_fee=self._fee[0])
        return [results.get(transaction.hash) for transaction in made]

    async def _create(self, channels: Sequence[Signer]) -> None:
        reader = FarmReader(self.rpc, self.identity)
        account = (await patiently(lambda: reader.accounts([self.payer.address])))[self.payer.address]
        transaction = ClassicCalls(self.identity).create_accounts(
            source=self.payer.address,
            accounts=[(channel.address, CHANNEL_STROOPS) for channel in channels],
            sequence=account.sequence + 1,
            bounds=await self._bounds(),
            fee=self._fee[0],
        )
        _log.info("making channel accounts", count=len(channels))
        await self._settle([transaction.signed_by(self.payer)])

    async def _settle(self, made: Sequence[Transaction]) -> Mapping[str, LedgerTransaction]:
        """The results, by hash, of those that a ledger applied."""
        open_, results = {transaction.hash: transaction for transaction in made}, {}
        seen = 0
        while open_:
            last = (await patiently(self.rpc.latest_ledger)).sequence
            if last == seen:
                await asyncio.sleep(self.poll_seconds)
                continue
            seen = last
            for name, transaction in list(open_.items()):
                result = await patiently(partial(self.rpc.transaction, name))
                if result is not None:
                    results[name] = result
                    del open_[name]
                elif last >= transaction.max_ledger:
                    del open_[name]
                else:
                    await self._send(transaction)
        return results

    async def _send(self, transaction: Transaction) -> None:
        try:
            answer = await self.rpc.send(transaction.envelope)
        except RpcError as error:
            _log.warning("sending failed; it is sent again", problem=str(error))
            return
        if answer.status is SubmissionStatus.ERROR:
            _log.warning("the network refused it for now", code=answer.code, transaction_hash=transaction.hash)

    async def _bounds(self) -> Bounds:
        ledger = await patiently(self.rpc.latest_ledger)
        return Bounds(max_ledger=ledger.sequence + 1 + _WINDOW_LEDGERS)

    async def _usual_fee(self) -> int:
        stats = await patiently(self.rpc.fee_stats)
        return min(max(stats.soroban_inclusion_p90, MIN_FEE), self.max_inclusion_fee)
