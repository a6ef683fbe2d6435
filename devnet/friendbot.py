"""Friendbot: creates accounts with XLM for whoever asks."""

import asyncio
from typing import Any

from aiohttp import web
from stellar_sdk import Keypair, StrKey, xdr

from devnet.clock import Clock
from devnet.engine_client import EngineClient
from devnet.horizon import problem
from devnet.ledger import LocalLedger

FRIENDBOT_XLM = "10000"
MAX_BATCH = 100


class Friendbot:
    """Answers `GET` and `POST /friendbot?addr=G…` once the account is in a closed ledger.

    Requests of one ledger share a transaction, since an account has only one pending. In manual mode a request closes
    a ledger itself.
    """

    def __init__(self, ledger: LocalLedger, clock: Clock, root: Keypair) -> None:
        self._ledger = ledger
        self._clock = clock
        self._root = root
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._working = asyncio.Lock()

    async def handle(self, request: web.Request) -> web.Response:
        """Serves one request."""
        address = request.query.get("addr", "")
        if not StrKey.is_valid_ed25519_public_key(address):
            return problem(400, "Bad Request", "addr must be an account's address (G…)")
        future = self._waiting.setdefault(address, asyncio.get_running_loop().create_future())
        async with self._working:
            if not future.done():
                await self._fund()
        transaction_hash = future.result()
        if not transaction_hash:
            return problem(400, "Bad Request", f"account {address} exists already: createAccountAlreadyExist")
        return web.json_response(self._answer(transaction_hash))

    async def _fund(self) -> None:
        """Creates the accounts of everybody who waits."""
        batch = {address: self._waiting[address] for address in list(self._waiting)[:MAX_BATCH]}
        created, transaction_hash = await self._ledger.call(_create, list(batch), self._root)
        if created:
            if self._clock.manual:
                await self._clock.advance()
            await self._ledger.wait_for(transaction_hash)
        for address, future in batch.items():
            del self._waiting[address]
            future.set_result(transaction_hash if address in created else "")

    def _answer(self, transaction_hash: str) -> dict[str, Any]:
        found = self._ledger.history.find(transaction_hash)
        assert found
        ledger, record = found
        return {
            "id": record.hash,
            "hash": record.hash,
            "successful": record.successful,
            "ledger": ledger.sequence,
            "source_account": self._root.public_key,
            "fee_charged": str(xdr.TransactionResult.from_xdr(record.result_xdr).fee_charged.int64),
            "envelope_xdr": record.envelope_xdr,
            "result_xdr": record.result_xdr,
            "result_meta_xdr": record.meta_xdr,
        }


def _create(client: EngineClient, addresses: list[str], root: Keypair) -> tuple[list[str], str]:
    """Queues the creation of those accounts that do not exist; returns these, and the transaction's hash."""
    new = [address for address in addresses if client.account(address) is None]
    if not new:
        return [], ""
    builder = client.builder(root)
    for address in new:
        builder.append_create_account_op(address, FRIENDBOT_XLM)
    submission = client.send(builder.build(), root)
    if submission.status != "PENDING":
        raise RuntimeError(f"friendbot's transaction was refused: {submission.status} {submission.error_result_xdr}")
    return new, submission.hash
