"""Measures a restore: a farming pool's PostgreSQL is killed at a random second, its backup put in its place.

Prints how many seconds of commits are missing, how long restoring took, and how long until the backend works again, its
quarantine over. Run with `PYTHONPATH=. python benches/restore_drill.py`.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console

from backend.backup.shelf import read_status
from devnet.demo.pool import Options, Pool
from kale_common.processes import Service, ask
from kalepool.v1 import status_pb2
from simulator.scratch import scratch_pool

_LAST = "SELECT max(created_at) FROM block_events"
_DOUBLED = """
SELECT count(*) FROM (
    SELECT FROM attempts WHERE status = 'succeeded' GROUP BY kind, intent_id HAVING count(*) > 1
) AS doubled
"""


def main(
    *,
    farmers: Annotated[int, typer.Option(help="Farmers in the pool.")] = 10,
    close_seconds: Annotated[float, typer.Option(help="Seconds between two ledgers.")] = 0.5,
    wal_seconds: Annotated[float, typer.Option(help="BACKUP_WAL_SECONDS.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Which second.")] = 1,
) -> None:
    """Kills, restores, goes on; prints one JSON object."""
    with scratch_pool("drill", farmers=farmers, close_seconds=close_seconds, console=Console(stderr=True)) as options:
        print(json.dumps(asyncio.run(_drill(options, wal_seconds, seed))))


async def _drill(options: Options, wal_seconds: float, seed: int) -> dict[str, Any]:
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.start(options, stack, Console(stderr=True))
        env = _backup_settings(pool, options.directory, wal_seconds)
        await ask("backend", "backup", "key", env=env)
        await ask("backend", "backup", "now", env=env)
        backing = Service("backup", "backend", "backup", "run", env=env, directory=options.directory)
        running = asyncio.create_task(backing.run())
        while not read_status(options.directory / "backups").wal_at:  # noqa: ASYNC110  (another process writes it)
            await asyncio.sleep(1)
        chance = random.Random(seed)  # noqa: S311  (chance, not secrecy)
        await asyncio.sleep(chance.uniform(30, 70))
        last = _value(pool.database_url, _LAST)
        await asyncio.to_thread(pool.postgres.kill)
        os.kill(backing.process_id, signal.SIGTERM)
        await running
        return await _restored(pool, env, last)


async def _restored(pool: Pool, env: dict[str, str], last: datetime) -> dict[str, Any]:
    begun = time.monotonic()
    backend = pool.services["backend"]
    await backend.crash()
    data = pool.postgres.data
    restored = data.with_name("restored")
    told = json.loads(await ask("backend", "restore", str(restored), "--json", env=env))
    shutil.rmtree(data)
    restored.rename(data)
    await asyncio.to_thread(pool.postgres.start)
    serving = time.monotonic()
    behind = (last - _value(pool.database_url, _LAST)).total_seconds()
    started = time.monotonic()
    await backend.start()
    while not _works(pool, started):
        await pool.moved()
    ready = time.monotonic()
    outcome = await pool.close_books()
    return {
        "seconds_behind": round(behind, 2),
        "seconds_to_restore": round(serving - begun, 1),
        "seconds_to_ready": round(ready - begun, 1),
        "done_twice": _value(pool.database_url, _DOUBLED),
        "accounts": len(outcome.accounts),
        "balanced": sum(one.balanced for one in outcome.accounts),
        "restore": told,
    }


def _works(pool: Pool, since: float) -> bool:
    """Whether the backend that was started at that time says that nothing is down, and no quarantine holds."""
    status = pool.picture.backend
    fresh = status.uptime_seconds <= time.monotonic() - since + 1
    troubled = [one for one in status.components if one.health == status_pb2.HEALTH_DOWN or one.name == "quarantine"]
    return fresh and not troubled


def _backup_settings(pool: Pool, directory: Path, wal_seconds: float) -> dict[str, str]:
    settings = {
        "BACKUP_DIRECTORY": str(directory / "backups"),
        "BACKUP_KEY_FILE": str(directory / "backup.key"),
        "BACKUP_DATABASE_URL": pool.database_url,
        "BACKUP_WAL_SECONDS": str(wal_seconds),
        "BACKUP_DRILL_HOURS": "0",
        "DATABASE_URL": pool.postgres.application_url,
        "KEY_FILE": str(directory / "sealing.key"),
        "STELLAR_NETWORK": "local",
        "STELLAR_NETWORK_PASSPHRASE": pool.services["ledger"].record["passphrase"],
        "POSTGRES_BIN": str(pool.postgres.bin),
    }
    return settings | ({"POSTGRES_USER": "nobody"} if os.geteuid() == 0 else {})


def _value(url: str, statement: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    typer.run(main)
