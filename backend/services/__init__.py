"""Use cases: what the backend does, over ports."""
