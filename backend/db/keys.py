"""Sealed seeds as `kale-backend keys` reads them, and seals them anew, as the owner of the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from backend.db.database import Database
from backend.db.farmers import farmer_key
from backend.domain.farmer import FarmerKey

_COUNTS = text("""
SELECT key_version, count(*) AS seeds FROM farmers WHERE sealed_seed IS NOT NULL GROUP BY key_version
""")
_PAGE = text("""
SELECT id, wallet_address, public_key, sealed_seed, key_version FROM farmers
WHERE sealed_seed IS NOT NULL AND (CAST(:after AS uuid) IS NULL OR id > :after)
ORDER BY id LIMIT :size
""")
_REWRAPPING = text("SELECT set_config('kale_pool.rewrapping', 'on', true)")
_REWRAP = text("""
UPDATE farmers SET sealed_seed = :new_seed, key_version = :new_version
WHERE id = :id AND sealed_seed = :old_seed AND key_version = :old_version
RETURNING id, wallet_address, public_key, sealed_seed, key_version
""")


@dataclass(frozen=True, slots=True)
class Rewrap:
    """A farmer's key before and after."""

    old: FarmerKey
    new: FarmerKey


async def seed_counts(database: Database) -> Mapping[int, int]:
    """How many seeds each version of the key-encryption key seals."""
    async with database.transaction() as connection:
        rows = (await connection.execute(_COUNTS)).all()
    return {row.key_version: row.seeds for row in rows}


async def seed_page(database: Database, after: UUID | None, size: int) -> Sequence[FarmerKey]:
    """At most `size` farmers' keys by id, those after a farmer; farmers of every state."""
    async with database.transaction() as connection:
        rows = (await connection.execute(_PAGE, {"after": after, "size": size})).all()
    return [farmer_key(row) for row in rows]


async def rewrap(database: Database, rewraps: Sequence[Rewrap]) -> Sequence[FarmerKey]:
    """Stores seeds sealed anew, all or none, and returns them as the database holds them now.

    One that changed meanwhile is left as it is, and out of the answer.

    Raises:
        BackendError: the role may not change them, or a rule of the database refuses it.
    """
    stored = []
    async with database.transaction() as connection:
        await connection.execute(_REWRAPPING)
        for one in rewraps:
            values = {
                "id": one.old.farmer_id,
                "old_seed": one.old.sealed_seed,
                "old_version": one.old.key_version,
                "new_seed": one.new.sealed_seed,
                "new_version": one.new.key_version,
            }
            row = (await connection.execute(_REWRAP, values)).one_or_none()
            if row is not None:
                stored.append(farmer_key(row))
    return stored
