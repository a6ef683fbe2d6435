"""How clients of a backend create many farmers: so many calls at a time, and refused ones again."""

import json

CALLS_AT_ONCE = 30
"""A backend takes 64 streams of a connection. It counts those that it has just answered and not yet cleared away, so a
client that keeps more than about half as many in flight has calls refused while the backend is busy."""

_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.5s",
    "maxBackoff": "10s",
    "backoffMultiplier": 2,
    # What a refused stream, a connection that was cut and a backend that stops are told as. A repeat with the same
    # request id creates nothing more.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
CHANNEL_OPTIONS = (
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{"service": "kalepool.v1.FarmerService", "method": "CreateFarmer"}],
                        "retryPolicy": _RETRY,
                    }
                ]
            }
        ),
    ),
)
"""Options of a gRPC channel (https://github.com/grpc/grpc/blob/master/doc/service_config.md)."""
