"""Certificates, standings and scores of poolers in memory."""

from __future__ import annotations

from dataclasses import replace

from backend.domain.presence import HandOverReason
from backend.domain.trust import SCORED_BLOCKS, CertificateKind, Issued, Score, Standing
from backend.domain.work import WorkReport, WorkState
from backend.errors import InvitationError, StoreConflictError
from backend.ports.trust import Trust
from simulator.memory.poolers import confirmed_leases
from simulator.memory.session import Session
from simulator.memory.tables import CertificateRow, Tables


class MemoryTrustStore:
    """See backend.ports.trust.TrustStore."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def trust(self) -> Trust:
        """Whom to let in now."""
        async with self._session.transaction() as tables:
            rows = [row for row in tables.certificates if row.good and row.issued.not_after > tables.now()]
            return Trust(
                {row.issued.serial: replace(row.issued, pem=b"") for row in rows},
                {name: _standing(tables, name)[:2] for name in _names(tables)},
            )

    async def issue(self, issued: Issued) -> None:
        """Notes an issued certificate. Raises StoreConflictError."""
        async with self._session.transaction() as tables:
            _issue(tables, issued)

    async def enrol(self, invitation: str, issued: Issued) -> None:
        """Uses an invitation up and notes the certificate it brought. Raises InvitationError."""
        async with self._session.transaction() as tables:
            row = tables.certificates.get(invitation)
            if (
                row is None
                or not row.good
                or row.issued.kind is not CertificateKind.INVITATION
                or row.issued.pooler_id != issued.pooler_id
                or row.issued.not_after <= tables.now()
            ):
                raise InvitationError(issued.pooler_id)
            tables.certificates.put(invitation, replace(row, good=False))
            _issue(tables, issued)
            tables.standings.put(issued.pooler_id, (Standing.ENROLLED, "", tables.next_number()))

    async def set_standing(self, pooler_id: str, standing: Standing, reason: str) -> bool:
        """Changes a pooler's standing; False if no pooler has this name."""
        async with self._session.transaction() as tables:
            if pooler_id not in _names(tables):
                return False
            tables.standings.put(pooler_id, (standing, reason, tables.next_number()))
            if standing is Standing.REVOKED:
                for row in tables.certificates.having(pooler_id):
                    tables.certificates.put(row.issued.serial, replace(row, good=False))
            return True

    async def record_wrong(self, report: WorkReport) -> int:
        """Notes a report whose hash does not compute, once; how many its pooler has had of late."""
        async with self._session.transaction() as tables:
            tables.standings.put(report.pooler_id, _standing(tables, report.pooler_id))
            key = (report.pooler_id, report.report_id)
            if tables.wrong.get(key) is None:
                tables.wrong.put(key, (report, tables.next_number()))
            changed = _standing(tables, report.pooler_id)[2]
            return sum(
                number > changed and wrong.block_index > report.block_index - SCORED_BLOCKS
                for wrong, number in tables.wrong.having(report.pooler_id)
            )

    async def scores(self) -> list[Score]:
        """Every pooler's record, by name."""
        async with self._session.transaction() as tables:
            return [_score(tables, name) for name in sorted(_names(tables))]


def _names(tables: Tables) -> set[str]:
    return {str(name) for name in (*tables.standings.rows, *tables.attended.rows)}


def _standing(tables: Tables, pooler_id: str) -> tuple[Standing, str, int]:
    return tables.standings.get(pooler_id) or (Standing.OPEN, "", 0)


def _issue(tables: Tables, issued: Issued) -> None:
    if tables.certificates.get(issued.serial) is not None:
        raise StoreConflictError("the database refused a row by its rule pooler_certificates_pkey")
    tables.standings.put(issued.pooler_id, _standing(tables, issued.pooler_id))
    tables.certificates.put(issued.serial, CertificateRow(issued))


def _score(tables: Tables, name: str) -> Score:
    last = max((row.plant.block_index for row in tables.plants), default=0)
    works = [row for row in tables.works if row.pooler_id == name and row.block_index > last - SCORED_BLOCKS]
    told = {(row.block_index, row.farmer_id) for row in works}
    held = [
        lease
        for index in range(max(last - SCORED_BLOCKS + 1, 0), last)
        for lease in confirmed_leases(tables, index)
        if lease.pooler_id == name
    ]
    standing, reason, _ = _standing(tables, name)
    attended = tables.attended.get(name)
    return Score(
        pooler_id=name,
        standing=standing,
        reason=reason,
        attended_ledger=0 if attended is None else attended.ledger,
        verified=sum(row.state is WorkState.SUCCESS for row in works),
        late=sum(row.state is WorkState.TIMEOUT for row in works),
        wrong=sum(report.block_index > last - SCORED_BLOCKS for report, _ in tables.wrong.having(name)),
        missing=sum((lease.block_index, lease.farmer_id) not in told for lease in held),
        idle=sum(
            one.taken_from == name and one.block_index > last - SCORED_BLOCKS and one.reason is HandOverReason.IDLE
            for one in tables.handed
        ),
    )
