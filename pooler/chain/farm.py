"""The farm's storage as the services want it."""

from collections.abc import Collection

from kale_chain.errors import FarmMissingError, MalformedXdrError, RpcUnavailableError
from kale_chain.farm import FarmReader
from kale_chain.model import Block, Farm, Pail


class RpcFarmView:
    """Reads the farm; whatever cannot be read is an `RpcError`."""

    def __init__(self, reader: FarmReader, endpoint: str) -> None:
        self._reader = reader
        self._endpoint = endpoint

    async def farm_and_block(self, index: int) -> tuple[Farm, Block | None]:
        """The instance and `Block(index)` of one moment."""
        try:
            return await self._reader.farm_and_block(index)
        except (FarmMissingError, MalformedXdrError) as error:
            # It was there at the start: an archived instance can be restored, a node that lags catches up.
            raise RpcUnavailableError(self._endpoint, "getLedgerEntries", str(error)) from error

    async def pails(self, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Pail]:
        """The existing Pails of (farmer, block)."""
        try:
            found = await self._reader.pails(list(keys))
        except MalformedXdrError as error:
            raise RpcUnavailableError(self._endpoint, "getLedgerEntries", str(error)) from error
        return {key: entry.pail for key, entry in found.items()}
