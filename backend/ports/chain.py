"""The ledger: reading the farm, following ledgers, building and sending transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.domain.attempt import Attempt
from backend.domain.farmer import FarmerKey
from backend.domain.money import AccountChange
from backend.domain.plant import FarmView
from backend.domain.result import TransactionResult
from backend.domain.signing import PayoutIntent
from kale_chain.model import Account, Block, BlockEntry, Farm, Ledger, PailEntry, Receiver

PailKey = tuple[str, int]
"""A farmer's address and a block index."""


@dataclass(frozen=True, slots=True)
class FoundPlant:
    """A plant that a ledger applied, whoever sent it."""

    address: str
    block_index: int
    stake_stroops: int
    ledger: int
    transaction_hash: str
    """64 hexadecimal digits."""

    @property
    def key(self) -> PailKey:
        """The pail it opened."""
        return self.address, self.block_index


class ChainReader(Protocol):
    """Reads the farm and accounts as of the last closed ledger."""

    async def view(self, ledger: Ledger) -> FarmView:
        """The farm, its current block, and `ledger` (or a later one, if the answer is newer)."""

    async def block(self, index: int) -> Block | None:
        """Block(index), or None if it never opened or the ledger has evicted it."""

    async def pails(self, keys: Sequence[PailKey]) -> tuple[int, Mapping[PailKey, PailEntry]]:
        """The ledger of the answer, and the pails that exist; any number of keys."""

    async def blocks(self, indexes: Sequence[int]) -> tuple[int, Mapping[int, BlockEntry]]:
        """The ledger of the answer, and the blocks that exist; any number of indexes."""

    async def harvests(self, pails: Mapping[PailKey, int]) -> Mapping[PailKey, TransactionResult]:
        """Successful harvests of these pails by whomever, found in the ledgers after each pail's plant (its value).

        Reads the transactions of all these ledgers, as far back as they can be read: for pails that someone else
        harvested, which is rare.
        """

    async def plants(self, addresses: Collection[str], after: int) -> Sequence[FoundPlant]:
        """Successful plants of these farmers in every ledger after `after`, as far back as they can be read."""

    async def balances(self, addresses: Sequence[str]) -> Mapping[str, int]:
        """KALE in stroops; an address without trustline is absent."""

    async def dated_balances(self, addresses: Sequence[str]) -> tuple[int, Mapping[str, int]]:
        """The ledger of the answer (0 if nothing was asked for), and KALE as `balances` gives it."""

    async def receivers(self, addresses: Sequence[str]) -> Mapping[str, Receiver]:
        """What each account can receive, whether it exists or not."""

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, Account]:
        """Sequence number and XLM; an address without account is absent."""


class ClosedLedgers(Protocol):
    """Ledgers closed since the update before."""

    @property
    def first(self) -> int:
        """The first of them."""

    @property
    def last(self) -> Ledger:
        """The last of them."""

    def find(self, attempt: Attempt) -> TransactionResult | None:
        """The result of an attempt's transaction, if one of these ledgers applied it."""

    def changes(self, addresses: Collection[str]) -> Sequence[AccountChange]:
        """What successful transactions, whoever sent them, did to these accounts' pails and KALE, in their order."""


class LedgerFeed(Protocol):
    """Follows the ledger."""

    @property
    def fault(self) -> str | None:
        """Why the ledger cannot be followed at the moment; None while it can."""

    async def last(self) -> Ledger:
        """The last closed ledger."""

    async def readable_after(self, after: int) -> int:
        """`after`, or the ledger before the oldest that can still be read, if that is later."""

    def updates(self, after: int) -> AsyncIterator[ClosedLedgers]:
        """Every ledger after `after` exactly once, for ever; outages only delay it."""


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What the network said of a sent transaction. It never decides the transaction's fate."""

    status: str
    """PENDING, DUPLICATE, TRY_AGAIN_LATER or ERROR."""
    code: str | None = None
    """With ERROR: the transaction result code, such as txBAD_SEQ."""


class TransactionSender(Protocol):
    """Hands signed transactions to the network."""

    async def send(self, envelope: str, *, tries: int = 0) -> SendOutcome:
        """Sends the bytes; sending the same ones again is harmless.

        `tries` is how often they were sent before: each time another endpoint gets them first.
        """


@dataclass(frozen=True, slots=True)
class UsedSequence:
    """The last sequence number an account has used, as of a closed ledger."""

    sequence: int
    ledger: int


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """How one RPC endpoint is."""

    name: str
    """Scheme, host and port."""
    latest: int | None
    """The last closed ledger it tells of; None: it does not answer."""
    circuit: str
    """closed, open or half-open: whether calls go to it first, or only for want of another."""
    fault: str | None
    """Why it has no vote; None while it has."""


class EndpointProbe(Protocol):
    """Looks at every RPC endpoint."""

    async def reports(self) -> Sequence[EndpointReport]:
        """Asks each for its last ledger, all at once; one that is silent or more than 3 ledgers behind has no vote.

        Calls of others go to the endpoints that keep up before those that do not, from now on.
        """


class Witnesses(Protocol):
    """What the RPC endpoints say together. One alone ends no attempt where there are several.

    Neither method raises for an endpoint that does not answer: it has no vote, and that is reported elsewhere.
    """

    async def absent(self, attempts: Sequence[Attempt], ledger: int) -> frozenset[bytes]:
        """Hashes (Attempt.hash) of those that, as enough endpoints agree, no ledger up to `ledger` holds.

        The caller has read these ledgers without finding them. Where endpoints contradict each other none is named.
        """

    async def used_sequences(self, sources: Sequence[str]) -> Mapping[str, UsedSequence]:
        """The last sequence numbers of accounts as enough endpoints confirm them; the others are left out.

        `ledger` is the latest of the confirming answers.
        """

    async def receivers(self, addresses: Sequence[str]) -> Mapping[str, Receiver]:
        """What accounts (G…) can receive, as enough endpoints say alike; the others are left out."""

    async def consumer(self, attempt: Attempt, ledger: int) -> bytes | None:
        """Hash of the transaction that used the attempt's sequence number after it was stored; None if not found."""


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction ready to be stored and sent; see Attempt for the fields."""

    hash: bytes
    inner_hash: bytes | None
    source: str
    sequence: int
    envelope: str = field(repr=False)
    max_ledger: int
    max_fee: int = 0
    """Most stroops of XLM it can cost."""


class TransactionFactory(Protocol):
    """Builds and signs; contract calls are fee-bumped by the master account. Pure but for the keys it holds.

    `sequence` is the sequence number the transaction uses (the source's last one plus 1); `max_ledger` is the first
    ledger that cannot take it; `shortfalls` counts how often the call has failed for want of resources, and makes it
    offer more.
    """

    @property
    def master(self) -> str:
        """The master account's address."""

    @property
    def channels(self) -> Sequence[str]:
        """Addresses of the channel accounts."""

    async def plant(
        self,
        key: FarmerKey,
        *,
        stake: int,
        block_index: int,
        sequence: int,
        min_ledger: int,
        max_ledger: int,
        shortfalls: int = 0,
    ) -> SignedTransaction:
        """A farmer's plant, its own source, for `min_ledger` at the earliest.

        Raises:
            VaultError: the farmer's seed does not open, or its key signs no such plant.
            SignerUnavailableError: the process that holds the keys does not answer.
        """

    def work(
        self,
        channel: str,
        *,
        farmer: str,
        block_index: int,
        digest: bytes,
        nonce: int,
        sequence: int,
        max_ledger: int,
        shortfalls: int = 0,
    ) -> SignedTransaction:
        """Work for a farmer through a channel account."""

    def harvest(
        self,
        channel: str,
        *,
        farmer: str,
        block_index: int,
        sequence: int,
        max_ledger: int,
        shortfalls: int = 0,
    ) -> SignedTransaction:
        """A farmer's harvest through a channel account."""

    def extension(
        self,
        channel: str,
        *,
        block_index: int,
        farmers: Sequence[str],
        ledgers: int,
        sequence: int,
        max_ledger: int,
        shortfalls: int = 0,
    ) -> SignedTransaction:
        """Lets a block and at most 20 pails in it live for `ledgers` more from now, through a channel account."""

    async def onboarding(self, keys: Sequence[FarmerKey], *, sequence: int, max_ledger: int) -> SignedTransaction:
        """Accounts (0 XLM) with KALE trustlines for at most 19 farmers, sponsored by the master account.

        Raises as `plant` does, for any of the farmers.
        """

    def channel_accounts(self, addresses: Sequence[str], *, sequence: int, max_ledger: int) -> SignedTransaction:
        """Channel accounts with 1 XLM each, created by the master account; at most 100."""

    async def payout(
        self, key: FarmerKey, intent: PayoutIntent, *, sequence: int, max_ledger: int
    ) -> SignedTransaction:
        """A withdrawal's transaction, its source the farmer.

        Raises:
            SealedSeedError: the farmer's seed does not open.
            PolicyRefusedError: the signer does not approve of it.
        """

    def bump(self, envelope: str, *, limit: int) -> SignedTransaction | None:
        """A fee bump around the inner transaction of this one, offering enough more to replace it in a node's queue.

        None where that would cost more than `limit` stroops.
        """

    def follow(self, farm: Farm) -> None:
        """Builds calls for this farm's code from now on; an upgrade changes it."""

    async def refresh(self) -> None:
        """Reads what fees are needed at present, for transactions built from now on; to be called at every ledger."""
