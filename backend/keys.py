"""What `kale-backend keys` does: the key-encryption keys, and the seeds they seal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.config import DatabaseSettings, KeysSettings
from backend.db.database import Database
from backend.db.keys import Rewrap, rewrap, seed_counts, seed_page
from backend.domain.farmer import FarmerKey
from backend.errors import SealedSeedError
from backend.key_ring import key_ring
from backend.vault import Seeds

_CONNECTIONS = 2
_BATCH = 100

Progress = Callable[[int], None]
"""Told how many seeds have been looked at so far."""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of the key-encryption key.

    Attributes:
        version: Its number.
        place: Where it lies; None if it is nowhere to be found.
        current: Whether it seals what is sealed from now on.
        seeds: How many farmers' seeds it seals.
    """

    version: int
    place: str | None
    current: bool
    seeds: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: the version that seals now, whether it was made, and how many seeds were moved to it."""

    version: int
    created: bool
    rewrapped: int


@dataclass(frozen=True, slots=True)
class Unopened:
    """A farmer whose seed does not open, and why."""

    farmer_id: str
    address: str
    problem: str


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """How many seeds open and are those of their farmers' addresses, and those that do not."""

    opened: int
    unopened: Sequence[Unopened]


async def status(settings: KeysSettings) -> Sequence[VersionStatus]:
    """Every version that lies somewhere or seals a seed, the oldest first.

    Raises:
        BackendError: the keys or the database cannot be read.
    """
    places = {place.version: place for place in key_ring(settings).places()}
    async with tables(settings) as database:
        counts = await seed_counts(database)
    return [
        VersionStatus(
            version,
            places[version].place if version in places else None,
            current=version in places and places[version].current,
            seeds=counts.get(version, 0),
        )
        for version in sorted({*places, *counts})
    ]


async def rotate(settings: KeysSettings, progress: Progress, *, kind: str | None = None) -> Rotation:
    """Makes the next version and seals every seed under it, while backends go on serving.

    A rotation that was broken off is finished first, without another version. `kind` says where to make it, file or
    pkcs11; by default where the settings have it.

    Raises:
        SealedSeedError: a seed does not open; those before it are moved, and a repeat goes on.
        BackendError: the keys or the database cannot be used.
    """
    ring = key_ring(settings)
    seeds = Seeds(ring, settings.stellar_network_passphrase)
    version, _ = ring.current()
    rewrapped = 0
    async with tables(settings) as database:
        created = not await _unfinished(database, seeds)
        if created:
            version = ring.create(kind)
        while moved := await _pass(database, seeds, progress):
            rewrapped += moved
    return Rotation(version, created, rewrapped)


async def verify(settings: KeysSettings, progress: Progress) -> KeyCheck:
    """Opens every seed and holds it against its farmer's address.

    Raises:
        BackendError: the keys or the database cannot be read.
    """
    seeds = Seeds(key_ring(settings), settings.stellar_network_passphrase)
    opened, unopened = 0, []
    async with tables(settings) as database:
        async for keys in pages(database):
            for key in keys:
                problem = unopenable(seeds, key)
                opened += problem is None
                if problem is not None:
                    unopened.append(problem)
            progress(opened + len(unopened))
    return KeyCheck(opened, unopened)


def unopenable(seeds: Seeds, key: FarmerKey) -> Unopened | None:
    """Why a farmer's seed does not open; None if it does."""
    try:
        seeds.signer(key)
    except SealedSeedError as error:
        return Unopened(str(key.farmer_id), key.address, str(error))
    return None


async def _pass(database: Database, seeds: Seeds, progress: Progress) -> int:
    """Moves every seed that is not under the newest version, in batches; how many there were."""
    seen = moved = 0
    async for keys in pages(database):
        rewraps = [Rewrap(key, new) for key in keys if (new := seeds.reseal(key)) != key]
        for stored in await rewrap(database, rewraps) if rewraps else ():
            seeds.signer(stored)
        seen += len(keys)
        moved += len(rewraps)
        progress(seen)
    return moved


async def _unfinished(database: Database, seeds: Seeds) -> bool:
    async for keys in pages(database):
        if not all(seeds.is_newest(key) for key in keys):
            return True
    return False


async def pages(database: Database) -> AsyncIterator[Sequence[FarmerKey]]:
    """Every farmer's key, in batches."""
    after = None
    while keys := await seed_page(database, after, _BATCH):
        yield keys
        after = keys[-1].farmer_id


@asynccontextmanager
async def tables(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The database as the owner of its tables where the settings know it: nobody else changes sealed seeds."""
    url = settings.database_owner_url or settings.database_url
    database = Database(url.get_secret_value(), max_connections=_CONNECTIONS)
    try:
        await database.check(owner_allowed=True)
        yield database
    finally:
        await database.close()
