"""The methods of a gRPC server, each behind layers that are put around it once, not at every call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from backend.errors import InvalidRequestError

HEALTH = "/grpc.health."
"""The health service aborts by itself, and answers its stream in another way: nothing is put around its messages."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
RpcHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Wrapping: TypeAlias = Callable[[Any], Any]
"""What makes a behaviour (request or requests, context) of another."""
Layer: TypeAlias = Callable[[str, RpcHandler], RpcHandler]
"""What puts something around a method, given its full name."""


class Methods(grpc.GenericRpcHandler):
    """Every method of a server. Servicers are added to it as to a server, before it is handed to one.

    Args:
        layers: What each call passes, the outermost first.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._services: list[grpc.GenericRpcHandler] = []
        self._known: dict[str, RpcHandler] = {}

    @property
    def as_server(self) -> grpc.aio.Server:
        """This, for generated code that adds a servicer to a server."""
        return cast("grpc.aio.Server", self)

    def reflect(self, services: Sequence[str]) -> None:
        """Has the server tell what these services are (grpc.reflection)."""
        servicer = reflection.aio.ReflectionServicer(service_names=services)  # type: ignore[no-untyped-call]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self)  # type: ignore[no-untyped-call]

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Called by the generated code."""
        self._services.extend(handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, RpcHandler]) -> None:
        """Called by the generated code as well, with the methods that it has added already."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RpcHandler | None:
        """The method's handler; None if there is none."""
        method = handler_call_details.method
        known = self._known.get(method)
        if known is not None:
            return known
        for service in self._services:
            handler = service.service(handler_call_details)
            if handler is not None:
                for layer in reversed(self._layers):
                    handler = layer(method, handler)
                self._known[method] = handler
                return handler
        return None


def wrapped(handler: RpcHandler, *, answering: Wrapping, streaming: Wrapping, raw: bool = False) -> RpcHandler:
    """The same method with its behaviour wrapped: by `answering` if it returns one message, else by `streaming`.

    With `raw` requests come to it as bytes.
    """
    codec = {
        "request_deserializer": None if raw else handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(answering(handler.unary_unary), **codec)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(streaming(handler.unary_stream), **codec)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(streaming(handler.stream_stream), **codec)
    return grpc.stream_unary_rpc_method_handler(answering(handler.stream_unary), **codec)


def decoded(method: str, handler: RpcHandler) -> RpcHandler:
    """The layer that reads messages: one that is none is refused as such, at no more cost than any other refusal.

    Left to gRPC, each would be an unexpected fault of the program, with its traceback in the log.
    """
    read = handler.request_deserializer
    if read is None or method.startswith(HEALTH):
        return handler

    def message_of(raw: bytes) -> Any:
        try:
            return read(raw)
        except DecodeError:
            raise InvalidRequestError("message", "is not encoded as this method's request") from None

    def answering(behaviour: Any) -> Any:
        async def answer(raw: Any, context: Context) -> Any:
            return await behaviour(take(raw), context)

        return answer

    def streaming(behaviour: Any) -> Any:
        async def stream(raw: Any, context: Context) -> AsyncIterator[Any]:
            async for response in behaviour(take(raw), context):
                yield response

        return stream

    take = _each(message_of) if handler.request_streaming else message_of
    return wrapped(handler, answering=answering, streaming=streaming, raw=True)


def _each(message_of: Callable[[bytes], Any]) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Any]]:
    async def messages(raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in raws:
            yield message_of(raw)

    return messages
