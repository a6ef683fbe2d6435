"""Puts something before the behaviour of a gRPC method, whatever kind of method it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
RpcHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Wrapping: TypeAlias = Callable[[Any], Any]
"""What makes a behaviour (request or requests, context) of another."""


def wrapped(handler: RpcHandler, *, answering: Wrapping, streaming: Wrapping) -> RpcHandler:
    """The same method with its behaviour wrapped: by `answering` if it returns one message, else by `streaming`."""
    codec = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(answering(handler.unary_unary), **codec)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(streaming(handler.unary_stream), **codec)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(streaming(handler.stream_stream), **codec)
    return grpc.stream_unary_rpc_method_handler(answering(handler.stream_unary), **codec)
