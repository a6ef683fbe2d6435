"""Alarms by a signed HTTP POST.

The body is JSON; the header `Kale-Signature` is `t=<Unix seconds>,sha256=<hex>`, where the hex digits are HMAC-SHA-256
under the shared secret of the seconds, a dot and the body. Whoever receives it recomputes that, refuses old times and
ids seen before: a message may come twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import deque
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
import structlog

from backend.domain.alarm import Change

_log = structlog.get_logger()

SIGNATURE = "Kale-Signature"
MOST_WAITING = 1_000
_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
_ACCEPTED_BELOW = 300


def signature(secret: str, moment: int, body: bytes) -> str:
    """The header's value for a body sent at a moment (Unix seconds)."""
    digest = hmac.digest(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hex()
    return f"t={moment},sha256={digest}"


@dataclass
class Webhook:
    """Posts alarms to a URL, one after the other, each until it was accepted; the oldest go first.

    Args:
        url: Where to.
        secret: Shared with whoever receives them.
        network: mainnet, testnet or local; told in every message.
        first_pause: Seconds before the first repeat; it doubles up to five minutes.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    network: str
    first_pause: float = _FIRST_PAUSE_SECONDS
    _waiting: deque[bytes] = field(default_factory=deque, repr=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def tell(self, change: Change, ledger: int) -> None:
        """See AlarmSink. Where too many wait, the oldest is given up and that is said."""
        message = {
            "id": str(uuid4()),
            "service": "kale-backend",
            "network": self.network,
            "alarm": change.name,
            "severity": change.severity.value,
            "state": "raised" if change.raised else "cleared",
            "detail": change.detail,
            "ledger": ledger,
        }
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            _log.error("too many alarms wait for the webhook; the oldest is given up")
        self._waiting.append(json.dumps(message).encode())
        self._news.set()

    async def run(self) -> None:
        """Posts what there is, for ever."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    body = self._waiting[0]
                    await self._post(session, body)
                    # It may have been given up meanwhile.
                    if self._waiting and self._waiting[0] is body:
                        self._waiting.popleft()

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> None:
        pause = self.first_pause
        while (problem := await self._try(session, body)) is not None:
            _log.warning("the webhook does not take an alarm; trying again", problem=problem, pause_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _try(self, session: aiohttp.ClientSession, body: bytes) -> str | None:
        """Posts once; why it was not accepted."""
        moment = int(time.time())
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self.secret, moment, body)}
        try:
            async with session.post(self.url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if answer.status < _ACCEPTED_BELOW else f"HTTP status {answer.status}"
        except TimeoutError:
            return "no answer in time"
        except aiohttp.ClientError as error:
            return type(error).__name__
