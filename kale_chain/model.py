"""What the farm keeps on the ledger, as plain values.

Amounts are stroops (7 decimals of KALE or XLM), times are seconds of ledger time, `sequence` counts ledgers.
Source of every field: the farm contract's storage.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

STROOPS_PER_KALE = 10_000_000
STROOPS_PER_XLM = 10_000_000
BLOCK_SECONDS = 300
ENTROPY_BYTES = 32
DIGEST_BYTES = 32
MAX_NONCE = 2**64 - 1

LONGEST_LIFE_LEDGERS = 3_110_400
"""The longest life of an entry on the public networks, in ledgers."""
WEEK_LEDGERS = 120_960
"""A week of five-second ledgers: a farm this far below the longest life is extended by the next call."""
_DUE_SOON_LEDGERS = 60

MAX_EXTENDED = 20
"""Pails whose lives one transaction extends."""

U32_MAX = 2**32 - 1
I128_MAX = 2**127 - 1
I128_MIN = -(2**127)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A closed ledger: its sequence and its close time in seconds since 1970."""

    sequence: int
    close_time: int


@dataclass(frozen=True, slots=True)
class Block:
    """One block's record: when it opened, the ranges rewards are measured in, and what was staked and scored.

    In the farm's instance the same record (`FarmBlock`) collects the ranges for the next block: there the minima start
    at their type's maximum and `max_stake` at its minimum until something is seen.

    Attributes:
        timestamp: Close time of the opening ledger, seconds.
        min_gap: Smallest gap, in ledgers.
        min_stake: Smallest stake, in stroops.
        min_zeros: Fewest leading zero nibbles.
        max_gap: Largest gap, in ledgers.
        max_stake: Largest stake, in stroops.
        max_zeros: Most leading zero nibbles.
        entropy: 32 bytes that every work hash of the block contains.
        staked_total: Stakes planted and not yet worked, in stroops.
        normalized_total: Sum of the pails' normalized sums.
    """

    timestamp: int
    min_gap: int
    min_stake: int
    min_zeros: int
    max_gap: int
    max_stake: int
    max_zeros: int
    entropy: bytes
    staked_total: int
    normalized_total: int

    @classmethod
    def unseen(cls, timestamp: int) -> Self:
        """A record that has seen nothing since `timestamp`, as the farm's instance holds after opening a block."""
        return cls(
            timestamp=timestamp,
            min_gap=U32_MAX,
            min_stake=I128_MAX,
            min_zeros=U32_MAX,
            max_gap=0,
            max_stake=I128_MIN,
            max_zeros=0,
            entropy=bytes(ENTROPY_BYTES),
            staked_total=0,
            normalized_total=0,
        )

    def opened_at(self, timestamp: int) -> Self:
        """The block that opens at `timestamp` from what this record has seen; what was never seen becomes 0."""
        return replace(
            self,
            timestamp=timestamp,
            min_gap=0 if self.min_gap == U32_MAX else self.min_gap,
            min_stake=0 if self.min_stake == I128_MAX else self.min_stake,
            min_zeros=0 if self.min_zeros == U32_MAX else self.min_zeros,
            max_stake=0 if self.max_stake == I128_MIN else self.max_stake,
            staked_total=0,
            normalized_total=0,
        )

    @property
    def ends_at(self) -> int:
        """Ledger time, in seconds, from which a plant opens the next block."""
        return self.timestamp + BLOCK_SECONDS


@dataclass(frozen=True, slots=True)
class Pail:
    """One farmer's record in one block.

    Attributes:
        sequence: Ledger of the plant.
        gap: Ledgers from plant to work, or None before the first accepted work.
        stake: Stroops burned at the plant.
        zeros: Leading zero nibbles of the accepted work, or None before the first.
    """

    sequence: int
    gap: int | None
    stake: int
    zeros: int | None

    @property
    def worked(self) -> bool:
        """Whether a work was accepted, so that stake and reward can be harvested."""
        return self.zeros is not None


@dataclass(frozen=True, slots=True)
class PailEntry:
    """A pail on the ledger and the last ledger it lives in; after that its stake and reward are gone."""

    pail: Pail
    live_until: int


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """A block's record on the ledger and the last ledger it lives in; after that none of its pails can be harvested."""

    block: Block
    live_until: int


def is_extension_due(live_until: int, ledger: int) -> bool:
    """Whether a call now, or within a block, extends the life of an entry, instance or code, that ends so."""
    return live_until - ledger < LONGEST_LIFE_LEDGERS - WEEK_LEDGERS + _DUE_SOON_LEDGERS


@dataclass(frozen=True, slots=True)
class Farm:
    """The farm's instance as one answer of the RPC showed it.

    Attributes:
        index: The current block's index (0 before the first plant).
        block: The instance's own record (`FarmBlock`); its timestamp is the current block's opening.
        paused: Whether plants are refused. Work and harvest go on.
        ledger: Latest closed ledger when the instance was read.
        live_until: Last ledger the instance lives in unless it is extended.
        wasm_hash: SHA-256 of its present code, 32 bytes, which an upgrade changes; None if that was not read.
    """

    index: int
    block: Block
    paused: bool
    ledger: int
    live_until: int
    wasm_hash: bytes | None = None

    def planted_index(self, close_time: int, *, block_exists: bool) -> int:
        """The index of the block that a plant falls into, in a ledger that closes at `close_time` (seconds).

        It opens that block unless it is the current one and exists. A farm younger than 300 s starts at index 0; one
        that nobody planted in for so long at index 1.

        Args:
            close_time: The applying ledger's close time; at the earliest a moment after the last closed one's.
            block_exists: Whether the current block is on the ledger, neither unopened nor expired.
        """
        if close_time >= self.block.ends_at:
            return self.index + 1
        return self.index if block_exists or not self.index else self.index + 1

    @property
    def extension_due(self) -> bool:
        """Whether a call now, or within a block, extends the farm's life and so pays a week's rent more than usual."""
        return is_extension_due(self.live_until, self.ledger)


@dataclass(frozen=True, slots=True)
class Account:
    """An account on the ledger: its last used sequence number and its XLM in stroops.

    `reserved_stroops` of the balance cannot be spent: the ledger keeps them for what the account owns, sponsors or has
    offered for sale.
    """

    sequence: int
    balance_stroops: int
    reserved_stroops: int = 0


class MemoKind(StrEnum):
    """Kinds of memos."""

    TEXT = "text"
    ID = "id"
    HASH = "hash"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Memo:
    """A transaction's memo.

    Attributes:
        kind: Its kind.
        value: The text, the number in decimal digits, or the hash as 64 hexadecimal digits.
    """

    kind: MemoKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The memo that `str` made `text` of."""
        kind, _, value = text.partition(":")
        return cls(MemoKind(kind), value)


@dataclass(frozen=True, slots=True)
class Counterparty:
    """The other side of a payment, as its transaction names it.

    Attributes:
        address: Who sent or got it (G…, M… or C…); None where no operation says so.
        memo: The transaction's memo.
    """

    address: str | None = None
    memo: Memo | None = None


NOBODY = Counterparty()
"""The other side of what no payment did."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """What an account can receive, as of one ledger.

    Attributes:
        exists: Whether the account does.
        room: Stroops of KALE that its trustline can still take; None: it has no KALE trustline.
        authorised: Whether the issuer lets it hold and move KALE.
        memo_required: Whether it refuses payments without a memo (`config.memo_required`, SEP-29).
    """

    exists: bool
    room: int | None = None
    authorised: bool = False
    memo_required: bool = False


@dataclass(frozen=True, slots=True)
class FarmIdentity:
    """Which farm on which network; established once by `identify.identify`.

    Attributes:
        farm_id: The farm's contract id (C…).
        token_id: KALE's contract id (C…), the farm's `HomesteadAsset`.
        asset_code: The classic asset's code.
        asset_issuer: The classic asset's issuer (G…).
        wasm_hash: SHA-256 of the farm's code, 32 bytes.
        homesteader: The farm's administrator (G… or C…).
        passphrase: The network's passphrase.
    """

    farm_id: str
    token_id: str
    asset_code: str
    asset_issuer: str
    wasm_hash: bytes
    homesteader: str
    passphrase: str


@dataclass(frozen=True, slots=True)
class Resources:
    """What a contract call may use. More than this and it fails, charged all the same.

    Attributes:
        instructions: CPU instructions.
        disk_read_bytes: Bytes of classic entries read.
        write_bytes: Bytes written.
        resource_fee: Most stroops for all of it and for rent; the refundable part that is not used comes back.
    """

    instructions: int
    disk_read_bytes: int
    write_bytes: int
    resource_fee: int

    def with_margin(self, percent: int) -> Self:
        """These and `percent` more of each, rounded up."""

        def more(value: int) -> int:
            return value + -(-value * percent // 100)

        return replace(
            self,
            instructions=more(self.instructions),
            disk_read_bytes=more(self.disk_read_bytes),
            write_bytes=more(self.write_bytes),
            resource_fee=more(self.resource_fee),
        )
