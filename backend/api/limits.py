"""What a peer may ask of a gRPC server before it is cut off; the same for every listener."""

from __future__ import annotations

from collections.abc import Mapping

CALL_SECONDS = 30.0
"""How long a call with one answer may take, whatever deadline its caller sets or forgets."""
ONBOARDING_SECONDS = 120.0
"""How long CreateFarmer waits for the farmer's account before it leaves that to the background."""
LONG_CALLS: Mapping[str, float] = {"/kalepool.v1.FarmerService/CreateFarmer": CALL_SECONDS + ONBOARDING_SECONDS}
"""Calls that wait for the ledger."""
MAX_MESSAGE_BYTES = 64 * 1024
_MAX_METADATA_BYTES = 16 * 1024
_MAX_STREAMS = 64
_HANDSHAKE_MS = 10_000
_KEEPALIVE_MS = 20_000
_KEEPALIVE_TIMEOUT_MS = 10_000
_LEAST_PING_MS = 5_000
_IDLE_MS = 15 * 60_000
_AGE_MS = 4 * 3_600_000
_AGE_GRACE_MS = 60_000

SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", _MAX_STREAMS),  # of one connection
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    # A peer that is gone without a word is noticed within half a minute.
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    # Peers may ping as often, with and without calls; whoever pings faster is cut.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_MS),
    ("grpc.http2.max_ping_strikes", 3),
    # Streams resume, so connections may end: what they hold is freed, and peers spread anew over addresses.
    ("grpc.max_connection_idle_ms", _IDLE_MS),
    ("grpc.max_connection_age_ms", _AGE_MS),
    ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
    ("grpc.so_reuseport", 0),  # a second backend on the same port must fail, not share it
)
