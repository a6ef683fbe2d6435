"""From which ledger on a starting backend can read."""

from typing import Any, cast

from backend.chain.results import readable_after
from kale_chain.errors import LedgerRangeError
from kale_chain.model import Ledger
from kale_chain.rpc import StellarRpc


class FakeRpc:
    """An RPC that holds a range of ledgers and refuses to be asked for others."""

    def __init__(self, oldest: int, latest: int) -> None:
        self._oldest = oldest
        self._latest = latest

    async def latest_ledger(self) -> Ledger:
        return Ledger(self._latest, 1_000)

    async def transactions(self, start: int, _end: int) -> list[Any]:
        assert start <= self._latest, "a network that stands still refuses ledgers to come"
        if start < self._oldest:
            raise LedgerRangeError("http://rpc:1", start, self._oldest, self._latest)
        return []


async def readable(after: int, *, oldest: int = 50, latest: int = 100) -> int:
    return await readable_after(cast("StellarRpc", FakeRpc(oldest, latest)), after)


async def test_ledgers_that_are_held_are_read_from_the_first() -> None:
    assert await readable(60) == 60


async def test_ledgers_that_are_lost_are_passed_over() -> None:
    assert await readable(20) == 49


async def test_nothing_is_asked_where_no_ledger_has_closed_since() -> None:
    assert await readable(100) == 100
