"""How long it takes to sign a block's plants: with the vault in the process, and through the signer over its socket."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import psutil

from backend.domain.farmer import FarmerKey
from backend.domain.signing import PlantIntent, SigningRules
from backend.ports.vault import Vault
from backend.vault import FileKeys, KeyRing, LocalVault, create_key_file
from backend.vault.client import RemoteVault
from backend.vault.journal import SigningJournal
from backend.vault.process import SignerProcess
from kale_chain.model import FarmIdentity
from kale_chain.tx import Bounds, FarmCalls, Signer
from kale_chain.xdr import keys as ledger_keys

ROUNDS = 7
STAKE = 1_000_000_000
NETWORK = "benchmark"


def main() -> None:
    """Measure and print the best and the median round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=500, help="plants in a round (default: 500)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    figures = {"farmers": options.farmers, **asyncio.run(measure(options.farmers))}
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


async def measure(farmers: int) -> dict[str, float]:
    """Milliseconds by what was measured; those of the processors say more than the clock's on a busy machine."""
    issuer = Signer.generate().address
    token = ledger_keys.token_id("KALE", issuer, NETWORK)
    identity = FarmIdentity(token, token, "KALE", issuer, bytes(32), issuer, NETWORK)
    rules = SigningRules.of(identity, issuer)
    with tempfile.TemporaryDirectory() as folder:
        key_file = Path(folder) / "key"
        create_key_file(key_file)
        inside = LocalVault(KeyRing([FileKeys(key_file)]), rules, SigningJournal(None, 0))
        keys = [await inside.create(uuid4()) for _ in range(farmers)]
        async with SignerProcess(environment(rules, key_file)) as process:
            behind = RemoteVault(process.path, rules)
            await behind.check()
            here, there = psutil.Process(), psutil.Process(process.pid)
            found = {
                "in_process": await rounds(partial(signed, inside, identity, keys), [here]),
                "signer": await rounds(partial(signed, behind, identity, keys), [here, there]),
            }
            await behind.close()
    return {f"{name}_{what}": value for name, figures in found.items() for what, value in figures.items()}


def environment(rules: SigningRules, key_file: Path) -> dict[str, str]:
    """What the signer is started with."""
    return {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KEY_FILE": str(key_file),
        "STELLAR_NETWORK": "local",
        "STELLAR_NETWORK_PASSPHRASE": rules.passphrase,
        "KALE_CONTRACT_ID": rules.farm_id,
        "MASTER_WALLET_ADDRESS": rules.sponsor,
        "LOG_LEVEL": "warning",
    }


async def rounds(measured: Callable[[], Awaitable[None]], processes: Sequence[psutil.Process]) -> dict[str, float]:
    """Best and median of several rounds, in milliseconds, and each process's time on processors in one of them."""
    seconds, before = [], [busy(process) for process in processes]
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await measured()
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    used = [(busy(process) - begun) / ROUNDS for process, begun in zip(processes, before, strict=True)]
    figures = {"best": seconds[0], "median": seconds[ROUNDS // 2], "backend_cpu": used[0], "signer_cpu": sum(used[1:])}
    return {f"{name}_milliseconds": round(1000 * value, 1) for name, value in figures.items()}


def busy(process: psutil.Process) -> float:
    """Seconds that a process has spent on processors."""
    times = process.cpu_times()
    return times.user + times.system


async def signed(vault: Vault, identity: FarmIdentity, keys: Sequence[FarmerKey]) -> None:
    """Builds and signs everybody's plant, as the planner does: each is asked for as soon as it is built."""
    calls = FarmCalls(identity)
    tasks = []
    for key in keys:
        call = calls.plant(
            farmer=key.address, stake=STAKE, block_index=1, sequence=1, bounds=Bounds(max_ledger=2)
        ).envelope_bytes
        tasks.append(asyncio.create_task(vault.sign(key, call, PlantIntent(STAKE))))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    main()
