"""The pool against a naive one of equal size on the same farm: what each earns with the same machine.

Runs the local ledger with neighbours and two whole pools on it, as processes of their own: the real one, and one whose
pooler plants and works without a plan (`naive_pooler.py`) and whose backend stakes a tenth of each balance. Both have
as many farmers with the same deposits, and one search thread each on the same kernel. One more farmer stakes 1,300 KALE
in every block, as on the main network, where that was the median of the largest stakes in December 2024. Reports for
each block what both were paid, and the ratio of all.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
from rich.console import Console
from stellar_sdk import Keypair

from devnet.demo import books
from devnet.demo.pool import Options, Pool, ledger_of
from kale_chain.errors import RpcError
from kale_chain.farm import FarmReader
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.identify import identify
from kale_chain.model import Block, FarmIdentity
from kale_chain.rpc import StellarRpc
from kale_chain.tx import Bounds, FarmCalls, Signer, fee_bump
from kale_common.processes import Service, ServiceError

LOOK_SECONDS = 2.0
KALE = books.STROOPS_PER_KALE
WHALE_STROOPS = 1_300 * KALE
WHALE_ZEROS = 4
WHALE_WORKS = 240
"""Seconds of a block's age after which the whale works."""


class NaivePool(Pool):
    """A pool with the naive pooler."""

    pooler = ("benches.naive_pooler",)
    backend_settings = MappingProxyType({"STAKE_POLICY": "asked"})


class Whale:
    """A farmer of its own, with the faucet's account: plants a large stake, and works late enough, in every block."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity, faucet: Signer) -> None:
        self._rpc = rpc
        self._reader = FarmReader(rpc, identity)
        self._calls = FarmCalls(identity)
        self._signer = faucet
        self._done: tuple[int, str] = (-1, "")

    async def farm(self) -> None:
        """Farms for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS / 4)
            with contextlib.suppress(RpcError):
                await self._act()

    async def _act(self) -> None:
        last = await self._rpc.latest_ledger()
        index = (await self._reader.farm()).index
        block = await self._reader.block(index)
        if block is None:
            return
        age = last.close_time - block.timestamp
        bounds = Bounds(max_ledger=last.sequence + 4)
        account = (await self._reader.accounts([self._signer.address]))[self._signer.address]
        common = {"farmer": self._signer.address, "block_index": index, "sequence": account.sequence + 1}
        if self._done[0] != index and age < WHALE_WORKS:
            call = self._calls.plant(stake=WHALE_STROOPS, bounds=bounds, **common)
            self._done = (index, "planted")
        elif self._done == (index, "planted") and age >= WHALE_WORKS:
            nonce = next(n for n in itertools.count() if self._zeros(index, n, block) >= WHALE_ZEROS)
            digest = work_hash(index, nonce, block.entropy, self._signer.address)
            call = self._calls.work(source=self._signer.address, digest=digest, nonce=nonce, bounds=bounds, **common)
            self._done = (index, "worked")
        else:
            return
        await self._rpc.send(fee_bump(call.signed_by(self._signer), self._signer).envelope)

    def _zeros(self, index: int, nonce: int, block: Block) -> int:
        return count_zeros(work_hash(index, nonce, block.entropy, self._signer.address))


async def start_whale(ledger: Service, stack: AsyncExitStack) -> None:
    """Has a whale farm until the stack is closed."""
    record = ledger.record
    rpc = await stack.enter_async_context(StellarRpc(record["rpc_url"]))
    identity = await identify(rpc, farm_id=record["farm_id"], passphrase=record["passphrase"])
    task = asyncio.create_task(Whale(rpc, identity, Signer.from_secret(record["faucet_secret"])).farm())
    stack.callback(task.cancel)


async def own_master(ledger: Service, url: str) -> Service:
    """The ledger as a second pool sees it: with a master account of its own."""
    master = Keypair.random()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/friendbot", params={"addr": master.public_key}) as answer,
    ):
        answer.raise_for_status()
    other = Service("ledger", env={}, directory=ledger.log.parent)
    other.record = ledger.record | {"master_secret": master.secret, "master_address": master.public_key}
    return other


async def measure(options: Options) -> list[dict[str, Any]]:
    """Farms until both pools have harvested enough blocks; what they were paid in each."""
    screen = Console(stderr=True)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(ledger_of(options))
        pools = []
        for kind, name in ((Pool, "planned"), (NaivePool, "naive")):
            folder = options.directory / name
            folder.mkdir()
            mine = ledger if not pools else await own_master(ledger, ledger.record["rpc_url"])
            pools.append(await kind.join(mine, replace(options, directory=folder, run_id=name), stack, screen))
        await start_whale(ledger, stack)
        seen = 0
        while True:
            blocks = await both(pools)
            for block in blocks[seen:]:
                screen.print(json.dumps(block))
            seen = len(blocks)
            if seen >= options.blocks:
                return blocks[: options.blocks]
            await ended(pools)


async def ended(pools: list[Pool]) -> None:
    """Waits a little; raises if a process has ended."""
    await asyncio.sleep(LOOK_SECONDS)
    for pool in pools:
        for service in pool.services.values():
            if service.name != "ledger" and not service.running:
                raise ServiceError(f"{service.name} ended:\n{service.tail()}")


async def both(pools: list[Pool]) -> list[dict[str, Any]]:
    """The blocks that both pools have done with, once both were at work."""
    summaries = [books.summarise(await books.pails(pool.database_url)) for pool in pools]
    by_index = [{block.block_index: block for block in blocks} for blocks in summaries]
    shared = sorted(by_index[0].keys() & by_index[1].keys())
    return [
        {"block": index, "planned": figures(by_index[0][index]), "naive": figures(by_index[1][index])}
        for index in shared[1:-2]  # the first began before both were ready; of the last two not all is harvested
    ]


def figures(block: books.BlockSummary) -> dict[str, Any]:
    """What a pool did in a block."""
    return {
        "planted": block.planted,
        "worked": block.worked,
        "harvested": block.harvested,
        "gaps": spread(block.gaps),
        "zeros": spread(block.zeros),
        "stake_kale": round(block.stake_stroops / KALE, 2),
        "reward_kale": round(block.reward_stroops / KALE, 2),
    }


def spread(values: tuple[int, ...]) -> str:
    """Least and most."""
    return f"{min(values)}–{max(values)}" if values else "–"


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=10, help="farmers in each pool (default: 10)")
    parser.add_argument("--neighbours", type=int, default=20, help="other farmers (default: 20)")
    parser.add_argument("--blocks", type=int, default=20, help="blocks to compare (default: 20)")
    parser.add_argument("--close-seconds", type=float, default=0.5, help="seconds between ledgers (default: 0.5)")
    parser.add_argument("--kernel", default="auto", help="the hash kernel of both pools (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    asked = parser.parse_args()
    os.environ |= {"MACHINE_CPU_CORES": "1", "HASH_KERNEL": asked.kernel}
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            farmers=asked.farmers,
            blocks=asked.blocks,
            neighbours=asked.neighbours,
            close_seconds=asked.close_seconds,
            keep=True,
            directory=Path(folder),
            run_id="bench",
            usual_ports=False,
        )
        try:
            blocks = asyncio.run(measure(options))
        except ServiceError as error:
            sys.exit(str(error))
    totals = {side: sum(block[side]["reward_kale"] for block in blocks) for side in ("planned", "naive")}
    result = {"blocks": blocks, "reward_kale": totals, "ratio": round(totals["planned"] / totals["naive"], 3)}
    print(json.dumps(result) if asked.json else f"{len(blocks)} blocks: {totals}, ratio {result['ratio']}")


if __name__ == "__main__":
    main()
