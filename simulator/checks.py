"""What must hold, whatever happened: the books against the ledger, the rows against the truth."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.attempt import Attempt, AttemptState
from backend.domain.audit import GENESIS, link_hash
from backend.domain.harvest import HarvestState
from backend.domain.plant import PlantState
from kale_chain.model import BLOCK_SECONDS
from simulator.chain import Chain
from simulator.errors import Violation
from simulator.memory.tables import HarvestRow, Tables
from simulator.truth import PailKey, Truth

_GRACE_LEDGERS = 14
"""Healthy ledgers after which everything that a ledger shows must be in the rows."""
_HARVEST_GRACE_LEDGERS = 80
"""Healthy ledgers after which a pail that was due must be harvested."""


@dataclass
class Health:
    """How the backend's surroundings have been.

    Attributes:
        ledgers: Ledgers for which nothing has kept the backend from working, up to now.
        checks: Farmers' balances compared to the stroop.
    """

    ledgers: int = 0
    checks: int = 0


class Checker:
    """Compares; every method raises Violation."""

    def __init__(self, chain: Chain, truth: Truth, health: Health) -> None:
        self._chain = chain
        self._truth = truth
        self._health = health
        self._links_seen = 0

    def check(self, tables: Tables) -> None:
        """Everything, as of the last closed ledger."""
        rows = {(row.address, row.block_index): row for row in tables.harvests}
        self._plants(tables)
        self._harvests(rows)
        self._attempts(tables)
        self._balances(tables, rows)
        self._chain_of_events(tables)

    def sent(self, tables: Tables, envelope: str) -> Violation | None:
        """A transaction that a backend sends was stored first; None if it was."""
        if any(row.attempt.current_envelope == envelope for row in tables.attempts.having(AttemptState.OPEN)):
            return None
        # One that ended meanwhile, or whose fee bump was raised, may still be on its way.
        if any(envelope in _envelopes(row.attempt) for row in tables.attempts):
            return None
        return self._violation("sent before stored", "a transaction that no row knows was sent")

    def final(self, tables: Tables) -> None:
        """After everybody had time: nothing is open, and every pail that could be harvested was."""
        self.check(tables)
        for pail in self._truth.open_pails.values():
            raise self._violation("never harvested", f"{pail}")
        if tables.attempts.having(AttemptState.OPEN):
            raise self._violation("open for ever", f"{tables.attempts.having(AttemptState.OPEN)[0].attempt}")

    def _violation(self, check: str, what: str) -> Violation:
        return Violation(check, self._truth.index, what)

    def _known_by_now(self, ledger: int) -> bool:
        return self._chain.sequence - ledger > _GRACE_LEDGERS and self._health.ledgers > _GRACE_LEDGERS

    def _plants(self, tables: Tables) -> None:
        for row in tables.plants.having(PlantState.CONFIRMED):
            plant = row.plant
            pail = self._truth.pails.get((plant.address, plant.block_index))
            if pail is None or pail.stake != plant.stake_stroops:
                raise self._violation("plant without pail", f"{plant} is not on the ledger: {pail}")

    def _harvests(self, rows: dict[PailKey, HarvestRow]) -> None:
        for key, pail in self._truth.pails.items():
            row = rows.get(key)
            if row is None:
                if self._known_by_now(pail.planted) and pail.lost is None:
                    raise self._violation("pail without row", f"{pail}")
                continue
            if row.stake != pail.stake:
                raise self._violation("wrong stake", f"{row} is {pail}")
            wrong = {
                HarvestState.CONFIRMED: pail.harvested is None,
                HarvestState.LOST: pail.lost is None,
                HarvestState.FAILED: pail.lost is None,
                HarvestState.PENDING: pail.harvested is not None and self._known_by_now(pail.harvested),
            }
            if wrong[row.state]:
                raise self._violation(f"harvest wrongly {row.state}", f"{pail} but {row}")
        self._overdue(rows)

    def _overdue(self, rows: dict[PailKey, HarvestRow]) -> None:
        if self._health.ledgers <= _HARVEST_GRACE_LEDGERS:
            return
        ledgers_in_block = BLOCK_SECONDS // 15
        for key, pail in self._truth.open_pails.items():
            age = self._truth.index - pail.block_index
            if key in rows and age > 4 + _HARVEST_GRACE_LEDGERS // ledgers_in_block:
                raise self._violation("not harvested", f"{pail} is {age} blocks old")

    def _attempts(self, tables: Tables) -> None:
        for row in tables.attempts.having(AttemptState.OPEN):
            if self._known_by_now(row.attempt.max_ledger):
                raise self._violation("open past proof", f"{row}")

    def _balances(self, tables: Tables, rows: dict[PailKey, HarvestRow]) -> None:
        for farmer in tables.farmers:
            address = farmer.key.address
            if address not in self._truth.deposits:
                continue
            earned = sum(row.reward or 0 for row in rows.values() if row.address == address)
            if farmer.earned != earned:
                raise self._violation("earnings", f"{address} has {farmer.earned} in the books, rewards are {earned}")
            expected = self._expected(address, rows)
            if expected is None:
                continue
            self._health.checks += 1
            if (found := self._chain.kale(address)) != expected:
                raise self._violation("balance", f"{address} holds {found}, the books say {expected}")

    def _expected(self, address: str, rows: dict[PailKey, HarvestRow]) -> int | None:
        """The farmer's balance by deposits and books; None while a harvest is not booked yet."""
        balance = self._truth.deposits[address]
        for key, pail in self._truth.pails.items():
            if pail.address != address:
                continue
            balance -= pail.stake
            if pail.harvested is not None:
                row = rows.get(key)
                if row is None or row.reward is None:
                    return None
                balance += row.stake + row.reward
        return balance

    def _chain_of_events(self, tables: Tables) -> None:
        links = tables.links
        start = self._links_seen if self._links_seen <= len(links) else 0
        previous = links[start - 1].hash if start else GENESIS
        for link in links[start:]:
            if link.previous_hash != previous or link.hash != link_hash(previous, link.number, link.content):
                raise self._violation("audit chain", f"link {link.number} does not follow")
            previous = link.hash
        self._links_seen = len(links)


def _envelopes(attempt: Attempt) -> list[str]:
    return [attempt.envelope, *(bump.envelope for bump in attempt.bumps)]
