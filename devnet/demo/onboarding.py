"""Brings farmers into the pool through its public interface, and KALE to the farmers through the ledger."""

import asyncio

import aiohttp
import grpc.aio
from stellar_sdk import Asset, Keypair, TransactionBuilder
from stellar_sdk.client.aiohttp_client import AiohttpClient
from stellar_sdk.soroban_rpc import GetTransactionStatus
from stellar_sdk.soroban_server_async import SorobanServerAsync

from kale_common.onboarding import CALLS_AT_ONCE, CHANNEL_OPTIONS
from kale_common.processes import ServiceError
from kalepool.v1 import farmers_pb2, farmers_pb2_grpc

ONBOARDING_SECONDS = 120
PAYMENTS_PER_TRANSACTION = 100
DEPOSIT_SECONDS = 60


async def onboard(backend: str, farmers: int, *, run_id: str) -> list[farmers_pb2.Farmer]:
    """Creates `farmers` farmers at the backend (host:port), many at once; each harvests one block after planting."""
    turn = asyncio.Semaphore(CALLS_AT_ONCE)
    async with grpc.aio.insecure_channel(backend, options=CHANNEL_OPTIONS) as channel:
        stub: farmers_pb2_grpc.FarmerServiceAsyncStub = farmers_pb2_grpc.FarmerServiceStub(channel)

        async def create(number: int) -> farmers_pb2.CreateFarmerResponse:
            request = farmers_pb2.CreateFarmerRequest(
                request_id=f"{run_id}:{number}", stake_basis_points=1_000, harvest_after_blocks=1
            )
            async with turn:
                return await stub.CreateFarmer(request, timeout=ONBOARDING_SECONDS)

        answers = await asyncio.gather(*(create(number) for number in range(farmers)))
    created = [answer.farmer for answer in answers]
    late = [farmer.wallet_address for farmer in created if farmer.state != farmers_pb2.FARMER_STATE_ACTIVE]
    if late:
        raise ServiceError(f"{len(late)} farmers were not onboarded within {ONBOARDING_SECONDS} s: {', '.join(late)}")
    return created


async def deposit(rpc_url: str, *, faucet_secret: str, asset: Asset, passphrase: str, amounts: dict[str, int]) -> None:
    """Pays each address its amount of KALE (stroops) from the faucet, a hundred payments to a transaction."""
    faucet = Keypair.from_secret(faucet_secret)
    addresses = list(amounts)
    async with SorobanServerAsync(rpc_url, client=AiohttpClient()) as rpc:
        for first in range(0, len(addresses), PAYMENTS_PER_TRANSACTION):
            part = {address: amounts[address] for address in addresses[first : first + PAYMENTS_PER_TRANSACTION]}
            await _pay(rpc, faucet, asset, passphrase, part)


async def _pay(
    rpc: SorobanServerAsync, faucet: Keypair, asset: Asset, passphrase: str, amounts: dict[str, int]
) -> None:
    builder = TransactionBuilder(await rpc.load_account(faucet.public_key), passphrase, base_fee=100)
    builder.add_time_bounds(0, 0)
    for address, stroops in amounts.items():
        builder.append_payment_op(address, asset, f"{stroops // 10_000_000}.{stroops % 10_000_000:07d}")
    transaction = builder.build()
    transaction.sign(faucet)
    sent = await rpc.send_transaction(transaction)
    result = await rpc.poll_transaction(sent.hash, DEPOSIT_SECONDS, lambda _attempt: 1)
    if result.status is not GetTransactionStatus.SUCCESS:
        raise ServiceError(f"the deposit of KALE to the farmers ended as {result.status.value} ({sent.hash})")


async def balances(horizon_url: str, addresses: list[str], asset: Asset) -> dict[str, int]:
    """KALE of each address in stroops, as the ledger itself says (`GET /accounts/{id}`)."""
    async with aiohttp.ClientSession() as session:

        async def balance(address: str) -> int:
            async with session.get(f"{horizon_url}/accounts/{address}") as answer:
                answer.raise_for_status()
                lines = (await answer.json())["balances"]
            held = [line["balance"] for line in lines if line.get("asset_issuer") == asset.issuer]
            return int(held[0].replace(".", ""))

        return dict(zip(addresses, await asyncio.gather(*map(balance, addresses)), strict=True))
