"""What must hold, whatever happened: the books against the ledger, the rows against the truth."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.attempt import Attempt, AttemptState
from backend.domain.audit import GENESIS, link_hash
from backend.domain.harvest import HarvestState
from backend.domain.plant import PlantState
from backend.services.submitting import LEDGER_WINDOW
from devnet.records import LedgerRecord
from kale_chain.model import BLOCK_SECONDS
from simulator.chain import LEDGER_SECONDS, Chain
from simulator.database import SimulatedDatabase
from simulator.errors import Violation
from simulator.memory.tables import HarvestRow, Tables
from simulator.truth import PailKey, Truth

_SHOWN = {
    AttemptState.SUCCEEDED: True,
    AttemptState.FAILED: False,
    AttemptState.EXPIRED: None,
    AttemptState.SUPERSEDED: None,
}
"""What the ledger shows of an attempt that has ended so: success, failure or nothing."""
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
    """Compares; every method raises Violation.

    Attributes:
        lied: Whether an endpoint has lied: what the ledger shows may be disputed then, and its booking wait.
    """

    def __init__(self, chain: Chain, truth: Truth, health: Health, harvest_after: int) -> None:
        self._chain = chain
        self._truth = truth
        self._health = health
        self._harvest_after = harvest_after
        self._links_seen = 0
        self._proven: set[bytes] = set()
        self.lied = False

    def forget(self) -> None:
        """What was looked at is looked at again: the database was restored."""
        self._proven.clear()
        self._links_seen = 0

    async def check(self, database: SimulatedDatabase) -> None:
        """Everything, as of the last closed ledger."""
        tables = database.tables
        rows = {(row.address, row.block_index): row for row in tables.harvests}
        self._proofs(tables)
        self._fences(tables)
        self._plants(tables)
        self._harvests(rows)
        self._attempts(tables)
        self._balances(tables, rows)
        self._chain_of_events(tables)
        wrong = await database.check_books()
        if wrong:
            raise self._violation("ledger check", str(wrong[0]))

    def sent(self, tables: Tables, envelope: str) -> Violation | None:
        """A transaction that a backend sends was stored first; None if it was."""
        if any(row.attempt.current_envelope == envelope for row in tables.attempts.having(AttemptState.OPEN)):
            return None
        # One that ended meanwhile, or whose fee bump was raised, may still be on its way.
        if any(envelope in _envelopes(row.attempt) for row in tables.attempts):
            return None
        return self._violation("sent before stored", "a transaction that no row knows was sent")

    def applied(self, tables: Tables, ledger: LedgerRecord) -> None:
        """No transaction is applied whose attempt had been given up."""
        for record in ledger.transactions:
            row = tables.attempts.get(bytes.fromhex(record.hash))
            if row is not None and row.state is not AttemptState.OPEN:
                raise self._violation("ended without proof", f"ledger {ledger.sequence} applied what was {row.state}")

    async def final(self, database: SimulatedDatabase) -> None:
        """After everybody had time: nothing is open, and every pail that could be harvested was."""
        await self.check(database)
        tables = database.tables
        for pail in self._truth.open_pails.values():
            raise self._violation("never harvested", f"{pail}")
        if tables.attempts.having(AttemptState.OPEN):
            raise self._violation("open for ever", f"{tables.attempts.having(AttemptState.OPEN)[0].attempt}")

    def _violation(self, check: str, what: str) -> Violation:
        return Violation(check, self._truth.index, what)

    def _known_by_now(self, ledger: int) -> bool:
        return self._chain.sequence - ledger > _GRACE_LEDGERS and self._health.ledgers > _GRACE_LEDGERS

    def _proofs(self, tables: Tables) -> None:
        """Every end is what the ledger shows."""
        for row in tables.attempts:
            digest = row.attempt.hash
            if row.state is AttemptState.OPEN or digest in self._proven:
                continue
            found = self._chain.history.find((row.attempt.inner_hash or digest).hex())
            shown = None if found is None else found[1].successful
            if shown is not _SHOWN[row.state]:
                raise self._violation("ended without proof", f"{row} is {row.state}; a ledger shows {shown}")
            self._proven.add(digest)

    def _fences(self, tables: Tables) -> None:
        """Once a newer backend has stored an attempt, no older one does, and only the lease's holder ends any."""
        last = 0
        for row in tables.attempts:
            if row.fence < last:
                raise self._violation("two backends", f"fence {row.fence} stored an attempt after fence {last}")
            last = row.fence
            if row.ended_by is not None and row.ended_by[0] != row.ended_by[1]:
                raise self._violation("settled without the lease", f"fences {row.ended_by} ended {row}")

    def unsigned(self, tables: Tables, restored: tuple[int, int] | None) -> None:
        """After a restore nothing is signed until everything that could have been sent before has ended."""
        if restored is None:
            return
        ledger, fence = restored
        for row in tables.attempts:
            if row.fence > fence and row.attempt.created_ledger < ledger + LEDGER_WINDOW:
                signed = row.attempt.created_ledger
                raise self._violation("signed after a restore", f"restored at ledger {ledger}, signed at {signed}")

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
        ledgers_in_block = BLOCK_SECONDS // LEDGER_SECONDS
        for key, pail in self._truth.open_pails.items():
            age = self._truth.index - pail.block_index
            if key in rows and age > 2 + self._harvest_after + _HARVEST_GRACE_LEDGERS // ledgers_in_block:
                raise self._violation("not harvested", f"{pail} is {age} blocks old")

    def _attempts(self, tables: Tables) -> None:
        for row in tables.attempts.having(AttemptState.OPEN):
            if self._known_by_now(row.attempt.max_ledger):
                raise self._violation("open past proof", f"{row}")

    def _balances(self, tables: Tables, rows: dict[PailKey, HarvestRow]) -> None:
        """To the stroop: the books as of the ledger they were followed to, against the accounts as of that ledger."""
        cursor = tables.cursor
        if cursor.ledger is None or cursor.unread_from is not None or self._disputed(tables, cursor.ledger):
            return
        held = self._truth.balances_at(cursor.ledger)
        for farmer in tables.farmers:
            address = farmer.key.address
            if address not in held:
                continue
            earned = sum(row.reward or 0 for row in rows.values() if row.address == address)
            if farmer.earned != earned:
                raise self._violation("earnings", f"{address} has {farmer.earned} in the books, rewards are {earned}")
            self._health.checks += 1
            if farmer.balance != held[address]:
                what = f"{address} held {held[address]} at ledger {cursor.ledger}, the books say {farmer.balance}"
                raise self._violation("balance", what)

    def _disputed(self, tables: Tables, cursor: int) -> bool:
        """Whether an attempt is kept open that a ledger already read shows, because an endpoint hid it."""
        if not self.lied:
            return False
        opened = (row.attempt for row in tables.attempts.having(AttemptState.OPEN))
        found = (self._chain.history.find((one.inner_hash or one.hash).hex()) for one in opened)
        return any(one is not None and one[0].sequence <= cursor for one in found)

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
