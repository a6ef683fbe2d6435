"""WalletService over gRPC."""

from __future__ import annotations

from backend.api.handlers import Context
from backend.api.wallet_messages import asked_destination, deposit_message, payout_message, withdrawal_message
from backend.domain import requests, wallet_requests
from backend.errors import InvalidRequestError
from backend.ports.stores import Stores
from backend.services.withdrawing import Withdrawing
from kalepool.v1 import wallet_pb2, wallet_pb2_grpc


class WalletServicer(wallet_pb2_grpc.WalletServiceServicer):
    """See wallet.proto."""

    def __init__(self, stores: Stores, withdrawing: Withdrawing) -> None:
        self._farmers = stores.farmers
        self._money = stores.money
        self._withdrawals = stores.withdrawals
        self._withdrawing = withdrawing

    async def ListDeposits(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.ListDepositsRequest, context: Context
    ) -> wallet_pb2.ListDepositsResponse:
        """A page of a farmer's deposits."""
        del context
        farmer_id = requests.farmer_uuid(request.farmer_id)
        size, before = wallet_requests.numbered_page(size=request.page_size, page_token=request.page_token)
        await self._farmers.get(farmer_id)
        deposits = await self._money.deposits(farmer_id, before=before, size=size + 1)
        more = len(deposits) > size
        return wallet_pb2.ListDepositsResponse(
            deposits=[deposit_message(deposit) for deposit in deposits[:size]],
            next_page_token=str(deposits[size - 1].number) if more else "",
        )

    async def Withdraw(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.WithdrawRequest, context: Context
    ) -> wallet_pb2.WithdrawResponse:
        """Sets KALE aside to be paid."""
        del context
        withdrawal = await self._withdrawing.withdraw(
            requests.farmer_uuid(request.farmer_id),
            wallet_requests.idempotency_key(request.idempotency_key),
            asked_destination(request.destination) if request.HasField("destination") else None,
            wallet_requests.amount(request.amount_stroops),
        )
        return wallet_pb2.WithdrawResponse(withdrawal=withdrawal_message(withdrawal))

    async def GetWithdrawal(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.GetWithdrawalRequest, context: Context
    ) -> wallet_pb2.GetWithdrawalResponse:
        """One withdrawal."""
        del context
        farmer_id, withdrawal_id = map(requests.farmer_uuid, (request.farmer_id, request.withdrawal_id))
        withdrawal = await self._withdrawals.get(farmer_id, withdrawal_id)
        if withdrawal.ended:
            return wallet_pb2.GetWithdrawalResponse(withdrawal=withdrawal_message(withdrawal))
        estimate = await self._withdrawing.estimate(withdrawal)
        return wallet_pb2.GetWithdrawalResponse(
            withdrawal=withdrawal_message(withdrawal),
            expected_ledger_time=estimate.time,
            waits_for=estimate.waits_for,
        )

    async def ListWithdrawals(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.ListWithdrawalsRequest, context: Context
    ) -> wallet_pb2.ListWithdrawalsResponse:
        """A page of a farmer's withdrawals."""
        del context
        farmer_id = requests.farmer_uuid(request.farmer_id)
        size, after = wallet_requests.page_size(request.page_size), None
        if request.page_token:
            after = requests.farmer_uuid(request.page_token)
        await self._farmers.get(farmer_id)
        found = await self._withdrawals.page(farmer_id, after=after, states=(), size=size + 1)
        return wallet_pb2.ListWithdrawalsResponse(
            withdrawals=[withdrawal_message(withdrawal) for withdrawal in found[:size]],
            next_page_token=str(found[size - 1].withdrawal_id) if len(found) > size else "",
        )

    async def SetPayout(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.SetPayoutRequest, context: Context
    ) -> wallet_pb2.SetPayoutResponse:
        """Sets where a farmer is paid."""
        del context
        if not request.HasField("destination"):
            raise InvalidRequestError("destination", "is missing")
        payout = await self._withdrawing.set_payout(
            requests.farmer_uuid(request.farmer_id), asked_destination(request.destination), locked=request.locked
        )
        return wallet_pb2.SetPayoutResponse(payout=payout_message(payout))

    async def GetPayout(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.GetPayoutRequest, context: Context
    ) -> wallet_pb2.GetPayoutResponse:
        """Where a farmer is paid."""
        del context
        current, pending = await self._withdrawing.payout(requests.farmer_uuid(request.farmer_id))
        return wallet_pb2.GetPayoutResponse(
            current=None if current is None else payout_message(current),
            pending=None if pending is None else payout_message(pending),
        )

    async def Exit(  # noqa: N802  (the protocol's name)
        self, request: wallet_pb2.ExitRequest, context: Context
    ) -> wallet_pb2.ExitResponse:
        """Begins a farmer's exit."""
        del context
        withdrawal, estimate = await self._withdrawing.leave(
            requests.farmer_uuid(request.farmer_id),
            wallet_requests.idempotency_key(request.idempotency_key),
            asked_destination(request.destination) if request.HasField("destination") else None,
        )
        return wallet_pb2.ExitResponse(
            withdrawal=withdrawal_message(withdrawal),
            expected_ledger_time=estimate.time,
            waits_for=estimate.waits_for,
        )
