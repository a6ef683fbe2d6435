"""WalletService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc.aio

from backend.domain import requests, wallet_requests
from backend.domain.money import Deposit
from backend.ports.stores import Stores
from kalepool.v1 import wallet_pb2, wallet_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class WalletServicer(wallet_pb2_grpc.WalletServiceServicer):
    """See wallet.proto."""

    def __init__(self, stores: Stores) -> None:
        self._farmers = stores.farmers
        self._money = stores.money

    async def ListDeposits(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.ListDepositsRequest, context: Context
    ) -> wallet_pb2.ListDepositsResponse:
        """A page of a farmer's deposits."""
        del context
        farmer_id = requests.farmer_uuid(request.farmer_id)
        size, before = wallet_requests.numbered_page(page_size=request.page_size, page_token=request.page_token)
        await self._farmers.get(farmer_id)
        deposits = await self._money.deposits(farmer_id, before=before, size=size + 1)
        more = len(deposits) > size
        return wallet_pb2.ListDepositsResponse(
            deposits=[_deposit(deposit) for deposit in deposits[:size]],
            next_page_token=str(deposits[size - 1].number) if more else "",
        )


def _deposit(deposit: Deposit) -> wallet_pb2.Deposit:
    return wallet_pb2.Deposit(
        amount_stroops=deposit.stroops,
        ledger_sequence=deposit.ledger,
        transaction_hash=deposit.transaction_hash,
        sender=deposit.sender or "",
        memo=str(deposit.memo or ""),
    )
