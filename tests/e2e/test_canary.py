"""Known secrets, farmed with from end to end, are nowhere they must not be, however written."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import grpc.aio
import psutil
import psycopg
import pytest
from rich.console import Console
from stellar_sdk import Keypair, StrKey

from backend.vault.file_keys import FileKeys
from backend.vault.key_file import read_key_file
from backend.vault.key_ring import KeyRing
from backend.vault.sealing import SEED_BYTES, SeedOwner, open_into
from devnet.demo import books
from devnet.demo.pool import Options, Pool
from kalepool.v1 import farmers_pb2_grpc, statement_pb2, wallet_pb2, wallet_pb2_grpc
from tests.fixtures.canary import Canaries, LoopbackPackets, environment_of, files_below, memory_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FARMERS = 3
PATIENCE_SECONDS = 240


def farmers_seeds(pool: Pool, key_file: Path) -> dict[str, bytes]:
    """Every farmer's seed, opened with the key file, by the farmer's address."""
    ring = KeyRing([FileKeys(key_file)])
    seeds = {}
    with psycopg.connect(pool.database_url) as connection:
        rows = connection.execute("SELECT id, wallet_address, public_key, sealed_seed, key_version FROM farmers")
        for farmer_id, address, public_key, sealed, version in rows:
            owner = SeedOwner(UUID(str(farmer_id)), bytes.fromhex(public_key), version, passphrase(pool))
            seed = bytearray(SEED_BYTES)
            open_into(seed, bytes(sealed), owner, ring.wrapper(version))
            seeds[f"farmer {address}"] = bytes(seed)
            assert Keypair.from_raw_ed25519_seed(bytes(seed)).public_key == address
    return seeds


def passphrase(pool: Pool) -> str:
    return str(pool.services["ledger"].record["passphrase"])


def dump(pool: Pool) -> bytes:
    """The whole database as text."""
    program = pool.postgres.bin / "pg_dump"
    return subprocess.run([program, pool.database_url], stdout=subprocess.PIPE, check=True).stdout


def processes(pool: Pool, *names: str) -> Iterator[tuple[str, psutil.Process]]:
    """Services and their children; the signer by that name, whoever started it."""
    for name in names:
        service = pool.services[name]
        parent = psutil.Process(service.process_id)
        for process in (parent, *parent.children(recursive=True)):
            yield "signer" if "backend.signer" in process.cmdline() else name, process


def raw(secret: str) -> bytes:
    """The 32 bytes of a secret key (S…)."""
    return StrKey.decode_ed25519_secret_seed(secret)


def logs(folder: Path) -> bytes:
    """Every log but the local ledger's, which prints the master's secret for whoever demonstrates with it."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.log") if path.name != "ledger.log"}
    assert {"backend.log", "pooler.log"} <= set(found)
    return b"\n".join(found.values())


async def farmed(pool: Pool) -> None:
    """Returns once every farmer has planted, worked and harvested in a block."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(block.complete for block in books.summarise(await books.pails(pool.database_url))):
            await pool.moved()


async def paid_out(pool: Pool) -> None:
    """One farmer takes something out and gets a statement; another leaves. Returns once the ledger has paid both."""
    faucet = Keypair.from_secret(pool.services["ledger"].record["faucet_secret"]).public_key
    destination = wallet_pb2.Destination(address=faucet)
    staying, leaving, *_ = pool.picture.wallets
    async with grpc.aio.insecure_channel(pool.address("backend")) as channel:
        wallet = wallet_pb2_grpc.WalletServiceStub(channel)
        withdrawal = await wallet.Withdraw(
            wallet_pb2.WithdrawRequest(
                farmer_id=staying, idempotency_key="canary", amount_stroops=10_000_000, destination=destination
            )
        )
        exit_ = await wallet.Exit(
            wallet_pb2.ExitRequest(farmer_id=leaving, idempotency_key="canary", destination=destination)
        )
        for farmer, payment in ((staying, withdrawal.withdrawal), (leaving, exit_.withdrawal)):
            request = wallet_pb2.GetWithdrawalRequest(farmer_id=farmer, withdrawal_id=payment.withdrawal_id)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await wallet.GetWithdrawal(request)).withdrawal.state != wallet_pb2.WITHDRAWAL_STATE_PAID:
                    await pool.moved()
        statement = farmers_pb2_grpc.FarmerServiceStub(channel).GetStatement(
            statement_pb2.GetStatementRequest(farmer_id=staying)
        )
        assert [part async for part in statement]


@pytest.mark.skipif(not LoopbackPackets.allowed(), reason="recording packets takes the right to open raw sockets")
async def test_no_secret_leaves_its_place(tmp_path: Path) -> None:
    options = Options(FARMERS, 1, 3, close_seconds=0.3, keep=True, directory=tmp_path, run_id="canary")
    hits: dict[str, set[str]] = {}
    with LoopbackPackets() as packets:
        async with contextlib.AsyncExitStack() as stack:
            pool = await Pool.start(options, stack, Console(quiet=True))
            await farmed(pool)
            await paid_out(pool)
            seeds = farmers_seeds(pool, tmp_path / "sealing.key")
            assert len(seeds) == FARMERS
            keys = {"key-encryption key": read_key_file(tmp_path / "sealing.key")}
            master = {"master": raw(pool.services["ledger"].record["master_secret"])}
            fees = {"pooler's fee account": raw((tmp_path / "fee-account.key").read_text().strip())}
            nowhere, all_of_them = Canaries(seeds | keys), Canaries(seeds | keys | master | fees)
            hits["database dump"] = all_of_them.found(dump(pool))
            for name, process in processes(pool, "backend", "pooler"):
                # The backend is given the master's secret in its environment, and signs fees with it.
                canaries = Canaries(seeds | keys | (fees if name == "backend" else master))
                hits[f"{name}'s environment"] = canaries.found(environment_of(process.pid))
                if name != "signer":  # the one place where seeds and the keys that seal them may be in clear
                    hits[f"{name}'s memory"] = canaries.found_in_all(memory_of(process.pid))
            hits["ledger's memory"] = nowhere.found_in_all(memory_of(pool.services["ledger"].process_id))
    hits["packets"] = all_of_them.found(packets.recorded)
    hits["logs"] = all_of_them.found(logs(tmp_path))
    hits["pooler's state"] = Canaries(seeds | keys | master).found_in_all(files_below(tmp_path / "pooler"))
    hits["database's files"] = all_of_them.found_in_all(files_below(pool.postgres.data))
    assert {place: found for place, found in hits.items() if found} == {}
