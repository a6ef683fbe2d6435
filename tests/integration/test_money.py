"""The books of a running backend equal the ledger, whoever acts on it and whatever is cut off meanwhile."""

import asyncio
from typing import Any

import grpc
import pytest

from backend.app import Backend
from backend.config import Settings
from backend.errors import BooksViolatedError, DatabaseUnavailableError
from devnet.faults import Action, Fault
from kalepool.v1 import pool_pb2, status_pb2
from tests.fixtures.backend import Pool, StartBackend, World
from tests.fixtures.forwarder import Forwarder
from tests.fixtures.ledger_client import LedgerClient
from tests.fixtures.stores import Query

DEPOSIT = 100 * 10_000_000
STAKE = DEPOSIT // 10


def request(block: int, request_id: str = "r-1") -> pool_pb2.PlantRequest:
    """A plant request of every farmer."""
    return pool_pb2.PlantRequest(request_id=request_id, pooler_id="p-1", block_index=block)


async def equal(pool: Pool, query: Query) -> None:
    """The cursor is at the last ledger, and every farmer's books equal its account there."""
    last = (await pool.world.rpc.latest_ledger()).sequence
    rows = await asyncio.to_thread(
        query,
        "SELECT f.wallet_address, CAST(a.balance AS bigint), c.ledger_sequence FROM farmers AS f "
        "JOIN money_accounts AS a ON a.farmer_id = f.id AND a.kind = 'available' CROSS JOIN chain_cursor AS c",
    )
    on_ledger = await pool.world.farm.balances([str(address) for address, _, _ in rows])
    assert {ledger for _, _, ledger in rows} == {last}
    assert {address: balance for address, balance, _ in rows} == {
        str(address): on_ledger.get(str(address), 0) for address, _, _ in rows
    }
    assert await asyncio.to_thread(query, "SELECT * FROM ledger_check()") == []


async def kinds(query: Query) -> dict[object, object]:
    """How many transfers of each kind there are, without fees."""
    counted = "SELECT kind, count(*) FROM money_transfers WHERE kind <> 'fee' GROUP BY kind"
    return dict(await asyncio.to_thread(query, counted))  # type: ignore[arg-type]


async def work(pool: Pool, farmers: list[Any], block: int) -> None:
    """Has the backstop work every farmer's pail, holding the books against the ledger meanwhile."""
    farm = await pool.world.farm.farm()
    last = await pool.world.rpc.latest_ledger()
    await pool.advance((farm.block.timestamp + 235 - last.close_time) // 5)

    async def worked() -> bool:
        pails = await pool.world.farm.pails([(farmer.wallet_address, block) for farmer in farmers])
        return len(pails) == len(farmers) and all(entry.pail.worked for entry in pails.values())

    await pool.until(worked, ledgers=12)


async def test_books_equal_the_ledger_at_every_ledger_of_a_life_with_faults(pool: Pool, query: Query) -> None:
    farmers = await pool.onboard(3, stroops=DEPOSIT)
    await equal(pool, query)
    block = await pool.open_block()
    pool.world.devnet.faults.add(Fault(Action.DROP, "sendTransaction", count=3))
    pool.world.devnet.faults.add(Fault(Action.STATUS, "getTransactions", count=2, status=503))
    await pool.plant(request(block))
    await equal(pool, query)
    await work(pool, farmers, block)
    assert await pool.open_block() == block + 1
    pool.world.devnet.faults.add(Fault(Action.ERROR, "sendTransaction", count=2))
    await pool.plant(request(block + 1, "r-2"))
    await equal(pool, query)

    async def harvested() -> bool:
        await equal(pool, query)
        return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

    await pool.until(harvested, ledgers=10)
    assert await kinds(query) == {"deposit": 3, "stake": 6, "harvest": 3}


async def test_strangers_payment_and_harvest_are_booked_from_the_ledger_alone(pool: Pool, query: Query) -> None:
    (farmer,) = await pool.onboard(1, stroops=DEPOSIT, blocks=9)
    block = await pool.open_block()
    await pool.plant(request(block))
    await work(pool, [farmer], block)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)
    await pool.world.harvest_as_stranger(farmer.wallet_address, block)
    await pool.world.deposit(farmer.wallet_address, 7)
    await pool.caught_up()
    await equal(pool, query)
    assert await kinds(query) == {"deposit": 2, "stake": 1, "harvest": 1}
    now = await pool.farmer(farmer.farmer_id)
    assert now.earned_stroops == now.balance_stroops - DEPOSIT - 7
    assert now.open_stake_stroops == 0


async def test_harvest_through_another_contract_is_booked_to_the_stroop(
    pool: Pool, client: LedgerClient, query: Query
) -> None:
    farmers = await pool.onboard(1, stroops=DEPOSIT, blocks=9)
    address = farmers[0].wallet_address
    block = await pool.open_block()
    await pool.plant(request(block))
    await work(pool, farmers, block)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)
    forwarder = await Forwarder.deploy(client)
    await forwarder.harvest(address, block)
    await pool.caught_up()
    await equal(pool, query)
    assert await kinds(query) == {"deposit": 1, "stake": 1, "harvest": 1}
    now = await pool.farmer(farmers[0].farmer_id)
    assert (now.open_stake_stroops, now.lost_stake_stroops) == (0, 0)
    assert now.earned_stroops == now.balance_stroops - DEPOSIT > 0


async def test_what_happens_while_the_backend_is_down_is_read_once_at_the_next_start(
    world: World, start_backend: StartBackend, query: Query
) -> None:
    async with start_backend() as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
        await equal(pool, query)
    for stroops in (5, 6, 7):
        await world.deposit(farmer.wallet_address, stroops)
    await world.devnet.advance(100)
    async with start_backend() as pool:
        await pool.advance()
        await equal(pool, query)
        assert await kinds(query) == {"deposit": 4}
    async with start_backend() as pool:
        await pool.advance()
        await equal(pool, query)
        assert await kinds(query) == {"deposit": 4}


async def test_lost_answer_of_the_commit_books_once(pool: Pool, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    (farmer,) = await pool.onboard(1)
    attempts = await _attempt_store(pool)
    settle, failures = attempts.settle, iter([True, True])

    async def unsure(*arguments: Any) -> None:
        await settle(*arguments)
        if next(failures, False):
            raise DatabaseUnavailableError("the answer of the commit was lost")

    monkeypatch.setattr(attempts, "settle", unsure)
    await pool.world.deposit(farmer.wallet_address, DEPOSIT)
    await pool.caught_up()
    await equal(pool, query)
    assert await kinds(query) == {"deposit": 1}


async def test_ledgers_that_left_the_window_are_made_up_for_and_said(
    world: World, start_backend: StartBackend, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_backend() as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    await world.deposit(farmer.wallet_address, 11)
    await world.devnet.advance(3)
    oldest = (await world.rpc.latest_ledger()).sequence

    async def forgetful(_: object, after: int) -> int:
        return max(after, oldest)

    monkeypatch.setattr("backend.chain.feed.readable_after", forgetful)
    async with start_backend() as pool:
        await pool.advance()

        async def filled() -> bool:
            unread = await asyncio.to_thread(query, "SELECT unread_from FROM chain_cursor")
            return unread == [(None,)]

        await pool.until(filled, ledgers=5)
        await pool.caught_up()
        await equal(pool, query)
        assert await kinds(query) == {"deposit": 1, "adjustment": 1}
        booked = "SELECT CAST(balance AS bigint) FROM money_accounts WHERE kind = 'unobserved'"
        assert await asyncio.to_thread(query, booked) == [(-11,)]


async def test_broken_books_refuse_the_start_and_say_why(
    start_backend: StartBackend, backend_settings: dict[str, Any], query: Query
) -> None:
    async with start_backend() as pool:
        (farmer,) = await pool.onboard(1, stroops=DEPOSIT)
    await asyncio.to_thread(query, "UPDATE money_accounts SET balance = balance + 1 WHERE kind = 'available'")
    with pytest.raises(BooksViolatedError, match=f"books_unbalanced KALE.*balance_wrong.*{farmer.farmer_id}"):
        async with Backend(Settings(_env_file=None, **backend_settings)):
            pass


async def test_broken_books_stop_plants_and_show_in_the_status_until_they_are_right(pool: Pool, query: Query) -> None:
    await pool.onboard(1, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.plant(request(block))
    await asyncio.to_thread(query, "UPDATE money_accounts SET balance = balance + 1 WHERE kind = 'available'")
    assert await pool.open_block() == block + 1
    await pool.world.plant_as_stranger(block + 1)
    await pool.caught_up()

    async def health(expected: int) -> bool:
        status = (await pool.status.GetStatus(status_pb2.GetStatusRequest())).status
        return any(one.name == "books" for one in status.components) == bool(expected)

    await pool.eventually(lambda: health(1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.plant(request(block + 1, "r-2"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "farmer_balance_wrong" in (caught.value.details() or "")
    await asyncio.to_thread(query, "UPDATE money_accounts SET balance = balance - 1 WHERE kind = 'available'")
    await pool.advance()
    await pool.eventually(lambda: health(0))


async def _attempt_store(pool: Pool) -> Any:
    """The store in which the running backend settles."""
    for task in pool.backend._tasks:
        frame = getattr(task.get_coro(), "cr_frame", None)
        following = frame.f_locals.get("self") if frame is not None else None
        if task.get_name() == "following" and following is not None:
            return following._submitting._attempts
    raise AssertionError("the backend does not follow")
