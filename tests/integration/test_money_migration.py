"""What was there before the money ledger is booked by its migration, in order."""

import shutil
from pathlib import Path

import psycopg

from backend.db.migrations import SQL_DIRECTORY, migrate

FIRST_UNAPPLIED = 9
"""Later rows need a cause for each failure, which rows of that time do not have."""
ROWS = """
INSERT INTO farmers (
    id, wallet_address, public_key, sealed_seed, key_version, status, request_id, balance, earned_balance
) SELECT
    CAST(rpad(CAST(n AS text), 8, '0') || '-0000-4000-8000-000000000000' AS uuid), rpad('G' || chr(64 + n), 56, 'A'),
    repeat(CAST(n AS text), 64), '\\x01', 1, 'active', CAST(n AS text), 1000 * n, 7 * (2 - n)
FROM generate_series(1, 2) AS n;
INSERT INTO plant_transactions (
    block_index, farmer_id, wallet_address, pooler_id, stake_amount, status, ledger_sequence, confirmed_at,
    transaction_hash
) SELECT b, f.id, f.wallet_address, 'p', 50, 'confirmed', 100, now(), CASE b WHEN 1 THEN repeat('a', 64) END
FROM farmers AS f CROSS JOIN generate_series(1, 4) AS b WHERE f.request_id = '1';
INSERT INTO harvest_transactions (
    block_index, farmer_id, wallet_address, stake_amount, planted_ledger, status, reward_amount, transaction_hash,
    ledger_sequence, confirmed_at, error_reason
) SELECT
    block_index, farmer_id, wallet_address, stake_amount, 100,
    (ARRAY['confirmed', 'lost', 'failed', 'pending'])[block_index], CASE block_index WHEN 1 THEN 7 END,
    CASE block_index WHEN 1 THEN repeat('b', 64) END, CASE block_index WHEN 1 THEN 110 END,
    CASE block_index WHEN 1 THEN now() END,
    CASE block_index WHEN 2 THEN 'timeout' WHEN 3 THEN 'contract_refused' END
FROM plant_transactions;
"""


def test_rows_from_before_the_money_ledger_are_booked(empty_database_url: str, tmp_path: Path) -> None:
    before = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    for file in before.glob("[0-9]*.sql"):
        if int(file.name[:3]) >= FIRST_UNAPPLIED:
            file.unlink()
    migrate(empty_database_url, network="local", directory=before)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(ROWS.encode())
        migrate(empty_database_url, network="local")
        assert connection.execute("SELECT * FROM ledger_check()").fetchall() == []
        balances = connection.execute(
            "SELECT f.request_id, a.kind, a.balance FROM money_accounts AS a "
            "LEFT JOIN farmers AS f ON f.id = a.farmer_id WHERE a.balance <> 0 ORDER BY 1, 2"
        ).fetchall()
        assert balances == [
            ("1", "available", 1000),
            ("1", "staked", 50),
            ("2", "available", 2000),
            (None, "loss", 50),
            (None, "mint", -7),
            (None, "unobserved", -3093),
        ]
        kept = connection.execute("SELECT balance, earned_balance FROM farmers ORDER BY request_id").fetchall()
        assert kept == [(1000, 7), (2000, 0)]
