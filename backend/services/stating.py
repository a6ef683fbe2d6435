"""Statements: what was booked of a farmer in a period, signed."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

from backend.domain.statement import Signature, Statement
from backend.ports.statements import StatementStore
from kale_chain.model import FarmIdentity


class Stating:
    """Makes statements of one farm's farmers and signs them with the pool's statement key."""

    def __init__(self, store: StatementStore, identity: FarmIdentity, key: Signature) -> None:
        self._store = store
        self._identity = identity
        self._key = key

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes, by which statements are checked."""
        return self._key.public_key

    async def statement(self, farmer_id: UUID, begins: datetime | None, ends: datetime | None) -> Statement:
        """A farmer's statement. See StatementStore.period for the arguments and errors."""
        period = await self._store.period(farmer_id, begins, ends)
        identity = self._identity
        return Statement(
            network=identity.passphrase,
            farm=identity.farm_id,
            asset=f"{identity.asset_code}:{identity.asset_issuer}",
            farmer_id=farmer_id,
            address=period.address,
            begins=period.begins,
            ends=period.ends,
            opening=period.opening,
            closing=period.closing,
            entries=period.entries,
        )

    async def document(self, farmer_id: UUID, begins: datetime | None, ends: datetime | None, *, as_csv: bool) -> bytes:
        """The signed JSON document, or the CSV, of a farmer's statement; a large one does not hold others up."""
        statement = await self.statement(farmer_id, begins, ends)
        if as_csv:
            return (await asyncio.to_thread(statement.csv)).encode()
        return await asyncio.to_thread(statement.signed, self._key)
