"""Faults on demand, for tests of those who use the ledger: lost, late, wrong and refused answers, and lag."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from devnet.errors import JsonRpcError


class Action(StrEnum):
    """What happens to a call. In all but the last two it takes effect first: only its answer suffers."""

    DROP = "drop"  # the connection breaks instead of an answer
    DELAY = "delay"  # the answer comes `seconds` later
    LIE = "lie"  # the answer says `result` instead, field by field
    ERROR = "error"  # a JSON-RPC internal error, the call having had no effect
    STATUS = "status"  # HTTP status `status` (with Retry-After, if set), the call having had no effect


class Dropped(Exception):  # noqa: N818 - an outcome, not an error
    """The call gets no JSON-RPC answer: an HTTP status, perhaps with a Retry-After, or None: a broken connection."""

    def __init__(self, status: int | None, retry_after: int | None = None) -> None:
        super().__init__()
        self.status = status
        self.retry_after = retry_after


@dataclass(slots=True)
class Fault:
    """One fault: which method it strikes (all, if None) and how many times (for ever, if None)."""

    action: Action
    method: str | None = None
    count: int | None = 1
    seconds: float = 0.0
    status: int = 503
    retry_after: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Reads what the control route was sent; `ValueError` says what is wrong."""
        unknown = set(body) - {"action", "method", "count", "seconds", "status", "retry_after", "result"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return cls(**{**body, "action": Action(body.get("action", ""))})

    def strikes(self, method: str) -> bool:
        """Whether it strikes this call; counts it if so."""
        if self.method not in (None, method) or self.count == 0:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Faults:
    """The faults set, oldest first, and how many ledgers the answers lag behind."""

    def __init__(self) -> None:
        self.lag = 0
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Sets one more fault."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Removes every fault, the lag too."""
        self._faults.clear()
        self.lag = 0

    async def around(self, method: str, call: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Runs a call with the faults that strike it."""
        struck = [fault for fault in self._faults if fault.strikes(method)]
        for fault in struck:
            if fault.action is Action.ERROR:
                raise JsonRpcError(JsonRpcError.INTERNAL_ERROR, "a fault was asked for")
            if fault.action is Action.STATUS:
                raise Dropped(fault.status, fault.retry_after)
        answer = await call()
        for fault in struck:
            if fault.action is Action.DELAY:
                await asyncio.sleep(fault.seconds)
            elif fault.action is Action.LIE:
                answer |= fault.result
            elif fault.action is Action.DROP:
                raise Dropped(None)
        return answer
