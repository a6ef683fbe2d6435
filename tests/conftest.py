"""Fixtures for every folder of tests."""

import os

import pytest
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


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps a file's tests together when several workers share them, and all that run a whole pool in a row.

    A file's tests share fixtures; whole pools want the same ports.
    """
    for item in items:
        whole_pool = item.get_closest_marker("e2e") is not None
        item.add_marker(pytest.mark.xdist_group("whole pool" if whole_pool else str(item.path)))
