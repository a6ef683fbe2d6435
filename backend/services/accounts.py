"""Verifying farmers' accounts: each active farmer needs one, with a KALE trustline that the issuer lets it use."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from backend.domain.farmer import Farmer, FarmerState
from backend.ports.stores import Stores
from backend.services.access import ChainAccess
from kale_chain.model import Account, Receiver

_log = structlog.get_logger()

VERIFY_SECONDS = 3600
"""Ledger time from one look at all accounts to the next."""
_IN_ONE_GO = 500
_NAMED = 3


class AccountsCheck:
    """Looks at start and then hourly; what is wrong is logged once, and told in the status until it is right."""

    def __init__(self, stores: Stores, chain: ChainAccess) -> None:
        self._farmers = stores.farmers
        self._reader = chain.reader
        self._watch = chain.watch
        self._next = 0
        self._faults: dict[str, str] = {}

    @property
    def fault(self) -> str | None:
        """What is wrong with farmers' accounts; None: nothing is."""
        if not self._faults:
            return None
        named = "; ".join(list(self._faults.values())[:_NAMED])
        return f"{len(self._faults)} farmers cannot be planted: {named}"

    async def act(self) -> None:
        """Looks at every active farmer's account if it is time.

        Raises:
            DatabaseUnavailableError, LedgerUnavailableError: not now.
        """
        now = self._watch.view.ledger.close_time
        if now < self._next:
            return
        found: dict[str, str] = {}
        after: UUID | None = None
        while page := await self._farmers.page(after=after, state=FarmerState.ACTIVE, size=_IN_ONE_GO):
            found |= await self._look(page)
            after = page[-1].farmer_id
        for address in found.keys() - self._faults.keys():
            _log.error("a farmer cannot be planted", address=address, reason=found[address])
        for address in self._faults.keys() - found.keys():
            _log.info("a farmer's account is in order again", address=address)
        self._faults = found
        self._next = now + VERIFY_SECONDS

    async def _look(self, farmers: Sequence[Farmer]) -> dict[str, str]:
        addresses = [farmer.address for farmer in farmers]
        accounts = await self._reader.accounts(addresses)
        receivers = await self._reader.receivers(addresses)
        faults = {}
        for address in addresses:
            fault = _fault(address, receivers[address])
            if fault is not None:
                faults[address] = fault
            _tell_of_xlm(address, accounts.get(address))
        return faults


def _fault(address: str, found: Receiver) -> str | None:
    if not found.exists:
        return f"the account {address} does not exist on the ledger"
    if found.room is None:
        return f"the account {address} has no KALE trustline"
    if not found.authorised:
        return f"the issuer has frozen the KALE of {address}"
    return None


def _tell_of_xlm(address: str, account: Account | None) -> None:
    """XLM that somebody sent is no deposit."""
    if account is not None and account.balance_stroops:
        _log.warning("a farmer's account holds XLM, which is no deposit", address=address, xlm=account.balance_stroops)
