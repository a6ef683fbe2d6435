"""Holding a statement against the chain: what its transactions did is read again and compared, entry by entry.

A transaction's ledger-entry changes show the farmer's KALE before and after it. So the transactions found must join
without a gap: each begins with what the one before left. A movement that the statement does not mention shows as a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from backend.domain.statement import Statement, StatementEntry, closing_of

_AVAILABLE, _STAKED, _MINT = "available", "staked", "mint"
_BOOKING = timedelta(minutes=2)
"""Within so long of a ledger's close its movements are booked, while the pool works."""
_STAKE, _HARVEST = "stake", "harvest"


@dataclass(frozen=True, slots=True)
class Movement:
    """What one transaction did to a farmer, as the chain has it; amounts in stroops of KALE.

    Attributes:
        ledger: The ledger that applied it.
        order: Its place in that ledger.
        successful: Whether it took effect.
        fee: Stroops of XLM charged.
        before: On the account before it; None where it did not touch the balance.
        after: On the account after it; likewise.
        planted: Stakes of new pails, by block.
        emptied: Stakes of harvested pails, by block.
    """

    ledger: int
    order: int
    successful: bool
    fee: int
    before: int | None = None
    after: int | None = None
    planted: Mapping[int, int] = field(default_factory=dict)
    emptied: Mapping[int, int] = field(default_factory=dict)

    @property
    def amount(self) -> int:
        """By how much the account grew."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True, slots=True)
class Present:
    """The farmer's account as it is now.

    Attributes:
        balance: KALE on it, in stroops.
        ledger: The ledger that changed it last.
        closed_at: When that ledger closed; None where the RPC no longer holds it.
    """

    balance: int
    ledger: int
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of holding a statement against the chain.

    Attributes:
        proven: Entries that the chain confirms.
        differences: What the chain says otherwise, each in a sentence.
        unproven: Entries that no transaction can prove, or whose transaction the RPC no longer holds.
    """

    proven: int
    differences: Sequence[str]
    unproven: Sequence[str]


def verify(statement: Statement, movements: Mapping[str, Movement | None], present: Present | None = None) -> Verdict:
    """Compares a statement with what its transactions did.

    Args:
        statement: The statement.
        movements: What each transaction that it names did, by hash; None where the RPC holds no such transaction.
        present: The account as it is now; None if it is gone.
    """
    differences, unproven, proven = _arithmetic(statement), [], 0
    by_hash: dict[str, list[StatementEntry]] = {}
    for entry in statement.entries:
        if entry.transaction is None:
            unproven.append(f"{_name(entry)}: no transaction did it")
        else:
            by_hash.setdefault(entry.transaction, []).append(entry)
    for transaction, entries in by_hash.items():
        movement = movements.get(transaction)
        if movement is None:
            unproven += [f"{_name(entry)}: the RPC does not hold transaction {transaction}" for entry in entries]
            continue
        found = _compared(entries, movement)
        differences += [f"transaction {transaction}: {text}" for text in found]
        proven += 0 if found else len(entries)
    known = {name: movement for name, movement in movements.items() if movement is not None}
    complete = all(entry.transaction in known or not _moves(entry) for entry in statement.entries)
    differences += _gaps(statement, list(known.values()), complete=complete)
    late, unknown = _since(statement, list(known.values()), present)
    differences += late
    unproven += unknown
    return Verdict(proven, differences, unproven)


def _arithmetic(statement: Statement) -> list[str]:
    differences = []
    for name, stroops in closing_of(statement.opening, statement.entries).items():
        if statement.closing.get(name) != stroops:
            text = f"{name}: opening and entries make {stroops}, the closing balance says {statement.closing.get(name)}"
            differences.append(text)
    differences += [
        f"{_name(entry)}: its amounts sum to {sum(entry.amounts.values())}, not to zero"
        for entry in statement.entries
        if sum(entry.amounts.values())
    ]
    return differences


def _compared(entries: Sequence[StatementEntry], movement: Movement) -> list[str]:
    """What one transaction did otherwise than its entries say."""
    if not movement.successful:
        return ["it failed, and so did nothing"]
    differences = []
    said = sum(entry.amounts.get(_AVAILABLE, 0) for entry in entries)
    if said != movement.amount:
        differences.append(f"the account changed by {movement.amount}, the statement says {said}")
    for entry in entries:
        if entry.ledger not in (None, movement.ledger):
            differences.append(f"it is in ledger {movement.ledger}, the statement says {entry.ledger}")
        if entry.fee not in (None, movement.fee):
            differences.append(f"its fee was {movement.fee}, the statement says {entry.fee}")
    differences += _pails("planted", _stakes(entries, _STAKE, 1), movement.planted)
    differences += _pails("harvested", _stakes(entries, _HARVEST, -1), movement.emptied)
    returned = sum(movement.emptied.values())
    reward = -sum(entry.amounts.get(_MINT, 0) for entry in entries)
    if movement.emptied and reward != movement.amount - returned + sum(movement.planted.values()) - _paid(entries):
        differences.append(f"of {movement.amount} stakes were {returned}, the statement says {reward} were rewards")
    return differences


def _paid(entries: Sequence[StatementEntry]) -> int:
    """What the account gained by payments in the same transaction."""
    return sum(entry.amounts.get(_AVAILABLE, 0) for entry in entries if entry.kind not in (_STAKE, _HARVEST))


def _stakes(entries: Sequence[StatementEntry], kind: str, sign: int) -> dict[int, int]:
    return {
        entry.block: sign * entry.amounts.get(_STAKED, 0)
        for entry in entries
        if entry.kind == kind and entry.block is not None
    }


def _pails(verb: str, said: Mapping[int, int], found: Mapping[int, int]) -> list[str]:
    return [
        f"block {block}: {verb} with a stake of {found.get(block)}, the statement says {said.get(block)}"
        for block in sorted(set(said) | set(found))
        if said.get(block) != found.get(block)
    ]


def _gaps(statement: Statement, movements: Sequence[Movement], *, complete: bool) -> list[str]:
    """Where the transactions do not join; the ends are compared only if no movement is missing."""
    touching = sorted((one for one in movements if one.before is not None), key=lambda one: (one.ledger, one.order))
    if not touching or not complete:
        return []
    differences = []
    balance, place = statement.opening.get(_AVAILABLE, 0), "the opening balance"
    for ledger, group in groupby(touching, key=lambda one: one.ledger):
        for one in group:
            if one.before != balance:
                text = f"{place} is {balance}, but ledger {ledger} began with {one.before}: a movement is missing"
                differences.append(text)
            balance, place = one.after or 0, f"the balance after ledger {ledger}"
    if balance != statement.closing.get(_AVAILABLE):
        closing = statement.closing.get(_AVAILABLE)
        differences.append(f"{place} is {balance}, but the closing balance is {closing}: a movement is missing")
    return differences


def _since(statement: Statement, movements: Sequence[Movement], present: Present | None) -> tuple[list[str], list[str]]:
    """What the account as it is now says of the statement's end: differences, and what it leaves open."""
    closing = statement.closing.get(_AVAILABLE)
    if closing == (0 if present is None else present.balance):
        return [], []
    if present is None:
        return [], [f"the end: the closing balance is {closing}, and the account has no KALE trustline any more"]
    last = max((one.ledger for one in movements if one.before is not None), default=0)
    text = f"the account holds {present.balance} since ledger {present.ledger}, the closing balance is {closing}"
    if present.ledger <= last:
        return [text], []
    if present.closed_at is None:
        return [], [f"the end: {text}; whether it changed within the period, the RPC cannot tell any more"]
    if present.closed_at >= statement.ends - _BOOKING:
        return [], [f"the end: {text}; that ledger closed after the period, or too shortly before its end"]
    return [f"{text}: a movement within the period is missing"], []


def _moves(entry: StatementEntry) -> bool:
    return bool(entry.amounts.get(_AVAILABLE))


def _name(entry: StatementEntry) -> str:
    block = "" if entry.block is None else f" of block {entry.block}"
    return f"{entry.kind}{block} booked at {entry.booked_at:%Y-%m-%d %H:%M:%S}"
