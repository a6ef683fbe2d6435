"""The Stellar RPC: its answers as values, its faults as `RpcError`, and never a fault as a state.

The calls are our own rather than stellar_sdk's server class, which hides the HTTP status, Retry-After and the size of
an answer; what an answer must contain is checked by stellar_sdk's models of it.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError
from stellar_sdk import soroban_rpc

from kale_chain.answers import (
    Entries,
    Entry,
    FeeStats,
    LedgerTransaction,
    Network,
    Sighting,
    Simulation,
    Submission,
    SubmissionStatus,
)
from kale_chain.endpoints import Endpoint, Endpoints
from kale_chain.errors import LedgerRangeError, MalformedXdrError, RpcError, RpcRefusedError, RpcUnavailableError
from kale_chain.model import Ledger
from kale_chain.xdr.results import read_contract_failure, read_resources, read_result, read_value

__all__ = [
    "Entries",
    "Entry",
    "FeeStats",
    "LedgerTransaction",
    "Network",
    "Sighting",
    "Simulation",
    "StellarRpc",
    "Submission",
    "SubmissionStatus",
]

KEYS_PER_CALL = 200
TRANSACTIONS_PER_PAGE = 200

M = TypeVar("M", bound=BaseModel)


class _Health(soroban_rpc.GetHealthResponse):
    close_time: int | None = Field(alias="latestLedgerCloseTime", default=None)


class _Hash(BaseModel):
    sequence: int
    hash: str


class _Hashes(BaseModel):
    """As much of getLedgers as is needed: the metadata beside each hash may be megabytes."""

    ledgers: list[_Hash]


class StellarRpc:
    """Stellar RPC through one endpoint or several. An async context manager; leaving it closes the connections.

    Every method raises `RpcError` and nothing else when no endpoint answers as asked; none waits or asks the same
    endpoint again, and none turns a fault into an answer. An endpoint that asked to be left alone is, and the error
    says so. Errors name scheme, host and port of the endpoint, never the rest of its URL.

    Args:
        urls: `http(s)://host[:port][/path]`, or several in the order of preference; or endpoints that exist already.
        timeout: Seconds a call of one endpoint may take.

    Raises:
        RpcUnavailableError: If one of `urls` is not such a URL.
    """

    def __init__(self, urls: str | Sequence[str] | Endpoints, *, timeout: float = 10.0) -> None:
        if isinstance(urls, Endpoints):
            self._endpoints = urls
        else:
            chosen = [urls] if isinstance(urls, str) else urls
            self._endpoints = Endpoints([Endpoint(url, timeout=timeout) for url in chosen])

    @property
    def endpoint(self) -> str:
        """Scheme, host and port; of several, all of them."""
        return self._endpoints.name

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The endpoints with their breakers, in the order of preference."""
        return self._endpoints.members

    def each(self) -> "Sequence[StellarRpc]":
        """Every endpoint alone, over the same connections and breakers."""
        return [StellarRpc(Endpoints([endpoint])) for endpoint in self._endpoints.members]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._endpoints.close()

    async def network(self) -> Network:
        """The network the endpoint serves."""
        answer = await self._call("getNetwork", soroban_rpc.GetNetworkResponse)
        return Network(answer.passphrase, answer.protocol_version, answer.friendbot_url)

    async def latest_ledger(self) -> Ledger:
        """The latest closed ledger the endpoint knows.

        Asks `getHealth`, whose answer is small; `getLatestLedger`, which carries the whole ledger's meta, only where
        an older RPC gives no close time there, or where it refuses because the network stands still.
        """
        try:
            health = await self._call("getHealth", _Health)
        except RpcRefusedError:
            health = None
        if health is not None and health.close_time is not None:
            return Ledger(health.latest_ledger, health.close_time)
        answer = await self._call("getLatestLedger", soroban_rpc.GetLatestLedgerResponse)
        return Ledger(answer.sequence, answer.close_time)

    async def entries(self, keys: Sequence[str]) -> Entries:
        """The ledger entries of `keys` (base64 LedgerKey), any number of them; 200 are asked for in one call.

        Of several calls the answer's `ledger` is the earliest: nothing in it is older than that.
        """
        found: dict[str, Entry] = {}
        ledgers: list[int] = []
        for start in range(0, max(1, len(keys)), KEYS_PER_CALL):
            part = list(keys[start : start + KEYS_PER_CALL])
            answer = await self._call("getLedgerEntries", soroban_rpc.GetLedgerEntriesResponse, {"keys": part})
            ledgers.append(answer.latest_ledger)
            for entry in answer.entries or []:
                found[entry.key] = Entry(entry.xdr, entry.last_modified_ledger, entry.live_until_ledger)
        return Entries(min(ledgers), found)

    async def transactions(self, start_ledger: int, end_ledger: int) -> list[LedgerTransaction]:
        """Every transaction of the ledgers from `start_ledger` to `end_ledger`, both included, in order of applying.

        Raises:
            LedgerRangeError: If the endpoint does not hold all of these ledgers (not yet, or no longer).
        """
        found: list[LedgerTransaction] = []
        parameters: dict[str, Any] = {"startLedger": start_ledger}
        while True:
            page = await self._page(parameters, start_ledger)
            # On every page: the next one may come from another endpoint, which may lag.
            if not page.oldest_ledger <= start_ledger <= end_ledger <= page.latest_ledger:
                asked = start_ledger if start_ledger < page.oldest_ledger else end_ledger
                raise LedgerRangeError(self.endpoint, asked, page.oldest_ledger, page.latest_ledger)
            found += [_transaction(one) for one in page.transactions if one.ledger <= end_ledger]
            # Only an empty page proves the end: an endpoint may give fewer transactions than were asked for.
            if not page.transactions or page.transactions[-1].ledger > end_ledger:
                return found
            parameters = {"pagination": {"cursor": page.cursor}}

    async def ledger_hash(self, sequence: int) -> str:
        """The hash (64 hex digits) of a closed ledger.

        Raises:
            LedgerRangeError: If the endpoint does not hold it.
        """
        asked = {"startLedger": sequence, "pagination": {"limit": 1}}
        try:
            answer = await self._call("getLedgers", _Hashes, asked)
        except RpcRefusedError as error:
            range_error = await self._range_error(sequence)
            if range_error is None:
                raise
            raise range_error from error
        found = next((ledger.hash for ledger in answer.ledgers if ledger.sequence == sequence), None)
        if found is None:
            raise self._unreadable("getLedgers")
        return found

    async def sighting(self, transaction_hash: str) -> Sighting:
        """Whether the endpoint holds a transaction by this hash (64 hex digits), its own or its inner one's."""
        answer = await self._call("getTransaction", soroban_rpc.GetTransactionResponse, {"hash": transaction_hash})
        found = answer.status != soroban_rpc.GetTransactionStatus.NOT_FOUND
        return Sighting(found, answer.oldest_ledger, answer.latest_ledger)

    async def transaction(self, transaction_hash: str) -> LedgerTransaction | None:
        """The transaction with this hash (64 hex digits), or None if the endpoint holds none.

        None proves nothing: it may be pending, older than the endpoint's retention, or known elsewhere.
        """
        answer = await self._call("getTransaction", soroban_rpc.GetTransactionResponse, {"hash": transaction_hash})
        if answer.status == soroban_rpc.GetTransactionStatus.NOT_FOUND:
            return None
        complete = soroban_rpc.Transaction.model_validate
        fields = answer.model_dump(by_alias=True) | {"status": answer.status.value}
        try:
            return _transaction(complete(fields))
        except ValidationError as error:
            raise self._unreadable("getTransaction") from error

    async def send(self, envelope_xdr: str, *, tries: int = 0) -> Submission:
        """Send a signed transaction (base64 TransactionEnvelope). Sending the same bytes again does no harm.

        `tries` is how often it was sent before: of several endpoints each time another one gets it first.
        No answer, not even an error, tells what became of it: only its result in a ledger does.
        """
        asked = {"transaction": envelope_xdr}
        answer = await self._call("sendTransaction", soroban_rpc.SendTransactionResponse, asked, tries=tries)
        try:
            code = read_result(answer.error_result_xdr).transaction if answer.error_result_xdr else None
        except MalformedXdrError as error:
            raise self._unreadable("sendTransaction") from error
        return Submission(SubmissionStatus(answer.status.value), answer.hash, code, answer.latest_ledger)

    async def simulate(self, envelope_xdr: str) -> Simulation:
        """Try a contract call (base64 TransactionEnvelope; signatures and footprint are ignored)."""
        answer = await self._call(
            "simulateTransaction", soroban_rpc.SimulateTransactionResponse, {"transaction": envelope_xdr}
        )
        try:
            return _simulation(answer)
        except MalformedXdrError as error:
            raise self._unreadable("simulateTransaction") from error

    async def fee_stats(self) -> FeeStats:
        """Recent inclusion fees, in stroops an operation."""
        answer = await self._call("getFeeStats", soroban_rpc.GetFeeStatsResponse)
        soroban, classic = answer.soroban_inclusion_fee, answer.inclusion_fee
        return FeeStats(soroban.p50, soroban.p90, soroban.max, classic.p50, classic.p90, classic.max)

    async def _page(self, parameters: Mapping[str, Any], start_ledger: int) -> soroban_rpc.GetTransactionsResponse:
        pagination = {"limit": TRANSACTIONS_PER_PAGE, **parameters.get("pagination", {})}
        asked = {**parameters, "pagination": pagination}
        try:
            return await self._call("getTransactions", soroban_rpc.GetTransactionsResponse, asked)
        except RpcRefusedError as error:
            range_error = await self._range_error(start_ledger)
            if range_error is None:
                raise
            raise range_error from error

    async def _range_error(self, start_ledger: int) -> LedgerRangeError | None:
        """What a refusal of ledgers means: its text differs between endpoints, but not the range they hold."""
        try:
            health = await self._call("getHealth", soroban_rpc.GetHealthResponse)
        except RpcError:
            return None
        if health.oldest_ledger <= start_ledger <= health.latest_ledger:
            return None
        return LedgerRangeError(self.endpoint, start_ledger, health.oldest_ledger, health.latest_ledger)

    async def _call(
        self, method: str, model: type[M], parameters: Mapping[str, Any] | None = None, *, tries: int = 0
    ) -> M:
        def read(result: Any, endpoint: str) -> M:
            try:
                return model.model_validate(result)
            except ValidationError as error:
                raise _unreadable(endpoint, method) from error

        return await self._endpoints.call(method, parameters, read, tries=tries)

    def _unreadable(self, method: str) -> RpcUnavailableError:
        return _unreadable(self.endpoint, method)


def _unreadable(endpoint: str, method: str) -> RpcUnavailableError:
    return RpcUnavailableError(endpoint, method, "the answer lacks what it must hold; is this a Stellar RPC?")


def _simulation(answer: soroban_rpc.SimulateTransactionResponse) -> Simulation:
    if answer.error is not None:
        failure = read_contract_failure(answer.events or [])
        return Simulation(answer.latest_ledger, answer.error, failure, None, None, ())
    if answer.transaction_data is None or answer.min_resource_fee is None:
        raise MalformedXdrError("a simulation")
    result = answer.results[0] if answer.results else None
    return Simulation(
        ledger=answer.latest_ledger,
        error=None,
        failure=None,
        resources=read_resources(answer.transaction_data, answer.min_resource_fee),
        return_value=read_value(result.xdr) if result else None,
        auth=tuple(result.auth or ()) if result else (),
    )


def _transaction(answer: soroban_rpc.Transaction) -> LedgerTransaction:
    return LedgerTransaction(
        hash=answer.transaction_hash,
        ledger=answer.ledger,
        close_time=answer.created_at,
        successful=answer.status == "SUCCESS",
        fee_bump=answer.fee_bump,
        envelope_xdr=answer.envelope_xdr,
        result_xdr=answer.result_xdr,
        meta_xdr=answer.result_meta_xdr,
        diagnostic_events=tuple(answer.diagnostic_events_xdr or ()),
        application_order=answer.application_order or 0,
    )
