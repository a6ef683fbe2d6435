"""Fixtures for every folder of tests."""

import os

from hypothesis import settings

settings.register_profile("deep", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.stores",
    "tests.fixtures.devnet",
    "tests.fixtures.farmyard",
    "tests.fixtures.backend",
    "tests.fixtures.ledger_client",
    "tests.fixtures.pool_service",
    "tests.fixtures.pooler_command",
    "tests.fixtures.hash_engine",
]
