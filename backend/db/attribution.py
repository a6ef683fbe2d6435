"""Causes of failures: decided by the domain from what the rows know, stored with the failure itself."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.domain.blame import OWNERS, Facts, Subject, cause_of
from backend.domain.failure import FailureReason
from backend.domain.work import BACKSTOP_POOLER

_CODES = "ARRAY(SELECT a.result_code FROM attempts AS a WHERE a.kind = '{}' AND a.intent_id = {} ORDER BY a.created_at)"
_PLANTS = text(f"""
SELECT p.id, p.block_index, p.farmer_id, p.error_reason AS reason, false AS by_backend,
    {_CODES.format("plant", "p.id")} AS codes, CAST('{{}}' AS text[]) AS backstop, 0 AS reported
FROM plant_transactions AS p WHERE p.id = ANY(CAST(:ids AS uuid[])) AND p.error_reason IS NOT NULL
""")  # noqa: S608 - the query is put together from constants
_WORKS = text(f"""
SELECT w.id, w.block_index, w.farmer_id, w.error_reason AS reason, w.pooler_id = :backend AS by_backend,
    {_CODES.format("work", "w.id")} AS codes, CAST('{{}}' AS text[]) AS backstop, 0 AS reported
FROM work_results AS w WHERE w.id = ANY(CAST(:ids AS uuid[])) AND w.error_reason IS NOT NULL
""")  # noqa: S608 - likewise
_HARVESTS = text(f"""
SELECT h.id, h.block_index, h.farmer_id, h.error_reason AS reason, false AS by_backend,
    {_CODES.format("harvest", "h.id")} AS codes,
    ARRAY(
        SELECT a.result_code FROM work_results AS w
        INNER JOIN attempts AS a ON a.kind = 'work' AND a.intent_id = w.id
        WHERE w.block_index = h.block_index AND w.farmer_id = h.farmer_id AND w.pooler_id = :backend
        ORDER BY a.created_at
    ) AS backstop,
    (
        SELECT count(*) FROM work_results AS w
        WHERE w.block_index = h.block_index AND w.farmer_id = h.farmer_id AND w.pooler_id <> :backend
        AND w.status IN ('success', 'unverified')
    ) AS reported
FROM harvest_transactions AS h WHERE h.id = ANY(CAST(:ids AS uuid[])) AND h.error_reason IS NOT NULL
""")  # noqa: S608 - likewise
_STORE = text("""
INSERT INTO attributions (subject, row_id, block_index, farmer_id, reason, cause, owner)
SELECT r.subject, r.row_id, r.block_index, r.farmer_id, r.reason, r.cause, r.owner
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    subject text, row_id uuid, block_index bigint, farmer_id uuid, reason text, cause text, owner text
)
""")
_FACTS: Mapping[Subject, TextClause] = {Subject.PLANT: _PLANTS, Subject.WORK: _WORKS, Subject.HARVEST: _HARVESTS}


async def attribute(connection: AsyncConnection, subject: Subject, ids: Sequence[UUID]) -> None:
    """Stores the causes of those of the rows that failed or were lost."""
    values = {"ids": list(ids), "backend": BACKSTOP_POOLER}
    rows = []
    for row in await connection.execute(_FACTS[subject], values):
        facts = Facts(subject, FailureReason(row.reason), row.by_backend, row.codes, row.backstop, row.reported)
        cause = cause_of(facts)
        rows.append(
            {
                "subject": subject,
                "row_id": str(row.id),
                "block_index": row.block_index,
                "farmer_id": str(row.farmer_id),
                "reason": row.reason,
                "cause": cause,
                "owner": OWNERS[cause],
            }
        )
    if rows:
        await connection.execute(_STORE, {"rows": json.dumps(rows)})
