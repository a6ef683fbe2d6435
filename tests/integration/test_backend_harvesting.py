"""With no pooler at all: every stake comes back, every reward is booked to the stroop, whatever is restarted when."""

from kale_chain.rewards import reward
from tests.fixtures.backend import BLOCK_LEDGERS, Pool, StartBackend, World
from tests.fixtures.farming import DEPOSIT, balance_adds_up, open_next_block, request, to_backstop, worked


async def test_without_any_pooler_every_stake_comes_back_with_its_reward(pool: Pool) -> None:
    farmers = await pool.onboard(10, stroops=DEPOSIT)
    block = await pool.open_block()
    await pool.plant(request(block))
    await to_backstop(pool)
    assert not await worked(pool, block, farmers)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await open_next_block(pool, block, "r-2")
    record = await pool.world.farm.block(block)
    assert record is not None
    pails = await pool.world.farm.pails([(farmer.wallet_address, block) for farmer in farmers])
    due = {address: reward(record, block, entry.pail) for (address, _), entry in pails.items()}

    async def booked() -> bool:
        return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

    await pool.until(booked, ledgers=10)
    for farmer in farmers:
        now = await pool.farmer(farmer.farmer_id)
        assert now.earned_stroops <= due.get(farmer.wallet_address, now.earned_stroops)
        assert now.lost_stake_stroops == 0
        await balance_adds_up(pool, farmer.farmer_id)


async def test_harvest_waits_for_the_farmers_blocks(pool: Pool) -> None:
    farmers = await pool.onboard(1, stroops=DEPOSIT, blocks=2)
    block = await pool.open_block()
    for number in range(2):
        await pool.plant(request(block + number, f"r-{number}"))
        await to_backstop(pool)
        await pool.until(lambda n=number: worked(pool, block + n, farmers), ledgers=10)
        assert (await pool.farmer(farmers[0].farmer_id)).earned_stroops == 0
        assert await pool.open_block() == block + number + 1
    await pool.plant(request(block + 2, "r-2"))

    async def booked() -> bool:
        return (await pool.farmer(farmers[0].farmer_id)).earned_stroops > 0

    await pool.until(booked, ledgers=10)
    await balance_adds_up(pool, farmers[0].farmer_id)


async def test_pail_never_worked_is_lost_and_said_so(world: World, start_backend: StartBackend) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(2, stroops=DEPOSIT)
        block = await pool.open_block()
        await pool.plant(request(block))
    # Nobody works while the backend is down, and someone else opens the next block.
    await world.devnet.advance(BLOCK_LEDGERS + 1)
    await world.plant_as_stranger(block + 1)
    async with start_backend() as pool:

        async def lost() -> bool:
            return all([(await pool.farmer(farmer.farmer_id)).lost_stake_stroops for farmer in farmers])

        await pool.until(lost, ledgers=10)
        for farmer in farmers:
            assert (await pool.farmer(farmer.farmer_id)).lost_stake_stroops == DEPOSIT // 10
            await balance_adds_up(pool, farmer.farmer_id)


async def test_restarts_all_along_lose_and_double_nothing(start_backend: StartBackend) -> None:
    async with start_backend() as pool:
        farmers = await pool.onboard(5, stroops=DEPOSIT)
        block = await pool.open_block()
        await pool.plant(request(block))
    async with start_backend() as pool:
        await to_backstop(pool)
        await pool.advance(2)
    async with start_backend() as pool:  # the backstop's transactions may be open, applied or not built yet
        await pool.until(lambda: worked(pool, block, farmers), ledgers=12)
        await open_next_block(pool, block, "r-2")
    async with start_backend() as pool:

        async def booked() -> bool:
            return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

        await pool.until(booked, ledgers=10)
        for farmer in farmers:
            await balance_adds_up(pool, farmer.farmer_id)


async def test_harvest_by_a_stranger_is_booked(pool: Pool) -> None:
    farmers = await pool.onboard(2, stroops=DEPOSIT, blocks=2)
    block = await pool.open_block()
    await pool.plant(request(block))
    await to_backstop(pool)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=10)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 1)
    await pool.world.harvest_as_stranger(farmers[0].wallet_address, block)
    await pool.open_block()
    await pool.world.plant_as_stranger(block + 2)

    async def booked() -> bool:
        return all([(await pool.farmer(farmer.farmer_id)).earned_stroops for farmer in farmers])

    await pool.until(booked, ledgers=10)
    for farmer in farmers:
        await balance_adds_up(pool, farmer.farmer_id)
