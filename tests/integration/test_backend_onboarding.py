"""Onboarding: accounts on the real ledger, sponsored by the master account, many in one transaction."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from stellar_sdk import Keypair

from backend.api import limits
from kalepool.v1 import farmers_pb2, status_pb2
from tests.fixtures.backend import Pool, StartBackend, World

STROOPS_PER_XLM = 10_000_000


async def test_farmers_get_accounts_without_xlm_and_trustlines(pool: Pool) -> None:
    farmers = await pool.onboard(25)
    addresses = [farmer.wallet_address for farmer in farmers]
    assert {farmer.state for farmer in farmers} == {farmers_pb2.FARMER_STATE_ACTIVE}
    accounts = await pool.world.farm.accounts(addresses)
    assert [accounts[address].balance_stroops for address in addresses] == [0] * 25
    assert await pool.world.farm.balances(addresses) == dict.fromkeys(addresses, 0)


async def test_same_request_id_returns_the_same_farmer(pool: Pool) -> None:
    (first,) = await pool.onboard(1)
    (again,) = await pool.onboard(1)
    assert again.farmer_id == first.farmer_id
    listed = await pool.farmers.ListFarmers(farmers_pb2.ListFarmersRequest())
    assert [farmer.farmer_id for farmer in listed.farmers] == [first.farmer_id]


@pytest.mark.parametrize("whose", ["caller", "server"])
async def test_onboarding_goes_on_after_the_deadline(pool: Pool, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    request = farmers_pb2.CreateFarmerRequest(request_id="r-1")
    if whose == "server":
        monkeypatch.setattr(limits, "ONBOARDING_SECONDS", 1.0)
    timeout = 1 if whose == "caller" else None
    farmer = (await pool.farmers.CreateFarmer(request, timeout=timeout)).farmer  # no ledger closes meanwhile
    assert farmer.state == farmers_pb2.FARMER_STATE_ONBOARDING

    async def active() -> bool:
        return (await pool.farmer(farmer.farmer_id)).state == farmers_pb2.FARMER_STATE_ACTIVE

    await pool.until(active)


async def test_poor_master_account_is_told_and_onboarding_goes_on_once_it_is_funded(
    world: World, start_backend: StartBackend
) -> None:
    poor = Keypair.random()
    await world.create_account(poor.public_key, 2 * STROOPS_PER_XLM)
    settings = {
        "master_wallet_address": poor.public_key,
        "master_wallet_secret": poor.secret,
        "harvest_channels": 1,
    }
    request = farmers_pb2.CreateFarmerRequest(request_id="poor")
    async with start_backend(**settings) as pool:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pool.while_advancing(pool.farmers.CreateFarmer(request))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert poor.public_key in (caught.value.details() or "")
        parts = {part.name: part.health for part in (await pool.caught_up()).components}
        assert parts["master account"] == status_pb2.HEALTH_DEGRADED
        await world.pay_xlm(poor.public_key, 100 * STROOPS_PER_XLM)

        async def active() -> bool:
            listed = await pool.farmers.ListFarmers(farmers_pb2.ListFarmersRequest())
            return [farmer.state for farmer in listed.farmers] == [farmers_pb2.FARMER_STATE_ACTIVE]

        await pool.until(active)


async def test_farmers_are_listed_in_pages_by_state(pool: Pool) -> None:
    farmers = await pool.onboard(5)
    update = farmers_pb2.UpdateFarmerRequest(
        farmer=farmers_pb2.Farmer(farmer_id=farmers[0].farmer_id, state=farmers_pb2.FARMER_STATE_INACTIVE)
    )
    update.update_mask.paths.append("state")
    await pool.farmers.UpdateFarmer(update)
    seen, token = [], ""
    while True:
        request = farmers_pb2.ListFarmersRequest(page_size=3, page_token=token, state=farmers_pb2.FARMER_STATE_ACTIVE)
        page = await pool.farmers.ListFarmers(request)
        seen += [farmer.farmer_id for farmer in page.farmers]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(farmer.farmer_id for farmer in farmers[1:])


async def test_settings_change_and_departed_farmers_stay_as_they_are(pool: Pool) -> None:
    (farmer,) = await pool.onboard(1)
    request = farmers_pb2.UpdateFarmerRequest(
        farmer=farmers_pb2.Farmer(
            farmer_id=farmer.farmer_id,
            stake_basis_points=2550,
            harvest_after_blocks=9,
            state=farmers_pb2.FARMER_STATE_DEPARTED,
        )
    )
    request.update_mask.paths.extend(["stake_basis_points", "harvest_after_blocks", "state"])
    changed = (await pool.farmers.UpdateFarmer(request)).farmer
    assert (changed.stake_basis_points, changed.harvest_after_blocks) == (2550, 9)
    assert changed == await pool.farmer(farmer.farmer_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.farmers.UpdateFarmer(request)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_error_carries_a_machine_readable_reason(pool: Pool) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool.farmer(missing)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, info.metadata["farmer_id"]) == ("UNKNOWN_FARMER", "kalepool.v1", missing)
