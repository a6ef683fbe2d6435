"""The farm's storage as the services want it."""

import contextlib
from collections.abc import Collection, Iterator

from kale_chain.errors import FarmMissingError, MalformedXdrError, RpcUnavailableError
from kale_chain.farm import FarmReader
from kale_chain.model import Block, Farm, Pail


@contextlib.contextmanager
def readable(endpoint: str) -> Iterator[None]:
    """Makes entries that cannot be read an `RpcError` of `endpoint`.

    All were there at the start: an archived instance can be restored, and a node that lags catches up.
    """
    try:
        yield
    except (FarmMissingError, MalformedXdrError) as error:
        raise RpcUnavailableError(endpoint, "getLedgerEntries", str(error)) from error


class RpcFarmView:
    """Reads the farm; whatever cannot be read is an `RpcError`."""

    def __init__(self, reader: FarmReader, endpoint: str) -> None:
        self._reader = reader
        self._endpoint = endpoint

    async def farm_and_block(self, index: int) -> tuple[Farm, Block | None]:
        """The instance and `Block(index)` of one moment."""
        with readable(self._endpoint):
            return await self._reader.farm_and_block(index)

    async def pails(self, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Pail]:
        """The existing Pails of (farmer, block)."""
        with readable(self._endpoint):
            found = await self._reader.pails(list(keys))
        return {key: entry.pail for key, entry in found.items()}
