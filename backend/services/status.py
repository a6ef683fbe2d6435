"""What the backend is doing and how its parts are, for people and programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from backend.domain.plant import FarmView
from backend.errors import DatabaseUnavailableError, LedgerUnavailableError
from backend.ports.chain import EndpointReport, LedgerFeed
from backend.ports.stores import PoolCounts, Stores
from backend.services.access import ChainAccess
from backend.services.accounts import AccountsCheck
from backend.services.endpoints import EndpointWatch
from backend.services.extending import Extending
from backend.services.pulse import Pulse
from kale_chain.model import STROOPS_PER_KALE

_CHECK_SECONDS = 1.0
_LOW_MASTER_STROOPS = 100 * 10_000_000
"""XLM below which the master account is reported as low: the plan's buffer."""
_NO_COUNTS = PoolCounts(active_farmers=0, planted=0, unworked=0, open_pails=0, open_attempts=0)


class Health(IntEnum):
    """How a component is; the greatest of several is the worst."""

    UP = 1
    DEGRADED = 2
    DOWN = 3


@dataclass(frozen=True, slots=True)
class Component:
    """One part that the backend depends on; `detail` says why it is not up."""

    name: str
    health: Health
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The backend's status; amounts in stroops of XLM."""

    uptime_seconds: int
    components: Sequence[Component]
    view: FarmView | None
    """The farm as last read; None if it never was."""
    counts: PoolCounts
    master_balance_stroops: int

    @property
    def health(self) -> Health:
        """The worst of the components."""
        return max((component.health for component in self.components), default=Health.UP)


class StatusBoard:
    """Keeps watch over the components. `changed` beats at every closed ledger and change of a component's health."""

    def __init__(
        self,
        stores: Stores,
        feed: LedgerFeed,
        chain: ChainAccess,
        extending: Extending,
        *,
        endpoints: EndpointWatch,
        accounts: AccountsCheck,
    ) -> None:
        self._stores = stores
        self._feed = feed
        self._endpoints = endpoints
        self._accounts = accounts
        self._reader = chain.reader
        self._factory = chain.factory
        self._watch = chain.watch
        self._gate = chain.gate
        self._extending = extending
        self._started = time.monotonic()
        self._components: Sequence[Component] = ()
        self._master_balance: int | None = None
        self.changed = Pulse()

    @property
    def components(self) -> Sequence[Component]:
        """The components as last checked."""
        return self._components

    async def status(self) -> PoolStatus:
        """The present status; where the database is down its sums are 0 and the component says so."""
        view = self._watch.known
        counts = _NO_COUNTS
        try:
            counts = await self._stores.events.counts(view.farm.index if view is not None else 0)
        except DatabaseUnavailableError:
            await self.check()
        return PoolStatus(
            uptime_seconds=int(time.monotonic() - self._started),
            components=self._components,
            view=view,
            counts=counts,
            master_balance_stroops=self._master_balance or 0,
        )

    async def run(self) -> None:
        """Checks the components every second and at every closed ledger, for ever."""
        seen = self._watch.closed.count
        while True:
            before = self._components
            now = self._watch.closed.count
            if now != seen or self._master_balance is None:
                await self._read_master()
            await self.check()
            if now != seen or before != self._components:
                self.changed.beat()
            seen = now
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._watch.closed.after(seen)
            except TimeoutError:
                continue

    async def check(self) -> None:
        """Looks at database and ledger once."""
        if self._watch.fault is not None and self._watch.last is not None:
            await self._watch.refresh(self._watch.last)
        self._components = (
            await self._database(),
            self._stellar(),
            self._master(),
            *self._quarantine(),
            *self._books(),
            *self._lives(),
            *self._farmers(),
            *self._voters(),
        )

    async def _database(self) -> Component:
        try:
            await self._stores.ping()
        except DatabaseUnavailableError as error:
            return Component("database", Health.DOWN, str(error))
        return Component("database", Health.UP)

    def _quarantine(self) -> Sequence[Component]:
        closed = self._gate.closed
        return () if closed is None else (Component("quarantine", Health.DEGRADED, closed),)

    def _books(self) -> Sequence[Component]:
        wrong = self._gate.books
        return () if wrong is None else (Component("books", Health.DOWN, wrong),)

    def _lives(self) -> Sequence[Component]:
        risk = self._extending.risk
        if not risk.pails:
            return ()
        staked = (
            f"{risk.pails} unharvested pails with stakes of {Decimal(risk.stake_stroops) / STROOPS_PER_KALE:f} KALE"
        )
        return (Component("harvests", Health.DEGRADED, f"{staked} have used up to {risk.percent} % of their lives"),)

    def _farmers(self) -> Sequence[Component]:
        wrong = self._accounts.fault
        return () if wrong is None else (Component("farmers", Health.DEGRADED, wrong),)

    def _stellar(self) -> Component:
        fault = self._feed.fault or self._watch.fault
        if fault is None:
            return Component("stellar", Health.UP)
        return Component("stellar", Health.DOWN, fault)

    def _voters(self) -> Sequence[Component]:
        """The RPC endpoints one by one, where there are several."""
        return [_voter(report) for report in self._endpoints.reports]

    def _master(self) -> Component:
        balance, address = self._master_balance, self._factory.master
        if balance is None or balance >= _LOW_MASTER_STROOPS:
            return Component("master account", Health.UP)
        return Component("master account", Health.DEGRADED, f"{address} holds less than 100 XLM; send it some")

    async def _read_master(self) -> None:
        try:
            accounts = await self._reader.accounts([self._factory.master])
        except LedgerUnavailableError:
            return
        account = accounts.get(self._factory.master)
        self._master_balance = account.balance_stroops if account is not None else 0


def _voter(report: EndpointReport) -> Component:
    """An endpoint's component: not up without a vote, or while calls avoid it."""
    avoided = "" if report.circuit == "closed" else f"its circuit is {report.circuit}"
    detail = "; ".join(part for part in (report.fault, avoided) if part)
    return Component(f"rpc {report.name}", Health.DEGRADED if detail else Health.UP, detail)
