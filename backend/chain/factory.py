"""Builds and signs the pool's transactions; contract calls are wrapped in fee bumps that the master account pays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from backend.chain.faults import ledger_faults
from backend.domain.farmer import FarmerKey
from backend.domain.signing import MemoKind as SignedMemoKind
from backend.domain.signing import OnboardingIntent, PayoutIntent, PlantIntent
from backend.ports.chain import SignedTransaction
from backend.ports.vault import Vault
from kale_chain.farm import EXTENSION_FEE_STROOPS, FarmReader
from kale_chain.model import Farm, FarmIdentity, Memo, MemoKind, Resources
from kale_chain.rpc import StellarRpc
from kale_chain.tx import (
    EXTENSION,
    HARVEST,
    MIN_FEE,
    PLANT,
    PLANT_WITHOUT_STAKE,
    WORK,
    Bounds,
    ClassicCalls,
    FarmCalls,
    Signer,
    Transaction,
    bump_again,
    fee_bump,
)

_log = structlog.get_logger()

CHANNEL_STROOPS = 10_000_000
"""XLM each channel account is created with: its reserve; fees are the master account's."""
MAX_INCLUSION_FEE = 100_000
"""Most stroops an operation is allowed to offer for being included: 0.01 XLM, 1,000 times the least."""
_REFRESH_EVERY = 10
"""Of so many calls of refresh one reads fees."""
_CHANNEL_LABEL = "backend channel"
_MARGIN_PERCENT = 100
_BUMP_FACTOR = 10
"""How many times its predecessor's fee rate a node asks of a fee bump that replaces another in its queue."""


class KaleTransactionFactory:
    """TransactionFactory over kale_chain.tx, the vault and the master account's key.

    Args:
        identity: The farm.
        master: Signer of the master account; channel accounts are derived from it.
        vault: Signs for farmers.
        rpc: Where the present inclusion fee is read.
        channels: How many channel accounts to use.
    """

    def __init__(self, identity: FarmIdentity, master: Signer, vault: Vault, rpc: StellarRpc, *, channels: int) -> None:
        self._farm = FarmCalls(identity)
        self._classic = ClassicCalls(identity)
        self._master = master
        self._vault = vault
        self._rpc = rpc
        self._reader = FarmReader(rpc, identity)
        self._fee = MIN_FEE
        self._refreshes = 0
        self._passphrase = identity.passphrase
        self._channels = {signer.address: signer for signer in channel_signers(master, channels)}

    @property
    def master(self) -> str:
        """See TransactionFactory."""
        return self._master.address

    @property
    def channels(self) -> Sequence[str]:
        """See TransactionFactory."""
        return tuple(self._channels)

    def follow(self, farm: Farm) -> None:
        """See TransactionFactory."""
        if self._farm.follow(farm):
            _log.warning("the farm was upgraded", wasm_hash=farm.wasm_hash.hex() if farm.wasm_hash else None)
            # New code has a short life, which its first call extends; what that costs is read at the next refresh.
            self._farm.fee_floor = EXTENSION_FEE_STROOPS

    async def refresh(self) -> None:
        """See TransactionFactory. The fee nine in ten recent contract calls offered at most, within bounds."""
        self._refreshes += 1
        # Rent that is due is owed by one call only: it is looked at again at once.
        if self._refreshes % _REFRESH_EVERY != 1 and not self._farm.fee_floor:
            return
        with ledger_faults():
            stats = await self._rpc.fee_stats()
            self._farm.fee_floor = await self._reader.fee_floor(await self._reader.farm())
        self._fee = min(max(stats.soroban_inclusion_p90, MIN_FEE), MAX_INCLUSION_FEE)

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
        """See TransactionFactory."""
        call = self._farm.plant(
            farmer=key.address,
            stake=stake,
            block_index=block_index,
            sequence=sequence,
            bounds=Bounds(min_ledger, max_ledger=max_ledger),
            resources=_resources(PLANT if stake > 0 else PLANT_WITHOUT_STAKE, shortfalls),
        )
        signature = await self._vault.sign(key, call.envelope_bytes, PlantIntent(stake))
        return self._bumped(call.with_signature(key.address, signature))

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
        """See TransactionFactory."""
        call = self._farm.work(
            source=channel,
            farmer=farmer,
            block_index=block_index,
            digest=digest,
            nonce=nonce,
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
            resources=_resources(WORK, shortfalls),
        )
        return self._bumped(call.signed_by(self._channels[channel]))

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
        """See TransactionFactory."""
        call = self._farm.harvest(
            source=channel,
            farmer=farmer,
            block_index=block_index,
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
            resources=_resources(HARVEST, shortfalls),
        )
        return self._bumped(call.signed_by(self._channels[channel]))

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
        """See TransactionFactory."""
        call = self._farm.extension(
            source=channel,
            block_index=block_index,
            farmers=farmers,
            ledgers=ledgers,
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
            resources=_resources(EXTENSION, shortfalls),
        )
        return self._bumped(call.signed_by(self._channels[channel]))

    async def onboarding(self, keys: Sequence[FarmerKey], *, sequence: int, max_ledger: int) -> SignedTransaction:
        """See TransactionFactory."""
        call = self._classic.sponsored_accounts(
            sponsor=self.master,
            addresses=[key.address for key in keys],
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
            fee=self._fee,
        )
        signing = (self._vault.sign(key, call.envelope_bytes, OnboardingIntent()) for key in keys)
        signed = call.signed_by(self._master)
        for key, signature in zip(keys, await asyncio.gather(*signing), strict=True):
            signed = signed.with_signature(key.address, signature)
        return _signed(signed)

    def channel_accounts(self, addresses: Sequence[str], *, sequence: int, max_ledger: int) -> SignedTransaction:
        """See TransactionFactory."""
        call = self._classic.create_accounts(
            source=self.master,
            accounts=[(address, CHANNEL_STROOPS) for address in addresses],
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
            fee=self._fee,
        )
        return _signed(call.signed_by(self._master))

    async def payout(
        self, key: FarmerKey, intent: PayoutIntent, *, sequence: int, max_ledger: int
    ) -> SignedTransaction:
        """See TransactionFactory."""
        said = intent.memo
        call = self._classic.payout(
            source=key.address,
            payments=[(leg.destination, leg.amount_stroops, leg.native) for leg in intent.payments],
            close_into=self.master if intent.closes_account else None,
            memo=None if said.kind is SignedMemoKind.NONE else Memo(MemoKind(said.kind), said.value),
            sequence=sequence,
            bounds=Bounds(max_ledger=max_ledger),
        )
        signature = await self._vault.sign(key, call.envelope_bytes, intent)
        return self._bumped(call.with_signature(key.address, signature))

    def bump(self, envelope: str, *, limit: int) -> SignedTransaction | None:
        """See TransactionFactory."""
        last = Transaction.from_envelope(envelope, self._passphrase)
        offered = (last.fee - last.resource_fee) // (last.operations + 1)
        bump = bump_again(last, self._master, inclusion_fee=max(_BUMP_FACTOR * offered, self._fee))
        return _signed(bump) if bump.fee <= limit else None

    def _bumped(self, call: Transaction) -> SignedTransaction:
        return _signed(fee_bump(call, self._master, inclusion_fee=self._fee))


def channel_signers(master: Signer, count: int) -> list[Signer]:
    """The channel accounts of a master account."""
    return [master.derive(_CHANNEL_LABEL, number) for number in range(count)]


def _resources(usual: Resources, shortfalls: int) -> Resources:
    return usual.with_margin(_MARGIN_PERCENT * shortfalls) if shortfalls else usual


def _signed(transaction: Transaction) -> SignedTransaction:
    inner = transaction.inner_hash
    return SignedTransaction(
        hash=transaction.digest,
        inner_hash=bytes.fromhex(inner) if inner is not None else None,
        source=transaction.source,
        sequence=transaction.sequence,
        envelope=transaction.envelope,
        max_ledger=transaction.max_ledger,
        max_fee=transaction.fee,
    )
