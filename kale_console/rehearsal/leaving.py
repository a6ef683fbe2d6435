"""The end of a rehearsal's farmers: everything they hold goes to an address, their reserves to the master account."""

import asyncio
from collections.abc import Callable, Collection

import aiohttp

from kale_common.processes import ServiceError

_PAID = "paid"
_ENDED = {"refused", "failed"}
_MOST_SECONDS = 1_200
_PAUSE_SECONDS = 2.0


async def leave(
    backend_url: str, token: str, farmers: Collection[str], address: str, told: Callable[[str], None]
) -> None:
    """Has every farmer leave, and waits until all are paid; that takes until the block that runs is harvested.

    Args:
        backend_url: The backend's JSON routes.
        token: An operator's.
        farmers: Their ids.
        address: Where the KALE goes; it must hold a trustline.
        told: Is told of each that has left.

    Raises:
        ServiceError: One was refused, or they were not paid within 20 minutes; a repeat in the same folder goes on.
    """
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(backend_url, headers=headers) as session:
        waits = {one: await _begin(session, one, address) for one in farmers}
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                for farmer, withdrawal in waits.items():
                    await _paid(session, farmer, withdrawal)
                    told(farmer)
        except TimeoutError:
            raise ServiceError(f"not every farmer was paid out within {_MOST_SECONDS} s; run it again") from None


async def _begin(session: aiohttp.ClientSession, farmer: str, address: str) -> str:
    asked = {"idempotencyKey": "rehearsal", "destination": {"address": address}}
    async with session.post(f"/api/farmers/{farmer}/exit", json=asked) as answer:
        told = await answer.json()
    if not told["success"]:
        raise ServiceError(f"farmer {farmer} cannot leave: {told['message']}")
    return str(told["withdrawal"]["withdrawalId"])


async def _paid(session: aiohttp.ClientSession, farmer: str, withdrawal: str) -> None:
    while True:
        async with session.get(f"/api/farmers/{farmer}/withdrawals/{withdrawal}") as answer:
            told = (await answer.json())["withdrawal"]
        if told["status"] == _PAID:
            return
        if told["status"] in _ENDED:
            raise ServiceError(f"farmer {farmer} was not paid out: {told['message']}")
        await asyncio.sleep(_PAUSE_SECONDS)
