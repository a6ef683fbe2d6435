"""Reading the bodies of JSON requests."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any, TypeVar

from aiohttp import web

from backend.errors import InvalidRequestError

MAX_BODY_BYTES = 64 * 1024
T = TypeVar("T")
Body = Mapping[str, Any]


async def read_body(request: web.Request, max_bytes: int = MAX_BODY_BYTES) -> Body:
    """The JSON object a request carries.

    Raises:
        InvalidRequestError: it carries none.
        HTTPRequestEntityTooLarge: it is larger than `max_bytes`.
    """
    size = len(await request.read())
    if size > max_bytes:
        raise web.HTTPRequestEntityTooLarge(max_bytes, size)
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError("body", "is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidRequestError("body", "must be a JSON object")
    return body


def field_of(body: Body, name: str, kind: type[T], default: T | None = None) -> T:
    """A field of a JSON object, of the type that it must have. Raises InvalidRequestError."""
    value = body.get(name, default)
    if value is None:
        raise InvalidRequestError(name, "is missing")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidRequestError(name, f"must be of JSON type {_JSON_NAMES[kind]}")
    return value


_JSON_NAMES: Mapping[type, str] = {str: "string", int: "number", bool: "boolean", list: "array", dict: "object"}
