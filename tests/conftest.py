"""Fixtures for every folder of tests."""

import os

from hypothesis import HealthCheck, settings

# How busy the machine is must not decide whether a test passes.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("usual", UNHURRIED)
settings.register_profile("deep", UNHURRIED, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.softhsm",
    "tests.fixtures.stores",
    "tests.fixtures.devnet",
    "tests.fixtures.farmyard",
    "tests.fixtures.backend",
    "tests.fixtures.ledger_client",
    "tests.fixtures.pool_service",
    "tests.fixtures.pooler_command",
    "tests.fixtures.hash_engine",
    "tests.fixtures.grpcurl",
]
