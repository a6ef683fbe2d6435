"""Waiting for RPCs, and telling how far the work has come."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import stamina

from kale_chain.errors import LedgerRangeError, RpcError, RpcRefusedError

T = TypeVar("T")

_PATIENCE_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 10.0


class Progress(Protocol):
    """Where the work's progress is told."""

    def begin(self, what: str, total: int) -> None:
        """A part of the work begins that has `total` steps."""

    def advance(self, steps: int) -> None:
        """So many of its steps are done."""


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` answers, asked again for some minutes while RPCs fail.

    Raises:
        RpcError: None answered for so long, or one refused what was asked.
    """

    def worth_another_try(error: Exception) -> bool:
        return isinstance(error, RpcError) and not isinstance(error, RpcRefusedError | LedgerRangeError)

    async for attempt in stamina.retry_context(
        on=worth_another_try, attempts=None, timeout=_PATIENCE_SECONDS, wait_max=_LONGEST_PAUSE_SECONDS
    ):
        with attempt:
            return await call()
    raise AssertionError("a retry ends by an answer or an error")
