"""Stellar RPC's methods about the present: network, ledger, entries, simulation, sending."""

import asyncio
import importlib.metadata
import json
from typing import Any

from devnet.engine_client import EngineClient
from devnet.fee_stats import fee_stats
from devnet.jsonrpc import Method, Params, check_format, invalid, text
from devnet.ledger import LocalLedger
from devnet.records import RETENTION_LEDGERS
from devnet.scenario import PROTOCOL_VERSION
from devnet.view import View

MAX_KEYS = 200
FEE_LEDGERS = 50
_AUTH_MODES = ("enforce", "record", "record_allow_nonroot")


class StateMethods:
    """The methods, by name in `table()`. Their parameters and answers are Stellar RPC's."""

    def __init__(self, ledger: LocalLedger, view: View, friendbot_url: str) -> None:
        self._ledger = ledger
        self._view = view
        self._friendbot_url = friendbot_url

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "getHealth": self.health,
            "getNetwork": self.network,
            "getVersionInfo": self.version,
            "getLatestLedger": self.latest_ledger,
            "getLedgerEntries": self.entries,
            "getFeeStats": self.fee_stats,
            "simulateTransaction": self.simulate,
            "sendTransaction": self.send,
        }

    async def health(self, _params: Params) -> dict[str, Any]:
        """The range of ledgers held."""
        latest, oldest = self._view.latest, self._view.oldest
        return {
            "status": "healthy",
            "latestLedger": latest.sequence,
            "latestLedgerCloseTime": str(latest.close_time),
            "oldestLedger": oldest.sequence,
            "oldestLedgerCloseTime": str(oldest.close_time),
            "ledgerRetentionWindow": RETENTION_LEDGERS,
        }

    async def network(self, _params: Params) -> dict[str, Any]:
        """Passphrase and protocol."""
        return {
            "friendbotUrl": self._friendbot_url,
            "passphrase": self._ledger.passphrase,
            "protocolVersion": PROTOCOL_VERSION,
        }

    async def version(self, _params: Params) -> dict[str, Any]:
        """What answers here."""
        return {
            "version": f"kale-devnet {_version()}",
            "commitHash": "",
            "buildTimestamp": "",
            "captiveCoreVersion": f"none: soroban-env-host {PROTOCOL_VERSION}",
            "protocolVersion": PROTOCOL_VERSION,
        }

    async def latest_ledger(self, params: Params) -> dict[str, Any]:
        """The last closed ledger, with its header and meta."""
        check_format(params)
        ledger = self._view.latest
        return {
            "id": ledger.hash,
            "protocolVersion": PROTOCOL_VERSION,
            "sequence": ledger.sequence,
            "closeTime": str(ledger.close_time),
            "headerXdr": ledger.header_xdr,
            "metadataXdr": ledger.metadata_xdr,
        }

    async def entries(self, params: Params) -> dict[str, Any]:
        """Entries by their keys; what does not exist or has expired is left out."""
        check_format(params)
        keys = params.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise invalid("keys must be a list of base64 strings")
        if len(keys) > MAX_KEYS:
            raise invalid(f"key count ({len(keys)}) exceeds maximum supported ({MAX_KEYS})")
        try:
            entries, sequence = await self._view.entries(keys)
        except ValueError as error:
            raise invalid(str(error)) from error
        answers = []
        for entry in entries:
            answer = {"key": entry.key, "xdr": entry.data_xdr, "lastModifiedLedgerSeq": entry.last_modified}
            answers.append(answer if entry.live_until is None else answer | {"liveUntilLedgerSeq": entry.live_until})
        return {"entries": answers, "latestLedger": sequence}

    async def fee_stats(self, _params: Params) -> dict[str, Any]:
        """Inclusion fees of the last 50 ledgers."""
        latest = self._view.latest
        recent = self._view.since(latest.sequence - FEE_LEDGERS + 1)
        stats = await asyncio.to_thread(fee_stats, recent, base_fee=latest.base_fee)
        return stats | {"latestLedger": latest.sequence}

    async def simulate(self, params: Params) -> dict[str, Any]:
        """Tries a transaction on the last closed ledger."""
        check_format(params)
        envelope = text(params, "transaction")
        mode = params.get("authMode") or None
        if mode not in (None, *_AUTH_MODES):
            raise invalid(f"authMode must be one of {', '.join(_AUTH_MODES)}")
        try:
            answer: dict[str, Any] = await self._ledger.call(_simulate, envelope, mode)
        except ValueError as error:
            return {"error": str(error), "latestLedger": self._view.latest.sequence}
        return answer

    async def send(self, params: Params) -> dict[str, Any]:
        """Puts a transaction into the queue of the next ledger."""
        check_format(params)
        envelope = text(params, "transaction")
        try:
            submission = await self._ledger.call(lambda client: client.engine.submit(envelope))
        except ValueError as error:
            raise invalid(f"invalid_xdr: {error}") from error
        known = self._ledger.history.find(submission.hash) is not None
        latest = self._view.latest
        answer = {
            "status": "DUPLICATE" if known else submission.status,
            "hash": submission.hash,
            "latestLedger": latest.sequence,
            "latestLedgerCloseTime": str(latest.close_time),
        }
        if submission.error_result_xdr and not known:
            answer["errorResultXdr"] = submission.error_result_xdr
            answer["diagnosticEventsXdr"] = list(submission.diagnostics)
        return answer


def _simulate(client: EngineClient, envelope: str, mode: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(client.engine.simulate(envelope, mode))
    return answer


def _version() -> str:
    try:
        return importlib.metadata.version("kale-devnet")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"
