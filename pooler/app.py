"""The composition root: everything a pooler is made of, started in order and stopped in reverse."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import stamina
import structlog

from kale_chain.errors import InvalidSecretError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.follower import LedgerFollower
from kale_chain.identify import check_endpoints, identify
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc
from kale_chain.tx import FarmCalls, Signer
from kale_common.errors import ConfigError
from pooler.api.server import serving
from pooler.chain.accounts import FeeAccount, Survey
from pooler.chain.channels import FarmWorkChannels
from pooler.chain.farm import RpcFarmView
from pooler.chain.feed import RpcLedgerFeed
from pooler.config import FEE_ACCOUNT, PoolerSettings
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.link.identity import Identity
from pooler.link.renewal import renewed
from pooler.machine import MachineLoad
from pooler.search.engine import NativeEngine
from pooler.services.assembly import Assembly, Options, Ports
from pooler.state.journal import SqliteJournal

log = structlog.get_logger(__name__)

_START_ATTEMPTS = 3
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The network and the farm on it, checked."""

    rpc: StellarRpc
    identity: FarmIdentity
    payer: Signer
    account: FeeAccount


def fee_signer(settings: PoolerSettings) -> Signer:
    """The fee account's key.

    Raises:
        ConfigError: There is none, or it is not a secret key.
    """
    try:
        return Signer.from_secret(settings.fee_secret().get_secret_value())
    except InvalidSecretError as error:
        raise ConfigError(FEE_ACCOUNT, str(error)) from None


@contextlib.asynccontextmanager
async def ledger(settings: PoolerSettings) -> AsyncIterator[Ledger]:
    """Connects to the network and checks that farm and passphrase are what was meant.

    Raises:
        ConfigError: There is no fee account's key, or it is none.
        IdentityError: Another network, or not a farm.
        RpcError: No answer after several tries.
    """
    payer = fee_signer(settings)
    async with StellarRpc(settings.stellar_rpc_urls, timeout=settings.api_timeout_ms / 1000) as rpc:
        async for attempt in stamina.retry_context(on=RpcError, attempts=_START_ATTEMPTS):
            with attempt:
                identity = await identify(
                    rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
                )
        await check_endpoints(rpc, passphrase=settings.stellar_network_passphrase)
        account = FeeAccount(
            rpc,
            identity,
            payer=payer,
            count=settings.channels,
            poll_seconds=settings.ledger_poll_ms / 1000,
        )
        yield Ledger(rpc, identity, payer, account)


async def run(settings: PoolerSettings) -> None:
    """Runs a pooler until cancelled; then stops it cleanly.

    Raises:
        ConfigError, IdentityError, RpcError, PoolerError: It cannot start.
    """
    async with contextlib.AsyncExitStack() as stack:
        engine = stack.enter_context(NativeEngine(cores=settings.machine_cpu_cores, kernel=settings.hash_kernel))
        chain = await stack.enter_async_context(ledger(settings))
        survey = await chain.account.create_missing()
        ports = await _ports(settings, chain, survey, engine, stack)
        pooler = Assembly(ports, _options(settings, ports.channels.count))
        grpc_port, http_port = await stack.enter_async_context(
            serving(
                pooler.overview, address=settings.bind_address, grpc_port=settings.port, http_port=settings.http_port
            )
        )
        log.info(
            "ready",
            grpc_port=grpc_port,
            http_port=http_port,
            pooler_id=settings.pooler_id,
            farm=chain.identity.farm_id,
            fee_account=survey.address,
            channels=ports.channels.count,
            kernel=engine.kernel,
            threads=engine.threads,
        )
        await _farm(pooler)


def identity_of(settings: PoolerSettings) -> Identity | None:
    """This pooler's certificate; None where TLS_DIRECTORY is not set.

    Raises:
        ConfigError: It is set, but BACKEND_API_URL is no https address.
    """
    if settings.tls_directory is None:
        return None
    if not settings.backend_api_url.startswith("https://"):
        raise ConfigError("BACKEND_API_URL", "must be https://host:port where TLS_DIRECTORY is set")
    return Identity(settings.tls_directory, settings.pooler_id)


async def _farm(pooler: Assembly) -> None:
    """Farms until cancelled; then the farmers go to other poolers, if there are any, before it ends."""
    farming = asyncio.create_task(pooler.farm(), name="pooler")
    try:
        await asyncio.shield(farming)
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await pooler.drain()
        raise
    finally:
        farming.cancel()
        await asyncio.gather(farming, return_exceptions=True)


async def _ports(
    settings: PoolerSettings, chain: Ledger, survey: Survey, engine: NativeEngine, stack: contextlib.AsyncExitStack
) -> Ports:
    """The adapters; those that must be closed are closed with `stack`."""
    reader = FarmReader(chain.rpc, chain.identity)
    follower = LedgerFollower(chain.rpc, poll_seconds=settings.ledger_poll_ms / 1000)
    farm = f"{chain.identity.farm_id} on {chain.identity.passphrase}"
    journal = stack.enter_context(SqliteJournal(settings.state_directory, farm=farm, pooler_id=settings.pooler_id))
    identity = identity_of(settings)
    line = await stack.enter_async_context(Line(settings.backend_api_url, identity))
    await stack.enter_async_context(renewed(line, identity))
    return Ports(
        feed=RpcLedgerFeed(chain.rpc, follower, chain.identity),
        farm=RpcFarmView(reader, chain.rpc.endpoint),
        channels=FarmWorkChannels(
            chain.rpc, reader, FarmCalls(chain.identity), payer=chain.payer, channels=survey.existing
        ),
        backend=GrpcBackend(
            line,
            pooler_id=settings.pooler_id,
            timeout=settings.api_timeout_ms / 1000,
            token=settings.token(),
        ),
        engine=engine,
        journal=journal,
        load=MachineLoad(engine.usable_cores),
        fee_balance=chain.account.balance,
    )


def _options(settings: PoolerSettings, channels: int) -> Options:
    return Options(
        pooler_id=settings.pooler_id,
        farmers=settings.farmers(channels),
        max_searches=settings.max_work_processes,
        max_repeats=settings.max_retry_attempts,
        work_patience=settings.work_timeout_ms / 1000,
        monitor_interval=settings.block_monitor_interval_ms / 1000,
    )
