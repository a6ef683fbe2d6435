"""RPC endpoints of a simulated world: each may be out of reach, lag, or hide what the pool's transactions did."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar_sdk import StrKey

from devnet.errors import JsonRpcError
from devnet.faults import Faults
from devnet.jsonrpc import Method

_PAYER = slice(8, 40)
"""Where a fee bump's envelope has the key of who pays."""
_RANGE = ("latestLedger", "latestLedgerCloseTime", "oldestLedger", "oldestLedgerCloseTime")


@dataclass
class Node:
    """One endpoint.

    Attributes:
        name: Its scheme, host and port.
        methods: Stellar RPC's methods by name.
        faults: Whose `lag` makes its answers as old as so many ledgers.
        down: It answers nothing.
        stalled: It tells that the network stands still.
        hidden_payer: It lies: what this account (G…) paid for is in no ledger, it says; None: it does not.
    """

    name: str
    methods: Mapping[str, Method]
    faults: Faults = field(default_factory=Faults)
    down: bool = False
    stalled: bool = False
    hidden_payer: str | None = None

    async def answer(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Its answer.

        Raises:
            JsonRpcError: it refuses.
        """
        if self.stalled and method == "getHealth":
            raise JsonRpcError(JsonRpcError.INTERNAL_ERROR, "latency since last known ledger closed is too high")
        answer = await self.methods[method](parameters)
        return answer if self.hidden_payer is None else self._without_hidden(answer)

    def _without_hidden(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "transactions" in answer:
            return answer | {"transactions": [one for one in answer["transactions"] if not self._hides(one)]}
        if self._hides(answer):
            return {key: answer[key] for key in _RANGE} | {"status": "NOT_FOUND", "txHash": answer["txHash"]}
        return answer

    def _hides(self, transaction: Mapping[str, Any]) -> bool:
        envelope = transaction.get("envelopeXdr")
        if not isinstance(envelope, str) or self.hidden_payer is None:
            return False
        return base64.b64decode(envelope)[_PAYER] == StrKey.decode_ed25519_public_key(self.hidden_payer)
