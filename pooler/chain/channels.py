"""Work transactions: from a channel account, paid by the fee account."""

from collections.abc import Collection, Sequence

from kale_chain.farm import FarmReader
from kale_chain.planning.fees import inclusion_fee
from kale_chain.rpc import StellarRpc, SubmissionStatus
from kale_chain.tx import Bounds, FarmCalls, Signer, fee_bump
from kale_chain.tx.envelope import MIN_FEE
from pooler.chain.farm import readable
from pooler.domain.attempt import Attempt
from pooler.ports import SendState, Sent, WorkOrder

# Stroops an operation: above this a crowded network is waited out rather than outbid.
MAX_INCLUSION_FEE = 50_000

_STATES = {
    SubmissionStatus.PENDING: SendState.TAKEN,
    SubmissionStatus.DUPLICATE: SendState.TAKEN,
    SubmissionStatus.TRY_AGAIN_LATER: SendState.AGAIN,
    SubmissionStatus.ERROR: SendState.REFUSED,
}


class FarmWorkChannels:
    """The channel accounts of one fee account.

    Args:
        rpc: Takes the transactions.
        reader: Reads sequence numbers.
        calls: Builds the farm's calls.
        payer: The fee account.
        channels: The channel accounts that exist on the ledger.
    """

    def __init__(
        self, rpc: StellarRpc, reader: FarmReader, calls: FarmCalls, *, payer: Signer, channels: Sequence[Signer]
    ) -> None:
        self._rpc = rpc
        self._reader = reader
        self._calls = calls
        self._payer = payer
        self._channels = channels
        self._bids: tuple[int, ...] = (MIN_FEE,)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._channels)

    async def sequences(self, channels: Collection[int]) -> dict[int, int]:
        """The last used sequence number of each channel account."""
        numbers = {self._channels[number].address: number for number in channels if number < self.count}
        with readable(self._rpc.endpoint):
            accounts = await self._reader.accounts(list(numbers))
        return {numbers[address]: account.sequence for address, account in accounts.items()}

    async def refresh_fees(self) -> None:
        """Reads what others bid, and the rent that may fall due.

        What nine of ten recent contract calls were below is bid with ledgers to spare, the highest of all in the last.
        """
        stats = await self._rpc.fee_stats()
        self._bids = (stats.soroban_inclusion_p90, stats.soroban_inclusion_max)
        with readable(self._rpc.endpoint):
            farm = await self._reader.farm()
            self._calls.follow(farm)
            self._calls.fee_floor = await self._reader.fee_floor(farm)

    def build(self, order: WorkOrder) -> Attempt:
        """A signed work transaction, never valid in the plant's own ledger."""
        assignment, channel = order.assignment, self._channels[order.channel]
        bounds = Bounds(min(assignment.planted_ledger + 1, order.max_ledger - 1), max_ledger=order.max_ledger)
        inner = self._calls.work(
            source=channel.address,
            farmer=assignment.address,
            block_index=assignment.block_index,
            digest=order.find.digest,
            nonce=order.find.nonce,
            sequence=order.sequence,
            bounds=bounds,
        )
        fee = inclusion_fee(order.ledgers_left, self._bids, MAX_INCLUSION_FEE)
        bumped = fee_bump(inner.signed_by(channel), self._payer, inclusion_fee=fee)
        return Attempt(
            transaction_hash=bumped.hash,
            block_index=assignment.block_index,
            address=assignment.address,
            find=order.find,
            stage=order.stage,
            channel=order.channel,
            envelope=bumped.envelope,
            max_ledger=order.max_ledger,
        )

    async def send(self, attempt: Attempt) -> Sent:
        """Hands a transaction to the network."""
        answer = await self._rpc.send(attempt.envelope)
        return Sent(_STATES[answer.status], answer.code or "")
