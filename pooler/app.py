"""The composition root: everything a pooler is made of, started in order and stopped in reverse."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import stamina
import structlog

from kale_chain.errors import InvalidSecretError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.follower import LedgerFollower
from kale_chain.identify import identify
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc
from kale_chain.tx import FarmCalls, Signer
from kale_common.errors import ConfigError
from pooler.api.server import serving
from pooler.chain.accounts import FeeAccount
from pooler.chain.channels import FarmWorkChannels
from pooler.chain.farm import RpcFarmView
from pooler.chain.feed import RpcLedgerFeed
from pooler.config import FEE_ACCOUNT, PoolerSettings
from pooler.domain.round import Rounds
from pooler.errors import BackendError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import connect
from pooler.machine import MachineLoad
from pooler.search.engine import NativeEngine
from pooler.services.assigning import Assigning
from pooler.services.farming import Farming
from pooler.services.overview import Overview
from pooler.services.reporting import Reporting
from pooler.services.searching import Searching
from pooler.services.submitting import Submitting
from pooler.services.watching import Watching
from pooler.state.journal import SqliteJournal

log = structlog.get_logger(__name__)

_START_ATTEMPTS = 3
_HEALTH_SECONDS = 5.0
_BALANCE_SECONDS = 30.0


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
    async with StellarRpc(settings.stellar_rpc_url, timeout=settings.api_timeout_ms / 1000) as rpc:
        async for attempt in stamina.retry_context(on=RpcError, attempts=_START_ATTEMPTS):
            with attempt:
                identity = await identify(
                    rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
                )
        account = FeeAccount(
            rpc,
            identity,
            payer=payer,
            count=settings.channels,
            poll_seconds=settings.ledger_poll_ms / 1000,
        )
        yield Ledger(rpc, identity, payer, account)


class Pooler:
    """A running pooler's parts. Made and run by `run`."""

    def __init__(
        self,
        *,
        settings: PoolerSettings,
        chain: Ledger,
        channels: FarmWorkChannels,
        engine: NativeEngine,
        journal: SqliteJournal,
        backend: GrpcBackend,
    ) -> None:
        self._settings = settings
        self._account = chain.account
        self._channels = channels
        self._engine = engine
        self._journal = journal
        self._backend = backend
        rounds = Rounds()
        follower = LedgerFollower(chain.rpc, poll_seconds=settings.ledger_poll_ms / 1000)
        farm = RpcFarmView(FarmReader(chain.rpc, chain.identity), chain.rpc.endpoint)
        self._feed = RpcLedgerFeed(chain.rpc, follower, chain.identity)
        self._watching = Watching(farm)
        self._searching = Searching(
            engine, journal, rounds, run=secrets.token_bytes(16), limit=settings.max_work_processes
        )
        self._submitting = Submitting(
            channels,
            farm,
            journal,
            rounds,
            max_repeats=settings.max_retry_attempts,
            patience=settings.work_timeout_ms / 1000,
        )
        self._reporting = Reporting(backend, journal)
        self.overview = Overview(
            pooler_id=settings.pooler_id,
            problems={"stellar": lambda: self._feed.problem, "backend": lambda: backend.problem},
            rate=engine.rate,
            load=MachineLoad(engine.usable_cores),
            watching=self._watching,
            searching=self._searching,
            submitting=self._submitting,
            reporting=self._reporting,
            rounds=rounds,
        )
        backend.changed = self.overview.ring
        self._farming = Farming(
            pooler_id=settings.pooler_id,
            feed=self._feed,
            watching=self._watching,
            submitting=self._submitting,
            searching=self._searching,
            reporting=self._reporting,
            journal=journal,
            rounds=rounds,
            interval=settings.block_monitor_interval_ms / 1000,
            turned=self.overview.ring,
        )

    async def farm(self) -> None:
        """Farms until cancelled."""
        last = await self._feed.latest()
        sight = await self._watching.look()
        assert sight is not None, "the first look is never behind another"
        after = await self._farming.restore(last, sight)
        async with asyncio.TaskGroup() as tasks:
            assigning = Assigning(
                self._backend,
                self._journal,
                farmers=self._settings.farmers(self._channels.count),
                take=self._farming.take,
                tasks=tasks,
            )
            self.overview.assigning = assigning
            tasks.create_task(self._searching.run(), name="finds")
            tasks.create_task(self._reporting.run(), name="reports")
            tasks.create_task(self._watch_backend(), name="backend's health")
            tasks.create_task(self._watch_balance(), name="fee account")
            tasks.create_task(self._farming.run(assigning, after), name="farming")

    async def _watch_backend(self) -> None:
        while True:
            with contextlib.suppress(BackendError):
                await self._backend.check()
            await asyncio.sleep(_HEALTH_SECONDS)

    async def _watch_balance(self) -> None:
        while True:
            with contextlib.suppress(RpcError):
                self.overview.fee_balance_stroops = await self._account.balance() or 0
            await asyncio.sleep(_BALANCE_SECONDS)


async def run(settings: PoolerSettings) -> None:
    """Runs a pooler until cancelled; then stops it cleanly.

    Raises:
        ConfigError, IdentityError, RpcError, PoolerError: It cannot start.
    """
    async with contextlib.AsyncExitStack() as stack:
        chain = await stack.enter_async_context(ledger(settings))
        survey = await chain.account.create_missing()
        channels = FarmWorkChannels(
            chain.rpc,
            FarmReader(chain.rpc, chain.identity),
            FarmCalls(chain.identity),
            payer=chain.payer,
            channels=survey.existing,
        )
        farm = f"{chain.identity.farm_id} on {chain.identity.passphrase}"
        journal = stack.enter_context(SqliteJournal(settings.state_directory, farm=farm, pooler_id=settings.pooler_id))
        channel = await stack.enter_async_context(connect(settings.backend_api_url))
        backend = GrpcBackend(channel, pooler_id=settings.pooler_id, timeout=settings.api_timeout_ms / 1000)
        engine = stack.enter_context(NativeEngine(cores=settings.machine_cpu_cores, kernel=settings.hash_kernel))
        pooler = Pooler(
            settings=settings, chain=chain, channels=channels, engine=engine, journal=journal, backend=backend
        )
        ports = await stack.enter_async_context(
            serving(
                pooler.overview,
                address=settings.bind_address,
                grpc_port=settings.port,
                http_port=settings.http_port,
            )
        )
        log.info(
            "ready",
            grpc_port=ports[0],
            http_port=ports[1],
            pooler_id=settings.pooler_id,
            farm=chain.identity.farm_id,
            fee_account=chain.payer.address,
            channels=channels.count,
            kernel=engine.kernel,
            threads=engine.threads,
        )
        await pooler.farm()
