"""JSON routes of the wallet. Amounts are decimal texts of stroops, since JSON's numbers lose the last digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiohttp import web

from backend.api.json_body import Body, field_of, read_body
from backend.domain import requests, wallet_requests
from backend.domain.money import Deposit
from backend.domain.withdrawal import Destination, Withdrawal
from backend.errors import InvalidRequestError
from backend.ports.stores import Stores
from backend.services.withdrawing import Withdrawing
from kale_chain.model import Memo, MemoKind

_LISTED = 500
_MEMO_KINDS = {kind.value: kind for kind in (MemoKind.TEXT, MemoKind.ID, MemoKind.HASH)}


def wallet_routes(stores: Stores, withdrawing: Withdrawing) -> Sequence[web.RouteDef]:
    """The wallet's routes."""
    routes = WalletRoutes(stores, withdrawing)
    farmer = "/api/farmers/{farmer_id}"
    return [
        web.get(f"{farmer}/deposits", routes.deposits, allow_head=False),
        web.get(f"{farmer}/withdrawals", routes.withdrawals, allow_head=False),
        web.get(farmer + "/withdrawals/{withdrawal_id}", routes.withdrawal, allow_head=False),
        web.post(f"{farmer}/withdrawals", routes.withdraw),
        web.post(f"{farmer}/exit", routes.leave),
    ]


class WalletRoutes:
    """Handlers of the wallet's JSON routes."""

    def __init__(self, stores: Stores, withdrawing: Withdrawing) -> None:
        self._farmers = stores.farmers
        self._money = stores.money
        self._withdrawals = stores.withdrawals
        self._withdrawing = withdrawing

    async def deposits(self, request: web.Request) -> web.Response:
        """The farmer's last 500 deposits."""
        farmer_id = await self._known_farmer(request)
        found = await self._money.deposits(farmer_id, before=None, size=_LISTED)
        return web.json_response({"success": True, "deposits": [_deposit(one) for one in found]})

    async def withdrawals(self, request: web.Request) -> web.Response:
        """The farmer's last 500 withdrawals."""
        farmer_id = await self._known_farmer(request)
        found = await self._withdrawals.page(farmer_id, after=None, states=(), size=_LISTED)
        return web.json_response({"success": True, "withdrawals": [_withdrawal(one) for one in found]})

    async def withdrawal(self, request: web.Request) -> web.Response:
        """One withdrawal of the farmer."""
        names = ("farmer_id", "withdrawal_id")
        farmer_id, withdrawal_id = (requests.farmer_uuid(request.match_info[name]) for name in names)
        found = await self._withdrawals.get(farmer_id, withdrawal_id)
        return web.json_response({"success": True, "withdrawal": _withdrawal(found)})

    async def withdraw(self, request: web.Request) -> web.Response:
        """`{idempotencyKey, amount, destination?: {address, memoType?, memo?}}`: sets KALE aside to be paid."""
        body = await read_body(request)
        withdrawal = await self._withdrawing.withdraw(
            requests.farmer_uuid(request.match_info["farmer_id"]),
            wallet_requests.idempotency_key(field_of(body, "idempotencyKey", str)),
            _destination(body),
            _amount(body),
        )
        return web.json_response({"success": True, "withdrawal": _withdrawal(withdrawal)})

    async def leave(self, request: web.Request) -> web.Response:
        """`{idempotencyKey, destination?}`: begins the farmer's exit."""
        body = await read_body(request)
        withdrawal, estimate = await self._withdrawing.leave(
            requests.farmer_uuid(request.match_info["farmer_id"]),
            wallet_requests.idempotency_key(field_of(body, "idempotencyKey", str)),
            _destination(body),
        )
        answer = {"expectedLedgerTime": estimate.time, "waitsFor": estimate.waits_for}
        return web.json_response({"success": True, "withdrawal": _withdrawal(withdrawal), **answer})

    async def _known_farmer(self, request: web.Request) -> UUID:
        return (await self._farmers.get(requests.farmer_uuid(request.match_info["farmer_id"]))).farmer_id


def _amount(body: Body) -> int:
    text = field_of(body, "amount", str)
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequestError("amount", "must be stroops, a decimal number written as a string")
    return wallet_requests.amount(int(text))


def _destination(body: Body) -> Destination | None:
    if "destination" not in body:
        return None
    said: Body = field_of(body, "destination", dict)
    kind = said.get("memoType")
    if kind is None:
        return wallet_requests.destination(field_of(said, "address", str), None)
    if kind not in _MEMO_KINDS:
        raise InvalidRequestError("destination.memoType", f"must be one of {', '.join(_MEMO_KINDS)}")
    value = field_of(said, "memo", str)
    if kind == MemoKind.ID and not (value.isascii() and value.isdigit()):
        raise InvalidRequestError("destination.memo", "must be a decimal number written as a string")
    return wallet_requests.destination(field_of(said, "address", str), Memo(_MEMO_KINDS[kind], value))


def _deposit(deposit: Deposit) -> dict[str, Any]:
    return {
        "amount": str(deposit.stroops),
        "ledgerSequence": deposit.ledger,
        "transactionHash": deposit.transaction_hash,
        "sender": deposit.sender,
        "memo": str(deposit.memo) if deposit.memo else None,
    }


def _withdrawal(withdrawal: Withdrawal) -> dict[str, Any]:
    destination, refusal = withdrawal.destination, withdrawal.refusal
    memo = destination.memo if destination is not None else None
    return {
        "withdrawalId": str(withdrawal.withdrawal_id),
        "farmerId": str(withdrawal.farmer_id),
        "kind": withdrawal.kind,
        "status": withdrawal.state,
        "destination": destination.address if destination is not None else None,
        "memo": str(memo) if memo is not None else None,
        "amount": str(withdrawal.stroops),
        "cut": str(withdrawal.cut_stroops),
        "error": refusal.reason if refusal else None,
        "message": refusal.message if refusal else None,
        "transactionHash": withdrawal.transaction_hash,
        "ledgerSequence": withdrawal.ledger,
    }
