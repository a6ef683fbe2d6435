"""The fence in front of writes that are no inserts of attempts: only the backend that holds the lease may make them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import LeaseLostError

_HOLD = text("SELECT holder, fence FROM lease FOR SHARE")


async def hold_lease(connection: AsyncConnection, fence: int) -> None:
    """Keeps the lease as it is until the transaction ends: a backend that wants to take it waits.

    Call it first in the transaction, before other rows are locked.

    Raises:
        LeaseLostError: the lease has another fence.
    """
    held = (await connection.execute(_HOLD)).one()
    if held.fence != fence or fence == 0:
        raise LeaseLostError(
            f"the lease is held by {held.holder} with fence {held.fence}; this backend, with fence {fence}, ends"
        )
