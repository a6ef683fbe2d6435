"""From BACKEND_API_URL to a gRPC channel."""

from urllib.parse import urlsplit

import grpc
import grpc.aio

_OPTIONS = (
    # A restarted backend is found again within a second or two.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 * 1024),
)


def connect(url: str) -> grpc.aio.Channel:
    """A channel to `http://host:port` (plain) or `https://host:port` (TLS, the system's certificates)."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    target = f"{_host(parts.hostname or '')}:{parts.port or (443 if secure else 80)}"
    if secure:
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
    return grpc.aio.insecure_channel(target, options=_OPTIONS)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
