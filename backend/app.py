"""The composition root: what the backend is made of, in which order it starts, and how it stops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Self

import structlog

from backend.api.certificate import EdgeCertificate
from backend.api.farmer_routes import FarmerRoutes
from backend.api.farmers import FarmerServicer
from backend.api.http import HttpServer, http_application
from backend.api.pool import PoolServicer
from backend.api.pooler_server import PoolerServer, PoolerServices
from backend.api.server import GrpcServer, Servicers
from backend.api.status import StatusServicer, follow_health
from backend.api.wallet import WalletServicer
from backend.api.wallet_http import wallet_routes
from backend.chain.factory import KaleTransactionFactory
from backend.chain.feed import RpcLedgerFeed, RpcSender
from backend.chain.probe import RpcEndpointProbe
from backend.chain.reader import RpcChainReader
from backend.chain.witnesses import RpcWitnesses
from backend.config import Settings
from backend.custody import Custody
from backend.db import open_stores
from backend.domain.spending import FeeCaps
from backend.domain.staking import Economy
from backend.observation import Observation
from backend.ports.stores import Stores
from backend.ports.vault import Vault
from backend.services.access import ChainAccess
from backend.services.accounts import AccountsCheck
from backend.services.attending import Attending
from backend.services.backstop import Backstop
from backend.services.booking import Booking
from backend.services.budget import Budget
from backend.services.bumping import Bumping
from backend.services.channels import Channels
from backend.services.checking import BooksCheck
from backend.services.door import Door
from backend.services.endpoints import PROBE_SECONDS, EndpointWatch
from backend.services.extending import Extending
from backend.services.following import FarmWatch, Following, repeat
from backend.services.harvesting import Harvesting
from backend.services.leasing import Leasing
from backend.services.onboarding import Onboarding
from backend.services.paying import Paying
from backend.services.planting import Planting
from backend.services.quarantining import Quarantining
from backend.services.recovering import Recovering
from backend.services.stating import Stating
from backend.services.status import StatusBoard
from backend.services.submitting import Submitting
from backend.services.tally import Tally
from backend.services.trusting import Trusting
from backend.services.withdrawing import Withdrawing
from backend.services.working import Working
from backend.tls.authority import Authority
from backend.vault import HeadFile
from backend.vault.statement_key import StatementKey
from kale_chain.identify import check_endpoints, identify
from kale_chain.model import FarmIdentity
from kale_chain.rpc import StellarRpc

_log = structlog.get_logger()

GRACE_SECONDS = 2.0
_MILLISECONDS = 1000


class Backend:
    """The backend as one async context manager: entered, it serves; left, it has stopped cleanly.

    Attributes:
        grpc_port: The gRPC port it listens on.
        http_port: The HTTP port it listens on.
        pooler_port: The poolers' port with mutual TLS; None if there is no authority.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.grpc_port = settings.port
        self.http_port = settings.http_port
        self.pooler_port: int | None = None

    async def __aenter__(self) -> Self:
        """Starts in order: database, farm, keys, lease, open attempts, listeners, and last what acts by itself.

        Raises:
            ConfigError: a setting does not fit.
            LeaseHeldError: another backend works on the database.
            BooksViolatedError: the books break a rule.
            BackendError: the database, the schema or the key file is not usable.
            ChainError: the RPC is out of reach, or network or farm are not the ones configured.
        """
        async with AsyncExitStack() as starting:
            await self._start(starting)
            self._stack = starting.pop_all()
        _log.info("ready", grpc_port=self.grpc_port, http_port=self.http_port, pooler_port=self.pooler_port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops in the opposite order."""
        await self._stack.aclose()
        _log.info("stopped")

    async def failed(self) -> NoReturn:
        """Waits for ever; raises what ended a part that must not end."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise AssertionError("a part that runs for ever has ended")

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        custody = await stack.enter_async_context(Custody(settings))
        stores = await open_stores(
            settings.database_url.get_secret_value(),
            max_connections=settings.db_max_connections,
            owner_allowed=settings.owner_allowed,
        )
        stack.push_async_callback(stores.close)
        rpc = await stack.enter_async_context(StellarRpc(settings.stellar_rpc_urls))
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        await check_endpoints(rpc, passphrase=settings.stellar_network_passphrase)
        vault = await custody.vault(identity)
        leasing = Leasing(stores.lease, HeadFile(settings.head_path()))
        await leasing.start(f"{socket.gethostname()} process {os.getpid()}")
        stack.push_async_callback(leasing.stop)
        parts = Parts(settings, stores, rpc, identity, vault)
        await parts.books.start()
        after = await parts.following.start()
        stack.push_async_callback(self._cancel_tasks)
        stack.push_async_callback(parts.chain.finishing.close)
        await parts.quarantining.act()
        door = Door(stores.tokens, required=settings.auth_required, rate=settings.rate)
        stating = Stating(stores.statements, identity, StatementKey.open(settings.statement_key_path()))
        await self._listen(parts, door, stating, stack)
        self._spawn("lease", leasing.hold())
        self._spawn("trust", parts.trusting.run())
        for name, coroutine in parts.tasks(after):
            self._spawn(name, coroutine)

    async def _listen(self, parts: Parts, door: Door, stating: Stating, stack: AsyncExitStack) -> None:
        settings = self._settings
        servicers = Servicers(
            pool=PoolServicer(parts.planting, parts.working, parts.attending),
            farmers=FarmerServicer(parts.stores.farmers, parts.onboarding, stating),
            status=StatusServicer(parts.board, parts.attending, stating.public_key),
            wallet=WalletServicer(parts.stores, parts.withdrawing),
        )
        tls = EdgeCertificate.of(settings.tls_certificate_file, settings.tls_key_file)
        grpc_server = GrpcServer(settings.bind_address, settings.port, servicers, door, tls)
        await grpc_server.start()
        stack.push_async_callback(grpc_server.stop, GRACE_SECONDS)
        await self._listen_to_poolers(parts, servicers, grpc_server, stack)
        farmer_routes = FarmerRoutes(parts.stores.farmers, stating)
        application = http_application(parts.planting, parts.working, parts.board, farmer_routes, door)
        application.add_routes(wallet_routes(parts.stores, parts.withdrawing))
        observation = Observation(settings, parts)
        application.add_routes(observation.routes.routes())
        http_server = HttpServer(settings.bind_address, settings.http_port, application, tls)
        await http_server.start()
        stack.push_async_callback(http_server.stop)
        self.grpc_port, self.http_port = grpc_server.port, http_server.port
        await parts.board.check()
        self._spawn("health", follow_health(grpc_server.health, parts.board))
        for name, coroutine in observation.tasks():
            self._spawn(name, coroutine)

    async def _listen_to_poolers(
        self, parts: Parts, servicers: Servicers, beside: GrpcServer, stack: AsyncExitStack
    ) -> None:
        """Opens the poolers' own port, where there is an authority to know them by."""
        settings = self._settings
        await parts.trusting.look()
        if settings.tls_directory is None:
            return
        server = PoolerServer(
            settings.pooler_bind_address,
            settings.pooler_port,
            Authority.open(settings.tls_directory),
            parts.trusting,
            PoolerServices(servicers.pool, servicers.status, beside.health_servicer),
        )
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        self.pooler_port = server.port

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(coroutine, name=name))

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Their exceptions hold what they were doing, such as a connection to the database half made.
        self._tasks.clear()


class Parts:
    """The services, wired; what the backend and its simulator are both made of."""

    def __init__(
        self, settings: Settings, stores: Stores, rpc: StellarRpc, identity: FarmIdentity, vault: Vault
    ) -> None:
        self.stores = stores
        self._harvest_seconds = float(settings.harvest_interval_seconds)
        reader = RpcChainReader(rpc, identity)
        factory = KaleTransactionFactory(identity, settings.master(), vault, rpc, channels=settings.harvest_channels)
        feed = RpcLedgerFeed(rpc, identity, poll_seconds=settings.ledger_poll_ms / _MILLISECONDS)
        submitting = Submitting(stores.attempts, RpcSender(rpc), RpcWitnesses(rpc, identity))
        caps = FeeCaps(settings.fee_cap_stroops, settings.fee_cap_per_hour_stroops)
        budget = Budget(stores.attempts, reader, factory, caps)
        watch = FarmWatch(reader, factory.follow)
        economy = Economy(settings.stake_policy, settings.floor_price())
        self.chain = ChainAccess(reader, factory, submitting, watch, budget, economy=economy)
        self.tally = Tally()
        self.bumping = Bumping(stores.attempts, self.chain)
        self.channels = Channels(stores.attempts, self.chain)
        self.attending = Attending(stores, self.chain)
        self.planting = Planting(stores, self.chain, self.attending, self.tally)
        self.trusting = Trusting(stores, self.attending)
        self.working = Working(stores, self.chain, self.trusting)
        self.backstop = Backstop(stores, self.chain, self.channels)
        self.harvesting = Harvesting(stores, self.chain, self.channels)
        self.extending = Extending(stores, self.chain, self.channels)
        self.onboarding = Onboarding(stores, self.chain, vault)
        self.recovering = Recovering(stores, self.chain)
        self.quarantining = Quarantining(stores, self.chain, self.recovering)
        self.endpoints = EndpointWatch(RpcEndpointProbe(rpc))
        self.accounts = AccountsCheck(stores, self.chain)
        self.board = StatusBoard(
            stores, feed, self.chain, self.extending, endpoints=self.endpoints, accounts=self.accounts
        )
        witnesses, rules = RpcWitnesses(rpc, identity), settings.payout_rules()
        self.withdrawing = Withdrawing(stores, self.chain, rules, identity.asset_issuer)
        self.paying = Paying(stores, self.chain, witnesses, self.withdrawing, rules)
        self.booking = Booking(stores.money, feed, reader)
        self.books = BooksCheck(stores.money, self.chain)
        listeners = (self.onboarding.note, self.extending.note)
        self.following = Following(feed, submitting, self.chain.watch, self.booking, (*listeners, self.tally.note))

    async def seal(self) -> None:
        """Adds what was recorded since to the audit chain."""
        await self.stores.events.seal()

    def tasks(self, after: int) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs for ever, by name, once ledger `after` is known to be settled (see `Following.start`)."""
        watch, every = self.chain.watch, self._harvest_seconds
        signing = self.quarantining.outside
        duties = (
            ("quarantine", self.quarantining.act, None),
            ("presence", self.attending.act, None),
            ("planting", signing(self.planting.rebuild), None),
            ("fee bumps", signing(self.bumping.act), None),
            ("channels", signing(self.channels.ensure), None),
            ("onboarding", signing(self.onboarding.act), None),
            ("backstop", signing(self.backstop.act), None),
            ("harvesting", signing(self.harvesting.act), every),
            ("withdrawals", signing(self.paying.act), None),
            ("lives", self.extending.watch, None),
            ("extending", signing(self.extending.act), None),
            ("reports", self.working.settle_unverified, None),
            ("recovering", self.recovering.act, every),
            ("audit chain", self.seal, None),
            ("endpoints", self.endpoints.act, PROBE_SECONDS),
            ("booking", self.booking.fill, None),
            ("books", self.books.act, None),
            ("accounts", self.accounts.act, None),
        )
        return [
            ("following", self.following.run(after)),
            ("status", self.board.run()),
            ("fees", repeat("fees", watch, self.chain.factory.refresh)),
            *((name, repeat(name, watch, act, seconds=seconds)) for name, act, seconds in duties),
        ]


async def run(settings: Settings) -> None:
    """Runs the backend until it is cancelled, and then stops it cleanly.

    Raises:
        Exception: what ended a part that must not end; a restart goes on from the rows.
    """
    async with Backend(settings) as backend:
        await backend.failed()
