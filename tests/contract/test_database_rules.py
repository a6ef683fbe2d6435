"""What PostgreSQL itself refuses, whoever asks; and that its tables say what the domain says."""

from collections.abc import Mapping
from enum import StrEnum

import psycopg
import pytest

from backend.db import SqlStores
from backend.db.migrations import SQL_DIRECTORY, read_migrations
from backend.domain import attempt, farmer, harvest, plant, withdrawal, work
from backend.domain.attempt import AttemptKind
from backend.domain.work import WorkReport
from tests.fixtures.rows import POOLER, Rows, harvested
from tests.fixtures.stores import Query

TABLES = (
    "farmers",
    "block_events",
    "plant_requests",
    "plant_transactions",
    "plant_request_plants",
    "work_results",
    "harvest_transactions",
    "attempts",
    "attempt_bumps",
    "lease",
    "quarantines",
    "money_accounts",
    "money_transfers",
    "money_postings",
    "chain_cursor",
    "block_event_links",
    "failure_causes",
    "attributions",
    "access_tokens",
    "lease_handovers",
    "seed_rewraps",
    "withdrawals",
    "pool_cuts",
    "withdrawal_switches",
    "payout_addresses",
    "pooler_certificates",
    "wrong_reports",
)
KEYLESS_FARMER = """
INSERT INTO farmers (wallet_address, public_key, request_id) VALUES (rpad('G', 56, 'A'), repeat('0', 64), 'x')
"""
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"


@pytest.fixture
async def filled(stores: SqlStores, rows: Rows) -> None:
    """Block 1 of two farmers: planted, worked, one harvested; a third plant pending."""
    farmers = await rows.farmers(2)
    await rows.planted(farmers, 1)
    await stores.works.record(WorkReport("w", POOLER, 1, farmers[0].farmer_id, bytes(32), 1, 64, 2))
    pails = await stores.harvests.open_pails()
    await stores.attempts.apply([harvested(pails[0].harvest_id, 10)])
    await rows.request("r", [rows.plant(farmers[0], 2)], block_index=2)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("form", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_rows_are_never_deleted(query: Query, table: str, form: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="these rows are kept as they are"):
        query(form.format(table))


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE block_events SET data = '{}'",
        "UPDATE plant_requests SET pooler_id = 'other'",
        "UPDATE plant_transactions SET transaction_hash = NULL WHERE status = 'confirmed'",
        "UPDATE plant_transactions SET status = 'pending' WHERE status = 'confirmed'",
        "UPDATE plant_transactions SET stake_amount = 1 WHERE status = 'pending'",
        "UPDATE plant_transactions SET farmer_id = gen_random_uuid() WHERE status = 'pending'",
        "UPDATE plant_request_plants SET number = 9 WHERE number IS NOT NULL",
        "UPDATE plant_request_plants SET number = NULL WHERE number IS NOT NULL",
        "UPDATE work_results SET zeros = 3",
        "UPDATE work_results SET status = 'failed', error_reason = 'internal'",
        "UPDATE work_results SET pooler_id = 'other'",
        "UPDATE harvest_transactions SET reward_amount = 11 WHERE status = 'confirmed'",
        "UPDATE harvest_transactions SET stake_amount = 1 WHERE status = 'pending'",
        "UPDATE attempts SET status = 'failed' WHERE status = 'succeeded'",
        "UPDATE attempts SET envelope = 'BBBB' WHERE status = 'open'",
        "UPDATE attempts SET max_ledger = 9 WHERE status = 'open'",
        "UPDATE farmers SET wallet_address = 'GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR'",
        "UPDATE farmers SET sealed_seed = '\\x00'",
        "UPDATE farmers SET key_version = 2",
        (
            "BEGIN; SET LOCAL kale_pool.rewrapping = 'on'; "
            "UPDATE farmers SET status = 'inactive', sealed_seed = NULL, key_version = NULL"
        ),
    ],
)
def test_stored_facts_are_never_changed(query: Query, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation):
        query(statement)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE farmers SET status = 'onboarding'", "farmers_transition"),
        ("UPDATE farmers SET status = 'happy'", "farmers_transition"),
        ("UPDATE farmers SET earned_balance = -1", "farmers_earned_balance_range"),
        ("UPDATE farmers SET balance = -1", "farmers_balance_range"),
        ("UPDATE farmers SET stake_percentage = 100.01", "farmers_stake_percentage_range"),
        (
            "UPDATE plant_transactions SET status = 'failed' WHERE status = 'pending'",
            "plant_transactions_failed_why",
        ),
        (
            "UPDATE plant_transactions SET status = 'confirmed' WHERE status = 'pending'",
            "plant_transactions_confirmed_w",
        ),
        (
            "UPDATE harvest_transactions SET status = 'lost' WHERE status = 'pending'",
            "harvest_transactions_failed_why",
        ),
        ("UPDATE attempts SET status = 'succeeded' WHERE status = 'open'", "attempts_ended_wh"),
        (
            "UPDATE attempts SET status = 'expired', ended_at = now(), result_ledger = 109 WHERE status = 'open'",
            "attempts_expiry_proven",
        ),
        (
            KEYLESS_FARMER,
            "farmers_farming_needs_seed",
        ),
        (
            "INSERT INTO block_events (block_index, event_type) VALUES (1, 'detected')",
            "block_events_detected_by",
        ),
    ],
)
def test_impossible_values_are_refused_by_name(query: Query, statement: str, rule: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        query(statement)
    assert (caught.value.diag.constraint_name or "").startswith(rule)


async def test_attempt_cannot_begin_ended(rows: Rows, query: Query) -> None:
    made = rows.attempt(AttemptKind.CHANNELS, (await rows.farmers(1))[0].farmer_id, CHANNEL)
    with pytest.raises(psycopg.errors.RestrictViolation):
        query(
            "INSERT INTO attempts (hash, kind, intent_id, source_account, source_sequence, envelope, max_ledger, "  # noqa: S608
            "created_ledger, status, ended_at, result_ledger) "
            f"VALUES (decode('{made.hash.hex()}', 'hex'), 'channels', '{made.intent_id}', '{CHANNEL}', 1, 'AA', 5, 1, "
            "'succeeded', now(), 3)"
        )


@pytest.mark.parametrize(
    ("table", "transitions"),
    [
        ("farmers", farmer.TRANSITIONS),
        ("plant_transactions", plant.TRANSITIONS),
        ("work_results", work.TRANSITIONS),
        ("harvest_transactions", harvest.TRANSITIONS),
        ("attempts", attempt.TRANSITIONS),
        ("withdrawals", withdrawal.TRANSITIONS),
    ],
)
def test_allowed_transitions_are_the_domains(
    query: Query, table: str, transitions: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    stored = query(f"SELECT old_status, new_status FROM allowed_transitions WHERE table_name = '{table}'")  # noqa: S608
    assert set(stored) == {(str(old), str(new)) for old, following in transitions.items() for new in following}


def test_every_table_and_column_has_a_comment(query: Query) -> None:
    uncommented = query("""
        SELECT c.relname, a.attname
        FROM pg_class AS c
        INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
    """)
    assert uncommented == []
    tables = {name for (name,) in query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {*TABLES, "allowed_transitions", "schema_migrations", "block_event_queue", "poolers"}


def test_migrations_lie_beside_the_package() -> None:
    assert [migration.name for migration in read_migrations()][:3] == [
        "001_initial_schema.sql",
        "002_indexes.sql",
        "003_test_data.sql",
    ]
    assert (SQL_DIRECTORY / "schema.sql").is_file()
