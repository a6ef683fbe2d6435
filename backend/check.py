"""What `kale-backend check` looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from backend.chain.factory import channel_signers
from backend.config import Settings
from backend.db import open_stores
from backend.errors import BackendError, BooksViolatedError
from backend.key_ring import key_ring
from backend.services.checking import summary
from backend.vault import HeadFile
from kale_chain.errors import ChainError
from kale_chain.farm import FarmReader
from kale_chain.identify import identify
from kale_chain.model import STROOPS_PER_XLM
from kale_chain.rpc import StellarRpc
from kale_common.command import Finding

_LOW_XLM = 10


async def findings(settings: Settings) -> list[Finding]:
    """Looks at everything the backend needs; nothing is changed anywhere."""
    looks: tuple[tuple[str, Callable[[Settings], Awaitable[str]]], ...] = (
        ("database", _database),
        ("books", _books),
        ("keys", _keys),
        ("farm", _farm),
        ("master account", _master),
        ("channel accounts", _channels),
    )
    return [await _finding(name, look, settings) for name, look in looks]


async def _finding(name: str, look: Callable[[Settings], Awaitable[str]], settings: Settings) -> Finding:
    try:
        return Finding(name, ok=True, detail=await look(settings))
    except (BackendError, ChainError) as error:
        return Finding(name, ok=False, detail=str(error))


async def _database(settings: Settings) -> str:
    stores = await open_stores(
        settings.database_url.get_secret_value(),
        max_connections=settings.db_max_connections,
        owner_allowed=settings.owner_allowed,
    )
    try:
        counts = await stores.events.counts(0)
        quarantines = await stores.quarantines.open()
        await HeadFile(settings.head_path()).read()
    finally:
        await stores.close()
    if quarantines:
        raise BackendError(f"in quarantine, nothing is signed: {quarantines[-1].reason}")
    return f"reachable and migrated, {counts.active_farmers} active farmers, {counts.open_pails} open pails"


async def _books(settings: Settings) -> str:
    stores = await open_stores(
        settings.database_url.get_secret_value(),
        max_connections=settings.db_max_connections,
        owner_allowed=settings.owner_allowed,
    )
    try:
        _, violations = await stores.money.check()
        cursor = await stores.money.cursor()
    finally:
        await stores.close()
    if violations:
        raise BooksViolatedError(summary(violations))
    if cursor.unread_from is not None:
        raise BackendError(
            f"ledgers from {cursor.unread_from} on were not read; the books are set right at the next start"
        )
    return f"in order, booked up to ledger {cursor.ledger or 'none yet'}"


async def _keys(settings: Settings) -> str:
    if settings.signer_socket is not None:
        return f"with the signer at {settings.signer_socket}"
    ring = key_ring(settings)
    ring.check()
    newest = ring.places()[-1]
    return f"version {newest.version} seals, in {newest.place}"


async def _farm(settings: Settings) -> str:
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        farm = await FarmReader(rpc, identity).farm()
    state = "paused" if farm.paused else "open"
    return f"{identity.farm_id}, block {farm.index}, {state}, KALE issued by {identity.asset_issuer}"


async def _master(settings: Settings) -> str:
    address = settings.master().address
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        account = (await FarmReader(rpc, identity).accounts([address])).get(address)
    if account is None:
        raise BackendError(f"{address} does not exist on the ledger: send it XLM")
    xlm = account.balance_stroops / STROOPS_PER_XLM
    if xlm < _LOW_XLM:
        raise BackendError(f"{address} holds {xlm:.7f} XLM, too little to pay fees and sponsor farmers: send it XLM")
    return f"{address}, {xlm:.7f} XLM"


async def _channels(settings: Settings) -> str:
    wanted = [signer.address for signer in channel_signers(settings.master(), settings.harvest_channels)]
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        there = await FarmReader(rpc, identity).accounts(wanted)
    missing = len(wanted) - len(there)
    made = f", {missing} are made by `kale-backend run`" if missing else ""
    return f"{len(there)} of {len(wanted)} on the ledger{made}"
