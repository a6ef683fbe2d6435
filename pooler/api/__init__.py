"""The pooler's own listeners: gRPC status, health and reflection, and the plan's JSON route. Loopback only."""
