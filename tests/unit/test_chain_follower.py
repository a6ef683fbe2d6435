"""The follower over an RPC that lags, fails and jumps."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kale_chain.answers import LedgerTransaction, LedgerUpdate
from kale_chain.errors import LedgerRangeError, RpcError, RpcRateLimitedError, RpcUnavailableError
from kale_chain.follower import LEDGERS_PER_UPDATE, MAX_BACKOFF_SECONDS, LedgerFollower
from kale_chain.model import Ledger

DOWN = RpcUnavailableError("http://rpc:1", "getHealth", "HTTP status 503")


class FakeRpc:
    """An RPC whose latest ledger follows a script: sequences to tell, errors to raise; then it stands still."""

    def __init__(self, *script: int | RpcError, transactions: Callable[[int], int] = lambda _: 1) -> None:
        self.script = list(script)
        self.reads: list[tuple[int, int]] = []
        self.failing_read: RpcError | None = None
        self._count = transactions

    async def latest_ledger(self) -> Ledger:
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, RpcError):
            raise step
        return Ledger(step, 1_000 + step)

    async def transactions(self, start: int, end: int) -> list[LedgerTransaction]:
        self.reads.append((start, end))
        if self.failing_read:
            error, self.failing_read = self.failing_read, None
            raise error
        return [
            LedgerTransaction(
                hash=f"{ledger}/{number}",
                ledger=ledger,
                close_time=1_000 + ledger,
                successful=True,
                fee_bump=False,
                envelope_xdr="",
                result_xdr="",
                meta_xdr="",
                diagnostic_events=(),
            )
            for ledger in range(start, end + 1)
            for number in range(self._count(ledger))
        ]


class Clock:
    """Pauses that take no time, and what the follower said of itself during each."""

    def __init__(self) -> None:
        self.follower: LedgerFollower
        self.pauses: list[float] = []
        self.observed: list[tuple[int, bool, RpcError | None]] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.observed.append((self.follower.lag, self.follower.healthy, self.follower.last_error))
        await asyncio.sleep(0)


def following(rpc: FakeRpc) -> tuple[LedgerFollower, Clock]:
    clock = Clock()
    follower = LedgerFollower(rpc, poll_seconds=0.5, sleep=clock.sleep)  # type: ignore[arg-type]  # what it calls
    clock.follower = follower
    return follower, clock


async def take(updates: AsyncIterator[LedgerUpdate], count: int) -> list[LedgerUpdate]:
    return [await anext(updates) for _ in range(count)]


async def test_each_ledger_comes_once_with_all_its_transactions() -> None:
    follower, clock = following(FakeRpc(10, 11, 11, 14, transactions=lambda ledger: ledger % 3))
    updates = await take(follower.updates(9), 3)
    assert [(one.first, one.last.sequence) for one in updates] == [(10, 10), (11, 11), (12, 14)]
    assert updates[2].last == Ledger(14, 1_014)
    assert list(updates[2].transactions) == ["13/0", "14/0", "14/1"]
    assert clock.pauses == [0.5]


async def test_a_ledger_in_which_nothing_happened_is_an_update_too() -> None:
    follower, clock = following(FakeRpc(10, transactions=lambda _: 0))
    (update,) = await take(follower.updates(9), 1)
    assert (update.first, update.last, update.transactions) == (10, Ledger(10, 1_010), {})
    assert clock.pauses == []


async def test_an_rpc_that_goes_back_repeats_nothing_and_is_unhealthy_while_far_behind() -> None:
    rpc = FakeRpc(20, 14, 17, 20, 21)
    follower, clock = following(rpc)
    updates = await take(follower.updates(19), 2)
    assert [(one.first, one.last.sequence) for one in updates] == [(20, 20), (21, 21)]
    assert rpc.reads == [(20, 20), (21, 21)]
    assert clock.observed == [(6, False, None), (3, True, None), (0, True, None)]


async def test_faults_are_told_while_they_last_and_tried_again_ever_more_rarely() -> None:
    follower, clock = following(FakeRpc(*[DOWN] * 7, 10))
    await take(follower.updates(9), 1)
    assert clock.pauses == [1.0, 2.0, 4.0, 8.0, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS]
    assert clock.observed == [(0, False, DOWN)] * 7
    assert follower.last_error is None
    assert follower.healthy


async def test_a_fault_while_reading_transactions_reads_the_same_ledgers_again() -> None:
    rpc = FakeRpc(10, 12)
    rpc.failing_read = LedgerRangeError("http://rpc:1", asked=10, oldest=1, latest=9)
    follower, clock = following(rpc)
    (update,) = await take(follower.updates(9), 1)
    assert (update.first, update.last.sequence) == (10, 12)
    assert rpc.reads == [(10, 10), (10, 12)]
    assert clock.pauses == [1.0]


async def test_retry_after_is_obeyed() -> None:
    follower, clock = following(FakeRpc(RpcRateLimitedError("http://rpc:1", "getHealth", 42.0), 10))
    await take(follower.updates(9), 1)
    assert clock.pauses == [42.0]


async def test_after_a_long_absence_the_ledgers_come_in_parts() -> None:
    latest = 3 * LEDGERS_PER_UPDATE + 5
    quiet = {LEDGERS_PER_UPDATE}
    follower, clock = following(FakeRpc(latest, transactions=lambda ledger: 0 if ledger in quiet else 1))
    updates = follower.updates(0)
    parts: list[LedgerUpdate] = []
    while not parts or parts[-1].last.sequence < latest:
        parts.append(await anext(updates))
    assert parts[0].last == Ledger(LEDGERS_PER_UPDATE - 1, 1_000 + LEDGERS_PER_UPDATE - 1)
    assert [one.first for one in parts] == [1, *(one.last.sequence + 1 for one in parts[:-1])]
    hashes = [name for one in parts for name in one.transactions]
    assert hashes == [f"{ledger}/0" for ledger in range(1, latest + 1) if ledger not in quiet]
    assert clock.pauses == []


async def test_a_long_absence_in_which_nothing_happened_is_one_update() -> None:
    latest = 3 * LEDGERS_PER_UPDATE + 5
    follower, _ = following(FakeRpc(latest, transactions=lambda _: 0))
    (update,) = await take(follower.updates(0), 1)
    assert (update.first, update.last.sequence, update.transactions) == (1, latest, {})


async def test_cancelling_ends_it_at_once() -> None:
    follower = LedgerFollower(FakeRpc(9), poll_seconds=3_600)  # type: ignore[arg-type]  # what it calls
    reading = asyncio.ensure_future(anext(follower.updates(9)))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
