"""What the database does for one life, from plant to harvest, and whether that grows with the lives before it.

A real, durable PostgreSQL and the backend's own stores. Every block plants all farmers in one request, settles, books
and harvests them the same way, checks the books and seals the audit trail, as the backend does. A block's
time over its farmers is the work of one life; the first tenth of the blocks is compared with the last. The pages that
statements touch are counted beside it: other programs on the machine do not change them.
"""

import argparse
import asyncio
import json
import logging
import secrets
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import structlog
from stellar_sdk import StrKey

from backend.db import SqlStores, migrate, open_stores
from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.farmer import FarmerKey, NewFarmer
from backend.domain.money import Passage
from backend.domain.plant import Plant, PlantRequest, PlantState
from backend.domain.settlement import BalanceMoved, HarvestConfirmed, PlantConfirmed, Settlement
from devnet.postgres import EmbeddedPostgres

ENVELOPE = "A" * 1600  # as long as a fee-bumped plant
BLOCK_LEDGERS = 60
STAKE, REWARD = 10, 5
DEPOSIT = 10**6
WARM_UP_BLOCKS = 20
MILLISECONDS = 1000
COUNTING = {"shared_preload_libraries": "pg_stat_statements"}


def main() -> None:
    """Measure, and print milliseconds for a life at the start and at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=10, help="farmers planted in each block (default: 10)")
    parser.add_argument("--lives", type=int, default=10_000, help="plants with their harvests in all (default: 10,000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with EmbeddedPostgres(settings=COUNTING) as postgres:
        migrate(postgres.url, network="local", application_url=postgres.application_url)
        blocks = max(20, options.lives // options.farmers)
        with psycopg.connect(postgres.url, autocommit=True) as owner:
            owner.execute("CREATE EXTENSION pg_stat_statements")
            spent = asyncio.run(measure(postgres.application_url, options.farmers, blocks, pages=Pages(owner)))
    figures = report(spent, options.farmers)
    print(json.dumps(figures) if options.json else "\n".join(f"{name:<28}{value}" for name, value in figures.items()))


class Pages:
    """Counts the pages that statements have touched, by pg_stat_statements."""

    def __init__(self, owner: psycopg.Connection[Any]) -> None:
        self._owner = owner

    def touched(self) -> int:
        """Pages since the server started."""
        row = self._owner.execute(
            "SELECT sum(shared_blks_hit + shared_blks_read)::bigint FROM pg_stat_statements WHERE toplevel"
        ).fetchone()
        return int(row[0]) if row else 0


class Spent(NamedTuple):
    """What a block took, for each of its lives."""

    milliseconds: float
    pages: float


def report(spent: Sequence[Spent], farmers: int) -> dict[str, float]:
    """The figures of a run from what each block took for a life."""
    tenth = len(spent) // 10
    milliseconds = [block.milliseconds for block in spent]
    first, last = (statistics.fmean(block.pages for block in part) for part in (spent[:tenth], spent[-tenth:]))
    start, end = (statistics.quantiles(part, n=100) for part in (milliseconds[:tenth], milliseconds[-tenth:]))
    return {
        "lives": len(milliseconds) * farmers,
        "lives_per_second": round(MILLISECONDS / statistics.fmean(milliseconds)),
        "start_p50_ms": round(start[49], 3),
        "start_p99_ms": round(start[98], 3),
        "end_p50_ms": round(end[49], 3),
        "end_p99_ms": round(end[98], 3),
        "p50_end_over_start": round(end[49] / start[49], 3),
        "p99_end_over_start": round(end[98] / start[98], 3),
        "start_pages": round(first),
        "end_pages": round(last),
        "pages_end_over_start": round(last / first, 3),
    }


async def measure(url: str, farmers: int, blocks: int, *, pages: Pages) -> list[Spent]:
    """What each block took for a life, after some blocks that are not counted."""
    stores = await open_stores(url, max_connections=5)
    await stores.lease.take("a benchmark", None)
    made = [await stores.farmers.create(NewFarmer(_key(), f"farmer-{number}")) for number in range(farmers)]
    await stores.farmers.activate([farmer.farmer_id for farmer in made])
    await stores.money.skip(1)
    deposits = [BalanceMoved(farmer.farmer_id, DEPOSIT, 2, secrets.token_hex(32)) for farmer in made]
    await stores.attempts.settle([], Passage(2, BLOCK_LEDGERS - 1, deposits))
    checked, _ = await stores.money.check()
    spent = []
    for block in range(1, WARM_UP_BLOCKS + blocks + 1):
        before = pages.touched()
        started = time.perf_counter()
        await _plant(stores, block)
        await _harvest(stores, block)
        await stores.events.seal()
        checked, violations = await stores.money.check(since=checked)
        milliseconds = (time.perf_counter() - started) * MILLISECONDS
        spent.append(Spent(milliseconds / farmers, (pages.touched() - before) / farmers))
        if violations:
            raise SystemExit(f"the books are not in order: {violations}")
    await stores.close()
    return spent[WARM_UP_BLOCKS:]


async def _plant(stores: SqlStores, block: int) -> None:
    plants = [
        Plant(uuid4(), found.key.farmer_id, found.key.address, block, "bench", STAKE, PlantState.PENDING)
        for found in await stores.plants.candidates(block, None)
    ]
    attempts = [_attempt(AttemptKind.PLANT, plant.plant_id, plant.address, block) for plant in plants]
    request = PlantRequest(f"block-{block}", "bench", block, 0)
    await stores.plants.begin(request, earlier=(), plants=plants, attempts=attempts)
    first = BLOCK_LEDGERS * block
    effects = [PlantConfirmed(plant.plant_id, first + 2, secrets.token_hex(32)) for plant in plants]
    settlements = [_succeeded(a, effect) for a, effect in zip(attempts, effects, strict=True)]
    await stores.attempts.settle(settlements, Passage(first, first + 2, ()))
    await stores.plants.events(request.request_id, 0)


async def _harvest(stores: SqlStores, block: int) -> None:
    pails = await stores.harvests.open_pails()
    attempts = [_attempt(AttemptKind.HARVEST, pail.harvest_id, _key().address, block) for pail in pails]
    await stores.harvests.begin(attempts)
    first = BLOCK_LEDGERS * block
    effects = [HarvestConfirmed(pail.harvest_id, REWARD, first + 3, secrets.token_hex(32)) for pail in pails]
    settlements = [_succeeded(a, effect) for a, effect in zip(attempts, effects, strict=True)]
    await stores.attempts.settle(settlements, Passage(first + 3, first + BLOCK_LEDGERS - 1, ()))
    await stores.events.counts(block)


def _attempt(kind: AttemptKind, intent_id: UUID, source: str, block: int) -> Attempt:
    first = BLOCK_LEDGERS * block
    return Attempt(
        hash=secrets.token_bytes(32),
        inner_hash=secrets.token_bytes(32),
        kind=kind,
        intent_id=intent_id,
        source=source,
        sequence=block,
        envelope=ENVELOPE,
        max_ledger=first + 6,
        created_ledger=first,
        max_fee=1000,
    )


def _succeeded(attempt: Attempt, effect: PlantConfirmed | HarvestConfirmed) -> Settlement:
    return Settlement(attempt.hash, AttemptState.SUCCEEDED, effect.ledger, "txSUCCESS", 100, [effect])


def _key() -> FarmerKey:
    public_key = secrets.token_bytes(32)
    address = StrKey.encode_ed25519_public_key(public_key)
    return FarmerKey(uuid4(), address, public_key.hex(), secrets.token_bytes(65), 1)


if __name__ == "__main__":
    main()
