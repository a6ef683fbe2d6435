"""Verification of farmers' accounts: what is missing is told, at start and hourly, until it is right."""

from types import SimpleNamespace
from typing import Any, cast

from backend.services.accounts import VERIFY_SECONDS, AccountsCheck
from kale_chain.model import Account, Receiver
from simulator.memory import MemoryStores, Tables
from tests.fixtures.rows import Rows

FIT = Receiver(exists=True, room=5, authorised=True)


class Ledger:
    """Accounts as a test sets them; counts how often they are read."""

    def __init__(self) -> None:
        self.found: dict[str, Receiver] = {}
        self.reads = 0

    async def receivers(self, addresses: list[str]) -> dict[str, Receiver]:
        self.reads += 1
        return {address: self.found.get(address, FIT) for address in addresses}

    async def accounts(self, addresses: list[str]) -> dict[str, Account]:
        return {address: Account(1, 7) for address in addresses}


async def test_what_is_missing_is_told_hourly_until_it_is_right() -> None:
    stores, ledger = MemoryStores(Tables()), Ledger()
    fit, gone, frozen, bare = await Rows(stores).farmers(4)
    await Rows(stores).onboarding()
    close = SimpleNamespace(close_time=1000)
    chain = SimpleNamespace(reader=ledger, watch=SimpleNamespace(view=SimpleNamespace(ledger=close)))
    check = AccountsCheck(stores, cast("Any", chain))
    ledger.found = {
        gone.address: Receiver(exists=False),
        frozen.address: Receiver(exists=True, room=5),
        bare.address: Receiver(exists=True),
    }
    await check.act()
    told = check.fault or ""
    assert "3 farmers" in told
    for words in (f"{gone.address} does not exist", f"KALE of {frozen.address}", f"{bare.address} has no KALE"):
        assert words in told
    assert fit.address not in told
    ledger.found = {}
    close.close_time += VERIFY_SECONDS - 1
    await check.act()
    assert (ledger.reads, check.fault) == (1, told)
    close.close_time += 1
    await check.act()
    assert (ledger.reads, check.fault) == (2, None)
