"""Those whose KALE it is: they have it paid out, ask again under the same key, and leave; and what they got of it.

What they got is read from the closed ledgers and from nothing the backend says.
"""

from __future__ import annotations

import base64
import hashlib
import random
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from stellar_sdk import MuxedAccount, StrKey, xdr

from backend.app import Parts
from backend.domain.withdrawal import LIVE, Destination, PayoutReason, Withdrawal, WithdrawalState
from backend.errors import (
    BackendError,
    FarmerDepartedError,
    FarmerLeavingError,
    InsufficientBalanceError,
    WithdrawalLimitError,
)
from devnet.records import LedgerRecord, TransactionRecord
from kale_chain.xdr.envelopes import inner_transaction
from simulator.actors import Accounts
from simulator.chain import Chain
from simulator.errors import Violation
from simulator.life import GoneError, Life
from simulator.weather import Climate

_OUTSIDERS = 3
_LEAST_STROOPS = 1_000_000
_LARGEST_PART = 8
"""A payment is at most one so-manieth of what the farmer has."""
_STAY = 1
"""So many farmers never leave."""
_NO = (InsufficientBalanceError, WithdrawalLimitError, FarmerLeavingError, FarmerDepartedError)


@dataclass
class Order:
    """Something asked for under one key.

    Attributes:
        farmer_id: Whose KALE.
        farmer: The address that pays.
        key: The idempotency key.
        destination: Who is to be paid.
        stroops: How much; 0: everything, and the farmer leaves.
        answer: What the backend last said of it.
        refused: Whether it said no, so that it is asked no more.
        paid: The transaction that paid.
    """

    farmer_id: UUID
    farmer: str
    key: str
    destination: str
    stroops: int
    answer: Withdrawal | None = None
    refused: bool = False
    paid: str | None = None

    @property
    def withdrawal_id(self) -> UUID:
        """The id that is promised for it, for ever."""
        return uuid5(self.farmer_id, f"withdrawal {self.key}")

    @property
    def memo(self) -> bytes:
        """The memo by which its payment is known: SHA-256 of the id's text."""
        return hashlib.sha256(str(self.withdrawal_id).encode()).digest()

    @property
    def open(self) -> bool:
        """Whether it is to be asked again until it has ended."""
        return not self.refused and (self.answer is None or self.answer.state in LIVE)


@dataclass
class Holders:
    """Act once a ledger; every method but `act` raises Violation.

    Attributes:
        settling: Nothing new is asked for, and what is open is asked again.
        orders: Everything that was ever asked for.
    """

    chain: Chain
    accounts: Accounts
    climate: Climate
    rolls: random.Random
    settling: bool = False
    orders: list[Order] = field(default_factory=list)
    _farmers: dict[str, UUID] = field(default_factory=dict)
    _outsiders: list[str] = field(default_factory=list)
    _keys: list[bytes] = field(default_factory=list)
    _received: int = 0

    def begin(self) -> None:
        """Opens the accounts that are paid, in the next ledger."""
        self._outsiders = self.accounts.trusting(_OUTSIDERS)
        self._keys = [StrKey.decode_ed25519_public_key(address) for address in self._outsiders]

    def knows(self, address: str, farmer_id: UUID) -> None:
        """Learns of a farmer."""
        self._farmers[address] = farmer_id

    async def act(self, life: Life | None) -> None:
        """Asks for what is wanted; whatever the backend answers, it goes on at the next ledger."""
        if not self._outsiders:
            return
        if not self.settling:
            self._want()
        if life is None:
            return
        for order in self._to_ask():
            try:
                await self._ask(life, order)
            except (GoneError, BackendError):
                return

    def read(self, ledger: LedgerRecord) -> None:
        """Takes in what a closed ledger paid."""
        concerning = [record for record in ledger.transactions if record.successful and self._concerns(record)]
        for record in concerning:
            self._take(record)
        if concerning:
            held = sum(self.chain.kale(address) for address in self._outsiders)
            if held != self._received:
                what = f"{held} stroops were paid out, {self._received} of them were asked for"
                raise self._violation("unasked payment", what)

    def final(self) -> None:
        """After everybody had time: everything asked for has ended, and who left is gone."""
        for order in self.orders:
            if order.open:
                raise self._violation("never paid", f"{order}")
            if order.paid is not None and not order.stroops and self.chain.exists(order.farmer):
                raise self._violation("exit incomplete", f"{order.farmer} is still on the ledger")

    def _want(self) -> None:
        climate = self.climate
        if self.rolls.random() < climate.withdrawal:
            self._add(leaves=False)
        gone = {order.farmer for order in self.orders if not order.stroops and not order.refused}
        if len(self._farmers) - len(gone) > _STAY and self.rolls.random() < climate.exit:
            self._add(leaves=True)

    def _add(self, *, leaves: bool) -> None:
        farmer = self.rolls.choice(list(self._farmers))
        most = self.chain.kale(farmer) // _LARGEST_PART
        if not leaves and most <= _LEAST_STROOPS:
            return
        stroops = 0 if leaves else self.rolls.randint(_LEAST_STROOPS, most)
        key = f"order {len(self.orders)}"
        self.orders.append(Order(self._farmers[farmer], farmer, key, self.rolls.choice(self._outsiders), stroops))

    def _to_ask(self) -> list[Order]:
        """What has no answer yet; when settling, what has not ended; and now and then anything once more."""
        asked = [order for order in self.orders if order.open and (self.settling or order.answer is None)]
        if self.orders and self.rolls.random() < self.climate.replay:
            again = self.rolls.choice(self.orders)
            asked += [] if again.refused or again in asked else [again]
        return asked

    async def _ask(self, life: Life, order: Order) -> None:
        try:
            answer = await life.call(lambda parts: _asked(parts, order))
        except _NO:
            order.refused = True
            return
        order.answer = answer
        if answer.withdrawal_id != order.withdrawal_id:
            raise self._violation("other withdrawal", f"{order} was answered with {answer.withdrawal_id}")
        given_up = answer.refusal is not None and answer.refusal.reason is PayoutReason.UNREAD_LEDGERS
        if answer.state not in LIVE and not given_up and (answer.state is WithdrawalState.PAID) != bool(order.paid):
            raise self._violation(f"withdrawal wrongly {answer.state}", f"{order}")

    def _concerns(self, record: TransactionRecord) -> bool:
        """Whether a transaction names somebody who is paid."""
        raw = base64.b64decode(record.envelope_xdr)
        return any(key in raw for key in self._keys)

    def _take(self, record: TransactionRecord) -> None:
        raw = base64.b64decode(record.envelope_xdr)
        for order in self.orders:
            if order.memo in raw:
                self._pay(order, record)

    def _pay(self, order: Order, record: TransactionRecord) -> None:
        if order.paid is not None:
            raise self._violation("paid twice", f"{order} is paid again by {record.hash}")
        order.paid = record.hash
        paid = _payments(record.envelope_xdr)
        self._received += sum(stroops for _, stroops in paid)
        right = paid == [(order.destination, order.stroops)]
        if not right and (order.stroops or any(to != order.destination for to, _ in paid)):
            raise self._violation("wrong payment", f"{order} was paid as {paid}")

    def _violation(self, check: str, what: str) -> Violation:
        return Violation(check, self.chain.farm()[0], what)


async def _asked(parts: Parts, order: Order) -> Withdrawal:
    to = Destination(order.destination)
    if order.stroops:
        return await parts.withdrawing.withdraw(order.farmer_id, order.key, to, order.stroops)
    withdrawal, _ = await parts.withdrawing.leave(order.farmer_id, order.key, to)
    return withdrawal


def _payments(envelope_xdr: str) -> list[tuple[str, int]]:
    """Receivers and stroops of the payments of credit in a transaction, plain or fee bump."""
    carried = inner_transaction(xdr.TransactionEnvelope.from_xdr(envelope_xdr))
    assert carried is not None
    paid = [operation.body.payment_op for operation in carried.operations]
    return [
        (MuxedAccount.from_xdr_object(one.destination).account_id, one.amount.int64)
        for one in paid
        if one is not None and one.asset.type is not xdr.AssetType.ASSET_TYPE_NATIVE
    ]
