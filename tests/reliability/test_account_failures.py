"""Accounts, keys and strangers: what goes wrong with a farmer's account stays with that farmer, and nothing is lost."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest
from stellar_sdk import (
    BeginSponsoringFutureReserves,
    ChangeTrust,
    EndSponsoringFutureReserves,
    Keypair,
    Operation,
)

from backend.domain.farmer import FarmerKey
from backend.vault import FileKeys, KeyRing, Seeds
from kale_chain.hashing import work_hash
from kale_chain.tx import Bounds, Signer
from kale_chain.tx.envelope import Signs, build
from kalepool.v1 import common_pb2, farmers_pb2, status_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.farming import (
    DEPOSIT,
    balance_adds_up,
    brought_home,
    planted,
    request,
    to_backstop,
    worked,
)
from tests.fixtures.stores import Query

BASE_RESERVE_STROOPS = 5_000_000
RESERVES_OF_FARMER = 3
"""Of a sponsored account with one trustline."""
STROOPS_PER_XLM = 10_000_000


async def swap_seeds(query: Query) -> None:
    """Exchanges the two farmers' sealed seeds, as somebody could who may do anything in the database."""
    await asyncio.to_thread(query, "ALTER TABLE farmers DISABLE TRIGGER USER")
    await asyncio.to_thread(
        query,
        "UPDATE farmers AS one SET sealed_seed = other.sealed_seed FROM farmers AS other WHERE one.id <> other.id",
    )
    await asyncio.to_thread(query, "ALTER TABLE farmers ENABLE TRIGGER USER")


async def test_sealed_seeds_swapped_between_farmers_sign_nothing(
    world: World, start_backend: StartBackend, query: Query
) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
    await swap_seeds(query)
    async with start_backend() as pool:
        events, summary = await pool.plant(request(block))
        assert {event.failed.reason for event in events} == {common_pb2.FAILURE_REASON_KEY_UNAVAILABLE}
        assert (summary.planted, summary.failed) == (0, 2)
        balances = await world.farm.balances([farmer.wallet_address for farmer in farmers])
        assert set(balances.values()) == {DEPOSIT}
        assert await asyncio.to_thread(query, "SELECT count(*) FROM attempts WHERE kind = 'plant'") == [(0,)]
    await swap_seeds(query)
    await world.plant_as_stranger(block)
    async with start_backend() as pool:
        assert await pool.open_block() == block + 1
        _, summary = await pool.plant(request(block + 1, "r-2"))
        assert (summary.planted, summary.failed) == (2, 0)


@pytest.fixture
def signer_of(backend_settings: dict[str, Any], query: Query) -> Callable[[str], Signs]:
    """Opens a farmer's seed, as nobody can who has not both database and key file."""
    ring = KeyRing([FileKeys(backend_settings["key_file"])])
    vault = Seeds(ring, backend_settings["stellar_network_passphrase"])

    def opened(farmer_id: str) -> Signs:
        ((address, public_key, sealed, version),) = query(
            f"SELECT wallet_address, public_key, sealed_seed, key_version FROM farmers WHERE id = '{farmer_id}'"  # noqa: S608
        )
        return vault.signer(
            FarmerKey(UUID(farmer_id), str(address), str(public_key), cast("bytes", sealed), cast("int", version))
        )

    return opened


async def change_trust(world: World, farmer: Signs, *, limit: str | None) -> None:
    """Ends a farmer's trustline (limit "0") or makes it anew (None), at the faucet's cost."""
    faucet = Signer.from_secret(world.devnet.scenario.faucet.secret)
    trust = ChangeTrust(world.devnet.scenario.asset, limit, source=farmer.address)
    operations: list[Operation] = [trust]
    if limit is None:
        operations = [
            BeginSponsoringFutureReserves(farmer.address),
            trust,
            EndSponsoringFutureReserves(source=farmer.address),
        ]
    account = (await world.farm.accounts([faucet.address]))[faucet.address]
    last = await world.rpc.latest_ledger()
    transaction = build(
        passphrase=world.identity.passphrase,
        source=faucet.address,
        sequence=account.sequence + 1,
        bounds=Bounds(max_ledger=last.sequence + 10),
        fee=1_000,
        operations=operations,
    ).signed_by(faucet, farmer)
    assert (await world.rpc.send(transaction.envelope)).status == "PENDING"
    await world.devnet.advance(1)
    applied = await world.rpc.transaction(transaction.hash)
    assert applied is not None
    assert applied.successful, applied.operation_code


async def test_missing_trustline_delays_the_harvest_and_loses_nothing(
    pool: Pool, signer_of: Callable[[str], Signs], query: Query
) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    everything = farmers_pb2.Farmer(farmer_id=farmer.farmer_id, stake_basis_points=10_000)
    update = farmers_pb2.UpdateFarmerRequest(farmer=everything)
    update.update_mask.paths.append("stake_basis_points")
    await pool.farmers.UpdateFarmer(update)
    block = await pool.open_block()
    await pool.plant(request(block))
    await to_backstop(pool)
    await pool.until(lambda: worked(pool, block, [farmer]), ledgers=10)
    signer = await asyncio.to_thread(signer_of, farmer.farmer_id)
    await change_trust(pool.world, signer, limit="0")
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)

    async def failed() -> bool:
        where = "kind = 'harvest' AND status = 'failed'"
        return await asyncio.to_thread(query, f"SELECT count(*) >= 2 FROM attempts WHERE {where}") == [(True,)]  # noqa: S608

    await pool.until(failed, ledgers=30)
    now = await pool.farmer(farmer.farmer_id)
    assert (now.open_stake_stroops, now.lost_stake_stroops, now.earned_stroops) == (DEPOSIT, 0, 0)
    await change_trust(pool.world, signer, limit=None)

    async def booked() -> bool:
        return (await pool.farmer(farmer.farmer_id)).earned_stroops > 0

    await pool.until(booked, ledgers=30)
    await balance_adds_up(pool, farmer.farmer_id)


async def drain(world: World, account: Keypair, *, sponsored: int) -> None:
    """Pays away an account's XLM but for its reserve and a fee or two of a payment."""
    found = (await world.farm.accounts([account.public_key]))[account.public_key]
    reserve = (2 + RESERVES_OF_FARMER * sponsored) * BASE_RESERVE_STROOPS
    await world.apply(
        account,
        lambda sequence, bounds: world.classic.payment(
            source=account.public_key,
            destination=world.devnet.scenario.faucet.public_key,
            stroops=found.balance_stroops - reserve - 1_000,
            sequence=sequence,
            bounds=bounds,
            native=True,
        ),
    )


async def test_empty_master_account_is_told_and_stakes_come_home_once_it_is_funded(
    world: World, start_backend: StartBackend
) -> None:
    master = Keypair.random()
    await world.create_account(master.public_key, 200 * STROOPS_PER_XLM)
    settings = {"master_wallet_address": master.public_key, "master_wallet_secret": master.secret}
    async with start_backend(**settings, harvest_channels=2) as pool:
        block, farmers = await planted(pool, 2)
        await drain(world, master, sponsored=2)
        await to_backstop(pool)
        await pool.advance(4)
        assert not await worked(pool, block, farmers)
        parts = {part.name: part.health for part in (await pool.caught_up()).components}
        assert parts["master account"] == status_pb2.HEALTH_DEGRADED
        await world.pay_xlm(master.public_key, 50 * STROOPS_PER_XLM)
        await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
        await brought_home(pool, block, farmers)


async def test_pail_worked_by_a_stranger_is_harvested_like_any_other(pool: Pool) -> None:
    block, farmers = await planted(pool, 2)
    await pool.advance(2)
    record = await pool.world.farm.block(block)
    assert record is not None
    for farmer in farmers:
        digest = work_hash(block, 1, record.entropy, farmer.wallet_address)
        await pool.world.work_as_stranger(farmer.wallet_address, block, digest, nonce=1)
    assert await worked(pool, block, farmers)
    await to_backstop(pool)
    status = await pool.advance(8)
    assert status.backend.unworked == 2  # no work of ours is known, and none was sent in vain
    await brought_home(pool, block, farmers)
