"""How fast plants and harvests are stored and settled, and whether that slows down as the tables grow.

A real, durable PostgreSQL; every block plants all farmers in one request, settles them in one go and harvests them the
same way: 4 writing statements of the stores, 2 transactions of the ledger for each farmer.
"""

import argparse
import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from stellar_sdk import StrKey

from backend.db import SqlStores, migrate, open_stores
from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.farmer import FarmerKey, NewFarmer
from backend.domain.plant import Plant, PlantRequest, PlantState
from backend.domain.settlement import HarvestConfirmed, PlantConfirmed, Settlement
from devnet.postgres import EmbeddedPostgres

ENVELOPE = "A" * 1600  # as long as a fee-bumped plant
REPORTED_BLOCKS = 2


def main() -> None:
    """Measure and print transactions a second, of the first and the last blocks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=500, help="farmers planted in each block (default: 500)")
    parser.add_argument("--transactions", type=int, default=20_000, help="transactions in all (default: 20,000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    blocks = max(2 * REPORTED_BLOCKS, options.transactions // (2 * options.farmers))
    with EmbeddedPostgres() as postgres:
        migrate(postgres.url, network="local")
        seconds = asyncio.run(measure(postgres.url, options.farmers, blocks))
    rate = 2 * options.farmers * REPORTED_BLOCKS
    figures = {
        "transactions": 2 * options.farmers * blocks,
        "first_per_second": round(rate / sum(seconds[:REPORTED_BLOCKS])),
        "last_per_second": round(rate / sum(seconds[-REPORTED_BLOCKS:])),
        "all_per_second": round(2 * options.farmers * blocks / sum(seconds)),
        "slowest_block_seconds": round(max(seconds), 3),
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


async def measure(url: str, farmers: int, blocks: int) -> list[float]:
    """Seconds each block took."""
    stores = await open_stores(url, max_connections=5)
    await stores.lease.take("a benchmark", None)
    made = [await stores.farmers.create(NewFarmer(_key(), f"farmer-{number}")) for number in range(farmers)]
    await stores.farmers.activate([farmer.farmer_id for farmer in made])
    seconds = []
    for block in range(blocks):
        started = time.perf_counter()
        await _plant(stores, block)
        await _harvest(stores, block)
        seconds.append(time.perf_counter() - started)
    await stores.close()
    return seconds


async def _plant(stores: SqlStores, block: int) -> None:
    plants = [
        Plant(uuid4(), found.key.farmer_id, found.key.address, block, "bench", 10, PlantState.PENDING)
        for found in await stores.plants.candidates(block, None)
    ]
    attempts = [_attempt(AttemptKind.PLANT, plant.plant_id, plant.address, block) for plant in plants]
    request = PlantRequest(f"block-{block}", "bench", block, 0)
    await stores.plants.begin(request, earlier=(), plants=plants, attempts=attempts)
    effects = [PlantConfirmed(plant.plant_id, 60 * block + 2, "ab" * 32) for plant in plants]
    await stores.attempts.settle([_succeeded(a, effect) for a, effect in zip(attempts, effects, strict=True)])
    await stores.plants.events(request.request_id, 0)


async def _harvest(stores: SqlStores, block: int) -> None:
    pails = await stores.harvests.open_pails()
    attempts = [_attempt(AttemptKind.HARVEST, pail.harvest_id, _key().address, block) for pail in pails]
    await stores.harvests.begin(attempts)
    effects: Sequence[HarvestConfirmed] = [
        HarvestConfirmed(pail.harvest_id, 5, 60 * block + 3, "cd" * 32) for pail in pails
    ]
    await stores.attempts.settle([_succeeded(a, effect) for a, effect in zip(attempts, effects, strict=True)])
    await stores.events.counts(block)


def _attempt(kind: AttemptKind, intent_id: UUID, source: str, block: int) -> Attempt:
    first = 60 * block + 1
    return Attempt(
        secrets.token_bytes(32), secrets.token_bytes(32), kind, intent_id, source, block + 1, ENVELOPE, first + 6, first
    )


def _succeeded(attempt: Attempt, effect: PlantConfirmed | HarvestConfirmed) -> Settlement:
    return Settlement(attempt.hash, AttemptState.SUCCEEDED, attempt.max_ledger - 3, "txSUCCESS", 100, [effect])


def _key() -> FarmerKey:
    public_key = secrets.token_bytes(32)
    address = StrKey.encode_ed25519_public_key(public_key)
    return FarmerKey(uuid4(), address, public_key.hex(), secrets.token_bytes(65), 1)


if __name__ == "__main__":
    main()
