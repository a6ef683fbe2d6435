"""What may be spent on fees now: caps, and the harvests' reserve, from the rows of attempts and the master account."""

from __future__ import annotations

from backend.domain.spending import LEDGERS_AN_HOUR, Allowance, FeeCaps
from backend.ports.chain import ChainReader, TransactionFactory
from backend.ports.stores import AttemptStore


class Budget:
    """Counts in ledgers, from what is stored: a restart forgets nothing that was spent."""

    def __init__(self, attempts: AttemptStore, reader: ChainReader, factory: TransactionFactory, caps: FeeCaps) -> None:
        self._attempts = attempts
        self._reader = reader
        self._factory = factory
        self.caps = caps

    async def allowance(self, closed_ledger: int) -> Allowance:
        """What is left to spend after this ledger.

        Raises:
            LedgerUnavailableError: the master account cannot be read.
            DatabaseUnavailableError: the attempts cannot.
        """
        spending = await self._attempts.spending(closed_ledger - LEDGERS_AN_HOUR)
        master = (await self._reader.accounts([self._factory.master])).get(self._factory.master)
        spendable = 0 if master is None else master.balance_stroops - master.reserved_stroops
        return Allowance.of(self.caps, spending, spendable)
