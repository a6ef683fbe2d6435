"""The one ledger of a process: engine, queue and history, safe to use from the event loop."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from devnet._engine import ClosedTransaction
from devnet.engine_client import EngineClient
from devnet.records import History, LedgerRecord, TransactionRecord

P = ParamSpec("P")
T = TypeVar("T")

Actor = Callable[[EngineClient], None]


class LocalLedger:
    """Engine and history.

    The engine is used from one worker thread, so that a call finds it between two changes and the event loop goes on
    serving while a ledger closes.

    Args:
        client: The engine; from now on nobody else may use it.
        history: What has closed so far.
        ledger_seconds: How much later each ledger's close time is.
        actors: Called in the worker thread after every close; what they send is in the next ledger.
    """

    def __init__(
        self, client: EngineClient, history: History, *, ledger_seconds: int, actors: Sequence[Actor] = ()
    ) -> None:
        self.history = history
        self.passphrase = client.passphrase
        self._client = client
        self._ledger_seconds = ledger_seconds
        self._actors = list(actors)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._closed = asyncio.Condition()
        self._closing = asyncio.Lock()

    async def call(self, function: Callable[Concatenate[EngineClient, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function(client, …)` in the worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(self._client, *args, **kwargs))

    def steady(self) -> asyncio.Lock:
        """A context in which no ledger closes, so that engine and history agree."""
        return self._closing

    async def close_ledger(self, *, seconds: int | None = None) -> LedgerRecord:
        """Closes one ledger with what is in the queue, so many of its own seconds after the last one.

        Cancelled, it ends once the ledger has closed: half closed, engine and history would part for good.
        """
        async with self._closing:
            whole = asyncio.create_task(self._close(seconds or self._ledger_seconds))
            try:
                ledger = await asyncio.shield(whole)
            except asyncio.CancelledError:
                await whole
                raise
        async with self._closed:
            self._closed.notify_all()
        return ledger

    async def _close(self, seconds: int) -> LedgerRecord:
        ledger = await self.call(close_ledger, seconds=seconds)
        self.history.add(ledger)
        for actor in self._actors:
            await self.call(actor)
        return ledger

    async def wait_for(self, transaction_hash: str) -> tuple[LedgerRecord, TransactionRecord]:
        """The transaction, once it is in a closed ledger."""
        async with self._closed:
            await self._closed.wait_for(lambda: self.history.find(transaction_hash))
        found = self.history.find(transaction_hash)
        assert found
        return found

    async def stop(self) -> None:
        """Ends the worker thread after its last call."""
        await asyncio.to_thread(self._worker.shutdown)


def close_ledger(client: EngineClient, *, seconds: int) -> LedgerRecord:
    """Closes one ledger, `seconds` of its own time after the last one."""
    engine = client.engine
    return last_ledger(client, engine.close(engine.close_time + seconds))


def last_ledger(client: EngineClient, transactions: Sequence[ClosedTransaction] = ()) -> LedgerRecord:
    """The record of the last closed ledger, whose transactions these are."""
    closed = client.engine.last_ledger
    return LedgerRecord(
        sequence=closed.sequence,
        close_time=closed.close_time,
        hash=closed.hash,
        base_fee=closed.base_fee,
        header_xdr=closed.header_xdr,
        history_entry_xdr=closed.history_entry_xdr,
        packed_metadata=zlib.compress(closed.metadata_xdr.encode(), level=1),
        transactions=tuple(_record(transaction) for transaction in transactions),
    )


def _record(closed: ClosedTransaction) -> TransactionRecord:
    return TransactionRecord(
        hash=closed.hash,
        inner_hash=closed.inner_hash,
        successful=closed.successful,
        fee_bump=closed.fee_bump,
        application_order=closed.application_order,
        envelope_xdr=closed.envelope_xdr,
        result_xdr=closed.result_xdr,
        meta_xdr=closed.meta_xdr,
        contract_events=tuple(closed.contract_events),
        diagnostic_events=tuple(closed.diagnostic_events),
    )
