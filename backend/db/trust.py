"""Certificates, standings and scores of poolers."""

from sqlalchemy import text

from backend.db.database import Database
from backend.domain.trust import SCORED_BLOCKS, CertificateKind, Issued, Score, Standing
from backend.domain.work import WorkReport
from backend.errors import InvitationError
from backend.ports.trust import Trust

_CERTIFICATES = text("""
SELECT serial, pooler_id, kind, not_after FROM pooler_certificates
WHERE revoked_at IS NULL AND used_at IS NULL AND not_after > now()
""")
_STANDINGS = text("SELECT pooler_id, status, status_reason FROM poolers")
_KNOW = text("INSERT INTO poolers (pooler_id) VALUES (:pooler_id) ON CONFLICT DO NOTHING")
_ISSUE = text("""
INSERT INTO pooler_certificates (serial, pooler_id, kind, not_after) VALUES (:serial, :pooler_id, :kind, :not_after)
""")
_USE = text("""
UPDATE pooler_certificates SET used_at = now()
WHERE
    serial = :serial AND pooler_id = :pooler_id AND kind = 'invitation'
    AND used_at IS NULL AND revoked_at IS NULL AND not_after > now()
RETURNING serial
""")
_STAND = text("""
UPDATE poolers SET status = :status, status_reason = :reason, status_changed_at = now()
WHERE pooler_id = :pooler_id RETURNING pooler_id
""")
_REVOKE = text("""
UPDATE pooler_certificates SET revoked_at = now() WHERE pooler_id = :pooler_id AND revoked_at IS NULL
""")
_WRONG = text("""
INSERT INTO wrong_reports (report_id, pooler_id, block_index, farmer_id, work_hash, nonce)
VALUES (:report_id, :pooler_id, :block_index, :farmer_id, :work_hash, CAST(:nonce AS numeric))
ON CONFLICT DO NOTHING
""")
_WRONG_COUNT = text("""
SELECT count(*) FROM wrong_reports AS w
INNER JOIN poolers AS p ON p.pooler_id = w.pooler_id
WHERE w.pooler_id = :pooler_id AND w.block_index > :since AND w.created_at >= p.status_changed_at
""")
_LAST_BLOCK = text("SELECT coalesce(max(block_index), 0) FROM plant_transactions")
_SCORES = text("""
WITH held AS (
    SELECT p.block_index, p.farmer_id, coalesce(h.pooler_id, p.pooler_id) AS pooler_id
    FROM plant_transactions AS p
    LEFT JOIN LATERAL (
        SELECT pooler_id FROM lease_handovers AS l
        WHERE l.block_index = p.block_index AND l.farmer_id = p.farmer_id ORDER BY l.generation DESC LIMIT 1
    ) AS h ON TRUE
    WHERE p.block_index > :since AND p.block_index < :last AND p.status = 'confirmed'
)
SELECT
    p.pooler_id, p.status, p.status_reason, p.attended_ledger,
    (
        SELECT count(*) FROM work_results AS w
        WHERE w.pooler_id = p.pooler_id AND w.block_index > :since AND w.status = 'success'
    ) AS verified,
    (
        SELECT count(*) FROM work_results AS w
        WHERE w.pooler_id = p.pooler_id AND w.block_index > :since AND w.status = 'timeout'
    ) AS late,
    (
        SELECT count(*) FROM wrong_reports AS w WHERE w.pooler_id = p.pooler_id AND w.block_index > :since
    ) AS wrong,
    (
        SELECT count(*) FROM held
        WHERE held.pooler_id = p.pooler_id AND NOT EXISTS (
            SELECT FROM work_results AS w
            WHERE w.block_index = held.block_index AND w.farmer_id = held.farmer_id AND w.pooler_id = p.pooler_id
        )
    ) AS missing,
    (
        SELECT count(*) FROM lease_handovers AS l
        WHERE l.taken_from = p.pooler_id AND l.block_index > :since AND l.reason = 'idle'
    ) AS idle
FROM poolers AS p ORDER BY p.pooler_id
""")


class SqlTrustStore:
    """See backend.ports.trust.TrustStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trust(self) -> Trust:
        """Whom to let in now."""
        async with self._database.transaction() as connection:
            certificates = (await connection.execute(_CERTIFICATES)).all()
            standings = (await connection.execute(_STANDINGS)).all()
        return Trust(
            {
                row.serial: Issued(row.serial, row.pooler_id, CertificateKind(row.kind), row.not_after)
                for row in certificates
            },
            {row.pooler_id: (Standing(row.status), row.status_reason) for row in standings},
        )

    async def issue(self, issued: Issued) -> None:
        """Notes an issued certificate. Raises StoreConflictError."""
        async with self._database.attributed() as connection:
            await connection.execute(_KNOW, {"pooler_id": issued.pooler_id})
            await connection.execute(_ISSUE, _row(issued))

    async def enrol(self, invitation: str, issued: Issued) -> None:
        """Uses an invitation up and notes the certificate it brought. Raises InvitationError."""
        async with self._database.attributed() as connection:
            used = await connection.execute(_USE, {"serial": invitation, "pooler_id": issued.pooler_id})
            if used.one_or_none() is None:
                raise InvitationError(issued.pooler_id)
            await connection.execute(_ISSUE, _row(issued))
            await connection.execute(_STAND, {"pooler_id": issued.pooler_id, "status": Standing.ENROLLED, "reason": ""})

    async def set_standing(self, pooler_id: str, standing: Standing, reason: str) -> bool:
        """Changes a pooler's standing; False if no pooler has this name."""
        values = {"pooler_id": pooler_id, "status": standing, "reason": reason}
        async with self._database.attributed() as connection:
            if (await connection.execute(_STAND, values)).one_or_none() is None:
                return False
            if standing is Standing.REVOKED:
                await connection.execute(_REVOKE, {"pooler_id": pooler_id})
        return True

    async def record_wrong(self, report: WorkReport) -> int:
        """Notes a report whose hash does not compute, once; how many its pooler has had of late."""
        values = {
            "report_id": report.report_id,
            "pooler_id": report.pooler_id,
            "block_index": report.block_index,
            "farmer_id": report.farmer_id,
            "work_hash": (report.work_hash or b"").hex(),
            "nonce": report.nonce,
        }
        since = report.block_index - SCORED_BLOCKS
        async with self._database.transaction() as connection:
            await connection.execute(_KNOW, {"pooler_id": report.pooler_id})
            await connection.execute(_WRONG, values)
            count = await connection.scalar(_WRONG_COUNT, {"pooler_id": report.pooler_id, "since": since})
        return int(count or 0)

    async def scores(self) -> list[Score]:
        """Every pooler's record, by name."""
        async with self._database.transaction() as connection:
            last = int(await connection.scalar(_LAST_BLOCK) or 0)
            rows = (await connection.execute(_SCORES, {"since": last - SCORED_BLOCKS, "last": last})).all()
        return [
            Score(
                pooler_id=row.pooler_id,
                standing=Standing(row.status),
                reason=row.status_reason,
                attended_ledger=row.attended_ledger,
                verified=row.verified,
                late=row.late,
                wrong=row.wrong,
                missing=row.missing,
                idle=row.idle,
            )
            for row in rows
        ]


def _row(issued: Issued) -> dict[str, object]:
    return {
        "serial": issued.serial,
        "pooler_id": issued.pooler_id,
        "kind": issued.kind,
        "not_after": issued.not_after,
    }
