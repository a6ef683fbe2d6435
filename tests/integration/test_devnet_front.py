"""The local ledger's front as stellar_sdk sees it."""

from stellar_sdk import Keypair
from stellar_sdk.client.aiohttp_client import AiohttpClient
from stellar_sdk.soroban_server_async import SorobanServerAsync

from devnet.server import DevnetServer


async def test_new_ledger_has_its_accounts_and_contracts(devnet: DevnetServer) -> None:
    scenario = devnet.scenario
    async with SorobanServerAsync(devnet.url, client=AiohttpClient()) as rpc:
        network = await rpc.get_network()
        assert (network.passphrase, network.friendbot_url) == (scenario.passphrase, devnet.friendbot_url)
        account = await rpc.load_account(Keypair.from_secret(scenario.faucet.secret).public_key)
        assert account.sequence > 0
