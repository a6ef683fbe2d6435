"""The one Horizon route that the pool's users need: `GET /accounts/{id}`."""

from typing import Any

from aiohttp import web
from stellar_sdk import Asset, StrKey, xdr

from devnet.engine_client import EngineClient, account_key, trustline_key
from devnet.ledger import LocalLedger

STROOPS = 10_000_000
_FLAGS = tuple(xdr.AccountFlags)


class Horizon:
    """Answers as Horizon does, from the last closed ledger. Of trustlines it knows those of the given assets."""

    def __init__(self, ledger: LocalLedger, assets: list[Asset]) -> None:
        self._ledger = ledger
        self._assets = assets

    async def account(self, request: web.Request) -> web.Response:
        """Serves `GET /accounts/{id}`."""
        address = request.match_info["id"]
        if not StrKey.is_valid_ed25519_public_key(address):
            return problem(400, "Bad Request", "the account id is not an account's address (G…)")
        found = await self._ledger.call(_account, address, self._assets)
        return web.json_response(found) if found else problem(404, "Resource Missing", f"no account {address}")


def problem(status: int, title: str, detail: str) -> web.Response:
    """An error as Horizon and friendbot report it (RFC 7807)."""
    kind = {400: "bad_request", 404: "not_found"}[status]
    body = {"type": f"https://stellar.org/horizon-errors/{kind}", "title": title, "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


def _account(client: EngineClient, address: str, assets: list[Asset]) -> dict[str, Any] | None:
    found = client.engine.entry(account_key(address).to_xdr())
    if not found:
        return None
    account = xdr.LedgerEntryData.from_xdr(found[0]).account
    assert account
    lines = [line for asset in assets if (line := _trustline(client, address, asset))]
    sponsored, sponsoring = _sponsorships(account)
    return {
        "id": address,
        "account_id": address,
        "sequence": str(account.seq_num.sequence_number.int64),
        "subentry_count": account.num_sub_entries.uint32,
        "last_modified_ledger": found[1],
        "num_sponsored": sponsored,
        "num_sponsoring": sponsoring,
        "thresholds": dict(
            zip(("low_threshold", "med_threshold", "high_threshold"), account.thresholds.thresholds[1:], strict=True)
        ),
        "flags": {flag.name.removesuffix("_FLAG").lower(): bool(account.flags.uint32 & flag) for flag in _FLAGS},
        "signers": [
            {"key": address, "weight": account.thresholds.thresholds[0], "type": "ed25519_public_key"},
            *_signers(account),
        ],
        "balances": [*lines, {"balance": amount(account.balance.int64), "asset_type": "native"}],
        "data": {},
    }


def _signers(account: xdr.AccountEntry) -> list[dict[str, Any]]:
    return [
        {
            "key": StrKey.encode_ed25519_public_key(signer.key.ed25519.uint256),
            "weight": signer.weight.uint32,
            "type": "ed25519_public_key",
        }
        for signer in account.signers
        if signer.key.ed25519
    ]


def _sponsorships(account: xdr.AccountEntry) -> tuple[int, int]:
    """Reserves others pay for this account, and it for others."""
    extension = account.ext.v1 and account.ext.v1.ext.v2
    return (extension.num_sponsored.uint32, extension.num_sponsoring.uint32) if extension else (0, 0)


def _trustline(client: EngineClient, address: str, asset: Asset) -> dict[str, Any] | None:
    data = client.entry(trustline_key(address, asset))
    if data is None:
        return None
    line = data.trust_line
    assert line
    return {
        "balance": amount(line.balance.int64),
        "limit": amount(line.limit.int64),
        "asset_type": asset.type,
        "asset_code": asset.code,
        "asset_issuer": asset.issuer,
        "is_authorized": bool(line.flags.uint32 & xdr.TrustLineFlags.AUTHORIZED_FLAG),
    }


def amount(stroops: int) -> str:
    """Stroops with seven decimals, as Horizon writes amounts."""
    return f"{stroops // STROOPS}.{stroops % STROOPS:07d}"
