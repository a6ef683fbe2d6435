"""Fixtures for every folder of tests."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.stores",
    "tests.fixtures.devnet",
    "tests.fixtures.farmyard",
    "tests.fixtures.backend",
    "tests.fixtures.ledger_client",
    "tests.fixtures.pool_service",
    "tests.fixtures.pooler_command",
]
