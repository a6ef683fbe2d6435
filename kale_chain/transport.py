"""JSON-RPC over HTTP: one call, one result or one `RpcError`."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog
import yarl

from kale_chain.errors import RpcRateLimitedError, RpcRefusedError, RpcTimeoutError, RpcUnavailableError

OK = 200
TOO_MANY_REQUESTS = 429
MAX_ANSWER_BYTES = 64 * 2**20
_READ_BYTES = 2**16


class AnswerTooLargeError(ValueError):
    """An answer longer than `MAX_ANSWER_BYTES`."""


def endpoint_of(url: str) -> str:
    """Scheme, host and port of a URL: enough to know it by, and no credential, path or query.

    Raises:
        RpcUnavailableError: If it is no http(s) URL with a host.
    """
    try:
        parsed = yarl.URL(url)
        if parsed.scheme in {"http", "https"} and parsed.host:
            return f"{parsed.scheme}://{parsed.host}:{parsed.port}"
    except ValueError:
        pass
    raise RpcUnavailableError("(no endpoint)", "connect", "STELLAR_RPC_URL must be http(s)://host[:port][/path]")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds in a Retry-After header; its date form counts as not said, for it would need this machine's clock."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None


class JsonRpcTransport:
    """Calls methods of one endpoint over kept connections. `close` ends them."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self.endpoint = endpoint_of(url)
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._seconds = timeout
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def close(self) -> None:
        """Close the connections; calling again does nothing, and the next call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The method's `result`.

        Raises:
            RpcUnavailableError: No connection, another status than 200, or no JSON-RPC answer.
            RpcTimeoutError: No answer in time.
            RpcRateLimitedError: HTTP 429.
            RpcRefusedError: A JSON-RPC error.
        """
        answer = await self._answer(method, parameters)
        if not isinstance(answer, dict):
            raise RpcUnavailableError(self.endpoint, method, "the answer is no JSON-RPC object; is this a Stellar RPC?")
        error = answer.get("error")
        if error is not None:
            details = error if isinstance(error, dict) else {"message": error}
            code = details.get("code")
            raise RpcRefusedError(
                self.endpoint, method, code if isinstance(code, int) else 0, str(details.get("message", "no reason"))
            )
        if answer.get("result") is None:
            raise RpcUnavailableError(self.endpoint, method, "the answer holds no result; is this a Stellar RPC?")
        return answer["result"]

    async def _answer(self, method: str, parameters: Mapping[str, Any] | None) -> Any:
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": self._next_id(), "method": method}
        if parameters is not None:
            request["params"] = parameters
        try:
            return json.loads(await self._post(method, request))
        except TimeoutError as error:
            raise RpcTimeoutError(self.endpoint, method, f"no answer within {self._seconds:g} s") from error
        except AnswerTooLargeError as error:
            raise RpcUnavailableError(self.endpoint, method, str(error)) from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise RpcUnavailableError(self.endpoint, method, "the answer is no JSON; is this a Stellar RPC?") from error
        except (aiohttp.ClientError, OSError) as error:
            raise RpcUnavailableError(self.endpoint, method, _reason(error)) from error

    def _next_id(self) -> int | str:
        """The call's number, and the request that the logs name at the moment: an RPC logs it too."""
        number, request_id = next(self._ids), structlog.contextvars.get_contextvars().get("request_id")
        return number if request_id is None else f"{number} {request_id}"

    async def _post(self, method: str, request: Mapping[str, Any]) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        async with self._session.post(self._url, json=request, allow_redirects=False) as response:
            if response.status == TOO_MANY_REQUESTS:
                raise RpcRateLimitedError(self.endpoint, method, _retry_after(response.headers))
            if response.status != OK:
                raise RpcUnavailableError(
                    self.endpoint, method, f"HTTP status {response.status}", _retry_after(response.headers)
                )
            return await _read(response)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks = bytearray()
    async for chunk in response.content.iter_chunked(_READ_BYTES):
        chunks += chunk
        if len(chunks) > MAX_ANSWER_BYTES:
            raise AnswerTooLargeError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(chunks)


def _reason(error: Exception) -> str:
    """Why there was no connection, in words that cannot hold the URL."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = cause.strerror if isinstance(cause, OSError) else None
    return f"cannot connect: {text or type(error).__name__}"
