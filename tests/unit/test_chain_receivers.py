"""What an account can receive, read from its entries: account, trustline, and the wish for memos (SEP-29)."""

import base64

from stellar_sdk import Asset, Keypair
from stellar_sdk import xdr as stellar_xdr

from kale_chain.answers import Entries, Entry
from kale_chain.farm import FarmReader
from kale_chain.model import FarmIdentity, Receiver
from kale_chain.xdr import keys

ISSUER, HOLDER, NOBODY = (Keypair.random().public_key for _ in range(3))
TOKEN = keys.token_id("KALE", ISSUER, "tests")
IDENTITY = FarmIdentity(TOKEN, TOKEN, "KALE", ISSUER, bytes(32), ISSUER, "tests")
ACCOUNT = keys.account(HOLDER).to_xdr()
LINE = keys.kale_trustline(IDENTITY, HOLDER).to_xdr()
WISH = keys.data(HOLDER, "config.memo_required").to_xdr()


def line(*, balance: int, limit: int, flags: int = 1, buying: int | None = None) -> str:
    """A KALE trustline's entry, base64."""
    extension = stellar_xdr.TrustLineEntryExt(0)
    if buying is not None:
        liabilities = stellar_xdr.Liabilities(stellar_xdr.Int64(buying), stellar_xdr.Int64(0))
        first = stellar_xdr.TrustLineEntryV1(liabilities, stellar_xdr.TrustLineEntryV1Ext(0))
        extension = stellar_xdr.TrustLineEntryExt(1, v1=first)
    entry = stellar_xdr.TrustLineEntry(
        account_id=keys.account_id(HOLDER),
        asset=Asset("KALE", ISSUER).to_trust_line_asset_xdr_object(),
        balance=stellar_xdr.Int64(balance),
        limit=stellar_xdr.Int64(limit),
        flags=stellar_xdr.Uint32(flags),
        ext=extension,
    )
    return stellar_xdr.LedgerEntryData(stellar_xdr.LedgerEntryType.TRUSTLINE, trust_line=entry).to_xdr()


class FakeRpc:
    """An RPC that holds these entries."""

    def __init__(self, held: dict[str, str]) -> None:
        self._held = held

    async def entries(self, wanted: list[str]) -> Entries:
        return Entries(7, {key: Entry(self._held[key], 1, None) for key in wanted if key in self._held})


async def received(held: dict[str, str]) -> Receiver:
    reader = FarmReader(FakeRpc(held), IDENTITY)  # type: ignore[arg-type]  # the method it calls
    ledger, found = await reader.dated_receivers([HOLDER, NOBODY])
    assert (ledger, found[NOBODY]) == (7, Receiver(exists=False))
    return found[HOLDER]


async def test_room_is_the_limit_without_balance_and_promises() -> None:
    some = base64.b64encode(b"account").decode()
    assert await received({ACCOUNT: some}) == Receiver(exists=True)
    held = {ACCOUNT: some, LINE: line(balance=40, limit=100)}
    assert await received(held) == Receiver(exists=True, room=60, authorised=True)
    held[LINE] = line(balance=40, limit=100, buying=50)
    assert await received(held) == Receiver(exists=True, room=10, authorised=True)


async def test_frozen_trustline_is_not_authorised() -> None:
    for flags in (0, 2):  # none; may only keep up its offers
        held = {ACCOUNT: "AAAA", LINE: line(balance=40, limit=100, flags=flags)}
        assert await received(held) == Receiver(exists=True, room=60, authorised=False)


async def test_data_entry_asks_for_memos() -> None:
    held = {ACCOUNT: "AAAA", LINE: line(balance=0, limit=1), WISH: "AAAA"}
    assert await received(held) == Receiver(exists=True, room=1, authorised=True, memo_required=True)
